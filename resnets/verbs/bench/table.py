"""A result as people read it: on the terminal, and in a Markdown file beside its JSON."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from resnets.errors import InputError
from resnets.files import ELSEWHERE, write_json, write_text


class Report(NamedTuple):
    """A result in words.

    Args:
        heading: what the figures hold for, in lines.
        cells: the table, a row a list; the first is the head.
        right: the side that each column is aligned to, as `resnets.draw.text.columns` takes it.
        remarks: what is to be said below the table.
    """

    heading: list[str]
    cells: list[list[str]]
    right: str
    remarks: list[str]


def ratio(speed: float, other: float | None) -> float | None:
    return None if other is None else round(speed / other, 3)


def heading(result: Mapping[str, Any], first: str, *more: str) -> list[str]:
    """What the figures hold for: `first`, the versions, `more`, and when they were measured by which command."""
    versions = ", ".join(f"{name} {version}" for name, version in result["versions"].items())
    return [first, versions, *more, f"{result['started']}  {result['command']}"]


def remarks(result: Mapping[str, Any]) -> list[str]:
    return [f"{row['row']}: {row['error']}" for row in result["rows"] if "error" in row] + list(result["notes"])


def markdown(report: Report) -> str:
    head, *rows = report.cells
    rule = [{"l": ":--", "r": "--:"}[side] for side in report.right]
    table = "\n".join(f"| {' | '.join(row)} |" for row in [head, rule, *rows])
    return "\n".join([*(f"- {line}" for line in report.heading), "", table, "", *(f"- {line}" for line in report.remarks)])


def write(result: Mapping[str, Any], report: Report, out: str | Path) -> list[Path]:
    """The result as FILE.json, and its table as FILE.md beside it."""
    return [write_json(file(out, ".json"), result), write_text(file(out, ".md"), markdown(report) + "\n")]


def file(out: str | Path, suffix: str) -> Path:
    return Path(str(out).removesuffix(".json").removesuffix(".md") + suffix)


def check_out(out: str | Path) -> None:
    """Find out before minutes are spent whether `write` will be able to.

    Raises:
        InputError: where it will not.
    """
    paths = [file(out, suffix) for suffix in (".json", ".md")]
    for path in paths:
        if path.is_dir():
            raise InputError(f"{path}: is a folder; {ELSEWHERE}")
    folder = paths[0].parent
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise InputError(f"{folder}: cannot be written to ({error.strerror}); {ELSEWHERE}") from None
