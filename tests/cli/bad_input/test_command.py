"""The command itself: unknown verbs, exit codes as a shell sees them, tracebacks and --debug."""

import os
import shlex
import subprocess
import sys

import pytest

from tests.cli.bad_input.made import FAST, Case, command, nothing, pets, refused, told

CASES = {
    "unknown verb": Case(nothing, "trian", "there is no command 'trian'", "did you mean train"),
}


@pytest.mark.parametrize("name", CASES)
def test_refused(name, tmp_path, capsys):
    refused(name, CASES[name], tmp_path, capsys)


@pytest.mark.parametrize("words", ["info locked/m.safetensors", f"train locked {FAST}", f"train pets --out locked/run {FAST}"])
def test_what_may_not_be_read_or_written(words, tmp_path, capsys):
    pets(tmp_path)
    (tmp_path / "locked").mkdir()
    (tmp_path / "locked").chmod(0)
    try:
        if os.access(tmp_path / "locked", os.R_OK):
            pytest.skip("this user may read and write everything")
        code, _, err = command(words, capsys)
        assert code == 2 and "locked" in told(err)
    finally:
        (tmp_path / "locked").chmod(0o700)


@pytest.mark.parametrize(
    "words, code",
    [
        ("info resnet51", 2),
        ("info resnet18", 0),
        *(
            pytest.param(*each, marks=pytest.mark.slow)
            for each in (("models vgg", 2), ("train --lr high", 2), ("nonsense", 2), ("--help", 0))
        ),
    ],
)
def test_exit_codes_of_the_command_itself(words, code, tmp_path):
    done = subprocess.run([sys.executable, "-m", "resnets", *shlex.split(words)], capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    assert bool(done.stderr) == bool(code)


def test_an_output_that_knows_ascii_only(tmp_path):
    environment = os.environ | {"PYTHONIOENCODING": "ascii"}
    done = subprocess.run(
        [sys.executable, "-m", "resnets", "info", "resnet18"], capture_output=True, env=environment, check=False
    )
    assert done.returncode == 0 and b"Traceback" not in done.stderr


def test_our_own_fault_is_a_traceback_and_1(tmp_path):
    code = "from resnets.cli import main, models\nmodels.tables.model_rows = lambda pattern: 1 / 0\nmain.main(['models'])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 1 and "ZeroDivisionError" in done.stderr


def test_debug_shows_where_it_was_found(capsys):
    code, _, err = command("info resnet51 --debug", capsys)
    assert code == 2 and "Traceback" in err and err.splitlines()[-2].startswith("error: no network is called")
    code, _, err = command("--debug info resnet51", capsys)
    assert code == 2 and "Traceback" in err
