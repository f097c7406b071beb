"""Interrupted and resumed is uninterrupted, bit for bit; and what cannot be resumed says why."""

import os
import random
import re
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from resnets.engine import loop
from resnets.engine.run import RunDir
from resnets.errors import InputError
from resnets.models import weights
from resnets.verbs import train as training
from tests.engine.running import assert_same, rows, stopping

# 36 pictures in batches of 8: 5 steps an epoch, the last with 4 pictures.
TINY = {
    "model": "resnet20_cifar", "depths": "1,1,1", "width": 4, "epochs": 3, "batch_size": 8, "lr": 0.05, "workers": 0,
    "device": "cpu", "precision": "float32", "save_every": 1e9,
}  # fmt: skip


def arrays(folder):
    random = np.random.default_rng(0)
    arrays = {"train_images": (36, 8, 8), "val_images": (12, 8, 8)}
    arrays = {name: random.integers(0, 256, shape, dtype=np.uint8) for name, shape in arrays.items()}
    np.savez(folder / "d.npz", **arrays, train_labels=np.arange(36) % 3, val_labels=np.arange(12) % 3)
    return folder / "d.npz"


@pytest.fixture
def data(tmp_path):
    return arrays(tmp_path)


@pytest.fixture
def folder(tmp_path):
    """Class folders of grey pictures of different sizes."""
    for split, num in (("train", 18), ("val", 6)):
        for index in range(num):
            path = tmp_path / "f" / split / "ab"[index % 2] / f"{index}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            pixels = np.random.default_rng(index).integers(0, 256, (9 + index % 3, 12), dtype=np.uint8)
            Image.fromarray(pixels).save(path)
    return tmp_path / "f"


@pytest.fixture(autouse=True)
def undrawn(monkeypatch):
    """Without scoring and drawing, which come after the last step and take the most time here."""
    monkeypatch.setattr(training, "finish", lambda job, source, best_epoch: job)


