"""Text for terminals and files: aligned columns, percentages, lines that are safe to print, and lines of CSV."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Sequence

from resnets.stores import told


def columns(rows: Sequence[Sequence[str]], right: str) -> str:
    """A table as text: one line per row, cells padded to the width of their column, two spaces between columns.

    Args:
        rows: at least one, all of the same length.
        right: one letter per column, "r" for right-aligned, any other for left-aligned.
    """
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = [
        "  ".join(cell.rjust(w) if side == "r" else cell.ljust(w) for cell, w, side in zip(row, widths, right, strict=True))
        for row in rows
    ]
    return "\n".join(line.rstrip() for line in lines)


def visible(text: str) -> str:
    """The text on one line, with characters that are not printable written as escapes such as "\\n" and "\\x1b"; of copies of
    what is in an object store, the addresses.

    Names of files and classes may contain line feeds and control sequences, which must not reach the terminal.
    """
    return "".join(sign if sign.isprintable() else sign.encode("unicode_escape").decode() for sign in told(text))


def printable(text: str) -> str:
    """The text with each of its lines `visible`."""
    return "\n".join(map(visible, text.split("\n")))


def share(value: float | None) -> str:
    """A fraction as a percentage: 0.1234 as "12.34%", None as "-"."""
    return "-" if value is None else f"{value:.2%}"


def sparkline(values: Sequence[float], width: int = 24) -> str:
    """The last `width` values as one character each, from the lowest "▁" to the highest "█" of these; " " where it is NaN."""
    last = values[-width:]
    known = [value for value in last if math.isfinite(value)]
    low, high = min(known, default=0.0), max(known, default=0.0)
    steps = [7 * (value - low) / ((high - low) or 1.0) if math.isfinite(value) else math.nan for value in last]
    return "".join(" " if math.isnan(step) else "▁▂▃▄▅▆▇█"[round(step)] for step in steps)


def csv_line(cells: Iterable[str]) -> str:
    """One record of CSV (RFC 4180) without its line end. Cells with a comma, a quote, a line feed or a "\\r" are quoted."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\r\n").writerow(cells)  # the csv module quotes the characters of its line end
    return text.getvalue().removesuffix("\r\n")
