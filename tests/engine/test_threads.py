"""How many threads compute beside other programs."""

import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

import resnets
from resnets.data import machine
from resnets.engine import threads
from resnets.engine.threads import Adapting, Used, by_others, fitting


@pytest.mark.parametrize(
    ("num", "others", "most", "is_now"),
    [
        (2, 0.0, 2, 2),
        (2, 0.7, 2, 2),  # a browser: two threads that lose a little beat one
        (2, 1.0, 2, 1),
        (2, 5.0, 2, 1),  # never none
        (1, 1.0, 2, 1),
        (1, 0.3, 2, 1),  # neither up nor down for less than `CLEAR`, so that the number does not swing
        (1, 0.1, 2, 2),
        (16, 1.0, 16, 15),
        (16, 0.5, 16, 16),
        (4, 3.2, 16, 13),
    ],
)
def test_one_thread_for_each_processor_that_others_leave_free(num, others, most, is_now):
    assert fitting(num, others, most) == is_now


def test_what_others_use_is_all_less_ones_own():
    assert by_others(Used(10.0, 100.0, 50.0), Used(20.0, 115.0, 55.0)) == 1.0
    assert by_others(Used(10.0, 100.0, 50.0), Used(20.0, 100.0, 55.0)) == 0.0  # clocks of different ticks
    assert by_others(Used(10.0, 100.0, 50.0), Used(10.0, 100.0, 50.0)) == 0.0


@pytest.mark.parametrize("setting", ["OMP_NUM_THREADS", "LOCAL_WORLD_SIZE"])
def test_a_number_that_is_given_stays(monkeypatch, setting):
    for name in ("OMP_NUM_THREADS", "LOCAL_WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv(setting, "3")
    monkeypatch.setattr(torch, "get_num_threads", lambda: 3)
    monkeypatch.setattr(machine, "num_usable", lambda: 4.0)
    monkeypatch.setattr(threads, "used", lambda: pytest.fail("looked"))
    assert threads.choose() == 3
    assert Adapting(3).after_epoch() is None


def alone(monkeypatch, looks, load=2.0):
    """A machine of four processors, on which `looks` are what is seen of it."""
    for name in ("OMP_NUM_THREADS", "LOCAL_WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    now = iter(looks)
    monkeypatch.setattr(threads, "used", lambda: next(now))
    monkeypatch.setattr(threads, "LOOK_SECONDS", 0.0)
    monkeypatch.setattr(machine, "load", lambda: load)
    monkeypatch.setattr(machine, "num_usable", lambda: 4.0)


def test_at_the_start_a_machine_that_was_idle_is_not_looked_at(monkeypatch):
    monkeypatch.setattr(torch, "get_num_threads", lambda: 8)
    alone(monkeypatch, [], load=0.1)
    assert threads.choose() == 4  # the container's limit
    alone(monkeypatch, [Used(0.0, 0.0, 0.0), Used(1.0, 2.0, 0.0)])
    assert threads.choose() == 2


def test_from_epoch_to_epoch(monkeypatch):
    looks = [Used(0.0, 0.0, 0.0), Used(40.0, 160.0, 80.0), Used(80.0, 320.0, 160.0), Used(120.0, 320.0, 160.0)]
    alone(monkeypatch, looks)
    clock = iter([10.0, 40.0, 80.0, 120.0])
    monkeypatch.setattr(time, "perf_counter", lambda: next(clock))
    num = [4]
    monkeypatch.setattr(torch, "get_num_threads", lambda: num[0])
    monkeypatch.setattr(torch, "set_num_threads", lambda n: num.__setitem__(0, n))
    adapting = Adapting(4)
    assert adapting.after_epoch() is None  # too soon
    assert adapting.after_epoch() == (2, 2.0)
    assert adapting.after_epoch() is None  # as before
    assert adapting.after_epoch() == (4, 0.0)
    assert num == [4]


def test_what_this_process_and_its_children_compute_is_their_own():
    before = threads.used()
    code = "import time\nend = time.process_time() + 0.6\nwhile time.process_time() < end: pass\ninput()"
    child = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE)
    try:
        until = time.monotonic() + 60
        while (spent := threads.used().by_own - before.by_own) < 0.6 and time.monotonic() < until:
            time.sleep(0.05)
    finally:
        child.communicate(b"\n")
    assert spent >= 0.6


@pytest.mark.usefixtures("undrawn")
def test_a_training_says_its_threads_keeps_them_and_gives_them_back(tmp_path: Path, monkeypatch):
    before, seen = torch.get_num_threads(), []
    monkeypatch.setattr(torch, "set_num_threads", lambda num, real=torch.set_num_threads: (seen.append(num), real(num)))
    images = np.zeros((8, 8, 8, 3), np.uint8)
    data = {name: (images, np.arange(8) % 2) for name in ("train", "val")}
    resnets.train(data, width=4, steps=1, threads=before + 1, out=tmp_path / "run", progress=False)
    assert seen == [before + 1, before]
    assert f"threads: {before + 1}\n" in (tmp_path / "run/recipe.yaml").read_text()
    assert torch.get_num_threads() == before
