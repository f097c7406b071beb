"""Signals: the first saves and ends the run, the second stops at once."""

import signal

import pytest

from resnets.engine import loop
from resnets.engine.orders import stop_signals
from resnets.errors import Interrupted
from resnets.models import weights
from resnets.verbs import train as training
from tests.engine.made import TINY

pytestmark = pytest.mark.usefixtures("undrawn")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_saves_and_names_how_to_go_on(number, data, tmp_path, monkeypatch):
    take_step = loop.take_step

    def hit(job, state, group):
        if state.at.step == 6:
            signal.raise_signal(number)
        return take_step(job, state, group)

    monkeypatch.setattr(loop, "take_step", hit)
    before = signal.getsignal(number)
    with pytest.raises(Interrupted, match=r"saved; to go on: resnets train --resume --out .*a run'") as caught:
        training.train(data, out=tmp_path / "a run", **TINY)
    assert (caught.value.signal, caught.value.folder) == (number, tmp_path / "a run")
    position = weights.read_tensors(tmp_path / "a run/resume.safetensors")[1]["position"]
    assert (position["step"], position["epoch"], position["batch"], position["finished"]) == (7, 1, 2, False)
    assert signal.getsignal(number) == before


def test_the_second_signal_stops_at_once():
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt), stop_signals() as noted:
        signal.raise_signal(signal.SIGINT)
        assert noted == [signal.SIGINT]
        signal.raise_signal(signal.SIGTERM)
    assert signal.getsignal(signal.SIGINT) == before


def test_outside_of_the_main_thread_signals_are_left_alone(data, tmp_path):
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(1) as pool:
        job = pool.submit(training.train, data, out=tmp_path / "run", **TINY).result()
    assert job.run.last.exists()
