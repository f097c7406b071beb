"""Runs that are stopped on the way, by bad pictures, divergence, a full disk or full memory: what was there stays."""

import csv
import errno
import os
import subprocess

import pytest
import torch

from tests.cli.bad_input.made import TRAIN, Case, all_text, command, folder, many_bad, pets, snapshot, text, told

# --- runs that are stopped on the way --------------------------------------------------------------------------------


MIDWAY = {
    "more bad than --max-bad": Case(
        lambda d: many_bad(d, 4),
        "--normalise imagenet --max-bad 2",
        "3 pictures cannot be read, and --max-bad allows 2",
        "raise --max-bad",
    ),
    "every validation picture broken": Case(
        lambda d: (
            folder(d / "pets", train__cat=4, train__dog=4),
            text(d / "pets/val/cat/1.jpg"),
            text(d / "pets/val/dog/1.jpg"),
        ),
        "",
        "no picture of the validation split can be read",
        "`resnets data check` says why",
    ),
    "every training picture broken": Case(
        all_text, "--normalise imagenet", "no picture of the training split can be read", "`resnets data check` says why"
    ),
    "a rate that is far too high": Case(pets, "--lr 1e30", "the run has diverged", "start again with a lower --lr"),
}


@pytest.mark.parametrize("name", MIDWAY)
def test_stopped_on_the_way(name, tmp_path, capsys):
    """What was there is untouched, and the message stands after the lines of the run, before what says more of it."""
    case = MIDWAY[name]
    case.make(tmp_path)
    before = snapshot(tmp_path)
    code, out, err = command(f"{TRAIN} {case.words}", capsys)
    assert (code, out) == (2, "") and "Traceback" not in err, err
    message = err.partition("\nmore: ")[0].splitlines()[-1]
    assert message.startswith("error: ") and case.wrong in message and case.remedy in message, err
    assert snapshot(tmp_path).items() >= before.items()


def test_a_run_that_met_too_many_bad_pictures_goes_on_as_its_message_says(tmp_path, capsys):
    many_bad(tmp_path, 4)
    assert command(f"{TRAIN} --normalise imagenet --max-bad 2", capsys)[0] == 2
    code, _, err = command("train --resume --out run --max-bad 4", capsys)
    assert code == 0, err
    with (tmp_path / "run/bad_images.csv").open(newline="") as file:
        assert {row["path"] for row in csv.DictReader(file)} == {f"pets/cat/bad{n}.jpg" for n in range(4)}


# --- the disk --------------------------------------------------------------------------------------------------------


def test_a_full_disk_stops_a_run_and_space_lets_it_go_on(tmp_path, capsys, monkeypatch):
    """Every write from the sixth on meets a full disk: the files of before stay whole, and the run goes on where it stood."""
    pets(tmp_path)
    sync, count = os.fsync, []

    def full(file):
        count.append(file)
        if len(count) > 5:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        sync(file)

    monkeypatch.setattr(os, "fsync", full)
    code, _, err = command(TRAIN.replace("--epochs 1", "--epochs 3"), capsys)
    assert code == 2 and "Traceback" not in err, err
    assert "cannot be written (No space left on device); free some space, and start it again" in err.splitlines()[-1]
    assert not list((tmp_path / "run").glob(".*")), "a half-written file was left behind"
    monkeypatch.setattr(os, "fsync", sync)
    code, _, err = command("train --resume --out run", capsys)
    assert code == 0, err
    assert len((tmp_path / "run/metrics.csv").read_text().splitlines()) == 4


def test_a_disk_that_is_full_from_the_start_leaves_nothing_in_the_way(tmp_path, capsys, monkeypatch):
    pets(tmp_path)

    def full(file):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        code, _, err = command(TRAIN, capsys)
    assert code == 2 and "free some space" in err.splitlines()[-1], err
    assert command(TRAIN, capsys)[0] == 0


def test_a_really_full_disk(tmp_path, capsys):
    """A file system of its own, of 100 kB, where this user may mount one."""
    pets(tmp_path)
    disk = tmp_path / "disk"
    disk.mkdir()
    try:
        mounted = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=100k", "tmpfs", str(disk)], capture_output=True, check=False
        )
    except OSError:
        pytest.skip("there is no mount here")
    if mounted.returncode:
        pytest.skip("may not mount a file system")
    try:
        code, _, err = command(TRAIN.replace("--out run", "--out disk/run"), capsys)
        assert code == 2 and "Traceback" not in err, err
        message = err.splitlines()[-1]
        assert message.startswith("error: disk/run/") and "No space left on device" in message and "free some space" in message
    finally:
        subprocess.run(["umount", str(disk)], check=True)


@pytest.mark.parametrize("kind", [MemoryError, torch.OutOfMemoryError])
def test_memory_that_runs_out_is_the_inputs_fault(kind, tmp_path, capsys, monkeypatch):
    pets(tmp_path)

    def exhausted(*args, **kwargs):
        raise kind("Unable to allocate 224. GiB")

    monkeypatch.setattr("resnets.tasks.image_level.task.open_source", exhausted)
    code, _, err = command(TRAIN, capsys)
    assert code == 2, err
    message = told(err)
    assert "memory" in message and "--batch-size" in message and "--img-size" in message
