"""Exceptions by cause (the user's input, a signal, another process), and checks that raise `InputError`.

Imports nothing from the package.
"""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any


class SmallInput(UserWarning):
    """The inputs are small for the network."""


class InputError(ValueError):
    """The user's input is wrong. The message says what, where, and how to correct it; the command line exits with status 2."""


class Interrupted(Exception):
    """A run was stopped by the signal number `signal`; its state is saved in `folder`. `text` says how to resume it."""

    def __init__(self, signal: int, folder: Path, text: str | None = None) -> None:
        super().__init__(text or f"stopped, and saved; to go on: resnets train --resume --out {shlex.quote(str(folder))}")
        self.signal, self.folder = signal, folder


class ProcessEnded(Exception):
    """This process ends because another process of the run has ended. The text is empty where rank 0 reports for all."""


def is_memory(error: BaseException) -> bool:
    """Whether there was too little memory, of a GPU (torch's `OutOfMemoryError`) or of the machine."""
    words = type(error).__name__ == "OutOfMemoryError" or "can't allocate memory" in str(error)
    return isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and words)


def check_choices(row: Any, choices: Mapping[str, Collection[str]]) -> None:
    """Raise `InputError` if a field of the dataclass instance `row` holds a value that `choices[field]` does not list."""
    for field in dataclasses.fields(row):
        value, allowed = getattr(row, field.name), choices.get(field.name)
        if allowed and (not isinstance(value, str) or value not in allowed):
            raise InputError(f"{field.name}={str(value)[:40]!r} is not known; use one of: {', '.join(allowed)}")


def is_whole(value: object) -> bool:
    """Whether `value` is an integer; True and False are not."""
    return isinstance(value, int) and not isinstance(value, bool)
