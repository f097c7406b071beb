"""`resnets report`: the page of a run, or of several compared, from their directories."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from resnets.engine.run import RunDir
from resnets.errors import InputError
from resnets.verbs.report import run as one
from resnets.verbs.report import several


def report(runs: Sequence[str | Path], *, out: str | Path | None = None) -> Path:
    """Make the page of a run, or of several compared (see `several.compare`); its path.

    Args:
        runs: run directories.
        out: the file to write; None: report.html in the run directory, of several runs compare.html.

    Raises:
        InputError: where a run is no folder.
    """
    if len(several.expanded(runs)) > 1:
        return several.write(runs, Path("compare.html" if out is None else out))
    folders = [RunDir(folder) for folder in runs]
    for folder in folders:
        if not folder.path.is_dir():
            raise InputError(f"{folder.path}: no such run directory; `resnets train --out DIR` makes one")
    return one.write(folders[0].path, None if out is None else Path(out))
