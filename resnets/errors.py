"""What went wrong, told apart by whose fault it is; and checks that end in an `InputError`. Imports nothing of the package."""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any


class InputError(ValueError):
    """The user's input is at fault. The message says what is wrong, where, and what to do; the command line exits with 2."""


class Interrupted(Exception):
    """A run was asked to stop by `signal`, and its state is saved in `folder`; `text` says how to go on."""

    def __init__(self, signal: int, folder: Path, text: str | None = None) -> None:
        super().__init__(text or f"stopped, and saved; to go on: resnets train --resume --out {shlex.quote(str(folder))}")
        self.signal, self.folder = signal, folder


class ProcessEnded(Exception):
    """This process ends because another one did; the text says so, or nothing where the first process speaks for all."""


def check_choices(row: Any, choices: Mapping[str, tuple[str, ...]]) -> None:
    """Raise `InputError` where a field of the dataclass `row` that is named in `choices` holds anything else."""
    for field in dataclasses.fields(row):
        value, allowed = getattr(row, field.name), choices.get(field.name)
        if allowed and value not in allowed:
            raise InputError(f"{field.name}={value!r} is not known; use one of: {', '.join(allowed)}")


def is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
