"""Vectors of whole datasets: of any layout, the same after a kill as without, and refused where they would be mixed."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from resnets import Index, create_model, embed, save
from resnets.data.preprocess import Preprocess
from resnets.errors import InputError
from resnets.ship.vectors import open_npz, open_vectors
from resnets.verbs.features import feature_session

NUM = 12


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    torch.manual_seed(0)
    tiny = {"depths": (1, 1, 1), "width": 8, "num_classes": 3}
    made = create_model("resnet20_cifar", **tiny, preprocess=Preprocess(size=(8, 8), crop_pct=1.0))
    return str(save(made, tmp_path_factory.mktemp("model") / "m.safetensors"))


@pytest.fixture
def pictures(tmp_path):
    """A folder of classes, val and test, without a training split."""
    random = np.random.default_rng(0)
    for number in range(NUM):
        path = tmp_path / "data" / ("val" if number < 8 else "test") / ("ant", "bee")[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(random.integers(0, 256, (8, 8, 3), np.uint8)).save(path)
    return tmp_path / "data"


def by_path(found):
    return {os.fsdecode(path): row for row, path in enumerate(found.paths.tolist())}


def test_a_dataset_with_splits_and_labels(model, pictures, tmp_path):
    result = embed(model, pictures, tmp_path / "v.npz", workers=0)
    assert result == {"file": str(tmp_path / "v.npz"), "num_images": NUM, "num_features": 32, "num_unreadable": 0}
    found, session = open_npz(tmp_path / "v.npz"), feature_session(model)
    for path, row in by_path(found).items():
        assert path.startswith(str(pictures)) and f"/{found.splits[row].decode()}/{found.labels[row].decode()}/" in path
        pixels = np.asarray(Image.open(path)).transpose(2, 0, 1)[None]
        np.testing.assert_allclose(found.vectors[row], session.run(pixels)[0], rtol=1e-4, atol=1e-5)
    header = found.header
    assert header["model"]["path"] == model and header["model"]["stage"] == "c4" and header["model"]["int8"] is False
    assert Preprocess(**header["preprocess"]) == session.header.preprocess
    assert not (tmp_path / "v.npz.part").exists()


def test_one_split_one_stage_and_parquet(model, pictures, tmp_path):
    pytest.importorskip("pyarrow")
    embed(model, pictures, tmp_path / "v.parquet", split="test", stage="c2", metric="euclidean", workers=0)
    found = open_vectors(tmp_path / "v.parquet")
    assert found.vectors.shape == (4, 8) and set(found.splits.tolist()) == {b"test"} and found.header["metric"] == "euclidean"
    with pytest.raises(InputError, match="no train split here; it has val, test"):
        embed(model, pictures, tmp_path / "w.npz", split="train")


def test_loose_pictures_files_and_arrays(model, pictures, tmp_path):
    loose = tmp_path / "loose"
    loose.mkdir()
    names = [path.rename(loose / path.name) for path in sorted(pictures.rglob("*.png"))]
    assert embed(model, loose, tmp_path / "a.npz", workers=0)["num_images"] == NUM
    assert embed(model, [names[0], names[1]], tmp_path / "b.npz", workers=0)["num_images"] == 2
    found = open_npz(tmp_path / "a.npz")
    assert set(found.labels.tolist()) == set(found.splits.tolist()) == {b""}
    stacked = np.stack([np.asarray(Image.open(name)) for name in names])
    embed(model, {"test": (stacked, np.arange(NUM) % 2)}, tmp_path / "c.npz", workers=0)
    arrays = open_npz(tmp_path / "c.npz")
    assert arrays.paths[3] == b"test[3]" and arrays.labels[3] == b"1"
    own = by_path(found)
    np.testing.assert_array_equal(arrays.vectors, found.vectors[[own[str(name)] for name in names]])


@pytest.mark.skipif(os.name != "posix" or os.uname().sysname == "Darwin", reason="names of files are Unicode here")
def test_names_that_are_no_unicode(model, pictures, tmp_path):
    good = next(pictures.rglob("*.png"))
    name, bad = os.fsencode(good.parent) + b"/\xff.png", os.fsencode(good.parent) + b"/\xfe.png"
    good.rename(os.fsdecode(name))
    Path(os.fsdecode(bad)).write_bytes(b"none")
    embed(model, pictures, tmp_path / "v.npz", workers=0)
    found = open_npz(tmp_path / "v.npz")
    assert name in found.paths.tolist() and os.fsencode(found.header["unreadable"][0][0]) == bad
    place = found.paths.tolist().index(name)
    assert Index(tmp_path / "v.npz").picture(place).shape == (8, 8, 3)


def test_a_list_of_tags(model, pictures, tmp_path):
    names = sorted(pictures.rglob("*.png"))
    rows = [f"{name},{('ant|bee', 'bee')[number % 2]}\n" for number, name in enumerate(names)]
    (tmp_path / "list.csv").write_text("path,labels\n" + "".join(rows))
    embed(model, tmp_path / "list.csv", tmp_path / "v.npz", workers=0)
    assert set(open_npz(tmp_path / "v.npz").labels.tolist()) == {b"ant|bee", b"bee"}


class Killed(BaseException):
    pass


@pytest.mark.parametrize("torn", ["nothing", "a row", "a vector", "vectors"])
def test_after_a_kill_it_is_the_same(model, pictures, tmp_path, torn):
    (pictures / "val" / "ant" / "broken.png").write_bytes(b"none")
    embed(model, pictures, tmp_path / "whole.npz", batch_size=1, workers=0)

    def progress(done, num):
        assert num == (NUM + 1 if not resumed else NUM + 1 - kept)
        if done == 7 and not resumed:
            raise Killed

    resumed, kept = False, 0
    with pytest.raises(Killed):
        embed(model, pictures, tmp_path / "v.npz", batch_size=1, workers=0, progress=progress)
    part = tmp_path / "v.npz.part"
    size = (part / "vectors.f32").stat().st_size
    if torn == "a row":
        with (part / "rows.jsonl").open("ab") as file:
            file.write(b'{"split": "te')
    elif torn == "a vector":
        with (part / "vectors.f32").open("ab") as file:
            file.write(b"123")
    elif torn == "vectors":  # a machine that stopped may have kept the rows and lost vectors
        os.truncate(part / "vectors.f32", size - 4 * 32 - 1)
    with pytest.raises(InputError, match="an earlier call has left this; go on with it by --resume"):
        embed(model, pictures, tmp_path / "v.npz", workers=0)
    good = [json.loads(line) for line in (part / "rows.jsonl").read_bytes().splitlines() if line.endswith(b"}")]
    resumed, kept = True, len(good)
    if torn == "vectors":
        kept = [number for number, row in enumerate(good) if "error" not in row][-2]
    result = embed(model, pictures, tmp_path / "v.npz", batch_size=1, workers=0, resume=True, progress=progress)
    assert (result["num_images"], result["num_unreadable"]) == (NUM, 1)
    assert (tmp_path / "v.npz").read_bytes() == (tmp_path / "whole.npz").read_bytes()
    assert open_npz(tmp_path / "v.npz").header["unreadable"][0][0].endswith("broken.png")


def test_what_was_begun_is_not_mixed(model, pictures, tmp_path):
    def stop(done, num):
        raise Killed

    def begin(**options):
        return embed(**{"model": model, "data": pictures, "out": tmp_path / "v.npz", "workers": 0} | options)

    with pytest.raises(Killed):
        begin(progress=stop)
    with pytest.raises(InputError, match="begun by another model, or another stage of it"):
        begin(resume=True, stage="c2")
    with pytest.raises(InputError, match="begun with another metric"):
        begin(resume=True, metric="euclidean")
    with pytest.raises(InputError, match="begun on other data"):
        begin(resume=True, data=pictures / "val")
    assert begin(resume=True)["num_images"] == NUM
    for resume in (False, True):
        with pytest.raises(InputError, match="exists already"):
            begin(resume=resume)


def test_bad_input(model, pictures, tmp_path):
    with pytest.raises(InputError, match=r"name the file to write v\.npz or v\.parquet"):
        embed(model, pictures, tmp_path / "v.csv")
    with pytest.raises(InputError, match="metric='l1'"):
        embed(model, pictures, tmp_path / "v.npz", metric="l1")
    with pytest.raises(InputError, match="no file or folder"):
        embed(model, tmp_path / "none", tmp_path / "v.npz")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="no images here"):
        embed(model, tmp_path / "empty", tmp_path / "v.npz")
    (tmp_path / "empty" / "x.png").write_bytes(b"none")
    with pytest.raises(InputError, match=r"no image could be read \(.*x.png: not an image"):
        embed(model, tmp_path / "empty", tmp_path / "v.npz")
    assert not (tmp_path / "v.npz").exists() and not (tmp_path / "v.npz.part").exists()


def test_weights_that_give_no_numbers(pictures, tmp_path):
    model = create_model("resnet20_cifar", depths=(1, 1, 1), width=8, preprocess=Preprocess(size=(8, 8)))
    with torch.no_grad():
        model.conv1.weight.fill_(float("nan"))
    with pytest.raises(InputError, match="outputs are no numbers"):
        embed(model, pictures, tmp_path / "v.npz", workers=0)


def test_a_model_in_memory_is_known_by_its_weights(model, pictures, tmp_path):
    from resnets import load

    for name in ("a", "b"):
        embed(load(model), pictures, tmp_path / f"{name}.npz", workers=0)
    one, other = (open_npz(tmp_path / f"{name}.npz").header["model"] for name in "ab")
    assert one == other and one["path"] is None
