"""An index: exact and approximate search, images added and taken out, and models that did not make it."""

import json
import shutil

import numpy as np
import pytest
import torch
from PIL import Image

from resnets import Index, create_model, embed, load, save
from resnets.data.preprocess import Preprocess
from resnets.errors import InputError
from resnets.measures.neighbours import nearest
from resnets.ship import vectors
from resnets.ship.vectors import of_rows, open_npz, write
from resnets.verbs import approximate
from resnets.verbs import index as indexing
from resnets.verbs.index import as_rows, draw_found

NUM = 10


def picture(path, seed):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (8, 8, 3), np.uint8)).save(path)
    return path


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("RESNETS_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    for seed in range(2):
        torch.manual_seed(seed)
        made = create_model("resnet20_cifar", depths=(1, 1, 1), width=8, preprocess=Preprocess(size=(8, 8), crop_pct=1.0))
        save(made, folder / f"{seed}.safetensors")
    return folder


@pytest.fixture(scope="module")
def original(models, tmp_path_factory):
    folder = tmp_path_factory.mktemp("index")
    for number in range(NUM):
        picture(folder / "data" / "ab"[number % 2] / f"{number}.png", number)
    embed(models / "0.safetensors", folder / "data", folder / "i.npz", workers=0)
    return folder


@pytest.fixture
def index(original, tmp_path):
    shutil.copy(original / "i.npz", tmp_path / "i.npz")
    return Index(tmp_path / "i.npz")


def test_a_picture_finds_itself_without_a_model_given(index, original):
    path = str(original / "data" / "b" / "3.png")
    found = index.search(path, topk=4)
    assert list(found) == [path] and len(found[path]) == 4
    first = found[path][0]
    assert (first.path, first.label, first.split) == (path, "b", "train") and first.distance < 1e-6
    assert sorted(near.distance for near in found[path]) == [near.distance for near in found[path]]
    rows = as_rows(found[path])
    assert json.loads(json.dumps(rows))[0]["label"] == "b" and "missing" not in rows[0]


def test_nearest_of_vectors(index):
    found = index.nearest(index.vectors.vectors[:3], 5)
    expected = nearest(index.vectors.vectors[:3], index.vectors.vectors, 5)
    assert [[near.position for near in row] for row in found] == expected.positions.tolist()
    assert len(index.nearest(index.vectors.vectors[0], 50)[0]) == NUM


def test_vectors_that_cannot_be_searched_by(index):
    with pytest.raises(InputError, match="the index has vectors of 32 numbers"):
        index.nearest(np.zeros(7))
    with pytest.raises(InputError, match="not finite"):
        index.nearest(np.full(32, np.nan))
    for topk in (0, -1, 1.5, True):
        with pytest.raises(InputError, match="whole number of at least 1"):
            index.nearest(np.zeros(32), topk)


def test_vectors_of_nan_in_the_file(index, tmp_path):
    found = index.vectors
    bad = np.array(found.vectors)
    bad[4] = np.nan
    texts = {name: getattr(found, name).tolist() for name in vectors.TEXTS}
    write(tmp_path / "bad.npz", found.header, [of_rows(found.header, bad, texts)], [None])
    with pytest.raises(InputError, match="vector 4 of those to search is not finite"):
        Index(tmp_path / "bad.npz").nearest(found.vectors[0])


def test_an_empty_index(index, tmp_path):
    write(tmp_path / "none.npz", index.header, [index.vectors], [np.zeros(0, int)])
    empty = Index(tmp_path / "none.npz")
    assert len(empty) == 0
    with pytest.raises(InputError, match="the index is empty; add images by"):
        empty.nearest(np.zeros(32))


def test_another_model_is_refused(index, models, tmp_path):
    with pytest.raises(InputError, match=r"made by resnet20_cifar \(sha256 .{12}, stage c4\), and .*1.safetensors holds other"):
        index.open_model(models / "1.safetensors")
    with pytest.raises(InputError, match="not by this model"):
        index.open_model(load(models / "0.safetensors"))  # which is known by its weights, not by a file
    copy = shutil.copy(models / "0.safetensors", tmp_path / "elsewhere.safetensors")
    assert index.open_model(copy).runtime == "torch"


def changed(index, tmp_path, **model):
    """The index with another record of its model."""
    header = {**index.header, "model": {**index.header["model"], **model}}
    write(tmp_path / "changed.npz", header, [index.vectors], [None])
    return Index(tmp_path / "changed.npz")


def test_where_the_model_lay(index, models, tmp_path):
    with pytest.raises(InputError, match=r"which is not at .*gone.* any more; give the model by --model"):
        changed(index, tmp_path, path=str(tmp_path / "gone.safetensors")).open_model()
    with pytest.raises(InputError, match="in memory; give the model by --model"):
        changed(index, tmp_path, path=None).open_model()
    with pytest.raises(InputError, match="holds other weights; give the one that made it by --model"):
        changed(index, tmp_path, path=str(models / "1.safetensors")).open_model()
    with pytest.raises(InputError, match="another preprocessing"):
        other = {**index.header, "preprocess": Preprocess(size=(9, 9)).to_json()}
        write(tmp_path / "other.npz", other, [index.vectors], [None])
        Index(tmp_path / "other.npz").open_model()


@pytest.mark.parametrize(
    "path", ["https://host/x.safetensors", "timm/resnet18.a1_in1k", "torchvision/resnet18", "/dev/zero", 3]
)
def test_a_header_fetches_and_opens_nothing(index, tmp_path, path, monkeypatch):
    def never(*of):
        raise AssertionError("opened")

    monkeypatch.setattr(indexing, "feature_session", never)
    with pytest.raises(InputError):
        changed(index, tmp_path, path=path).open_model()


def test_added_and_taken_out(index, original, tmp_path):
    before = np.array(index.vectors.vectors)
    picture(tmp_path / "more" / "c" / "new.png", 77)
    shutil.copy(original / "data" / "a" / "0.png", tmp_path / "more" / "c" / "copy.png")
    assert index.add(tmp_path / "more", workers=0)["num_images"] == NUM + 2 == len(index)
    assert index.add(tmp_path / "more", workers=0)["num_images"] == NUM + 2  # they are there already
    assert index.add(original / "data", workers=0)["num_images"] == NUM + 2
    np.testing.assert_array_equal(index.vectors.vectors[:NUM], before)
    assert [near.path for near in index.search(tmp_path / "more" / "c" / "copy.png", 2)[str(tmp_path / "more/c/copy.png")]] == [
        str(original / "data" / "a" / "0.png"), str(tmp_path / "more" / "c" / "copy.png"),
    ]  # fmt: skip
    assert index.remove([original / "data" / "a" / "0.png", tmp_path / "more"]) == 3
    assert len(index) == NUM - 1 and index.vectors.ids.tolist() == list(range(1, NUM))
    np.testing.assert_array_equal(Index(index.path).vectors.vectors, before[1:])
    with pytest.raises(InputError, match=r"no image of .* is called so, or lies there; nothing was removed"):
        index.remove([original / "data" / "a" / "2.png", "none.png"])
    with pytest.raises(InputError, match="all 9 images would go; nothing was removed"):
        index.remove([original / "data"])
    assert len(Index(index.path)) == NUM - 1


def test_whoever_has_it_open_keeps_the_old_one(index, original):
    reader = Index(index.path)
    index.remove([original / "data" / "b"])
    assert len(reader) == NUM and np.isfinite(reader.vectors.vectors).all() and len(Index(index.path)) == NUM // 2


def test_a_picture_removed_since_is_said_and_drawn_grey(index, original, tmp_path):
    gone = picture(tmp_path / "more" / "gone.png", 99)
    index.add([gone], workers=0)
    query = shutil.copy(gone, tmp_path / "query.png")
    gone.unlink()
    found = index.search(query, 3)
    assert as_rows(found[str(query)])[0]["missing"] and not as_rows(found[str(query)])[1].get("missing")
    assert index.picture(NUM) is None and (index.cell(NUM)[0] == 200).all() and index.picture(0).shape == (8, 8, 3)
    assert Image.open(draw_found(index, found, tmp_path / "drawn.png")).width > 300


def test_pictures_of_arrays_are_drawn_from_the_data(models, tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (6, 8, 8, 3), np.uint8)
    np.savez(tmp_path / "d.npz", test_images=pixels, test_labels=np.arange(6) % 2)
    embed(models / "0.safetensors", tmp_path / "d.npz", tmp_path / "i.npz", workers=0)
    index = Index(tmp_path / "i.npz")
    np.testing.assert_array_equal(index.picture(4), pixels[4])
    assert index.neighbour(4)[:3] == ("test[4]", "0", "test")
    (tmp_path / "d.npz").unlink()
    assert Index(tmp_path / "i.npz").picture(4) is None


def test_unreadable_pictures(index, tmp_path):
    (tmp_path / "bad.png").write_bytes(b"none")
    with pytest.raises(InputError, match=r"bad\.png: not an image"):
        index.search(tmp_path / "bad.png")
    good, said = picture(tmp_path / "good.png", 5), []
    assert list(index.search([tmp_path / "bad.png", good], 2, say=said.append)) == [str(good)]
    assert len(said) == 1 and said[0].startswith("left out ") and "bad.png: not an image" in said[0]


# --- approximate search ---


@pytest.fixture
def many(tmp_path):
    pytest.importorskip("usearch")
    random = np.random.default_rng(0)
    values = (random.normal(size=(40, 24))[random.integers(0, 40, 2000)] + 0.3 * random.normal(size=(2000, 24))).astype(
        np.float32
    )
    paths = [f"/p/{number // 100}/{number}.jpg".encode() for number in range(2000)]
    header = {"format": vectors.FORMAT, "model": {}, "preprocess": Preprocess().to_json(), "metric": "cosine"}
    rows = {"paths": paths, "splits": [b""] * 2000, "labels": [b""] * 2000}

    def made(metric):
        own = {**header, "metric": metric}
        write(tmp_path / f"{metric}.npz", own, [of_rows(own, values, rows)], [None])
        return Index(tmp_path / f"{metric}.npz")

    return made


def recall(index, queries, topk=10):
    exact, found = (index.nearest(queries, topk, approximately=way) for way in (False, True))
    for one, other in zip(exact, found, strict=True):
        known = {near.position: near.distance for near in one}
        assert all(known.get(near.position, near.distance) == near.distance for near in other)
    return np.mean([len({n.position for n in a} & {n.position for n in b}) / topk for a, b in zip(exact, found, strict=True)])


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_a_graph_finds_nearly_all(many, metric):
    index = many(metric)
    queries = np.array(index.vectors.vectors[::50]) + 0.01
    with pytest.raises(InputError, match="no graph for approximate search is on this machine"):
        index.nearest(queries, approximately=True)
    index.make_graph(threads=1)
    assert recall(index, queries) > 0.97
    assert recall(Index(index.path), queries) > 0.97


def test_a_graph_keeps_up_with_its_index(many):
    index = many("cosine")
    queries = np.array(index.vectors.vectors[5::50])
    path = index.make_graph(threads=1)
    assert index.remove(["/p/3", "/p/0/7.jpg"]) == 101
    assert not path.exists() and recall(index, queries) > 0.97
    positions = {near.position for row in index.nearest(queries, approximately=True) for near in row}
    assert max(positions) < len(index) == 1899


def test_beyond_a_million_it_is_used_where_it_is(many, monkeypatch):
    index = many("cosine")
    monkeypatch.setattr(indexing, "MOST_EXACT", 1000)
    used = []
    monkeypatch.setattr(approximate, "proposals", lambda *of: used.append(1) or np.zeros((1, 5), int))
    index.nearest(np.ones(24))
    assert not used
    index.make_graph(threads=1)
    index.nearest(np.ones(24))
    index.nearest(np.ones(24), approximately=False)
    assert used == [1]


def test_a_damaged_graph_is_not_used(many):
    index = many("cosine")
    path = index.make_graph(threads=1)
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(InputError, match="build it by `resnets index"):
        Index(index.path).nearest(np.ones(24), approximately=True)


def test_a_digest_that_is_a_path_leads_nowhere():
    assert approximate.path_of("../../x").name == "none.usearch"


def test_without_the_package(many, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "usearch", None)
    monkeypatch.setitem(sys.modules, "usearch.index", None)
    with pytest.raises(InputError, match=r"resnets\[search\]"):
        many("cosine").make_graph()


def test_the_file_says_what_it_holds(index):
    found = open_npz(index.path)
    assert found.header["num"] == NUM and found.header["num_unreadable"] == 0 and found.header["data"][0].endswith("data")
