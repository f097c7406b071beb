"""Shards are as good as folders: the same pictures and labels, every one once, near or far, and no tar does harm."""

import functools
import http.server
import io
import json
import tarfile
import threading

import fsspec
import numpy as np
import pytest
import torch
from PIL import Image

from resnets.data.check.pictures import check
from resnets.data.loaders import BadImages, Loader
from resnets.data.pictures.images import BadPicture, FileImages
from resnets.data.preprocess import Preprocess
from resnets.data.readers import shards
from resnets.data.readers.shards import expand, read_index
from resnets.data.sources import cut_val, open_source
from resnets.data.transforms import Augment
from resnets.data.types import Split
from resnets.errors import InputError
from tests.data.made import noise

RULE = Preprocess(size=(8, 8), mean=(0.4,) * 3, std=(0.2,) * 3)


@pytest.fixture(autouse=True)
def _home(tmp_path, monkeypatch):
    monkeypatch.setenv("RESNETS_DATA", str(tmp_path / "home/datasets"))
    monkeypatch.setattr(shards, "BACKOFF_SECONDS", 0.0)


def encoded(n, kind="PNG"):
    file = io.BytesIO()
    Image.fromarray(noise(12 + n % 3, 10, seed=n)).save(file, kind)
    return file.getvalue()


