"""Each case has an empty folder to work in, and an end to waiting."""

import signal

import pytest

from tests.cli.bad_input.made import PATIENCE_SECONDS


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    """An empty folder to work in, no way to datasets elsewhere, and an end to waiting."""

    def late(number, frame):
        raise AssertionError(f"the command still waits after {PATIENCE_SECONDS} seconds")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RESNETS_DATA", str(tmp_path / "sets"))
    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(PATIENCE_SECONDS)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)
