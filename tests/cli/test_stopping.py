"""How commands end that are interrupted: by signals, or by a reader of stdout that has seen enough."""

import csv
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from resnets.ship import hub
from tests.cli.made import FAST


def started(words, folder, **options):
    return subprocess.Popen(
        [sys.executable, "-u", "-m", "resnets", *shlex.split(words)],
        cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options,
    )  # fmt: skip


def stopped_after_an_epoch(words, folder, number):
    """Exit status and stderr of a run that gets the signal `number` when its first epoch is done, and its workers too, as from
    a terminal or Slurm."""
    process = started(f"{words} --workers 2", folder, start_new_session=True)
    seen = []
    for line in process.stderr:
        seen.append(line)
        if line.startswith("epoch 1 "):
            os.killpg(process.pid, number)
            break
    _, rest = process.communicate(timeout=120)
    return process.returncode, "".join(seen) + rest


def test_ctrl_c_saves_and_says_how_to_go_on_which_works(place):
    """The line is typed as it stands, in the folder that the run was started in."""
    words = f"train --out 'my runs/a b' --epochs 6 {FAST}"
    code, err = stopped_after_an_epoch(words, place, signal.SIGINT)
    assert code == 130 and "Traceback" not in err, err
    found = re.fullmatch(r"stopped, and saved; to go on: (resnets train --resume .*)", err.splitlines()[-1])
    assert found, err
    done_before = json.loads(Path("my runs/a b/resume.json").read_text())["step"]
    assert 0 < done_before < 6 * 41
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    if subprocess.run("command -v resnets", shell=True, env=environment, capture_output=True, check=False).returncode:
        pytest.skip("the command is not installed")
    done = subprocess.run(
        found[1], shell=True, cwd=place, env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    assert len(Path("my runs/a b/metrics.csv").read_text().splitlines()) == 7


@pytest.mark.slow
def test_sigterm_saves_and_ends_with_143(place):
    code, err = stopped_after_an_epoch(f"train --out run --epochs 200 {FAST}", place, signal.SIGTERM)
    assert code == 143 and "Traceback" not in err
    assert err.splitlines()[-1] == "stopped, and saved; to go on: resnets train --resume --out run"
    assert hub.load("run").labels == tuple("0123456789")


def test_ctrl_c_elsewhere_is_130_without_a_traceback(place):
    """Before anything has begun there is nothing to save."""
    code = """
import os, signal
from resnets.cli import main, models
models.tables.model_rows = lambda pattern: os.kill(os.getpid(), signal.SIGINT)
main.main(["models"])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr.strip()) == (130, "")


@pytest.mark.parametrize(
    ("number", "form"),
    [
        (signal.SIGINT, "json"),
        (signal.SIGKILL, "csv"),
        pytest.param(signal.SIGINT, "csv", marks=pytest.mark.slow),
        pytest.param(signal.SIGKILL, "json", marks=pytest.mark.slow),
    ],
)
def test_predict_is_stopped_and_goes_on_as_if_it_had_not_been(number, form, place):
    for n in range(1200):
        os.link("colours/red/0.png", f"colours/green/{n + 10:04}.png")
    file = place / f"answers.{form}"
    words = f"predict model.safetensors colours -j 2 -b 8 --out {file.name}"
    process = started(words, place)
    while process.poll() is None and (not file.exists() or file.stat().st_size < 5000):
        time.sleep(0.002)
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    content = file.read_text()
    assert out == "" and "Traceback" not in err and process.returncode == (130 if number == signal.SIGINT else -number), err
    if number == signal.SIGINT:
        assert content.endswith("\n")
        assert err.strip() == f"stopped; {file.name} is whole as far as it goes; to go on: the same command with --resume"
    process = started(f"{words} --resume", place)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0 and file.read_text().startswith(content.rpartition("\n")[0]), err
    with file.open(newline="") as lines:
        rows = list(csv.DictReader(lines)) if form == "csv" else [json.loads(line) for line in lines]
    assert [row["path"] for row in rows] == [str(path.relative_to(place)) for path in sorted(place.glob("colours/*/*.png"))]
    assert int(out.split()[2]) < len(rows) == 1209


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 2])
def test_a_reader_that_has_seen_enough_ends_it_quietly(workers, place):
    """As `resnets predict ... | head -1` does."""
    for n in range(2000):
        os.link("colours/red/0.png", f"colours/green/{n + 10}.png")
    process = started(f"predict model.safetensors colours -j {workers} -b 16", place)
    first = process.stdout.readline()
    process.stdout.close()
    err = process.stderr.read()
    assert first.startswith("colours/blue/0.png") and (process.wait(timeout=60), err) == (0, "")


def test_models_into_head(place):
    process = started("models", place)
    process.stdout.close()
    assert (process.stderr.read(), process.wait(timeout=60)) == ("", 0)
