"""One page of all stored results: Markdown with drawings beside it, and HTML with the drawings in it. No torch.

Results hold text from runs (paths, commands), so everything is escaped, and drawings are read from the item's folder only.
"""

from __future__ import annotations

import base64
import re
import shutil
import struct
from collections.abc import Iterator, Sequence
from importlib import resources
from pathlib import Path
from typing import TypedDict

from resnets.errors import InputError
from resnets.files import replacing, write_text
from resnets.paper import items
from resnets.paper.result import Cell, Result, Table
from resnets.paper.scales import SCALES
from resnets.paper.trainings import minutes
from resnets.verbs.report.values import NONE

MARKDOWN, HTML = "README.md", "paper.html"
INTRODUCTION = (
    "The claims of He et al. 2015 (arXiv 1512.03385), measured here. A verdict is `holds`, `fails`, or `inconclusive` if the "
    "runs cannot tell: two means differ if their difference is more than two of its standard errors. Values are mean ± "
    "standard deviation over seeds."
)
VERDICTS = ("holds", "fails", "inconclusive")
EVIDENCE = ("run", "command", "commit", "device", "seed", "time")


class Picture(TypedDict):
    """A PNG for an HTML page; width and height in pixels."""

    width: int
    height: int
    base64: str


def write(out: str | Path, to: str | Path | None = None) -> tuple[Path, Path]:
    """Write the page of all results below `out` to the folder `to` (default: OUT/report); the paths of its Markdown and HTML.

    Raises:
        InputError: if there is no result, or one cannot be read.
    """
    out = Path(out)
    to = out / "report" if to is None else Path(to)
    found = [(folder, checked(folder, result)) for folder, result in items.stored(out)]
    if not found:
        raise InputError(f"{out}: no results here; run an item first, such as `resnets paper table1 --out {out}`")
    for folder, result in found:
        for drawing in result.drawings:
            with replacing(to / picture_name(folder, drawing.file)) as temporary:
                shutil.copyfile(folder / drawing.file, temporary)
    markdown = write_text(to / MARKDOWN, render_markdown(found))
    return markdown, write_text(to / HTML, render_html(found))


def checked(folder: Path, result: Result) -> Result:
    """The result; `InputError` unless its drawings are names of files in its folder."""
    for drawing in result.drawings:
        if not re.fullmatch(r"[\w-]+\.png", drawing.file) or not (folder / drawing.file).is_file():
            raise InputError(f"{folder}: the drawing {drawing.file!r} is not there; run the item again")
    return result


def picture_name(folder: Path, file: str) -> str:
    """The drawing's name on the page, with the scale: "small-fig6.png"."""
    return f"{folder.parent.name}-{file}"


def title(folder: Path, result: Result) -> str:
    """The item, its scale if it trains, and its title: "fig6, small: ..."."""
    scale = f", {folder.parent.name}" * is_trained(result)
    name = items.ITEMS[result.item].title if result.item in items.ITEMS else ""
    return f"{result.item}{scale}{': ' * bool(name)}{name}"


def shows(result: Result) -> str:
    """What the scale can show; "" for items that do not train."""
    return f"Scale {result.scale}: {SCALES[result.scale].shows}" if is_trained(result) and result.scale in SCALES else ""


def is_trained(result: Result) -> bool:
    """Whether networks were trained for the result."""
    return any(record["seed"] is not None for record in result.evidence)


def records(result: Result) -> list[tuple[str, ...]]:
    """One row of evidence for each run, with the columns `EVIDENCE`."""
    rows = [
        (
            *(record["run"], record["command"], record["commit"], record["device"], record["seed"]),
            record["seconds"] and minutes(record["seconds"]),
        )
        for record in result.evidence
    ]
    return [tuple(NONE if value is None or value == "" else str(value) for value in row) for row in rows]


def versions(result: Result) -> list[str]:
    """The versions of packages in the runs, in words; equal sets once."""
    found = (record["versions"] for record in result.evidence if record["versions"])
    return list(dict.fromkeys(", ".join(f"{name} {number}" for name, number in one.items()) for one in found))