def tar(members):
    """A tar's bytes; members are (name, bytes) or whole `TarInfo`s."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as out:
        for name, data in members:
            info = name if isinstance(name, tarfile.TarInfo) else tarfile.TarInfo(name)
            info.size = len(data)
            out.addfile(info, io.BytesIO(data))
    return file.getvalue()


def samples(first, num, label=lambda n: {"cls": str(n % 3)}):
    return [
        (f"{n:05}.{kind}", data.encode() if isinstance(data, str) else data)
        for n in range(first, first + num)
        for kind, data in {"png": encoded(n), **label(n)}.items()
    ]


def shard_folder(folder, val=1, per=4):
    folder.mkdir()
    for number in range(3):
        (folder / f"train-{number:03}.tar").write_bytes(tar(samples(number * per, per)))
    for number in range(val):
        (folder / f"val-{number:03}.tar").write_bytes(tar(samples(100 + number * per, per)))
    return folder


def pixels(source, split="train"):
    images = source.splits[split].images
    return [images[n].tobytes() for n in range(len(images))]


def expected(first, num):
    return [np.array(Image.open(io.BytesIO(encoded(n)))).tobytes() for n in range(first, first + num)]


# --- near ----------------------------------------------------------------------------------------------------------------


def test_a_folder_of_shards(tmp_path):
    source = open_source(shard_folder(tmp_path / "set"))
    assert (source.name, source.labels, list(source.splits)) == ("set", ("0", "1", "2"), ["train", "val"])
    assert source.splits["train"].targets.tolist() == [n % 3 for n in range(12)]
    assert pixels(source) == expected(0, 12) and pixels(source, "val") == expected(100, 4)
    images = source.splits["train"].images
    assert images.name(5).endswith("train-001.tar: 00005.png") and source.picture_size() == (10, 10)
    assert images.subset([7, 2]).name(0) == images.name(7) and np.array_equal(images.subset([7, 2])[1], images[2])
    with pytest.raises(IndexError):
        images[12]


@pytest.mark.parametrize("pattern", ["set/train-{000..002}.tar", "set/train-*.tar", "set/train-{000,001,002}.tar"])
def test_patterns(tmp_path, pattern, monkeypatch):
    shard_folder(tmp_path / "set")
    monkeypatch.chdir(tmp_path)
    assert pixels(open_source(pattern)) == expected(0, 12)


def test_both_splits_in_a_pattern_and_one_tar_alone(tmp_path):
    root = shard_folder(tmp_path / "set")
    assert list(open_source(f"{root}/{{val,train}}-{{000..000}}.tar").splits) == ["train", "val"]
    assert len(open_source(root / "train-001.tar").splits["train"].targets) == 4


def test_expand():
    assert expand("a{08..11}b{x,y}") == [f"a{n:02}b{c}" for n in range(8, 12) for c in "xy"]
    assert expand("plain") == ["plain"] and expand("{3..2}") == []
    for pattern in ("{0..99999999999}", "{0..999}{0..999}"):
        with pytest.raises(InputError, match="more than 100,000 shards"):
            expand(pattern)


def test_names_of_classes(tmp_path):
    root = shard_folder(tmp_path / "set")
    (root / "classes.txt").write_text("zebra\ncat\ndog\nunused\n")
    assert open_source(root).labels == ("zebra", "cat", "dog")
    (root / "classes.txt").write_text("zebra\ncat\n")
    with pytest.raises(InputError, match=r"train-000\.tar: class 2, and classes\.txt has 2 lines"):
        open_source(root)


def test_labels_in_json_and_numbers_in_their_order(tmp_path):
    labels = [10, 9, "cat", 10]
    members = samples(0, 4, lambda n: {"json": json.dumps({"label": labels[n], "more": 1})})
    (tmp_path / "train.tar").write_bytes(tar(members))
    source = open_source(tmp_path / "train.tar")
    assert source.labels == ("9", "10", "cat") and source.splits["train"].targets.tolist() == [1, 0, 2, 1]


def test_a_set_of_shards_is_trained_and_evaluated_as_a_folder_is(tmp_path):
    paths = [tmp_path / f"{n}.png" for n in range(12)]
    for n, path in enumerate(paths):
        path.write_bytes(encoded(n))
    near = open_source(shard_folder(tmp_path / "set")).splits["train"]
    files = Split(FileImages(paths, 3), near.targets)
    for augment in (None, Augment(crop="resized", hflip=0.5)):
        found = [
            list(Loader(split=split, preprocess=RULE, batch_size=5, num_classes=3, bad=BadImages(0), augment=augment,
                        workers=workers).epoch(1))
            for split, workers in ((files, 0), (near, 0), (near, 2))
        ]  # fmt: skip
        for other in found[1:]:
            assert all(torch.equal(x, y) for a, b in zip(found[0], other, strict=True) for x, y in zip(a, b, strict=True))


def test_val_is_cut_and_the_fingerprint_follows_the_content(tmp_path):
    root = shard_folder(tmp_path / "set", val=0)
    source = open_source(root)
    assert {name: len(split.targets) for name, split in cut_val(source).splits.items()} == {"train": 9, "val": 3}
    before = source.fingerprint()
    assert open_source(root).fingerprint() == before
    (root / "train-002.tar").write_bytes(tar(samples(50, 4)))
    assert open_source(root).fingerprint() != before


def test_an_index_is_written_once_and_again_where_it_is_spoilt_or_old(tmp_path, monkeypatch):
    root = shard_folder(tmp_path / "set")
    before, read = open_source(root).fingerprint(), []
    real = shards.read_index
    monkeypatch.setattr(shards, "read_index", lambda *of: read.append(of[1]) or real(*of))
    assert open_source(root).fingerprint() == before and not read
    index = sorted((tmp_path / "home/shards/index").iterdir())
    assert len(index) == 4
    index[0].write_text("[[1")
    index[1].write_text('{"a": 1}')
    assert open_source(root).fingerprint() == before and len(read) == 2
    (root / "val-000.tar").write_bytes(tar(samples(200, 3)))
    assert pixels(open_source(root), "val") == expected(200, 3)


def test_a_picture_that_cannot_be_read_is_named_with_its_shard(tmp_path):
    members = samples(0, 4)
    members[2] = ("00001.png", encoded(1)[:60])
    (tmp_path / "train.tar").write_bytes(tar(members))
    images = open_source(tmp_path / "train.tar").splits["train"].images
    with pytest.raises(BadPicture, match=r"train\.tar: 00001\.png: "):
        images[1]
    assert np.array_equal(images[2], open_source(tmp_path / "train.tar").splits["train"].images[2])


def test_data_check_reads_shards(tmp_path):
    findings = check(open_source(shard_folder(tmp_path / "set")))
    assert findings is not None


# --- hostile ---------------------------------------------------------------------------------------------------------------


def info(name, kind=tarfile.REGTYPE, **settings):
    member = tarfile.TarInfo(name)
    member.type = kind
    for key, value in settings.items():
        setattr(member, key, value)
    return member


GOOD = samples(0, 3)
FAULTS = {
    "empty": (b"", "cannot be read as a tar"),
    "no tar": (b"x" * 3000, "cannot be read as a tar"),
    "gzip": (b"\x1f\x8b" + bytes(2000), "cannot be read as a tar"),
    "link": (tar([*GOOD, (info("x.png", tarfile.SYMTYPE, linkname="/etc/passwd"), b"")]), r"x\.png is no plain file"),
    "hard link": (tar([*GOOD, (info("x.png", tarfile.LNKTYPE, linkname="00000.png"), b"")]), r"x\.png is no plain file"),
    "device": (tar([*GOOD, (info("x.png", tarfile.CHRTYPE, devmajor=1, devminor=5), b"")]), r"x\.png is no plain file"),
    "pipe": (tar([*GOOD, (info("x.png", tarfile.FIFOTYPE), b"")]), r"x\.png is no plain file"),
    "no label": (tar([*GOOD, ("lost.png", encoded(1))]), "no label for 'lost'"),
    "json without label": (tar([("a.png", encoded(1)), ("a.json", b"{}")]), "no label for 'a'"),
    "label of words": (tar([("a.png", encoded(1)), ("a.cls", b"cat")]), r"a\.cls: not a whole number"),
    "label of bytes": (tar([("a.png", encoded(1)), ("a.cls", b"\xff\xfe")]), r"a\.cls: not a whole number"),
    "no json": (tar([("a.png", encoded(1)), ("a.json", b"{")]), r"a\.json: not JSON"),
    "deep json": (tar([("a.png", encoded(1)), ("a.json", b"[" * 100_000)]), r"a\.json: not JSON"),
    "true": (tar([("a.png", encoded(1)), ("a.json", b'{"label": true}')]), "\"label\" is 'True'"),
    "long label": (tar([("a.cls", bytes(shards.MAX_LABEL_BYTES + 1))]), r"a\.cls has 1,048,577 bytes, more than"),
    "two pictures": (tar([*GOOD, ("00001.jpg", b"")]), r"00001\.jpg is the second picture with this key"),
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


# --- far -------------------------------------------------------------------------------------------------------------------


@pytest.fixture
def memory():
    system = fsspec.filesystem("memory")
    yield system
    system.store.clear()


def far_set(system, num=3, per=4):
    for number in range(num):
        system.pipe(f"/set/train-{number:03}.tar", tar(samples(number * per, per)))


def fetched(monkeypatch):
    """The shards that are fetched, in order."""
    found, real = [], shards._fetch
    monkeypatch.setattr(shards, "_fetch", lambda shard, path: found.append(shard.url) or real(shard, path))
    return found


@pytest.mark.parametrize("pattern", ["memory://set/train-{000..002}.tar", "memory://set/train-*.tar"])
def test_far_shards_are_fetched_once(memory, pattern, monkeypatch):
    far_set(memory)
    memory.pipe("/set/classes.txt", b"a\nb\nc\n")
    got = fetched(monkeypatch)
    source = open_source(pattern)
    assert source.labels == ("a", "b", "c") and pixels(source) == expected(0, 12)
    assert pixels(open_source(pattern)) == expected(0, 12) and len(got) == 3


def test_a_far_shard_that_changed_is_fetched_again(memory):
    far_set(memory, num=1)
    before = open_source("memory://set/train-000.tar")
    assert pixels(before) == expected(0, 4)
    memory.pipe("/set/train-000.tar", tar(samples(50, 4)))
    assert pixels(open_source("memory://set/train-000.tar")) == expected(50, 4)


def test_room_is_made_by_what_was_used_longest_ago(memory, monkeypatch, tmp_path):
    far_set(memory, num=4)
    size = memory.size("/set/train-000.tar")
    monkeypatch.setenv("RESNETS_SHARD_BYTES", str(2 * size))
    got = fetched(monkeypatch)
    images = open_source("memory://set/train-{000..003}.tar").splits["train"].images
    assert sum(path.stat().st_size for path in (tmp_path / "home/shards/fetched").glob("*.tar")) == 2 * size and len(got) == 4
    assert np.array_equal(images[14], images[15]) is False and len(got) == 4
    assert images[0].tobytes() == expected(0, 1)[0] and len(got) == 5


def test_an_epoch_of_far_shards_goes_through_windows(memory, monkeypatch):
    far_set(memory, num=20, per=3)
    size = memory.size("/set/train-000.tar")
    split = open_source("memory://set/train-{000..019}.tar").splits["train"]
    each = Loader(
        split=split, preprocess=RULE, batch_size=6, num_classes=3, bad=BadImages(0), augment=Augment(crop="resized"), workers=0
    )
    orders = [each.order(epoch) for epoch in range(3)]
    for order in orders:
        assert sorted(order) == list(range(60))
        windows = [set(split.images.groups[part]) for part in (order[:24], order[24:48], order[48:])]
        assert [len(window) for window in windows] == [8, 8, 4] and len(set().union(*windows)) == 20
        assert (np.diff(split.images.groups[order[:24]]) != 0).sum() > 12, "shuffled within a window"
    assert not np.array_equal(orders[0], orders[1]) and np.array_equal(each.order(1), orders[1])
    monkeypatch.setenv("RESNETS_SHARD_BYTES", str(9 * size))
    for path in (shards._folder() / "fetched").glob("*.tar"):
        path.unlink()
    got = fetched(monkeypatch)
    assert sum(len(batch.indices) for batch in each.epoch(0)) == 60 and len(got) == len(set(got)) == 20
    assert len(set(split.images.groups[split.images.sample(30)])) == 8, "for a sample no more than a window is fetched"


@pytest.fixture
def server(tmp_path):
    """A web server on loopback: its address, and the folder it serves."""
    folder = tmp_path / "www"
    folder.mkdir()

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *of):
            pass

    handler = functools.partial(Handler, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as serving:
        threading.Thread(target=serving.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{serving.server_port}", folder
        serving.shutdown()


@pytest.mark.parametrize("workers", [0, 2])
def test_shards_by_http(server, workers):
    pytest.importorskip("aiohttp")
    address, folder = server
    shard_folder(folder / "set")
    source = open_source(f"{address}/set/{{train,val}}-{{000..000}}.tar")
    assert list(source.splits) == ["train", "val"] and pixels(source) == expected(0, 4)
    for path in (shards._folder() / "fetched").glob("*.tar"):
        path.unlink()  # so that the workers fetch them
    loader = Loader(
        split=source.splits["train"], preprocess=RULE, batch_size=4, num_classes=3, bad=BadImages(0), workers=workers
    )
    assert [batch.indices.tolist() for batch in loader.epoch(0)] == [[0, 1, 2, 3]]


def test_what_is_not_there_is_named(server, memory):
    address, _ = server
    with pytest.raises(InputError, match=r"memory://set/train-000\.tar: there is no such file"):
        open_source("memory://set/train-000.tar")
    with pytest.raises(InputError, match=r"no shard has such a name"):
        open_source("memory://set/train-*.tar")
    with pytest.raises(InputError, match=r"nonsense://x/a\.tar: cannot be had|nonsense://x/a\.tar: .*pip install"):
        open_source("nonsense://x/a.tar")
    pytest.importorskip("aiohttp")
    with pytest.raises(InputError, match=r"train-000\.tar: there is no such file"):
        open_source(f"{address}/train-000.tar")


def test_a_library_that_is_missing_is_named(monkeypatch):
    def without(url):
        raise ImportError('HTTPFileSystem requires "requests" and "aiohttp" to be installed')

    monkeypatch.setattr(shards, "_system", without)
    with pytest.raises(InputError, match=r"pip install 'resnets\[remote\]'"):
        open_source("https://localhost/train-000.tar")


def test_a_line_that_breaks_is_tried_again(memory, monkeypatch):
    far_set(memory, num=1)
    tries, real = [], shards._system

    def breaking(url):
        system, path = real(url)
        if url.endswith(".tar"):
            tries.append(url)
            if len(tries) == 2:  # the first asks for its size
                raise ConnectionError("broken pipe")
        return system, path

    monkeypatch.setattr(shards, "_system", breaking)
    assert pixels(open_source("memory://set/train-000.tar")) == expected(0, 4) and len(tries) == 3
    assert not list((shards._folder() / "fetched").glob("*.part"))
