"""Predicting a stream of files: in order, lazily, with flat memory; a bad picture is a row with its error."""

import gc
import os
from pathlib import Path

import pytest
import torch
from PIL import Image

from resnets import hub, zoo
from resnets.data.images import FileImages
from resnets.prediction import find_pictures, predict
from resnets.spec import InputError, Preprocess

SPEC = zoo.get("resnet20_cifar", depths=(1, 1, 1), width=4)


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    labels = ("cat", "dog", "emu")
    return hub.create_model(
        zoo.change(SPEC, num_classes=3), labels=labels, preprocess=Preprocess(size=(8, 8), crop_pct=1.0)
    ).eval()


def picture(path, value=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (8, 8), (value % 256, 255 - value % 256, 5 * value % 256)).save(path)
    return path


def names(paths):
    return [Path(path).name for path in paths]


# --- which files -----------------------------------------------------------------------------------------------------


def test_files_as_named_and_folders_with_all_below_them(tmp_path):
    for name in ("b.png", "a.JPG", "deep/er/c.webp", "deep/a.gif", ".hidden.png", "notes.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert names(find_pictures([tmp_path])) == ["a.JPG", "b.png", "a.gif", "c.webp"]
    assert names(find_pictures([tmp_path / "notes.txt", str(tmp_path / "deep")])) == ["notes.txt", "a.gif", "c.webp"]


def test_pipes_are_never_opened_and_broken_links_are_not_lost(tmp_path):
    picture(tmp_path / "a.png")
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "z.png").symlink_to("nowhere.png")
    assert names(find_pictures([tmp_path])) == ["a.png", "z.png"]
    with pytest.raises(InputError, match="a pipe or a device"):
        list(find_pictures([tmp_path / "pipe.png"]))


def test_nothing_there_is_said_before_the_first_answer(tmp_path, model):
    picture(tmp_path / "a.png")
    (tmp_path / "empty").mkdir()
    for wrong in ("nowhere.png", "empty"):
        with pytest.raises(InputError, match=wrong):
            next(predict(model, [tmp_path / "a.png", tmp_path / wrong]))


# --- the answers -----------------------------------------------------------------------------------------------------


def test_rows_are_the_models_own_answers(tmp_path, model):
    paths = [picture(tmp_path / f"{n}.png", 60 * n) for n in range(4)]
    rows = list(predict(model, paths, topk=2, workers=0))
    assert rows == [{"path": str(path)} | answer for path, answer in zip(paths, model.predict(paths, topk=2), strict=True)]
    assert all(len(row["top"]) == 2 and row["label"] == row["top"][0]["label"] for row in rows)
    assert len(next(predict(model, paths, topk=9, workers=0))["top"]) == 3


def test_a_bad_picture_is_a_row_with_its_error_in_its_place(tmp_path, model):
    paths = [picture(tmp_path / f"{n}.png", 60 * n) for n in range(6)]
    good = list(predict(model, paths, workers=0))
    for n in (0, 3, 4):
        paths[n].write_text("no picture")
    rows = list(predict(model, paths, batch_size=2, workers=0))
    assert [row["path"] for row in rows] == [str(path) for path in paths]
    assert [set(row) for n, row in enumerate(rows) if n in (0, 3, 4)] == [{"path", "error"}] * 3
    assert all("not a picture" in row["error"] for row in rows if "error" in row)
    for n in (1, 2, 5):
        assert rows[n]["label"] == good[n]["label"]
        assert rows[n]["probability"] == pytest.approx(good[n]["probability"], abs=2e-6)


def test_workers_change_nothing(tmp_path, model):
    paths = [picture(tmp_path / f"{n}.png", 9 * n) for n in range(13)]
    paths[5].write_text("no picture")
    alone, together = (list(predict(model, paths, batch_size=3, workers=workers)) for workers in (0, 2))
    assert alone == together and "error" in alone[5]


def test_a_model_in_training_mode_predicts_in_evaluation_mode(tmp_path, model):
    path = picture(tmp_path / "a.png", 3)
    (expected,) = predict(model, [path], workers=0)
    model.train()
    assert list(predict(model, [path], workers=0)) == [expected]


@pytest.mark.parametrize("dims", [1, 3])
def test_a_model_for_other_inputs_is_refused(dims, tmp_path):
    other = hub.create_model(SPEC, dims=dims)
    with pytest.raises(InputError, match=f"{dims} spatial axes"):
        next(predict(other, [picture(tmp_path / "a.png")]))


# --- a stream --------------------------------------------------------------------------------------------------------


def test_a_stream_of_2000_is_read_as_it_is_asked_for_and_kept_nowhere(tmp_path, model, monkeypatch):
    """Never more than a batch has been read ahead, no result outlives its turn, and the order is that of the names."""
    first = picture(tmp_path / "pictures/00000.png", 1)
    for n in range(1, 2000):
        os.link(first, tmp_path / f"pictures/{n:05}.png")
    read, plain = [0], FileImages.__getitem__

    def counted(images, index):
        read[0] += 1
        return plain(images, index)

    monkeypatch.setattr(FileImages, "__getitem__", counted)
    rows = predict(model, [tmp_path / "pictures"], batch_size=50, workers=0)
    assert read == [0]
    taken, most = [], 0
    for n, row in enumerate(rows, start=1):
        taken.append(int(Path(row["path"]).stem))
        assert n <= read[0] <= n + 50
        if n % 500 == 0:
            gc.collect()
            most = max(most, sum(type(thing) is dict and "top" in thing and "label" in thing for thing in gc.get_objects()))
    assert taken == list(range(2000))
    assert most <= 100, f"{most} results are alive at once"


def test_a_stream_that_nobody_goes_on_reading_ends(tmp_path, model):
    paths = [picture(tmp_path / f"{n}.png", n) for n in range(8)]
    rows = predict(model, paths, batch_size=2, workers=2)
    assert next(rows)["path"] == str(paths[0])
    rows.close()
