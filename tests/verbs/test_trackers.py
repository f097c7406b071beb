"""Trackers: curves, settings, pictures and the model reach them; a resumed run is the same one; their faults stop nothing."""

import json
import os
import subprocess
import sys
from types import SimpleNamespace

import pytest
import yaml

from resnets.engine.recipe import Recipe
from resnets.engine.run import RunDir
from resnets.engine.settings import fields_of
from resnets.errors import InputError
from resnets.verbs import trackers
from resnets.verbs import train as training
from resnets.verbs.train import train
from tests.engine.running import assert_same, stopping
from tests.verbs.train.made import TINY, arrays

SETTINGS = TINY | {"epochs": 4, "out": None}


class Noted:
    """A tracker that notes what it is told; `FAILS` names what does not work."""

    package = "json"
    FAILS = ""

    def note(self, kind, *words):
        if kind == self.FAILS:
            raise ConnectionError("nobody\nthere")
        self.told.append((kind, *words))

    def start(self, run, before, settings):
        self.told.append((before, settings))
        self.note("start")
        return "id-1", "there"

    def epoch(self, number, values):
        self.note("epoch", number, values)

    def pictures(self, found, epoch):
        assert all(path.read_bytes().startswith(b"\x89PNG") for path in found.values())
        self.note("pictures", sorted(found), epoch)

    def end(self, model):
        self.note("end", model and model.name)


@pytest.fixture
def noted(monkeypatch):
    """What the tracker "wandb", which is replaced, was told; by `noted.fail` it fails."""
    told = []
    kind = type("Tracker", (Noted,), {"told": told})
    monkeypatch.setitem(trackers.TRACKERS, "wandb", kind)
    return SimpleNamespace(told=told, kinds=lambda: [of[0] for of in told[1:]], fail=lambda what: setattr(kind, "FAILS", what))


@pytest.fixture
def undrawn(monkeypatch):
    monkeypatch.setattr(training, "finish", lambda job, source, best_epoch: job)


@pytest.fixture
def data(tmp_path):
    return arrays(tmp_path / "d.npz")


def followed(data, out, **settings):
    """What was said during a training with a tracker."""
    said = []
    reporter = SimpleNamespace(say=said.append, step=lambda *of: None, epoch=lambda *of: said.append("epoch"))
    train(data, reporter=reporter, **SETTINGS | {"tracker": "wandb", "out": out} | settings)
    return said


def test_the_table_is_the_settings_choices():
    choices = fields_of(Recipe)["tracker"].metadata["choices"]
    assert choices == ("none", *trackers.TRACKERS)
    with pytest.raises(InputError, match="use one of none, tensorboard, mlflow"):
        train("digits", tracker="tensorboard,excel")


def test_a_tracker_is_told_everything_once(noted, data, tmp_path):
    said = followed(data, tmp_path / "run")
    assert "tracker  wandb: there" in said
    before, settings = noted.told[0]
    assert before is None and settings["lr"] == 0.05 and "tracker" not in settings
    assert settings["model.num_params"] > 0 and len(settings["data.fingerprint"]) == 64
    assert all(value is None or isinstance(value, str | int | float) for value in settings.values())
    assert noted.kinds() == ["start", "pictures", "epoch", "epoch", "epoch", "epoch", "pictures", "end"]
    epochs = [of for of in noted.told if of[0] == "epoch"]
    lines = [json.loads(line) for line in (tmp_path / "run/metrics.jsonl").read_text().splitlines()]
    assert [(number, values["val/top1"], values["lr"]) for _, number, values in epochs] == [
        (line["epoch"], line["val_top1"], line["lr"]) for line in lines
    ]
    drawn = [of[1:] for of in noted.told if of[0] == "pictures"]
    names = ["pictures/confusion", "pictures/curves", "pictures/errors", "pictures/reliability"]
    assert drawn == [(["pictures/preview"], 0), (names, 4)]
    assert noted.told[-1] == ("end", "best.safetensors")


