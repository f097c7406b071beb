"""A home for indices and fetched shards."""

import pytest

from resnets.data.readers import remote


@pytest.fixture(autouse=True)
def _home(tmp_path, monkeypatch):
    monkeypatch.setenv("RESNETS_DATA", str(tmp_path / "home/datasets"))
    monkeypatch.setattr(remote, "BACKOFF_SECONDS", 0.0)
