"""The run directory: whole files or none, free numbers, tables that read back, a record of where it all comes from."""

import errno
import json
import math
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from resnets import files
from resnets.engine.run import RunDir, git_state, number, provenance
from resnets.errors import InputError
from resnets.files import replacing, write_json, write_text


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def names(folder):
    return sorted(path.name for path in folder.iterdir())


# --- whole files or none -----------------------------------------------------------------------------------------------


def test_a_file_takes_the_place_of_the_old_one_when_it_is_whole(tmp_path):
    path = tmp_path / "new/folder/a.txt"
    write_text(path, "one")
    with replacing(path) as temporary:
        temporary.write_text("two")
        assert path.read_text() == "one" and temporary.suffix == ".txt" and temporary.parent == path.parent
    assert path.read_text() == "two" and names(path.parent) == ["a.txt"]


@pytest.mark.parametrize("error", [KeyError, ValueError, KeyboardInterrupt])
def test_an_error_leaves_what_was_there(error, tmp_path):
    path = write_text(tmp_path / "a.txt", "old")
    with pytest.raises(error), replacing(path) as temporary:
        temporary.write_text("half")
        raise error
    assert path.read_text() == "old" and names(tmp_path) == ["a.txt"]


FULL = {
    "the system's error": OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)),
    "quota": OSError(errno.EDQUOT, os.strerror(errno.EDQUOT)),
    "safetensors' error": RuntimeError('Error: IoError(Os { code: 28, message: "No space left on device (os error 28)" })'),
}


@pytest.mark.parametrize("kind", FULL)
def test_a_full_disk_is_said_with_a_remedy_and_leaves_what_was_there(kind, tmp_path):
    path = write_text(tmp_path / "a.txt", "old")
    with (
        pytest.raises(InputError, match=r"a\.txt: cannot be written .*free some space, and start it again"),
        replacing(path) as temporary,
    ):
        temporary.write_text("half")
        raise FULL[kind]
    assert path.read_text() == "old" and names(tmp_path) == ["a.txt"]


