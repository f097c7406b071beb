"""Going on with a run by other settings, on other data or from a damaged state is refused, and nothing is changed."""

import os
import pickle
import shlex
import shutil
from pathlib import Path

import pytest

from resnets.cli.main import main
from tests.cli.bad_input.made import FAST, TRAIN, Case, Evil, command, nothing, pets, snapshot, told


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A folder with a finished run in run/, on pets/."""
    here = tmp_path_factory.mktemp("finished")
    pets(here)
    before = Path.cwd()
    os.chdir(here)
    try:
        with pytest.raises(SystemExit) as stopped:
            main(shlex.split(TRAIN))
    finally:
        os.chdir(before)
    assert stopped.value.code == 0
    return here


def append(path, content):
    path.write_text(path.read_text(encoding="utf-8") + content, encoding="utf-8")


RESUMED = {
    "other settings": Case(
        nothing,
        "--lr 0.3 --batch-size 5 --resume",
        "lr was 0.025, not 0.3; batch_size was 4, not 5",
        "leave that out to go on as it was",
    ),
    "another network": Case(
        nothing, "--model resnet18 --resume", "model was resnet20_cifar, not resnet18", "start a new run without --resume"
    ),
    "another unit of length": Case(
        nothing, "--steps 9 --resume", "steps was None, not 9 (a run can be made longer", "start a new"
    ),
    "other data by name": Case(nothing, "digits --resume", "data was pets, not digits", "start a new run without --resume"),
    "other data by content": Case(
        lambda d: (d / "pets/cat/0.png").unlink(), "--resume", "the data has changed since the run began", "or start a new run"
    ),
    "data that is gone": Case(
        lambda d: shutil.rmtree(d / "pets"), "--resume", "no file or folder 'pets'", "the built-in datasets are"
    ),
    "a recipe with an unknown key": Case(
        lambda d: append(d / "run/recipe.yaml", "epoch: 3\n"),
        "--resume",
        "there is no setting 'epoch'",
        "did you mean epochs?",
    ),
    "a recipe that is damaged": Case(
        lambda d: append(d / "run/recipe.yaml", "]\n"),
        "--resume",
        "run/recipe.yaml: cannot be read as a recipe",
        "give a YAML file",
    ),
    "no --resume": Case(nothing, FAST, "run: exists and is not empty", "go on with it by --resume, or choose another --out"),
}


@pytest.mark.parametrize("name", RESUMED)
def test_going_on_is_refused(name, finished, tmp_path, capsys):
    case = RESUMED[name]
    shutil.copytree(finished, tmp_path, dirs_exist_ok=True)
    case.make(tmp_path)
    before = snapshot(tmp_path)
    words = case.words if case.words.startswith("digits") or "--resume" in case.words else f"pets {case.words}"
    code, _, err = command(f"train {words} --out run", capsys)
    assert code == 2, err
    message = told(err)
    assert case.wrong in message and case.remedy in message, message
    assert snapshot(tmp_path) == before


DAMAGED = {
    "cut short": Case(
        lambda run: (run / "resume.safetensors").write_bytes((run / "resume.safetensors").read_bytes()[:-50]),
        "",
        "resume.safetensors: cannot be read",
        "copy it again",
    ),
    "another file": Case(
        lambda run: shutil.copy(run / "best.safetensors", run / "resume.safetensors"),
        "",
        "its format is resnets/1, and this version reads resnets-resume/1",
        "start a new run",
    ),
    "a pickle": Case(
        lambda run: (run / "resume.safetensors").write_bytes(pickle.dumps(Evil())),
        "",
        "this is a pickle",
        "only .safetensors files are read",
    ),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_a_damaged_state_is_refused(name, finished, tmp_path, capsys):
    case = DAMAGED[name]
    shutil.copytree(finished, tmp_path, dirs_exist_ok=True)
    case.make(tmp_path / "run")
    kept = {name: (tmp_path / "run" / name).read_bytes() for name in ("best.safetensors", "last.safetensors", "metrics.csv")}
    code, _, err = command("train --resume --out run", capsys)
    assert code == 2 and "Traceback" not in err, err
    message = err.splitlines()[-1]
    assert message.startswith("error: run/") and case.wrong in message and case.remedy in message, err
    assert all((tmp_path / "run" / name).read_bytes() == content for name, content in kept.items())
    assert not (tmp_path / "pwned").exists()
