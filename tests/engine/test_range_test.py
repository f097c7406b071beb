"""The range test: what it suggests, and that it leaves no trace but the rate."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import load_file

from resnets.engine import range_test
from resnets.engine.range_test import HIGHEST, LOWEST, NUM_TIMED, Sweep, suggest
from resnets.engine.recipe import Recipe
from resnets.errors import InputError
from resnets.verbs import train as training
from tests.engine.made import planned

TINY = {
    "model": "resnet20_cifar", "depths": "1,1", "width": 4, "epochs": 2, "batch_size": 8, "workers": 0, "device": "cpu",
    "precision": "float32",
}  # fmt: skip


@pytest.fixture
def data(tmp_path):
    random = np.random.default_rng(0)
    labels = np.arange(60) % 3
    images = random.integers(0, 120, (60, 8, 8, 3), dtype=np.uint8)
    images[np.arange(60), :, :, labels] += 100
    np.savez(tmp_path / "d.npz", images=0, train_images=images, train_labels=labels, val_images=images, val_labels=labels)
    return str(tmp_path / "d.npz")


@pytest.fixture(autouse=True)
def undrawn(monkeypatch):
    monkeypatch.setattr(training, "finish", lambda job, source, best_epoch: job)


def test_the_rate_rises_evenly_over_the_whole_range():
    sweep = Sweep(recipe=Recipe(lr=0.2), steps_per_epoch=5, length=11)
    rates = [sweep.learning_rate(step, 0) for step in range(NUM_TIMED, NUM_TIMED + 11)]
    assert rates[0] == pytest.approx(0.2 * LOWEST) == sweep.learning_rate(0, 0) and rates[-1] == pytest.approx(0.2 * HIGHEST)
    assert np.ptp(np.diff(np.log(rates))) < 1e-9


def test_the_suggestion_is_a_tenth_of_the_rate_with_the_lowest_loss():
    rates = np.logspace(-4, 1, 51)
    losses = (np.log10(rates) + 1.0) ** 2 + 0.3  # lowest at 0.1
    assert suggest(rates.tolist(), losses.tolist()) == 0.01


@pytest.mark.parametrize("losses", [[], [1.0, 1.1, 1.2]], ids=str)
def test_a_loss_that_never_falls_is_an_error(losses):
    with pytest.raises(InputError, match="finds no learning rate at which the loss falls; give --lr"):
        suggest([0.1, 0.2, 0.3][: len(losses)], losses)


@pytest.mark.slow
def test_a_run_that_found_its_rate_is_the_run_with_that_rate(data, tmp_path):
    said = []
    watcher = SimpleNamespace(say=said.append, step=lambda *of: None, epoch=lambda *of: None)
    job = training.train(data, out=tmp_path / "found", find_lr=True, ema=0.9, reporter=watcher, **TINY)
    recipe = yaml.safe_load((tmp_path / "found/recipe.yaml").read_text())
    assert (recipe["lr"], recipe["find_lr"]) == (job.recipe.lr, False) and 1e-4 < job.recipe.lr < 10
    assert f"settings (range test) lr={job.recipe.lr:g}" in said
    assert (tmp_path / "found/plots/lr.png").stat().st_size > 1000
    training.train(data, out=tmp_path / "given", lr=job.recipe.lr, ema=0.9, **TINY)
    one, two = (load_file(tmp_path / name / "last.safetensors") for name in ("found", "given"))
    assert all(torch.equal(one[name], two[name]) for name in one)


@pytest.mark.slow
def test_taken_up_again_a_run_keeps_its_rate(data, tmp_path, monkeypatch):
    found = training.train(data, out=tmp_path / "run", find_lr=True, **TINY).recipe.lr
    monkeypatch.setattr(range_test, "find", None)
    assert training.train(data, out=tmp_path / "run", find_lr=True, resume=True).recipe.lr == found


def test_a_slow_machine_takes_fewer_steps_over_the_same_range(data, tmp_path, monkeypatch):
    monkeypatch.setattr(range_test, "SECONDS", 1e-9)
    monkeypatch.setattr(range_test, "DIVERGED", 1e9)
    swept = []
    sweep = range_test.sweep
    monkeypatch.setattr(range_test, "sweep", lambda job: swept.append(sweep(job)) or swept[0])
    training.train(data, out=tmp_path / "run", find_lr=True, recipe="fast", **TINY)
    ((rates, losses),) = swept
    assert len(rates) == len(losses) == range_test.FEWEST
    assert rates[-1] / rates[0] == pytest.approx(HIGHEST / LOWEST)


def test_a_given_rate_is_never_overridden(data, tmp_path):
    with pytest.raises(InputError, match=r"find_lr and lr=0\.1 exclude each other; give one of them"):
        training.train(data, out=tmp_path / "run", find_lr=True, lr=0.1, **TINY)
    (tmp_path / "r.yaml").write_text("lr: 0.1\n")
    assert planned(data=data, recipe=str(tmp_path / "r.yaml"), find_lr=True).recipe.find_lr
    (tmp_path / "r.yaml").write_text("find_lr: true\n")
    with pytest.raises(InputError, match="exclude each other"):
        planned(data=data, recipe=str(tmp_path / "r.yaml"), lr=0.1)
