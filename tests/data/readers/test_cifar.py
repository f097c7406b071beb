"""CIFAR in each of its forms, and nothing run that a pickle asks for."""

import hashlib
import io
import pickle
import shutil
import tarfile

import numpy as np
import pytest

from resnets.data.readers import cifar
from resnets.data.readers.cifar import CIFARS, read_cifar
from resnets.data.readers.known import get
from resnets.data.sources import open_source
from resnets.errors import InputError

NUM = {"train": 20, "test": 10}
NAMES = {"cifar10": [f"kind {n}" for n in range(10)], "cifar100": [f"sort {n}" for n in range(100)]}


@pytest.fixture(autouse=True)
def _small_sets(monkeypatch):
    monkeypatch.setattr(cifar, "NUM_IMAGES", NUM)


def pictures(split):
    """(N, 32, 32, 3), a different one for each split."""
    return np.random.default_rng(len(split)).integers(0, 256, (NUM[split], 32, 32, 3), dtype=np.uint8)


def labels(form, split):
    return [(7 * n + 3) % len(NAMES[form.name]) for n in range(NUM[split])]


def write(form, root, protocol=2):
    """The set in `form` below `root`, as its makers write it: planes of red, green and blue; files in order."""
    folder = root / form.folder
    folder.mkdir(parents=True)
    for split, files in form.files.items():
        planes = pictures(split).transpose(0, 3, 1, 2).reshape(NUM[split], -1)
        for file, part in zip(files, np.split(np.arange(NUM[split]), len(files)), strict=True):
            wanted = [labels(form, split)[n] for n in part]
            if form.labels:
                batch = {b"data": planes[part], form.labels.encode(): wanted, b"coarse_labels": [0] * len(part)}
                (folder / file).write_bytes(pickle.dumps(batch, protocol=protocol))
            else:
                heads = np.array([[0] * (form.label_bytes - 1) + [n] for n in wanted], dtype=np.uint8)
                np.hstack([heads, planes[part]]).tofile(folder / file)
    names = [name.encode() for name in NAMES[form.name]]
    content = (
        pickle.dumps({form.label_names.encode(): names}, protocol=protocol) if form.labels else b"\n".join(names) + b"\n\n"
    )
    (folder / form.names).write_bytes(content)
    return folder


def packed(form, root, monkeypatch):
    """`form` as an archive in `root`, its checksum in the table."""
    folder = write(form, root)
    with tarfile.open(root / form.archive, "w:gz") as tar:
        tar.add(folder, form.folder)
    shutil.rmtree(folder)
    md5 = hashlib.md5((root / form.archive).read_bytes()).hexdigest()
    monkeypatch.setattr(cifar, "CIFARS", tuple(row._replace(md5=md5) if row == form else row for row in CIFARS))
    return root / form.archive


form_of = pytest.mark.parametrize("form", CIFARS, ids=lambda form: form.folder)


# --- CIFAR, read -----------------------------------------------------------------------------------------------------


@form_of
@pytest.mark.parametrize("by", ["name", "path", "archive"])
def test_every_form_by_name_path_and_archive(tmp_path, monkeypatch, form, by):
    data, data_dir = form.name, tmp_path
    if by == "archive":
        packed(form, tmp_path, monkeypatch)
    else:
        folder = write(form, tmp_path)
        data, data_dir = (form.name, tmp_path) if by == "name" else (folder, None)
    source = open_source(data, data_dir=data_dir)
    assert (source.name, source.labels, source.size, source.hflip) == (form.name, tuple(NAMES[form.name]), (32, 32), True)
    for split in ("train", "test"):
        assert source.splits[split].targets.values.tolist() == labels(form, split)
        assert (source.splits[split].images.array == pictures(split)).all()


@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_pickles_of_every_age(tmp_path, protocol):
    found = read_cifar(write(CIFARS[1], tmp_path, protocol), 3)
    assert (found.parts["train"].images.array == pictures("train")).all()


