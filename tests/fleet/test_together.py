"""Training by an engine: the runs of one machine, also where a worker is killed; and what is refused."""

from functools import partial
from pathlib import Path

import numpy as np
import pytest

from resnets.engine.run import RunDir
from resnets.errors import InputError
from resnets.verbs import repeats, together, train, trials
from tests.engine.running import assert_same, flags, torchrun
from tests.fleet import work

SETTINGS = {
    "model": "resnet20_cifar", "depths": (1, 1, 1), "width": 4, "epochs": 3, "batch_size": 4, "workers": 0, "device": "cpu",
    "save_every": 1e9, "unknown_at": 0.0,
}  # fmt: skip


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    path, random = tmp_path_factory.mktemp("data") / "d.npz", np.random.default_rng(0)
    sizes = {"train": 38, "val": 10, "test": 6}
    found = {f"{name}_images": random.integers(0, 256, (num, 8, 8, 3), dtype=np.uint8) for name, num in sizes.items()}
    np.savez(path, **found, **{f"{name}_labels": np.arange(num) % 2 for name, num in sizes.items()})
    return str(path)


class Said:
    """A reporter that keeps what is said."""

    def __init__(self):
        self.lines, self.epochs = [], []

    def say(self, text):
        self.lines.append(text)

    def step(self, at, steps_per_epoch, loss):
        pass

    def epoch(self, row, at, seconds):
        self.epochs.append(row["epoch"])


@pytest.mark.slow
def test_two_workers_train_as_torchrun_does(cluster, data, tmp_path, monkeypatch):
    """To the bit; and so they do where one is killed in the middle of an epoch."""
    words = ["-m", "resnets", "train", data, "--out", "torchrun", *flags(SETTINGS | {"depths": "1,1,1"})]
    done = torchrun(2, *words, cwd=tmp_path, OMP_NUM_THREADS="1")
    assert done.returncode == 0, done.stderr
    monkeypatch.chdir(tmp_path)
    said = Said()
    run = together.train(data, engine="ray", num_workers=2, out="whole", reporter=said, **SETTINGS)
    assert_same(tmp_path / "torchrun", tmp_path / "whole")
    assert said.epochs == [1, 2, 3] and run.result["num_images"] == 6 and run.path == Path("whole")
    assert RunDir("whole").read_provenance()["device"]["processes"] == 2

    said = Said()
    monkeypatch.setattr(together, "process", partial(work.troubled, str(tmp_path / "mark"), "1:8:9"))
    together.train(data, engine="ray", num_workers=2, out="killed", reporter=said, **SETTINGS)
    assert_same(tmp_path / "whole", tmp_path / "killed")
    (lost,) = (line for line in said.lines if line.startswith("lost"))
    assert "all begin again from what was saved last, 1 of 3" in lost
    assert len(RunDir("killed").read_provenance()["resumed"]) == 1
    assert sorted(path.name for path in tmp_path.iterdir() if "ray" in path.name) == []


@pytest.mark.slow
def test_what_a_run_refuses_is_said_once_and_not_tried_again(cluster, data, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    said = Said()
    with pytest.raises(InputError, match=r"nowhere\.npz"):
        together.train("nowhere.npz", engine="ray", num_workers=2, out="run", reporter=said, **SETTINGS)
    assert said.lines == []


@pytest.mark.slow
def test_folds_side_by_side_are_those_one_after_the_other(cluster, data, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    said, settings = Said(), SETTINGS | {"seeds": (2,), "epochs": 2}
    one = repeats.repeat(data, out="one", progress=False, verbose=0, **settings)
    both = trials.repeat(data, engine="ray", num_workers=2, out="both", reporter=said, **settings)
    assert one.rows == both.rows and one.scores == both.scores
    for seed in (0, 1):
        assert_same(tmp_path / f"one/seed{seed}", tmp_path / f"both/seed{seed}")
    assert sorted(line.split(": ")[1] for line in said.lines) == ["seed 0", "seed 1"]
    again = trials.repeat(data, engine="ray", num_workers=2, out="both", resume=True, reporter=Said(), **settings)
    assert again.rows == both.rows


@pytest.mark.slow
def test_an_engine_without_processes(data, tmp_path):
    """The local one: the same run as without it."""
    settings = SETTINGS | {"epochs": 1}
    train.train(data, out=tmp_path / "one", verbose=0, progress=False, **settings)
    said = Said()
    together.train(data, engine="local", out=tmp_path / "local", reporter=said, **settings)
    assert_same(tmp_path / "one", tmp_path / "local")
    assert said.epochs == [1]


def test_refused(data, tmp_path):
    arrays = (np.zeros((4, 8, 8, 3), np.uint8), np.arange(4) % 2)
    for verb in (together.train, trials.repeat):
        with pytest.raises(InputError, match="data and networks in memory are not sent to workers"):
            verb(arrays, engine="local", out=tmp_path / "run", seeds=(2,))
    with pytest.raises(InputError, match="--num-workers is for --engine ray"):
        trials.repeat(data, engine="local", num_workers=2, out=tmp_path / "run", seeds=(2,))
    assert not (tmp_path / "run").exists() or not any((tmp_path / "run").iterdir())
