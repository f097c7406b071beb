"""Runs in several processes, runs that are stopped, and how two runs are compared."""

import csv
import os
import re
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from resnets.engine import loop
from resnets.errors import Interrupted

HERE = Path(__file__).parent
CLOCKS = ("images_per_second", "data_wait", "seconds")


def torchrun(num, *words, cwd, **environment):
    """A finished `torchrun`: its exit status, stdout and stderr."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={num}"]
    clean = {name: value for name, value in os.environ.items() if name not in distributed_names()}
    clean["PYTHONPATH"] = str(HERE.parent.parent)
    return subprocess.run(
        [*command, *map(str, words)], cwd=cwd, env=clean | environment, capture_output=True, text=True, timeout=100, check=False
    )


def distributed_names():
    return {name for name in os.environ if name.startswith(("TORCHELASTIC", "MASTER_"))} | {"RANK", "WORLD_SIZE", "LOCAL_RANK"}


def flags(settings):
    for name, value in settings.items():
        flag = "--" + name.replace("_", "-")
        yield from [flag if value else f"--no-{flag[2:]}"] if isinstance(value, bool) else [flag, str(value)]


def largest_difference(one, two, name):
    a, b = load_file(one / name), load_file(two / name)
    assert list(a) == list(b)
    return max(float((a[key].float() - b[key].float()).abs().max()) for key in a)


@contextmanager
def stopping(*, step=None, validation=None, number=signal.SIGTERM):
    """A signal in the middle of a step (from 1), or as an epoch's validation begins (from 1)."""
    with pytest.MonkeyPatch.context() as patch:
        take_step, validate, counts = loop.take_step, loop.validate, {"validation": 0}

        def stepped(job, state, group):
            loss = take_step(job, state, group)
            if state.at.step == step:
                signal.raise_signal(number)
            return loss

        def validated(*of):
            counts["validation"] += 1
            if counts["validation"] == validation:
                signal.raise_signal(number)
            return validate(*of)

        patch.setattr(loop, "take_step", stepped)
        patch.setattr(loop, "validate", validated)
        with pytest.raises(Interrupted):
            yield


def rows(run):
    with (run / "metrics.csv").open() as file:
        return [{key: value for key, value in row.items() if key not in CLOCKS} for row in csv.DictReader(file)]


def assert_same(one, two):
    assert rows(one) == rows(two)
    for name in ("last.safetensors", "best.safetensors"):
        a, b = load_file(one / name), load_file(two / name)
        assert list(a) == list(b)
        assert [key for key in a if not torch.equal(a[key], b[key])] == []


def says_no_pictures(run):
    """Whether the report and the evaluation of a run speak of what they are of, where that is no pictures."""
    page = re.sub(
        r"<(style|script)\b.*?</\1>|<[^>]*>", " ", (run.path / "report.html").read_text(encoding="utf-8"), flags=re.DOTALL
    )
    told = run.model.task.rows.told(run.result, True)
    found = re.findall(r".{0,40}\bpictures?\b.{0,40}", f"{page}\n{told}", re.IGNORECASE)
    assert found == []
    return True
