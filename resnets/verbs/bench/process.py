"""A job for a process of its own, and what it tells: the asking end, and the answering one.

Whatever is made or measured has a process of its own, so that threads, settings and memory of one do not touch another, and a
cold start is one. Importing this imports no torch.
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
from typing import Any

from resnets.errors import InputError

BEGAN = time.perf_counter()
Job = dict[str, Any]  # what JSON can hold; "verb" and "name" say what to do with what
Tell = Callable[..., None]


class Failed(Exception):
    """A process ended badly; the last line that it wrote on stderr."""


def ask(module: str, job: Job, verb: str, name: str) -> dict[str, Any]:
    """All that `python -m module` tells of a job, and "cold_start_seconds" from starting it to the first that it tells.

    Raises:
        Failed: where the process ends badly.
        InputError: where it says that the input is at fault.
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
                stdin.write(json.dumps(job | {"verb": verb, "name": name}))
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
    """End a process, if it still runs, with those that it started."""
    if process.poll() is None:
        if hasattr(os, "killpg"):
            os.killpg(process.pid, signal.SIGKILL)
        process.kill()
        process.wait()
    if process.stdout:
        process.stdout.close()


def answer(verbs: Mapping[str, Callable[[Job, Tell], None]]) -> None:
    """Do the job (JSON) on stdin, and tell what is found on stdout, JSON by the line."""
    job = json.load(sys.stdin)
    with os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8") as out:
        os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what libraries print is no part of the answer

        def tell(**values: Any) -> None:
            print(json.dumps(values), file=out, flush=True)

        try:
            verbs[job["verb"]](job, tell)
        except InputError as fault:
            tell(input_error=str(fault))
