"""The result of a benchmark as text: on the terminal, and in a Markdown file beside its JSON."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar

from resnets.errors import InputError
from resnets.files import ELSEWHERE, write_json, write_text
from resnets.models.records import CodeRecord
from resnets.verbs.bench.rows import Unmeasured

R = TypeVar("R")


class Result(CodeRecord, Generic[R]):
    """What the results of all benchmarks have, beside the record of the code and the machine; R: a row that was measured."""

    model: str
    rounds: int
    rows: list[R | Unmeasured]
    notes: list[str]  # remarks for people, such as what was left out


class Report(NamedTuple):
    """A result as text.

    Args:
        heading: the conditions of the measurement, in lines.
        cells: the table, one list per row; the first is the head.
        right: how each column is aligned ("l" or "r"), as `draw.text.columns` takes it.
        remarks: lines below the table.
    """

    heading: list[str]
    cells: list[list[str]]
    right: str
    remarks: list[str]


def ratio(speed: float, other: float | None) -> float | None:
    """`speed` divided by `other`, rounded; None without another."""
    return None if other is None else round(speed / other, 3)


def heading(result: CodeRecord, first: str, *more: str) -> list[str]:
    """The conditions of the measurement in lines: `first`, the versions, `more`, and the time and the command."""
    versions = ", ".join(f"{name} {version}" for name, version in result["versions"].items())
    return [first, versions, *more, f"{result['started']}  {result['command']}"]


def remarks(result: Result[Any]) -> list[str]:
    """Why rows were not measured, and the notes."""
    return [f"{row['row']}: {row['error']}" for row in result["rows"] if "error" in row] + list(result["notes"])


def markdown(report: Report) -> str:
    """The report as Markdown: a list, a table, a list."""
    head, *rows = report.cells
    rule = [{"l": ":--", "r": "--:"}[side] for side in report.right]
    table = "\n".join(f"| {' | '.join(row)} |" for row in [head, rule, *rows])
    return "\n".join([*(f"- {line}" for line in report.heading), "", table, "", *(f"- {line}" for line in report.remarks)])


def write(result: Result[Any], report: Report, out: str | Path) -> list[Path]:
    """Write the result as OUT.json and the report as OUT.md; their paths. A suffix .json or .md of `out` is dropped."""
    return [write_json(file(out, ".json"), result), write_text(file(out, ".md"), markdown(report) + "\n")]


def file(out: str | Path, suffix: str) -> Path:
    return Path(str(out).removesuffix(".json").removesuffix(".md") + suffix)


def check_out(out: str | Path) -> None:
    """Check, before minutes are spent on measuring, that `write` will be able to write.

    Raises:
        InputError: if it will not.
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
