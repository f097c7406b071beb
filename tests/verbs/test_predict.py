"""Predicting a stream of files: in order, lazily, with flat memory; a bad picture is a row with its error."""

import gc
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from resnets.data import inputs
from resnets.data.pictures.stored import FileImages
from resnets.data.preprocess import Preprocess
from resnets.data.readers.walk import Left
from resnets.errors import InputError
from resnets.models import zoo
from resnets.models.answering import Wanted
from resnets.ship import hub
from resnets.ship.sessions import Session, open_session
from resnets.verbs.predict import _Batches, find_pictures, predict, stream

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


def pictures(folder, num):
    return [picture(folder / f"{n:03}.png", 19 * n) for n in range(num)]


def names(paths):
    return [Path(path).name for path in paths]


def session(model, run=None, streams=1):
    """An open model with another way to run, in which the answer to a picture is its own first three bytes."""
    return Session(header=model.header, runtime="test", run=run or bytes_of, streams=streams)


def bytes_of(pixels):
    return pixels[:, :, 0, 0].astype(np.float32)


def threads():
    return [thread for thread in threading.enumerate() if thread.name.startswith("predict")]


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


def test_hidden_folders_and_runs_are_passed_over_and_the_rest_is_counted(tmp_path):
    for name in ("a.png", ".ipynb_checkpoints/a.png", "__MACOSX/a.png"):
        picture(tmp_path / name)
    (tmp_path / "b.heic").touch()
    for name in ("runs/classify/train1/recipe.yaml", "runs/classify/train1/provenance.json"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    picture(tmp_path / "runs/classify/train1/plots/curves.png")
    (tmp_path / "linked").symlink_to(picture(tmp_path.parent / f"{tmp_path.name} beyond/c.png").parent)
    left = Left()
    assert names(find_pictures([tmp_path], left=left)) == ["a.png", "c.png"]
    assert {kind: num for kind, (num, _) in left.kinds.items()} == {".heic": 1, "run directories of resnets": 1}
    with pytest.raises(InputError, match=r"no images here .*1 file left out: 1 \.heic"):
        list(find_pictures([folder_of_one(tmp_path / "only", "x.heic")]))


def folder_of_one(folder, name):
    folder.mkdir()
    (folder / name).touch()
    return folder


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
    assert all("not an image" in row["error"] for row in rows if "error" in row)
    for n in (1, 2, 5):
        assert rows[n]["label"] == good[n]["label"]
        assert rows[n]["probability"] == pytest.approx(good[n]["probability"], abs=2e-6)


@pytest.mark.parametrize("streams", [1, 3])
@pytest.mark.parametrize("num", [1, 5, 40])
def test_threads_change_nothing(num, streams, tmp_path, model):
    paths = pictures(tmp_path, num)
    paths[num // 2].write_text("no picture")
    alone = list(predict(session(model), paths, batch_size=3, workers=0))
    assert [row["path"] for row in alone] == [str(path) for path in paths] and "error" in alone[num // 2]
    for workers in (1, 2, 7, None):
        assert list(predict(session(model, streams=streams), paths, batch_size=3, workers=workers)) == alone
    assert not threads()


def test_the_model_a_file_and_an_open_session_say_the_same(tmp_path, model):
    paths = pictures(tmp_path / "pictures", 9)
    saved = hub.save(model, tmp_path / "model.safetensors")
    expected = list(predict(model, paths, workers=0))
    for opened in (saved, str(saved), open_session(saved), model):
        rows = list(predict(opened, [tmp_path / "pictures"], workers=3, batch_size=4))
        assert [(row["path"], row["label"]) for row in rows] == [(row["path"], row["label"]) for row in expected]
        for row, same in zip(rows, expected, strict=True):
            assert row["probability"] == pytest.approx(same["probability"], abs=2e-6)  # of another batch, in another thread


@pytest.mark.slow
@pytest.mark.parametrize("runtime, package", [("onnxruntime", "onnxscript"), ("openvino", "openvino")])
def test_other_runtimes_say_the_same(runtime, package, tmp_path, model):
    pytest.importorskip(runtime)
    pytest.importorskip(package)
    paths = pictures(tmp_path, 9)
    paths[4].write_text("no picture")
    rows = list(predict(model, paths, runtime=runtime, workers=3, batch_size=2))
    for row, same in zip(rows, predict(model, paths), strict=True):
        assert row.keys() == same.keys() and row["path"] == same["path"] and row.get("label") == same.get("label")
        assert row.get("probability", 0) == pytest.approx(same.get("probability", 0), abs=1e-5)


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


def counted(monkeypatch):
    """A list whose length is the number of pictures that were decoded."""
    read, plain = [], inputs.fit_picture

    def fit(*args):
        read.append(None)  # from any thread
        return plain(*args)

    monkeypatch.setattr(inputs, "fit_picture", fit)
    return read


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 3])
def test_a_stream_of_2000_is_read_as_it_is_asked_for_and_kept_nowhere(workers, tmp_path, model, monkeypatch):
    """Never more than some batches have been read ahead, no result outlives its turn, and the order is that of the names."""
    first = picture(tmp_path / "pictures/00000.png", 1)
    for n in range(1, 2000):
        os.link(first, tmp_path / f"pictures/{n:05}.png")
    read = counted(monkeypatch)
    ahead, here = 20 * (workers + 3 if workers else 1), str(tmp_path)
    rows = predict(session(model), [tmp_path / "pictures"], batch_size=20, workers=workers)
    assert not read
    taken, most = [], 0
    for n, row in enumerate(rows, start=1):
        taken.append(int(Path(row["path"]).stem))
        assert n <= len(read) <= n + ahead
        if n % 500 == 0:
            gc.collect()
            alive = [thing for thing in gc.get_objects() if type(thing) is dict and str(thing.get("path", "")).startswith(here)]
            most = max(most, len(alive))
            del alive
    assert taken == list(range(2000))
    assert most <= 20 + ahead, f"{most} results are alive at once"


def test_few_pictures_are_shared_out(tmp_path, model):
    """Each of the threads gets some, whatever the size of a batch."""
    sizes = []

    def run(pixels):
        sizes.append(len(pixels))
        return bytes_of(pixels)

    for num, workers, expected in ((8, 4, [2] * 4), (7, 3, [1, 3, 3]), (2, 8, [1, 1]), (9, 0, [9])):
        sizes.clear()
        assert len(list(predict(session(model, run), pictures(tmp_path / f"{num}", num), workers=workers))) == num
        assert sorted(sizes) == expected


@pytest.mark.parametrize("streams", [1, 2, 3])
def test_the_network_runs_in_its_streams_and_no_others(streams, tmp_path, model):
    """The first waits until as many are inside as there are streams; never is there one more."""
    inside, most, counting, full = [0], [0], threading.Lock(), threading.Event()

    def run(pixels):
        with counting:
            inside[0] += 1
            most[0] = max(most[0], inside[0])
            if inside[0] == streams:
                full.set()
        assert full.wait(timeout=60)
        with counting:
            inside[0] -= 1
        return bytes_of(pixels)

    rows = list(predict(session(model, run, streams), pictures(tmp_path, 40), batch_size=2, workers=5))
    assert len(rows) == 40 and most == [streams]


def test_others_decode_while_the_network_runs(tmp_path, model, monkeypatch):
    read, more = counted(monkeypatch), threading.Event()
    plain = inputs.fit_picture

    def fit(*args):
        if len(read) >= 2:
            more.set()
        return plain(*args)

    monkeypatch.setattr(inputs, "fit_picture", fit)

    def run(pixels):
        assert more.wait(timeout=60)
        return bytes_of(pixels)

    assert len(list(predict(session(model, run), pictures(tmp_path, 20), batch_size=2, workers=1))) == 20


@pytest.mark.parametrize("workers", [0, 3])
@pytest.mark.parametrize("fault", [MemoryError("too much"), RuntimeError("a bug"), KeyboardInterrupt()])
@pytest.mark.parametrize("where", ["decoding", "network"])
def test_what_is_not_the_pictures_fault_is_raised(tmp_path, model, monkeypatch, *, where, fault, workers):
    """After the rows before it, and no thread goes on."""
    paths, plain = pictures(tmp_path, 40), inputs.fit_picture

    def fit(path, preprocess):
        if where == "decoding" and path == paths[9]:
            raise fault
        return plain(path, preprocess)

    def run(pixels):
        if where == "network" and (bytes_of(pixels)[:, 0] == 9 * 19).any():
            raise fault
        return bytes_of(pixels)

    monkeypatch.setattr(inputs, "fit_picture", fit)
    rows = predict(session(model, run), paths, batch_size=2, workers=workers)
    assert [int(Path(next(rows)["path"]).stem) for _ in range(8)] == list(range(8))
    with pytest.raises(type(fault)) as raised:
        next(rows)
    assert raised.value is fault and not threads()


def test_a_stream_that_nobody_goes_on_reading_ends(tmp_path, model, monkeypatch):
    """No thread is left, and what had not begun is never read."""
    read = counted(monkeypatch)
    paths = pictures(tmp_path, 200)
    rows = predict(session(model, streams=2), paths, batch_size=2, workers=4)
    assert next(rows)["path"] == str(paths[0]) and threads()
    rows.close()
    assert not threads() and len(read) < 30
    for _ in zip(range(3), stream(session(model), FileImages(paths, 3), batch_size=2, workers=2), strict=False):
        pass
    gc.collect()
    assert not threads()


def test_what_waits_for_the_network_when_the_stream_is_closed_never_enters_it(tmp_path, model, monkeypatch):
    read, runs = counted(monkeypatch), []
    batches = _Batches(session(model, runs.append), FileImages(pictures(tmp_path, 2), 3), Wanted())
    with batches.gate:
        waiting = threading.Thread(target=batches.found, args=[range(2)])
        waiting.start()
        while len(read) < 2:
            time.sleep(0.001)
        batches.stopped = True
    waiting.join(timeout=60)
    assert not waiting.is_alive() and not runs


# --- without torch -----------------------------------------------------------------------------------------------------------


def test_torch_is_imported_by_its_own_runtime_only():
    code = "import sys, resnets.verbs.predict, resnets.ship.sessions, resnets.verbs.rows; print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"
