"""Mutated files, given to every reader: the programs in `benchmarks/` with few inputs."""

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPTS = {"fuzz_models.py": ("--inputs", "30"), "fuzz_data.py": ("--num", "100")}


@pytest.mark.slow
@pytest.mark.parametrize("name", SCRIPTS)
def test_no_mutated_file_ends_in_a_traceback_or_worse(name):
    script = Path(__file__).parents[1] / "benchmarks" / name
    done = subprocess.run(
        [sys.executable, script, *SCRIPTS[name], "--seed", "7000"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
