"""A home for indices and fetched shards."""

import pytest

from resnets.stores import addresses


@pytest.fixture(autouse=True)
def _home(tmp_path, monkeypatch):
    monkeypatch.setenv("RESNETS_DATA", str(tmp_path / "home/datasets"))
    monkeypatch.setattr(addresses, "BACKOFF_SECONDS", 0.0)
