"""Jobs that run in a process of their own: starting the process and reading its answers, and the process's side.

Everything that is made or measured has its own process, so that threads, settings and memory of one do not affect another, and
a cold start is a real one. Importing this module imports no torch.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, TypedDict, TypeVar

from resnets.errors import InputError

BEGAN = time.perf_counter()


class Job(TypedDict, total=False):
    """What a process is to do, as JSON can hold it; each benchmark adds its own keys."""

    verb: str  # the function that it calls
    name: str  # what to make or to measure
    folder: str  # for temporary files


J = TypeVar("J", bound=Job)
Tell = Callable[..., None]  # called with values by name, which the asking process receives


class Failed(Exception):
    """A process failed. The text is the last line that it wrote to stderr."""


def ask(module: str, job: Job, verb: str, name: str) -> dict[str, Any]:
    """Run a job in a new process, `python -m module`.

    Returns:
        All values that it tells, by name, and "cold_start_seconds": the time from its start to the first of them.

    Raises:
        Failed: if the process fails.
        InputError: if it reports that the user's input is wrong.
    """
    told: dict[str, Any] = {}
    began = time.perf_counter()
    with tempfile.TemporaryFile("w+", errors="replace") as errors:
        process = subprocess.Popen(
            [sys.executable, "-m", module],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True, start_new_session=True,
        )  # fmt: skip
        assert process.stdin and process.stdout
        try:
            with suppress(BrokenPipeError), process.stdin as stdin:  # it may have ended already
                stdin.write(json.dumps({**job, "verb": verb, "name": name}))
            for line in process.stdout:
                told = {"cold_start_seconds": time.perf_counter() - began} | told | json.loads(line)
            process.wait()
        finally:
            end(process)
        if process.returncode:
            errors.seek(0)
            said = [line.strip() for line in errors if line.strip()]
            raise Failed(said[-1] if said else f"ended with {process.returncode}")
    if "input_error" in told:
        raise InputError(told["input_error"])
    return told


def end(process: subprocess.Popen[str]) -> None:
    """Kill a process that still runs, and the processes that it started."""
    if process.poll() is None:
        if hasattr(os, "killpg"):
            os.killpg(process.pid, signal.SIGKILL)
        process.kill()
        process.wait()
    if process.stdout:
        process.stdout.close()


def answer(verbs: Mapping[str, Callable[[J, Tell], None]]) -> None:
    """Read a job (JSON) from stdin, call its function in `verbs`, and write what it tells to stdout, one JSON object a line."""
    job = json.load(sys.stdin)
    with os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8") as out:
        os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what libraries print must not mix with the answer

        def tell(**values: Any) -> None:
            print(json.dumps(values), file=out, flush=True)

        try:
            verbs[job["verb"]](job, tell)
        except InputError as fault:
            tell(input_error=str(fault))
