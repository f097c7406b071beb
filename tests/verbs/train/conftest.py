"""A finished run, and runs without scoring and drawing."""

from types import SimpleNamespace

import pytest

from resnets.verbs import evaluate as evaluation
from resnets.verbs import train as training
from resnets.verbs.train import train
from tests.verbs.train.made import TINY, arrays


@pytest.fixture(scope="module")
def first(tmp_path_factory):
    """A run with all that belongs to it, and how its scoring was called."""
    folder = tmp_path_factory.mktemp("first")
    data, calls, score = arrays(folder / "d.npz"), [], evaluation.judge

    def counted(model, source, split, **settings):
        calls.append(split)
        return score(model, source, split, **settings)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(evaluation, "judge", counted)
        run = train(data, out=folder / "run", ema=0.9, seed=3, **TINY)
    return SimpleNamespace(run=run, data=data, calls=calls, path=folder / "run")


@pytest.fixture
def undrawn(monkeypatch):
    monkeypatch.setattr(training, "finish", lambda job, source, best_epoch: job)