def written(cell: Cell) -> str:
    """The text of a table's cell."""
    return NONE if cell is None else f"{cell:,}" if isinstance(cell, int) else str(cell)


# --- Markdown --------------------------------------------------------------------------------------------------------


def render_markdown(found: Sequence[tuple[Path, Result]]) -> str:
    counts = [(plain(title(folder, result)), *map(str, items.counted(result).values())) for folder, result in found]
    lines = ["# The paper, reproduced", "", INTRODUCTION, "", *rows_of(("item", *VERDICTS), counts), ""]
    for folder, result in found:
        lines += section(folder, result)
    return "\n".join(lines).rstrip() + "\n"


def section(folder: Path, result: Result) -> Iterator[str]:
    yield from (f"## {plain(title(folder, result))}", "")
    if words := shows(result):
        yield from (plain(words), "")
    if result.verdicts:
        rows = [(verdict.claim, f"**{verdict.holds}**", verdict.because) for verdict in result.verdicts]
        yield from (*rows_of(("the paper's claim", "here", "because"), [(plain(a), b, plain(c)) for a, b, c in rows]), "")
    for drawing in result.drawings:
        yield from (f"![{plain(drawing.says)}]({picture_name(folder, drawing.file)})", "", plain(drawing.says), "")
    for table in result.tables:
        cells = [tuple(plain(written(cell)) for cell in row) for row in table.rows]
        yield from (f"**{plain(table.title)}**", "", *rows_of(tuple(map(plain, table.head)), cells), "")
    if result.deviations:
        yield from ("Differences from the paper's protocol:", "", *(f"- {plain(words)}" for words in result.deviations), "")
    if result.evidence:
        yield from (f"<details><summary>Evidence: {len(result.evidence)} commands</summary>", "")
        yield from rows_of(EVIDENCE, [tuple(map(plain, row)) for row in records(result)])
        yield from ("", *(f"Versions: {plain(words)}." for words in versions(result)), "", "</details>", "")


def rows_of(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield f"|{'--|' * len(head)}"
    for row in rows:
        yield f"| {' | '.join(row)} |"


def plain(text: str) -> str:
    """The text on one line, with Markdown's special characters escaped."""
    return re.sub(r"([\\`*_<>|\[\]])", r"\\\1", " ".join(text.split()))


# --- HTML ------------------------------------------------------------------------------------------------------------


def render_html(found: Sequence[tuple[Path, Result]]) -> str:
    import jinja2

    source = resources.files("resnets.paper").joinpath("paper.html.jinja").read_text(encoding="utf-8")
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True
    )
    environment.filters |= {"written": written}
    return environment.from_string(source).render(
        introduction=INTRODUCTION.replace("`", ""), evidence=EVIDENCE, sections=[html_section(*one) for one in found]
    )


def html_section(folder: Path, result: Result) -> dict[str, object]:
    """The values that the template reads for one result."""
    return {
        "id": f"{folder.parent.name}-{result.item}",
        "title": title(folder, result),
        "shows": shows(result),
        "counts": items.counted(result),
        "result": result,
        "drawings": [{"says": one.says, **picture(folder / one.file)} for one in result.drawings],
        "records": records(result),
        "versions": versions(result),
    }


def picture(path: Path) -> Picture:
    """A PNG for the page; `InputError` if the file is none."""
    content = path.read_bytes()
    if content[:8] != b"\x89PNG\r\n\x1a\n":
        raise InputError(f"{path}: is not a PNG; run the item again")
    width, height = struct.unpack(">II", content[16:24])
    return {"width": width, "height": height, "base64": base64.b64encode(content).decode("ascii")}


def lines(result: Result) -> Iterator[str]:
    """The tables and verdicts, as lines for a terminal."""
    for table in result.tables:
        yield from (table.title, *text_table(table), "")
    for verdict in result.verdicts:
        yield f"{verdict.holds:<12}  {verdict.claim} {verdict.because}"


def text_table(table: Table) -> list[str]:
    """The table as aligned lines."""
    rows = [tuple(table.head), *(tuple(map(written, row)) for row in table.rows)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