def test_pickles_under_the_old_names_of_numpy(tmp_path):
    folder = write(CIFARS[1], tmp_path)
    path = folder / "test_batch"
    content = path.read_bytes().replace(b"numpy._core.multiarray", b"numpy.core.multiarray")
    assert b"cnumpy.core.multiarray\n_reconstruct" in content
    path.write_bytes(content)
    assert (read_cifar(folder, 3).parts["test"].images.array == pictures("test")).all()


def test_the_folder_is_found_by_the_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("RESNETS_DATA", str(tmp_path))
    write(CIFARS[0], tmp_path)
    assert get("cifar10") == tmp_path / "cifar-10-batches-bin"
    assert len(open_source("cifar10", in_chans=1).splits["test"].images[0][0, 0]) == 1


# --- CIFAR, at fault -------------------------------------------------------------------------------------------------


@form_of
def test_cut_short(tmp_path, form):
    folder = write(form, tmp_path)
    path = folder / form.files["train"][-1]
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(InputError, match=rf"{path.name} is .*; delete {folder}, then run `resnets data get {form.name}`"):
        open_source(folder)


@form_of
def test_a_missing_file_and_a_missing_record(tmp_path, form):
    folder = write(form, tmp_path)
    missing = folder / form.files["train"][0]
    content = missing.read_bytes()
    missing.unlink()
    with pytest.raises(InputError, match=f"{missing.name}.*resnets data get"):
        open_source(folder)
    missing.write_bytes(content)
    if not form.labels:
        missing.write_bytes(content[: -(form.label_bytes + 3072)])
        with pytest.raises(InputError, match="19 images in train instead of 20"):
            open_source(folder)


def test_an_empty_folder_of_that_name(tmp_path):
    (tmp_path / "cifar-100-python").mkdir()
    with pytest.raises(InputError, match=r"its files are missing; .*resnets data get cifar100"):
        open_source(tmp_path / "cifar-100-python")


def test_labels_without_names(tmp_path):
    folder = write(CIFARS[0], tmp_path)
    (folder / "batches.meta.txt").write_text("one\ntwo\n")
    with pytest.raises(InputError, match="labels 0 to 9 in train, but 2 class names"):
        open_source(folder)


class Evil:
    def __init__(self, function, *args):
        self.call = function, args

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("where", ["test_batch", "data_batch_1", "batches.meta"])
@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_a_malicious_pickle_is_refused_and_not_run(tmp_path, where, protocol):
    folder = write(CIFARS[1], tmp_path)
    mark = tmp_path / "mark"
    (folder / where).write_bytes(pickle.dumps({b"data": Evil(mark.__class__.touch, mark)}, protocol=protocol))
    pickle.loads((folder / where).read_bytes())
    assert mark.exists(), "the trap works"
    mark.unlink()
    with pytest.raises(InputError, match=f"{where} was not opened: it asks for .* do not trust it"):
        open_source(folder)
    assert not mark.exists()


@pytest.mark.parametrize(
    "content", [b"", b"\x80\x04", b"hello", pickle.dumps([1]), pickle.dumps({b"data": [1], b"labels": [1]})]
)
def test_pickles_that_hold_something_else(tmp_path, content):
    folder = write(CIFARS[1], tmp_path)
    (folder / "test_batch").write_bytes(content)
    with pytest.raises(InputError, match=r"test_batch .*resnets data get cifar10"):
        open_source(folder)


# --- archives --------------------------------------------------------------------------------------------------------


def test_an_archive_that_is_not_the_official_one(tmp_path, monkeypatch):
    archive = packed(CIFARS[0], tmp_path, monkeypatch)
    archive.write_bytes(archive.read_bytes()[:-1])
    with pytest.raises(InputError, match="its MD5 differs"):
        get("cifar10", tmp_path)
    assert list(tmp_path.iterdir()) == [archive]


