"""Mutated files, given to every reader of models, recipes and records: `benchmarks/fuzz_models.py` with few inputs."""

import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.slow
def test_no_mutated_file_ends_in_a_traceback_or_worse():
    script = Path(__file__).parents[1] / "benchmarks" / "fuzz_models.py"
    done = subprocess.run(
        [sys.executable, script, "--inputs", "30", "--seed", "7"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
