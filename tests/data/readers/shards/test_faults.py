"""No tar does harm: faults are named, and names in a tar are no paths."""

import io
import os
import tarfile

import pytest

from resnets.data.readers import tars
from resnets.data.readers.remote import cache_folder
from resnets.data.readers.tars import read_index
from resnets.data.sources import open_source
from resnets.errors import InputError
from tests.data.readers.shards.made import encoded, expected, info, pixels, samples, shard_folder, tar

GOOD = samples(0, 3)
FAULTS = {
    "empty": (b"", "cannot be read as a tar"),
    "no tar": (b"x" * 3000, "cannot be read as a tar"),
    "gzip": (b"\x1f\x8b" + bytes(2000), "cannot be read as a tar"),
    "link": (
        tar([*GOOD, (info("x.png", tarfile.SYMTYPE, linkname="/etc/passwd"), b"")]),
        r"x\.png is a link, a device or a sparse file",
    ),
    "hard link": (
        tar([*GOOD, (info("x.png", tarfile.LNKTYPE, linkname="00000.png"), b"")]),
        r"x\.png is a link, a device or a sparse file",
    ),
    "device": (
        tar([*GOOD, (info("x.png", tarfile.CHRTYPE, devmajor=1, devminor=5), b"")]),
        r"x\.png is a link, a device or a sparse file",
    ),
    "pipe": (tar([*GOOD, (info("x.png", tarfile.FIFOTYPE), b"")]), r"x\.png is a link, a device or a sparse file"),
    "no label": (tar([*GOOD, ("lost.png", encoded(1))]), "no label for 'lost'"),
    "json without label": (tar([("a.png", encoded(1)), ("a.json", b"{}")]), "no label for 'a'"),
    "label of words": (tar([("a.png", encoded(1)), ("a.cls", b"cat")]), r"a\.cls: not an integer"),
    "label of bytes": (tar([("a.png", encoded(1)), ("a.cls", b"\xff\xfe")]), r"a\.cls: not an integer"),
    "no json": (tar([("a.png", encoded(1)), ("a.json", b"{")]), r"a\.json: not JSON"),
    "deep json": (tar([("a.png", encoded(1)), ("a.json", b"[" * 100_000)]), r"a\.json: not JSON"),
    "true": (tar([("a.png", encoded(1)), ("a.json", b'{"label": true}')]), "\"label\" is 'True'"),
    "names that are none": (tar([("a.png", encoded(1)), ("a.json", b'{"label": ["a", 1]}')]), r"give a name or an integer"),
    "no number": (tar([("a.png", encoded(1)), ("a.json", b'{"label": NaN}')]), r"give a name or an integer"),
    "packed by others": (
        tar([("a.png", encoded(1)), ("a.json", b'{"label": "x", "packed": {"position": -1, "path": "a"}}')]),
        r"a\.json: \"packed\" is .*, not what `resnets data pack` writes",
    ),
    "packed with more": (tar([("a.png", encoded(1)), ("a.json", b'{"label": 1, "packed": {"x": 1}}')]), "`resnets data pack`"),
    "long label": (tar([("a.cls", bytes(tars.MAX_LABEL_BYTES + 1))]), r"a\.cls has 1,048,577 bytes, more than"),
    "two pictures": (tar([*GOOD, ("00001.jpg", b"")]), r"00001\.jpg is the second image with this key"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_faults_of_tars(tmp_path, fault):
    data, message = FAULTS[fault]
    (tmp_path / "train.tar").write_bytes(data)
    with pytest.raises(InputError, match=message) as found:
        open_source(tmp_path / "train.tar")
    assert "train.tar" in str(found.value) and "\n" not in str(found.value)


def test_a_tar_that_is_cut_off_anywhere_is_named():
    data = tar(samples(0, 4))
    end = data.rstrip(b"\0")
    for length in [*range(1, len(end), 700), *range(512, len(end), 512)]:
        with pytest.raises(InputError, match="t: "):
            read_index(io.BytesIO(data[:length]), "t")


def test_no_byte_of_a_tar_makes_another_error():
    data = tar(samples(0, 2))
    for place in range(0, 512 * 3, 7):
        spoilt = data[:place] + bytes([data[place] ^ 0x85]) + data[place + 1 :]
        try:
            read_index(io.BytesIO(spoilt), "t")
        except InputError as error:
            assert str(error).startswith("t: ")


def test_names_in_a_tar_are_no_paths(tmp_path):
    (tmp_path / "train.tar").write_bytes(
        tar([("../../x.png", encoded(0)), ("../../x.cls", b"0"), ("/y.png", encoded(1)), ("/y.cls", b"1")])
    )
    before = sorted(tmp_path.parent.iterdir())
    source = open_source(tmp_path / "train.tar")
    assert pixels(source) == expected(0, 2) and source.splits["train"].images.name(0).endswith("train.tar: ../../x.png")
    assert sorted(tmp_path.parent.iterdir()) == before


def test_what_is_no_sample_is_passed_over(tmp_path):
    members = [*GOOD, ("readme.txt", b"x"), ("._00001.png", b"x"), ("00001.seg.png", b"x"), ("9.cls", b"1")]
    (tmp_path / "train.tar").write_bytes(tar(members))
    assert pixels(open_source(tmp_path / "train.tar")) == expected(0, 3)


def test_thousands_of_long_names_and_a_long_header_are_refused():
    long = info("@LongLink", tarfile.GNUTYPE_LONGNAME)
    with pytest.raises(InputError, match="cannot be read as a tar"):
        read_index(io.BytesIO(tar([(long, b"x" * 200)] * 3000)), "a.tar")
    with pytest.raises(InputError, match="a header of 3,000,000 bytes, more than"):
        read_index(io.BytesIO(tar([(info("a", tarfile.XHDTYPE), b"x" * 3_000_000)])), "a.tar")


@pytest.mark.parametrize("label", ["9" * 5000, "9" * 40, "-" + "9" * 12])
def test_labels_of_thousands_of_digits(label):
    for name, data in (("a.cls", label), ("a.json", f'{{"label": {label}}}'), ("a.json", "[" * 100_000)):
        with pytest.raises(InputError, match=r"not an integer|not JSON"):
            read_index(io.BytesIO(tar([("a.png", encoded(1)), (name, data.encode())])), "a.tar")


def test_shards_and_lists_that_are_pipes(tmp_path):
    root = shard_folder(tmp_path / "shards")
    os.mkfifo(root / "train-009.tar")
    with pytest.raises(InputError, match=r"train-009\.tar: cannot be read \(a pipe, not a file"):
        open_source(root)
    (root / "train-009.tar").unlink()
    os.mkfifo(root / "classes.txt")
    with pytest.raises(InputError, match=r"classes\.txt: is a pipe, not a file"):
        open_source(root)


def test_a_damaged_index_is_written_anew(tmp_path):
    root = shard_folder(tmp_path / "shards")
    before = pixels(open_source(root))
    for path in (cache_folder() / "index").iterdir():
        whole = path.read_bytes()
        for damaged in (whole.replace(b"00000.png", b"00001.png"), whole[:-3], b"", b"[" * 100_000):
            path.write_bytes(damaged)
            assert pixels(open_source(root)) == before and path.read_bytes() == whole
