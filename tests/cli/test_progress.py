"""A live bar on a terminal; anywhere else exactly one plain line an epoch. Results go to stdout, all else to stderr."""

import contextlib
import json
import os
import re
import shlex
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest
from PIL import Image

from resnets.cli import progress
from resnets.cli.main import main
from resnets.engine.resume import Position
from resnets.ship import hub

FAST = "--model resnet20_cifar --depths 1,1,1 --width 4 --batch-size 64 --device cpu"
ESCAPE = "\x1b["


@pytest.mark.slow
def test_in_a_pipe_one_plain_line_an_epoch(tmp_path, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(shlex.split(f"train --out {tmp_path / 'run'} --epochs 3 {FAST}"))
    out, err = capsys.readouterr()
    assert stopped.value.code == 0
    assert ESCAPE not in out + err and "\r" not in out + err
    epochs = [line for line in err.splitlines() if line.startswith("epoch ")]
    assert [line.split()[1] for line in epochs] == ["1", "2", "3"]
    number = r"\d+\.\d{4}"
    for line in epochs:
        assert re.fullmatch(
            rf"epoch \d  step \d+/\d+  lr \S+(  best)?  train_loss {number}  train_top1 {number}  "
            rf"val_loss {number}  val_top1 {number}  \d+ img/s, \d+% waiting for data  \d+\.\d s",
            line,
        ), line
    assert err.splitlines()[-4:-1] == epochs, "nothing but epochs once the run has begun"
    assert re.fullmatch(
        r"speed    [\d,]+ pictures per second; hardware utilisation \(MFU\) \d+%: \S+ of \S+ TFLOP/s", err.splitlines()[-1]
    )
    first, *_, last = out.splitlines()
    assert "accuracy" in first and "resnets predict" in last and "epoch" not in out


def test_an_epoch_in_words():
    row = {"epoch": 2, "step": 40, "lr": 0.05, "train_loss": 1.5, "train_top1": 0.25, "val_loss": 2.0, "val_top1": 0.5}
    row |= {"images_per_second": 1234.4, "data_wait": 0.031, "seconds": 12.6}
    scores = "train_loss 1.5000  train_top1 0.2500  val_loss 2.0000  val_top1 0.5000"
    place, speed = "epoch 2  step 40/80  lr 0.05", "1234 img/s, 3% waiting for data  6.3 s"
    assert progress.epoch_line(row, Position(total_steps=80, best_epoch=1), 6.32) == f"{place}  {scores}  {speed}"
    assert progress.epoch_line(row, Position(total_steps=80, best_epoch=2), 6.32) == f"{place}  best  {scores}  {speed}"


def test_what_is_said_is_one_line_without_escape_codes(capsys):
    progress.Lines().say("run      two\nlines \x1b[31mred")
    assert capsys.readouterr().err == "run      two\\nlines \\x1b[31mred\n"


def test_in_a_pipe_a_line_a_minute_says_how_many_are_done(monkeypatch, capsys):
    now = iter([0.0, 59.0, 61.0, 61.0, 62.0, 130.0, 130.0])
    monkeypatch.setattr(progress, "time", SimpleNamespace(perf_counter=lambda: next(now)))
    with progress.counting("checking") as count:  # 0
        count(10, 1200)  # 59
        count(20.5, 1200)  # 61
        count(1100, 1200)  # 62
        count(1150, None)  # 130
    out, err = capsys.readouterr()
    assert (out, err) == ("", "checking  20 of 1,200 pictures\nchecking  1,150 pictures\n")


def on_a_terminal(words, folder, seconds=120):
    """Exit status, stdout (a pipe) and what came on stderr, which is a terminal."""
    pty = pytest.importorskip("pty")
    try:
        ours, theirs = pty.openpty()
    except OSError:
        pytest.skip("no terminal to be had")
    environment = os.environ | {"TERM": "xterm-256color", "COLUMNS": "120", "PYTHONUNBUFFERED": "1"}
    done = subprocess.Popen(
        [sys.executable, "-m", "resnets", *shlex.split(words)],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=theirs,
        env=environment,
    )
    os.close(theirs)
    seen, end = b"", time.monotonic() + seconds
    with contextlib.suppress(OSError):  # how a terminal ends on Linux
        while (part := os.read(ours, 4096)) and time.monotonic() < end:
            seen += part
    os.close(ours)
    out, _ = done.communicate(timeout=seconds)
    return done.returncode, out.decode(), seen.decode()


@pytest.mark.slow
def test_on_a_terminal_a_live_bar_with_rate_and_time_left(tmp_path):
    code, out, err = on_a_terminal(f"train --out run --epochs 3 {FAST}", tmp_path)
    assert code == 0, err
    assert ESCAPE in err and "steps/s" in err and "left" in err and re.search(r"\d+/\d+", err) and "loss" in err
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", err)
    assert [n for n in "123" if f"epoch {n}  step " in plain] == ["1", "2", "3"], "a line above the bar for every epoch"
    assert re.search(r"val_top1 [▁▂▃▄▅▆▇█]{2,3} 0\.\d{4}", plain), "the scores so far"
    assert ESCAPE not in out and "accuracy" in out.splitlines()[0] and "epoch" not in out
    assert err.rfind("\x1b[?25h") > err.rfind("\x1b[?25l"), "the cursor is back"


def test_on_a_terminal_checking_is_counted(tmp_path):
    code, out, err = on_a_terminal("data check digits", tmp_path)
    assert "checking" in err and "pictures" in err and ESCAPE not in out
    assert code in (0, 2) and "digits: 1,797 pictures" in out


@pytest.mark.slow
def test_on_a_terminal_an_error_is_a_plain_line(tmp_path):
    code, out, err = on_a_terminal("train --lr high", tmp_path)
    assert (code, out) == (2, "") and err.strip() == "error: lr='high': give a number"


@pytest.mark.slow
def test_on_a_terminal_a_long_prediction_into_a_file_is_counted(tmp_path):
    """Into the terminal itself it is not, for there the rows are."""
    for n in range(40):
        Image.new("RGB", (8, 8), (n, n, n)).save(tmp_path / f"{n}.png")
    hub.save(hub.create_model("resnet20_cifar", depths=(1, 1, 1), width=4), tmp_path / "model.safetensors")
    code, out, err = on_a_terminal("predict model.safetensors . --out all.csv", tmp_path)
    assert (code, out) == (0, "rows of 40 pictures written to all.csv\n"), err
    assert "predicting" in err and "40/40" in err and "pictures" in err
    code, out, err = on_a_terminal("predict model.safetensors . --format csv", tmp_path)
    assert (
        code == 0
        and err.strip().startswith("data     2 files left out: 1 .csv")
        and out.encode() == (tmp_path / "all.csv").read_bytes()
    )


@pytest.mark.slow  # the bar is that of checking; what is counted is quick in the tests of the verbs
def test_on_a_terminal_an_export_and_an_explanation_are_counted(tmp_path):
    for n in range(3):
        Image.new("RGB", (8, 8), (n, 90 * n, n)).save(tmp_path / f"{n}.png")
    hub.save(hub.create_model("resnet20_cifar", depths=(1, 1, 1), width=4), tmp_path / "model.safetensors")
    code, out, err = on_a_terminal("export model.safetensors --format torch --data . --json", tmp_path)
    assert code == 0 and json.loads(out)["num_images"] == 3, err
    assert "exporting" in err and "6/6" in err
    code, out, err = on_a_terminal("explain model.safetensors 0.png 1.png 2.png --method gradcam --out maps --json", tmp_path)
    assert code == 0 and len(json.loads(out)["images"]) == 3, err
    assert "explain" in err and "6/6" in err, "three of the check, and three themselves"
