"""Files of others: regular and bounded ones are read, and whatever else is refused at once."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from resnets.data.foreign import guarded, is_file, open_file, parse_json, read_file, read_text, reason
from resnets.errors import InputError

FUZZ = Path(__file__).parents[2] / "benchmarks/fuzz_data.py"


def test_regular_files_up_to_a_limit(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(b"\xef\xbb\xbfhello")
    assert is_file(path) and read_file(path, 8) == path.read_bytes() and read_text(path, 8) == "hello"
    with pytest.raises(OSError, match="8 bytes, more than the 7 that are read"):
        open_file(path, 7)
    (tmp_path / "link").symlink_to(path)
    assert read_text(tmp_path / "link", 8) == "hello"


def test_pipes_devices_and_folders_are_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "zero").symlink_to("/dev/zero")
    for name in ("pipe", "zero"):
        with pytest.raises(OSError, match="a pipe or a device"):
            read_file(tmp_path / name, 10)
        assert not is_file(tmp_path / name)
    with pytest.raises(IsADirectoryError):
        open_file(tmp_path)


@pytest.mark.parametrize("name", ["a" * 5000, "\ud800", "a\0b"])
def test_names_that_no_file_can_have(tmp_path, name):
    assert not is_file(tmp_path / name)


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 100_000, "9" * 5000, "[1", "\ud800"])
def test_json_that_is_none(text):
    with pytest.raises(ValueError, match=r"nested|digits|Expecting"):
        parse_json(text)


def test_any_exception_of_a_reader_names_the_file():
    for error in (RecursionError("deep"), ZeroDivisionError(), KeyError("x" * 10_000), MemoryError()):
        with pytest.raises(InputError, match=r"^a\.bin: ") as raised, guarded("a.bin", "numbers", "write it again"):
            raise error
        assert len(str(raised.value)) < 300 and str(raised.value).endswith("; write it again")
    with pytest.raises(InputError, match=r"^mine$"), guarded("a.bin", "numbers"):
        raise InputError("mine")
    assert reason(OSError(2, "No such file")) == "No such file" and reason(ValueError()) == "ValueError"


@pytest.mark.slow
def test_mutated_inputs_of_every_reader():
    done = subprocess.run([sys.executable, FUZZ, "--num", "100", "--seed", "7000"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    *_, last = done.stdout.strip().splitlines()
    assert last.split()[0] == "all" and last.split()[-1] == "0"
