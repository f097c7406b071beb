"""Files of vectors: what is written is read back, mapped; what is damaged or hostile is refused within limits."""

import io
import json
import zipfile

import numpy as np
import pytest

from resnets.data.preprocess import Preprocess
from resnets.errors import InputError
from resnets.ship import vectors
from resnets.ship.vectors import of_rows, open_npz, open_vectors, write

HEADER = {"format": vectors.FORMAT, "model": {"name": "x"}, "preprocess": Preprocess().to_json(), "metric": "cosine"}
NUM, WIDTH = 300, 5


def rows(num=NUM):
    paths = [f"/a/{n}é.jpg".encode() for n in range(num)]
    return {"paths": paths, "splits": [b"val"] * num, "labels": [b"ant"] * num}


@pytest.fixture(scope="module")
def numbers():
    return np.random.default_rng(0).normal(size=(NUM, WIDTH)).astype(np.float32)


@pytest.fixture
def made(numbers):
    return of_rows(HEADER, numbers, rows())


@pytest.fixture
def path(made, tmp_path):
    write(tmp_path / "v.npz", HEADER, [made], [None])
    return tmp_path / "v.npz"


def test_an_npz_is_mapped_and_aligned(path, numbers):
    found = open_npz(path)
    for column in (found.vectors, found.lengths, found.ids, found.paths, found.labels):
        assert isinstance(column, np.memmap) and column.offset % 64 == 0
    np.testing.assert_array_equal(found.vectors, numbers)
    np.testing.assert_allclose(found.lengths, np.linalg.norm(numbers, axis=1), rtol=1e-6)
    assert found.paths[7].decode() == "/a/7é.jpg" and found.is_labelled and found.header["num"] == NUM


def test_numpy_reads_it_without_pickle(path, numbers):
    with np.load(path, allow_pickle=False) as found:
        np.testing.assert_array_equal(found["vectors"], numbers)
        assert np.char.decode(found["paths"], "utf-8")[2] == "/a/2é.jpg"
        assert json.loads(str(found["header"]))["format"] == vectors.FORMAT


def test_parts_of_several_in_blocks(made, numbers, tmp_path, monkeypatch):
    monkeypatch.setattr(vectors, "BLOCK", 32)
    long = of_rows(HEADER, numbers[:1], {"paths": [b"/" + b"x" * 90], "splits": [b""], "labels": [b""]}, NUM)
    kept = np.setdiff1d(np.arange(NUM), [0, 5, 77])
    write(tmp_path / "v.npz", HEADER, [made, long], [kept, None])
    found = open_npz(tmp_path / "v.npz")
    np.testing.assert_array_equal(found.vectors, np.concatenate([numbers[kept], numbers[:1]]))
    assert found.ids.tolist() == [*kept, NUM] and found.paths[-1] == b"/" + b"x" * 90 and not found.is_labelled


def test_the_same_rows_give_the_same_digest(made, path, tmp_path):
    write(tmp_path / "again.npz", HEADER, [made], [None])
    one, other = open_npz(path).header, open_npz(tmp_path / "again.npz").header
    write(tmp_path / "less.npz", HEADER, [made], [np.arange(NUM - 1)])
    assert one["digest"] == other["digest"] != open_npz(tmp_path / "less.npz").header["digest"]


def test_parquet(made, numbers, tmp_path, monkeypatch):
    parquet = pytest.importorskip("pyarrow.parquet")
    monkeypatch.setattr(vectors, "PARQUET_ROWS", 70)
    write(tmp_path / "v.parquet", HEADER, [made], [None])
    table = parquet.read_table(tmp_path / "v.parquet")
    assert table.column_names == ["path", "split", "label", "vector"] and table["path"][3].as_py() == "/a/3é.jpg"
    found = open_vectors(tmp_path / "v.parquet")
    np.testing.assert_array_equal(found.vectors, numbers)
    np.testing.assert_array_equal(found.paths, made.paths)
    with pytest.raises(InputError, match="Parquet cannot be searched as it lies there"):
        open_npz(tmp_path / "v.parquet")


def with_member(path, name, content, out, compress=zipfile.ZIP_STORED):
    """A copy of the archive with another content of one member; None: without it."""
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(out, "w") as new:
        for info in old.infolist():
            if info.filename != f"{name}.npy":
                new.writestr(info.filename, old.read(info.filename))
            elif content is not None:
                new.writestr(info.filename, content, compress)
    return out


def npy(array, **options):
    file = io.BytesIO()
    np.lib.format.write_array(file, array, **options)
    return file.getvalue()


def lying_header(shape):
    """The header of an array of a shape, and no array."""
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": "<f4", "fortran_order": False, "shape": shape})
    return file.getvalue()