@pytest.mark.slow
def test_a_resumed_run_is_the_same_one_and_hears_what_it_missed(noted, data, tmp_path):
    with stopping(step=12):
        followed(data, tmp_path / "run")
    assert noted.told[-1] == ("end", None) and noted.kinds().count("epoch") == 2
    kept = tmp_path / "run/trackers.json"
    assert json.loads(kept.read_text()) == {"wandb": {"id": "id-1", "epoch": 2}}
    kept.write_text(json.dumps({"wandb": {"id": "id-1", "epoch": 1}}))  # as a kill between the two may leave it
    noted.told.clear()
    train(out=tmp_path / "run", resume=True)
    assert noted.told[0][0] == "id-1", "the tracker's own id, from the run directory"
    assert [of[1] for of in noted.told if of[0] == "epoch"] == [2, 3, 4]
    assert (["pictures/preview"], 0) not in [of[1:] for of in noted.told], "drawn once"
    train(data, **SETTINGS | {"out": tmp_path / "plain"})
    assert_same(tmp_path / "run", tmp_path / "plain")


@pytest.mark.parametrize("what", ["epoch", "pictures", "end"])
def test_a_tracker_that_fails_is_told_once_and_the_training_goes_on(what, noted, data, tmp_path, undrawn):
    noted.fail(what)
    said = followed(data, tmp_path / "run", epochs=2)
    warned = [line for line in said if line.startswith("warning")]
    assert len(warned) == 1 and "wandb keeps no more of this run (nobody there)" in warned[0]
    assert said.count("epoch") == 2 and (tmp_path / "run/last.safetensors").exists()


def test_one_that_cannot_begin_stops_the_run_which_goes_on_without_it(noted, data, tmp_path, undrawn):
    noted.fail("start")
    with pytest.raises(InputError, match=r"tracker=wandb: cannot begin \(nobody there\); .*--resume, or with --tracker none"):
        followed(data, tmp_path / "run", epochs=1)
    train(out=tmp_path / "run", resume=True, tracker="none")
    assert yaml.safe_load((tmp_path / "run/recipe.yaml").read_text())["tracker"] == ["none"]


def test_a_missing_library_is_told_before_there_is_a_run(monkeypatch, data, tmp_path):
    (tmp_path / "notinstalled").mkdir()
    monkeypatch.syspath_prepend(tmp_path)  # where a folder of that name lies, which is no library
    monkeypatch.setattr(trackers.TensorBoard, "package", "notinstalled")
    with pytest.raises(InputError, match=r"needs notinstalled: pip install 'resnets\[tensorboard\]'"):
        train(data, **SETTINGS | {"tracker": ("none", "tensorboard"), "out": tmp_path / "run"})
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("text", ['{"wandb": 3}', '{"wandb": {"id": "../x", "epoch": 1}}', '{"wandb": {"id": "x"}}', "["])
def test_a_damaged_record_is_told(text, tmp_path):
    (tmp_path / "trackers.json").write_text(text)
    with pytest.raises(InputError, match=r"trackers\.json"):
        trackers.read(RunDir(tmp_path))


def test_an_id_made_of_a_folders_name_is_one(tmp_path):
    made = f"{trackers.slug('my runs/naïve')}-{trackers.new_id()}"
    (tmp_path / "trackers.json").write_text(json.dumps({"trackio": {"id": made, "epoch": 1}}))
    assert trackers.read(RunDir(tmp_path))["trackio"]["id"].startswith("my-runs-na-ve-")


def test_tensorboard_shows_curves_pictures_and_settings(data, tmp_path):
    pytest.importorskip("tensorboard", reason="tensorboard is not installed: pip install 'resnets[tensorboard]'")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    followed(data, tmp_path / "run", tracker="tensorboard", epochs=2)
    found = EventAccumulator(str(tmp_path / "run/tensorboard"), size_guidance={"images": 0}).Reload()
    lines = [json.loads(line) for line in (tmp_path / "run/metrics.jsonl").read_text().splitlines()]
    curve = [(event.step, event.value) for event in found.Scalars("val/top1")]
    assert curve == [(line["epoch"], pytest.approx(line["val_top1"])) for line in lines]
    assert {"pictures/preview", "pictures/confusion", "pictures/curves"} <= set(found.Tags()["images"])
    assert b"|lr|0.05|" in found.Tensors("settings/text_summary")[0].tensor_proto.string_val[0]


# --- the real libraries, offline, in a process of their own: they keep threads and global state ---


