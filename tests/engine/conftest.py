"""Runs on a small set of arrays, without scoring and drawing."""

import pytest

from resnets.verbs import train as training
from tests.engine.made import arrays


@pytest.fixture
def data(tmp_path):
    return str(arrays(tmp_path / "d.npz"))


@pytest.fixture
def undrawn(monkeypatch):
    """Without scoring and drawing, which come after the last step and take the most time here."""
    monkeypatch.setattr(training, "finish", lambda job, source, best_epoch: job)