BAD = {
    "objects": ("paths", npy(np.array([{}] * NUM, object), allow_pickle=True), "cannot be read as an .npz"),
    "a shape that is not there": ("vectors", lying_header((1 << 40, 512)), "cannot be read as an .npz"),
    "a shape without end": ("vectors", lying_header((1 << 62, 1 << 62)), "cannot be read as an .npz"),
    "fewer rows": ("vectors", npy(np.zeros((NUM - 1, WIDTH), np.float32)), "do not belong together"),
    "one axis": ("vectors", npy(np.zeros(NUM, np.float32)), "do not belong together"),
    "no axis": ("vectors", npy(np.float32(1)), "do not belong together"),
    "other numbers": ("vectors", npy(np.zeros((NUM, WIDTH))), "do not belong together"),
    "no numbers": ("vectors", npy(np.zeros((NUM, 0), np.float32)), "do not belong together"),
    "unicode": ("paths", npy(np.array(["a"] * NUM)), "do not belong together"),
    "long paths": ("paths", npy(np.array([b"a" * 20_000] * NUM)), "do not belong together"),
    "no ids": ("ids", None, "holds no ids"),
    "no header": ("header", None, "holds no header"),
    "no JSON": ("header", npy(np.array("{")), "cannot be read as JSON"),
    "another format": ("header", npy(np.array(json.dumps(HEADER | {"format": "x/9"}))), "reads resnets-vectors/1"),
    "another metric": ("header", npy(np.array(json.dumps(HEADER | {"metric": "x"}))), "does not say which model"),
    "no model": ("header", npy(np.array(json.dumps({"format": vectors.FORMAT}))), "does not say which model"),
    "a model that is none": ("header", npy(np.array(json.dumps(HEADER | {"model": 3}))), "does not say which model"),
    "preprocessing": ("header", npy(np.array(json.dumps(HEADER | {"preprocess": {"size": "x"}}))), "does not say which"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_files_are_refused(case, path, tmp_path):
    name, content, words = BAD[case]
    with pytest.raises(InputError, match=words):
        open_npz(with_member(path, name, content, tmp_path / "bad.npz"))


def test_a_header_that_unfolds_is_refused(path, tmp_path):
    bomb = npy(np.array(json.dumps(HEADER | {"x": "y" * 3_000_000})))
    with pytest.raises(InputError, match="its header has"):
        open_npz(with_member(path, "header", bomb, tmp_path / "bad.npz", zipfile.ZIP_DEFLATED))


def test_compressed_arrays_cannot_be_mapped(path, tmp_path, numbers):
    with pytest.raises(InputError, match="compressed or encrypted"):
        open_npz(with_member(path, "vectors", npy(numbers), tmp_path / "bad.npz", zipfile.ZIP_DEFLATED))


@pytest.mark.parametrize("part", [0.0, 0.02, 0.5, 0.99])
def test_truncated(path, part):
    content = path.read_bytes()
    path.write_bytes(content[: int(part * len(content))])
    with pytest.raises(InputError, match=r"make it again by `resnets embed`"):
        open_npz(path)


def test_any_byte_changed_is_refused_or_harmless(path):
    content = bytearray(path.read_bytes())
    random = np.random.default_rng(0)
    for place in [*range(0, 300, 3), *range(len(content) - 900, len(content), 7)]:
        before, content[place] = content[place], int(random.integers(0, 256))
        path.write_bytes(content)
        try:
            found = open_npz(path)
            assert len(found) == NUM and found.paths[0] is not None
        except InputError as error:
            assert str(path) in str(error)
        content[place] = before


def test_no_file_and_other_files(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        open_npz(tmp_path / "none.npz")
    np.savez(tmp_path / "other.npz", train_images=np.zeros(3))
    with pytest.raises(InputError, match="so it is no file of vectors"):
        open_npz(tmp_path / "other.npz")
    (tmp_path / "text.npz").write_text("hello")
    with pytest.raises(InputError, match=r"cannot be read as an \.npz of vectors"):
        open_npz(tmp_path / "text.npz")


def test_bad_parquet(made, tmp_path, monkeypatch):
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    path = tmp_path / "v.parquet"
    write(path, HEADER, [made], [None])
    table = parquet.read_table(path)
    kept = {b"resnets": json.dumps(HEADER).encode()}

    def refused(changed, words):
        parquet.write_table(changed, path)
        with pytest.raises(InputError, match=words):
            open_vectors(path)

    refused(table.replace_schema_metadata({}), "does not say which model made them")
    refused(table.replace_schema_metadata({b"resnets": b"{"}), "cannot be read as JSON")
    refused(table.drop_columns(["label"]), "cannot be read as Parquet")
    lists = pyarrow.array([[1.0]] * NUM, pyarrow.list_(pyarrow.float32()))
    refused(table.set_column(3, "vector", lists).replace_schema_metadata(kept), "not lists of float32 of one size")
    codes = pyarrow.array(range(NUM), pyarrow.int64())
    refused(table.set_column(0, "path", codes).replace_schema_metadata(kept), "are no texts")
    nothing = pyarrow.array([None] * NUM, pyarrow.string())
    refused(table.set_column(0, "path", nothing).replace_schema_metadata(kept), "rows that are empty")
    parquet.write_table(table, path)
    monkeypatch.setattr(vectors, "free_memory", lambda: 100)
    with pytest.raises(InputError, match=r"an \.npz needs none"):
        open_vectors(path)
    monkeypatch.undo()
    path.write_bytes(path.read_bytes()[:-50])
    with pytest.raises(InputError, match="cannot be read as Parquet"):
        open_vectors(path)


def test_parquet_without_the_package(made, tmp_path, monkeypatch):
    monkeypatch.setattr(vectors.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"resnets\[parquet\]"):
        write(tmp_path / "v.parquet", HEADER, [made], [None])