def trained(data, run, tracker, **environment):
    """What was said on stderr during a training; where there is a run, it is gone on with."""
    flags = "--model resnet20_cifar --depths 1,1,1 --width 4 --batch-size 8 --workers 0 --device cpu --lr 0.05 --epochs 2"
    words = ["--resume"] if run.exists() else [data, *flags.split(), "--tracker", tracker]
    command = [sys.executable, "-m", "resnets", "train", *words, "--out", str(run), "--json"]
    options = {"capture_output": True, "text": True, "timeout": 900}
    done = subprocess.run(command, env=os.environ | environment, cwd=run.parent, check=False, **options)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["split"] == "test", "nothing else on stdout"
    return done.stderr


@pytest.mark.slow
def test_mlflow(data, tmp_path):
    mlflow = pytest.importorskip("mlflow", reason="mlflow is not installed: pip install 'resnets[mlflow]'")
    where = f"sqlite:///{tmp_path / 'ml.db'}"
    own = {"MLFLOW_TRACKING_URI": where, "MLFLOW_EXPERIMENT_NAME": "pets"}
    trained(data, tmp_path / "run", "mlflow", **own)
    trained(data, tmp_path / "run", "mlflow", **own)
    client = mlflow.MlflowClient(where)
    (run,) = client.search_runs([client.get_experiment_by_name("pets").experiment_id])
    assert run.info.status == "FINISHED" and run.data.params["lr"] == "0.05" and int(run.data.params["model.num_params"]) > 0
    assert [point.step for point in client.get_metric_history(run.info.run_id, "val/top1")] == [1, 2]
    paths = {item.path for folder in ("model", "pictures") for item in client.list_artifacts(run.info.run_id, folder)}
    assert {"model/best.safetensors", "pictures/preview.png", "pictures/confusion.png"} <= paths


@pytest.mark.slow
def test_wandb_offline(data, tmp_path):
    pytest.importorskip("wandb", reason="wandb is not installed: pip install 'resnets[wandb]'")
    key = "0123456789abcdef0123456789abcdef01234567"
    own = {
        "WANDB_MODE": "offline",
        "WANDB_API_KEY": key,
        "WANDB_ERROR_REPORTING": "false",
        "WANDB_CACHE_DIR": str(tmp_path / "c"),
    }
    said = trained(data, tmp_path / "run", "wandb", **own)
    trained(data, tmp_path / "run", "wandb", **own)
    run = tmp_path / "run"
    identity = json.loads((run / "trackers.json").read_text())["wandb"]["id"]
    kept = sorted(run.glob(f"wandb/offline-run-*/run-{identity}.wandb"))
    assert len(kept) == 2 and f"wandb sync {kept[0].parent}" in said, "the resumed run is the same one"
    first = kept[0].read_bytes()
    for words in (b"val/top1", b"model-" + identity.encode(), b"best.safetensors", b"num_params"):
        assert words in first, words
    assert len(list(run.glob("wandb/*/files/media/images/pictures/*.png"))) >= 5
    assert not [path for path in run.rglob("*") if path.is_file() and key.encode() in path.read_bytes()], "no key in any file"


@pytest.mark.slow
def test_trackio(data, tmp_path):
    pytest.importorskip("trackio", reason="trackio is not installed: pip install 'resnets[trackio]'")
    own = {"TRACKIO_DIR": str(tmp_path / "kept"), "TRACKIO_PROJECT": "pets", "HF_HUB_OFFLINE": "1"}
    trained(data, tmp_path / "run", "trackio", **own)
    trained(data, tmp_path / "run", "trackio", **own)
    code = """
import json
from trackio.sqlite_storage import SQLiteStorage
(name,) = SQLiteStorage.get_runs("pets")
steps = [row["step"] for row in SQLiteStorage.get_logs("pets", name) if "val/top1" in row]
print(json.dumps({"name": name, "config": SQLiteStorage.get_run_config("pets", name), "steps": steps}))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=os.environ | own)
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["name"] == json.loads((tmp_path / "run/trackers.json").read_text())["trackio"]["id"]
    assert found["steps"] == [1, 2] and found["config"]["lr"] == 0.05
    assert list((tmp_path / "kept").rglob("*.png"))
