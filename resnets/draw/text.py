"""Text for a terminal: aligned columns, and names that leave it alone."""

from __future__ import annotations

from collections.abc import Sequence


def columns(rows: Sequence[Sequence[str]], right: str) -> str:
    """Rows of cells as aligned text; `right` has an r for each column that is aligned to the right."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = [
        "  ".join(cell.rjust(w) if side == "r" else cell.ljust(w) for cell, w, side in zip(row, widths, right, strict=True))
        for row in rows
    ]
    return "\n".join(line.rstrip() for line in lines)


def visible(text: str) -> str:
    """`text` as one line that leaves the terminal alone: names of files and classes may hold line feeds and escape codes."""
    return "".join(sign if sign.isprintable() else sign.encode("unicode_escape").decode() for sign in text)


def share(value: float | None) -> str:
    return "-" if value is None else f"{value:.2%}"
