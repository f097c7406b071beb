"""`resnets report`: the page of a run, from its directory."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from resnets.engine.run import RunDir
from resnets.errors import InputError
from resnets.verbs.report import run as one


def report(runs: Sequence[str | Path], *, out: str | Path | None = None) -> Path:
    """Make the page of a run; its path.

    Args:
        runs: run directories.
        out: the file to write; None: report.html in the run directory.

    Raises:
        InputError: where a run is no folder.
    """
    folders = [RunDir(folder) for folder in runs]
    for folder in folders:
        if not folder.path.is_dir():
            raise InputError(f"{folder.path}: no such run directory; `resnets train --out DIR` makes one")
    if len(folders) != 1:
        raise InputError("give one run directory; several on one page are not supported")
    return one.write(folders[0].path, None if out is None else Path(out))