def train(data=None, out=None, **settings):
    return training.train(None if data is None else str(data), out=out, **settings)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The folder of a run that nothing stopped; it is only read."""
    folder = tmp_path_factory.mktemp("whole")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "finish", lambda job, source, best_epoch: job)
        train(arrays(folder), folder / "run", **TINY)
    return folder / "run"


WAYS = {
    "first step": [{"step": 1}],
    "middle of an epoch": [{"step": 7}],
    "last step of an epoch": [{"step": 5}],
    "first step of an epoch": [{"step": 6}],
    "validation": [{"validation": 2}],
    "last step": [{"step": 15}],
    "last validation": [{"validation": 3}],
    "Ctrl-C": [{"step": 8, "number": signal.SIGINT}],
    "twice": [{"step": 3}, {"step": 12}],
    "twice in an epoch": [{"step": 6}, {"step": 8}],
    "validation, and its repetition": [{"validation": 1}, {"validation": 1}],
}


def interrupted(data, out, stops, **settings):
    """A run that is stopped and taken up again, as often as `stops` says."""
    for number, stop in enumerate(stops):
        with stopping(**stop):
            train(*([data] if number == 0 else []), out=out, **({"resume": True} if number else settings))
    return train(out=out, resume=True)


@pytest.mark.parametrize("way", WAYS)
def test_exact_wherever_it_stops(way, data, whole, tmp_path):
    interrupted(data, tmp_path / "parts", WAYS[way], **TINY)
    assert_same(whole, tmp_path / "parts")
    assert len(rows(tmp_path / "parts")) == 3 and rows(tmp_path / "parts")[-1]["step"] == "15"


# The quick ones have each kind of state between them: momenta of several forms, an average, a scaler, random numbers of the
# network, of pictures and of mixing, an order that is drawn, half a step, and pictures that grow.
QUICK = {
    "plain", "lamb", "muon, channels last, growing", "fused, bf16, ema", "bf16, adamw, ema", "drop path and accumulate",
    "mixed", "sampler", "float16", "checkpointed", "saved at every step",
}  # fmt: skip
SETTINGS = {
    "plain": {"nesterov": False, "momentum": 0},
    "decay": {"norm_bias_decay": False, "clip_grad": 0.5},
    "adamw": {"opt": "adamw", "lr": 1e-3},
    "lamb": {"opt": "lamb", "lr": 1e-2},
    "muon": {"opt": "muon", "lr": 0.02},
    "muon, channels last, growing": {"opt": "muon", "lr": 0.02, "channels_last": True, "grow_from": 0.5},
    "fused, bf16, ema": {"fused": True, "precision": "bfloat16", "ema": 0.9},
    "ema": {"ema": 0.9},
    "accumulate": {"accumulate": 2, "batch_size": 4},
    "drop path": {"drop_path": 0.5},
    "drop path and accumulate": {"drop_path": 0.5, "accumulate": 3, "batch_size": 3},
    "mixed": {"mixup": 0.2, "cutmix": 1.0, "smoothing": 0.1, "random_erase": 0.5},
    "binary": {"loss": "bce", "mixup": 0.2, "sched": "cosine", "warmup_steps": 4},
    "colours": {"auto_augment": "randaugment"},
    "sampler": {"balance": "sampler"},
    "loss weights": {"balance": "loss"},
    "repeats": {"repeats": 2},
    "pixel mean": {"normalise": "pixel", "sched": "step", "milestones": "0.3,0.6"},
    "bf16": {"precision": "bfloat16"},
    "bf16, adamw, ema": {"precision": "bfloat16", "opt": "adamw", "ema": 0.9},
    "bf16 in rows": {"precision": "bfloat16", "channels_last": False},
    "float16": {"precision": "float16"},
    "channels last": {"channels_last": True},
    "channels last, lamb": {"channels_last": True, "opt": "lamb"},
    "checkpointed": {"checkpoint_activations": True, "depths": "2,2"},
    "bottlenecks": {"model": "preresnet164_cifar", "attention": "se", "stem": "small"},
    "steps": {"epochs": None, "steps": 12},
    "saved at every step": {"save_every": 0},
}  # fmt: skip


@pytest.mark.parametrize("kind", [pytest.param(kind, marks=[pytest.mark.slow] * (kind not in QUICK)) for kind in SETTINGS])
def test_exact_whatever_the_settings(kind, data, tmp_path):
    settings = TINY | SETTINGS[kind]
    if settings.get("opt") == "lamb":
        pytest.importorskip("timm")
    train(data, tmp_path / "whole", **settings)
    interrupted(data, tmp_path / "parts", [{"step": 7}], **settings)
    assert_same(tmp_path / "whole", tmp_path / "parts")


def test_keeping_weights_changes_nothing_and_is_exact(data, tmp_path):
    kept = "0,5,7,12,15"
    train(data, tmp_path / "without", **TINY)
    train(data, tmp_path / "whole", keep_at=kept, **TINY)
    interrupted(data, tmp_path / "parts", WAYS["twice"], keep_at=kept, **TINY)
    assert_same(tmp_path / "without", tmp_path / "whole")
    assert_same(tmp_path / "whole", tmp_path / "parts")
    whole, parts = RunDir(tmp_path / "whole"), RunDir(tmp_path / "parts")
    assert whole.kept_steps() == parts.kept_steps() == [0, 5, 7, 12, 15]
    for step in whole.kept_steps():
        one, two = load_file(whole.at_step(step)), load_file(parts.at_step(step))
        assert all(torch.equal(one[name], two[name]) for name in one)
    assert not torch.equal(load_file(whole.at_step(5))["conv1.weight"], one["conv1.weight"])


@pytest.mark.parametrize(
    ("crop", "workers"),
    [("pad", 0), ("resized", 2), *(pytest.param(*each, marks=pytest.mark.slow) for each in (("pad", 2), ("resized", 0)))],
)
def test_exact_with_files(crop, workers, folder, tmp_path):
    settings = TINY | {"img_size": 8, "crop": crop, "auto_augment": "trivialaugment", "batch_size": 5, "mixup": 0.5}
    settings |= {"workers": workers, "in_chans": 1}
    (folder / "train/a/0.png").write_bytes(b"no picture")
    train(folder, tmp_path / "whole", **settings | {"workers": 0})
    interrupted(folder, tmp_path / "parts", [{"step": 5}], **settings)
    assert_same(tmp_path / "whole", tmp_path / "parts")
    assert (tmp_path / "parts/bad_images.csv").read_text() == (tmp_path / "whole/bad_images.csv").read_text()
    assert "0.png" in (tmp_path / "parts/bad_images.csv").read_text()


def test_a_run_without_a_saved_state_begins_anew(data, whole, tmp_path):
    with stopping(step=7):
        train(data, tmp_path / "parts", **TINY)
    (tmp_path / "parts/resume.safetensors").unlink()
    assert train(out=tmp_path / "parts", resume=True).run.path == tmp_path / "parts"
    assert_same(whole, tmp_path / "parts")


def test_a_finished_run_takes_no_step_more(data, tmp_path, monkeypatch):
    train(data, tmp_path / "run", **TINY)
    before = {path.name: path.read_bytes() for path in (tmp_path / "run").glob("*.safetensors")}
    monkeypatch.setattr(loop, "take_step", None)
    train(out=tmp_path / "run", resume=True)
    assert {path.name: path.read_bytes() for path in (tmp_path / "run").glob("*.safetensors")} == before
    assert len(rows(tmp_path / "run")) == 3


def test_a_run_is_taken_up_by_the_command_that_began_it(data, whole, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with stopping(step=7):
        train("d.npz", **TINY)
    assert train("d.npz", resume=True, **TINY).run.path.name == "train1"
    assert_same(whole, tmp_path / "runs/classify/train1")


def test_what_computes_nothing_may_change(data, whole, tmp_path):
    with stopping(step=7):
        train(data, tmp_path / "parts", **TINY)
    free = {"workers": 1, "cache": "none", "save_every": 5, "stall_epochs": 9, "max_bad": 3}
    job = train(out=tmp_path / "parts", resume=True, **free)
    assert {name: getattr(job.recipe, name) for name in free} == free
    assert_same(whole, tmp_path / "parts")


# --- made longer ---

LONGER = {
    "epochs": ({"epochs": 1}, {"epochs": 2}, {"epochs": 3}),
    "steps": ({"epochs": None, "steps": 5}, {"steps": 10}, {"steps": 15}),
}


@pytest.mark.parametrize("unit", LONGER)
def test_made_longer_twice_is_the_long_run_where_the_rate_does_not_depend_on_the_length(unit, data, tmp_path):
    first, *more = LONGER[unit]
    settings = TINY | {"sched": "constant", "ema": 0.9}
    train(data, tmp_path / "whole", **settings)
    train(data, tmp_path / "parts", **settings | first)
    for length in more:
        train(out=tmp_path / "parts", resume=True, **length)
    assert_same(tmp_path / "whole", tmp_path / "parts")
    told = RunDir(tmp_path / "parts").read_provenance()["lengthened"]
    (name,) = more[0]
    assert [(each["setting"], each["before"], each["after"]) for each in told] == [
        (name, first[name], more[0][name]),
        (name, more[0][name], more[1][name]),
    ]
    assert f"{name}: {more[1][name]}" in (tmp_path / "parts/recipe.yaml").read_text()


def test_the_schedule_is_that_of_the_new_length_from_there_on_and_a_kill_changes_nothing(data, tmp_path):
    train(data, tmp_path / "long", **TINY | {"epochs": 6})
    for name, stops in (("whole", []), ("parts", [{"step": 18}, {"step": 23}])):
        train(data, tmp_path / name, **TINY)
        for number, stop in enumerate(stops):
            with stopping(**stop):
                train(out=tmp_path / name, resume=True, **{"epochs": 6} if not number else {})
        train(out=tmp_path / name, resume=True, **{} if stops else {"epochs": 6})
    assert_same(tmp_path / "whole", tmp_path / "parts")
    rates, long = ([row["lr"] for row in rows(tmp_path / name)] for name in ("whole", "long"))
    assert rates[3:] == long[3:] and rates[2] != long[2]
    whole, parts = (RunDir(tmp_path / name).read_provenance()["lengthened"] for name in ("whole", "parts"))
    assert len(whole) == len(parts) == 1


def test_a_run_that_was_stopped_is_made_longer_from_there(data, tmp_path):
    with stopping(step=7):
        train(data, tmp_path / "run", **TINY)
    train(out=tmp_path / "run", resume=True, epochs=4)
    assert [row["step"] for row in rows(tmp_path / "run")] == ["5", "10", "15", "20"]


def test_a_run_by_the_clock_is_given_more_time(data, tmp_path):
    settings = {name: value for name, value in TINY.items() if name != "epochs"}
    train(data, tmp_path / "run", **settings, time="1s")  # of which the clock leaves the first steps, which it needs
    before = rows(tmp_path / "run")
    train(out=tmp_path / "run", resume=True, time="2s")
    assert rows(tmp_path / "run")[: len(before)] == before and len(rows(tmp_path / "run")) > len(before)


# --- refused -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def stopped(data, tmp_path):
    """The folder of a run that was stopped after 7 steps."""
    with stopping(step=7):
        train(data, tmp_path / "run", **TINY)
    return tmp_path / "run"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"lr": 0.1}, "lr was 0.05, not 0.1"),
        ({"epochs": 9, "seed": 1}, "seed was 0, not 1"),
        ({"epochs": 2}, r"epochs was 3, not 2 \(a run can be made longer, in its own unit\)"),
        ({"steps": 5}, r"steps was None, not 5 \(a run can be made longer, in its own unit\)"),
        ({"opt": "adamw"}, "opt was sgd, not adamw"),
        ({"depths": "2,2"}, r"depths was \(1, 1, 1\), not \(2, 2\)"),
        ({"data": "digits"}, "data was .*npz, not digits"),
    ],
    ids=str,
)
def test_other_settings_are_refused_and_named(changes, said, stopped):
    with pytest.raises(InputError, match=rf"{said}; leave that out"):
        training.train(out=stopped, resume=True, **changes)


def test_other_data_is_refused(stopped, data):
    arrays = dict(np.load(data))
    arrays["train_images"][3, 2, 1] ^= 1
    np.savez(data, **arrays)
    with pytest.raises(InputError, match="the data has changed since the run began"):
        train(out=stopped, resume=True)


@pytest.mark.parametrize(
    "damage", [lambda raw: raw[: len(raw) // 2], lambda raw: b"", lambda raw: b"\x80" + raw, lambda raw: b"x" * 99]
)
def test_a_damaged_state_is_refused(damage, stopped):
    path = stopped / "resume.safetensors"
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(InputError, match=r"resume\.safetensors: "):
        train(out=stopped, resume=True)


@pytest.mark.parametrize(("before", "after"), [("width: 4", "width: 8"), ("depths:\n- 1\n- 1", "depths:\n- 2\n- 1")])
def test_the_state_of_another_network_is_refused(before, after, stopped):
    recipe = (stopped / "recipe.yaml").read_text()
    assert before in recipe
    (stopped / "recipe.yaml").write_text(recipe.replace(before, after))
    with pytest.raises(InputError, match=r"resume\.safetensors: does not belong to this run"):
        train(out=stopped, resume=True)


def test_a_state_is_read_whatever_the_length_of_its_header(tmp_path):
    """A safetensors file begins with that length, whose bytes may be those that begin a pickle."""
    starts = set()
    for length in range(0, 256, 8):
        path = weights.write_tensors(tmp_path / "r.safetensors", {"x": torch.zeros(1)}, {"position": "x" * length})
        starts.add(path.read_bytes()[0])
        assert weights.read_tensors(path)[1] == {"position": "x" * length}
    assert {0x80, 0x50} <= starts


def test_a_saved_model_is_no_state(stopped):
    (stopped / "best.safetensors").replace(stopped / "resume.safetensors")
    with pytest.raises(InputError, match="its format is resnets/1, and this version reads resnets-resume/1"):
        train(out=stopped, resume=True)


def test_where_there_is_no_run_there_is_nothing_to_resume(tmp_path, monkeypatch):
    with pytest.raises(InputError, match=r"no recipe\.yaml here, so there is no run to go on with"):
        train(out=tmp_path, resume=True)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="there is no run in"):
        train(resume=True)


def test_one_command_starts_a_run_and_goes_on_with_it(data, whole, tmp_path):
    (tmp_path / "again").mkdir()
    (tmp_path / "again/.recipe.123.yaml").write_text("half")  # as a kill leaves it before anything is there
    with stopping(step=7):
        train(data, tmp_path / "again", resume=True, **TINY)
    job = train(data, tmp_path / "again", resume=True, **TINY)
    assert_same(whole, tmp_path / "again")
    assert len(job.run.read_provenance()["resumed"]) == 1, "the first start was none"
    (tmp_path / "other/notes").mkdir(parents=True)
    with pytest.raises(InputError, match="no run to go on with; give DATA, and a new --out"):
        train(data, tmp_path / "other", resume=True, **TINY)


# --- killed ------------------------------------------------------------------------------------------------------------


def test_killed_at_any_moment_and_resumed_is_exact(data, tmp_path):
    settings = TINY | {"epochs": 20, "save_every": 0, "ema": 0.9}
    train(data, tmp_path / "whole", **settings | {"save_every": 1e9})
    call = f"train({str(data)!r}, out={str(tmp_path / 'parts')!r}, **{settings!r})"
    command = [sys.executable, "-c", f"from resnets.verbs.train import train; {call}"]
    process = subprocess.Popen(command, env=os.environ | {"OMP_NUM_THREADS": str(torch.get_num_threads())})
    while not (tmp_path / "parts/resume.json").exists():
        assert process.poll() is None
        time.sleep(0.01)
    time.sleep(random.Random(0).uniform(0, 0.2))
    process.kill()
    assert process.wait() == -signal.SIGKILL
    train(out=tmp_path / "parts", resume=True)
    assert_same(tmp_path / "whole", tmp_path / "parts")
    assert {path.name for path in (tmp_path / "parts").iterdir()} == {path.name for path in (tmp_path / "whole").iterdir()}


def test_half_written_files_of_a_kill_are_removed_and_nothing_else(tmp_path):
    names = [".resume.123.safetensors", ".metrics.7.csv", "plots/.curves.99.png", ".tmpNAuKLa"]
    others = [".hidden", "resume.safetensors", ".note.txt", "plots/curves.png", ".resume.x1.safetensors"]
    for name in names + others:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.touch()
    RunDir(tmp_path).remove_halves()
    assert sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()) == sorted(others)
    assert not any(re.search(r"\.\d+\.", name) for name in others)