def test_a_disk_that_is_full_only_when_it_must_be_true(tmp_path, monkeypatch):
    path = write_text(tmp_path / "a.txt", "old")

    def full(_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(files.os, "fsync", full)
    with pytest.raises(InputError, match="free some space"):
        write_text(path, "new")
    assert path.read_text() == "old" and names(tmp_path) == ["a.txt"]


def test_a_place_below_a_file_cannot_be_written(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"a\.txt: cannot be written .*choose another place with --out"):
        write_text(tmp_path / "file/a.txt", "x")


def test_files_may_be_read_by_whoever_may_read_here(tmp_path):
    (tmp_path / "plain").touch()
    assert write_text(tmp_path / "a", "x").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_json_is_readable_text(tmp_path):
    path = write_json(tmp_path / "a.json", {"größe": [1, 2.5, None]})
    assert "größe" in path.read_text(encoding="utf-8") and json.loads(path.read_text(encoding="utf-8")) == {
        "größe": [1, 2.5, None]
    }


# --- folders -----------------------------------------------------------------------------------------------------------


def test_the_next_free_number_counts_on_from_the_highest(here):
    assert RunDir.create(None, "classify").path == Path("runs/classify/train1")
    for name in ("train7", "train10", "trainer99", "train2b", "other50", "train"):
        (here / "runs/classify" / name).mkdir()
    assert RunDir.create(None, "classify").path == Path("runs/classify/train11")
    assert RunDir.create(None, "detect").path == Path("runs/detect/train1")
    assert RunDir.latest("classify").path == Path("runs/classify/train11")
    for seconds, run in enumerate([RunDir.latest("detect"), RunDir.latest("classify"), RunDir("runs/classify/train7")]):
        run.recipe.write_text("{}")
        os.utime(run.recipe, (seconds, seconds))
    assert RunDir.latest().path == Path("runs/classify/train11")  # by number within a task, and of the tasks by time
    os.utime("runs/detect/train1/recipe.yaml", (9, 9))
    assert RunDir.latest().path == Path("runs/detect/train1")


def test_runs_that_begin_together_get_a_folder_each(here):
    with ThreadPoolExecutor(8) as pool:
        runs = list(pool.map(lambda _: RunDir.create(None, "classify").path.name, range(32)))
    assert len(set(runs)) == 32


def test_latest_without_a_run_is_refused(here):
    with pytest.raises(InputError, match=r"no run in .*classify to go on with"):
        RunDir.latest("classify")


@pytest.mark.parametrize("make", [None, "new/deep", "empty"])
def test_out_is_new_or_empty(make, tmp_path):
    (tmp_path / "empty").mkdir()
    out = tmp_path / (make or "x")
    assert RunDir.create(out, "classify").path == out and out.is_dir()


@pytest.mark.parametrize(
    ("inside", "remedy"), [("recipe.yaml", "go on with it by --resume"), ("notes", "choose another --out")]
)
def test_an_occupied_folder_is_refused(inside, remedy, tmp_path):
    (tmp_path / inside).touch()
    with pytest.raises(InputError, match=f"exists and is not empty; {remedy}"):
        RunDir.create(tmp_path, "classify")


@pytest.mark.parametrize(("out", "why"), [("file", "is no folder"), ("file/below", r"cannot be made \(.*\)")])
def test_a_folder_that_cannot_be_made_is_refused(out, why, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=f"{why}; choose another folder with --out"):
        RunDir.create(tmp_path / out, "classify")


def test_runs_that_is_a_file_is_refused(here):
    (here / "runs").touch()
    with pytest.raises(InputError, match="cannot be made"):
        RunDir.create(None, "classify")


# --- tables and records ------------------------------------------------------------------------------------------------


def test_metrics_read_back_as_they_were_written(tmp_path):
    rows = [{"epoch": 1, "step": 10, "lr": 1e-8, "loss": 0.1 + 0.2}, {"epoch": 2, "step": 20, "lr": 0.0, "loss": -1.0}]
    run = RunDir(tmp_path)
    assert run.read_metrics() == []
    run.write_metrics(rows)
    assert run.read_metrics() == rows
    first = run.metrics.read_bytes()
    run.write_metrics(run.read_metrics())
    assert run.metrics.read_bytes() == first and b"\r" not in first


def test_metrics_for_programs_are_an_object_a_line(tmp_path):
    run = RunDir(tmp_path)
    run.write_metrics([{"epoch": 1, "val_loss": 0.5, "val_top1": math.nan}, {"epoch": 2, "val_loss": 0.25, "val_top1": 1.0}])
    assert [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()] == [
        {"epoch": 1, "val_loss": 0.5, "val_top1": None},
        {"epoch": 2, "val_loss": 0.25, "val_top1": 1.0},
    ]


@pytest.mark.parametrize(("text", "value"), [("3", 3), ("-3", -3), ("3.0", 3.0), ("1e-08", 1e-8), ("inf", math.inf)])
def test_numbers_of_a_cell(text, value):
    assert number(text) == value and type(number(text)) is type(value)


def test_an_empty_cell_is_nan():
    assert math.isnan(number(""))


def test_bad_images_are_listed_only_where_there_are_some(tmp_path):
    run = RunDir(tmp_path)
    run.write_bad_images({})
    assert not run.bad_images.exists()
    run.write_bad_images({"b.png": "truncated", "a, b.png": 'said "no"'})
    assert run.bad_images.read_text() == 'path,reason\n"a, b.png","said ""no"""\nb.png,truncated\n'


def test_provenance_is_added_to(tmp_path):
    run = RunDir(tmp_path)
    run.update_provenance(seed=1, data={"name": "x"})
    assert run.update_provenance(seconds=2.5) == {"seed": 1, "data": {"name": "x"}, "seconds": 2.5}
    assert json.loads(run.provenance.read_text()) == {"seed": 1, "data": {"name": "x"}, "seconds": 2.5}


def test_provenance_says_command_versions_device_and_time(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["/x/bin/resnets", "train", "a folder"])
    found = provenance({"type": "cpu"})
    assert found["command"] == "resnets train 'a folder'" and found["device"] == {"type": "cpu"}
    assert set(found) == {"command", "started", "versions", "device", "platform", "git"}
    assert set(found["versions"]) == {"resnets", "torch", "torchvision", "numpy", "pillow", "python"}
    assert found["started"].endswith("+00:00") and json.dumps(found)


def test_git_state_is_none_outside_of_git_and_names_the_commit_inside(here, monkeypatch):
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(here.parent))
    assert git_state() is None
    who = ["-c", "user.name=n", "-c", "user.email=e"]
    (here / "a").write_text("1")
    for words in (["init", "-q"], ["add", "a"], [*who, "commit", "-q", "-m", "m"]):
        subprocess.run(["git", *words], check=True)
    state = git_state()
    assert len(state["commit"]) == 40 and state["dirty"] is False
    (here / "a").write_text("2")
    assert git_state() == state | {"dirty": True}
    monkeypatch.setenv("PATH", "")
    assert git_state() is None