def test_an_archive_may_not_write_elsewhere(tmp_path, monkeypatch):
    root = tmp_path / "root"
    root.mkdir()
    form = CIFARS[0]
    with tarfile.open(root / form.archive, "w:gz") as tar:
        member = tarfile.TarInfo("../../escaped.txt")
        member.size = 1
        tar.addfile(member, io.BytesIO(b"x"))
    md5 = hashlib.md5((root / form.archive).read_bytes()).hexdigest()
    monkeypatch.setattr(cifar, "CIFARS", (form._replace(md5=md5),))
    with pytest.raises(InputError, match="cannot be unpacked"):
        get("cifar10", root)
    assert sorted(path.name for path in tmp_path.rglob("*")) == [form.archive, "root"]


def test_fetched_when_nothing_is_there(tmp_path, monkeypatch):
    archive = packed(CIFARS[0], tmp_path / "server", monkeypatch)
    asked = []

    def fetch(url, path, *, checksum, most, progress):
        asked.append(url)
        path.parent.mkdir()
        shutil.copy(archive, path)

    monkeypatch.setattr(cifar, "fetch", fetch)
    folder = get("cifar10", tmp_path / "new")
    assert asked == ["https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz"]
    assert read_cifar(folder, 3).parts["test"].codes.tolist() == labels(CIFARS[0], "test")
    assert get("cifar10", tmp_path / "new") == folder and len(asked) == 1
    assert sorted(path.name for path in folder.parent.iterdir()) == ["cifar-10-batches-bin", "cifar-10-binary.tar.gz"]


def array(shape=(20, 3072), kind="u1", state=None):
    """A pickle of CIFAR's whose array is made by hand."""
    made = pickle.dumps(np.zeros(shape, np.uint8), protocol=2)
    return made.replace(b"X\x02\x00\x00\x00u1", b"X" + len(kind).to_bytes(4, "little") + kind.encode())


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (array(kind="O8"), "another type than bytes"),
        (array(kind="V999999999"), "another type than bytes"),
        (array(shape=(4,)), "not one of bytes"),
        (b"\x80\x04cnumpy\ndtype\n(U\x02u1tR(K\x03}K\x08tb.", "holds no data"),
        (b"\x80\x02}r\xff\xff\xff\x0f.", "holds no data"),  # 99 bytes that ask for a memo of gigabytes
        (b"\x80\x05\x96\x00\x00\x00\x00\x01\x00\x00\x00.", "is broken"),  # a bytearray of 4 GB
        (b"\x80\x02cnumpy\nndarray\n}U\x01aK\x01sb.", "a state to another thing"),  # it would change the class itself
        (b"\x80\x02})" + b"q\x00h\x00h\x00\x86" * 200 + b"K\x01s.", "another key than a name"),  # 2 ** 200 to hash
        (pickle.dumps({b"data": bytearray(9)}, protocol=5), "is broken"),
        (pickle.dumps({b"data": {1, 2}}, protocol=4), "is broken"),
    ],
    ids=range(10),
)
def test_pickles_that_would_take_memory_or_crash(tmp_path, content, words):
    folder = write(CIFARS[1], tmp_path)
    (folder / "data_batch_1").write_bytes(content)
    with pytest.raises(InputError, match=words):
        read_cifar(folder, 3)


def test_labels_and_names_of_other_types(tmp_path):
    folder = write(CIFARS[1], tmp_path)
    batch = {b"data": np.zeros((4, 3072), np.uint8), b"labels": [0, 1, 2, 10**400]}
    (folder / "data_batch_1").write_bytes(pickle.dumps(batch, protocol=2))
    with pytest.raises(InputError, match="not a batch"):
        read_cifar(folder, 3)
    (folder / "batches.meta").write_bytes(pickle.dumps({b"label_names": [5]}, protocol=2))
    with pytest.raises(InputError, match="names that are not text"):
        read_cifar(folder, 3)
