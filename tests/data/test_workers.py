"""Worker processes where they are not forked."""

import subprocess
import sys

import pytest

SCRIPT = """
import multiprocessing, os, sys
from resnets.data import workers
{guard}
    multiprocessing.set_start_method({how!r}, force=True)
    workers.check_spawning()
    print("checked", os.getpid())
"""


GUARDED, BARE = 'if __name__ == "__main__":', "if True:"
ALSO = [(GUARDED, "spawn"), (GUARDED, "forkserver"), (BARE, "forkserver")]


@pytest.mark.parametrize(("guard", "how"), [(BARE, "spawn"), *(pytest.param(*each, marks=pytest.mark.slow) for each in ALSO)])
def test_a_program_that_trains_as_it_is_imported_is_told_in_one_line(guard, how, tmp_path):
    """Before any worker starts; the process that is tried says nothing."""
    script = tmp_path / "script.py"
    script.write_text(SCRIPT.format(guard=guard, how=how))
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, check=False)
    last = (done.stderr.splitlines() or [""])[-1]
    if "__main__" in guard:
        assert done.stdout.startswith("checked") and done.stderr == ""
    else:
        assert done.returncode == 1 and done.stdout == "" and done.stderr.count("Traceback") == 1
        assert "InputError" in last and 'if __name__ == "__main__":' in last and "workers=0" in last
