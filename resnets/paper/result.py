"""The result of an item of the paper: tables, verdicts and drawings, as plain data that JSON can hold. No torch."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypedDict

# Whether a claim of the paper is true here: it is, it is not, or the runs cannot tell (too short, or too few seeds).
Holds = Literal["holds", "fails", "inconclusive"]
FORMER = {"open": "inconclusive"}  # a word in results that earlier versions stored, and what it is called now
Cell = str | float | int | None


class Evidence(TypedDict):
    """Where the figures of a run come from; None where its record does not say."""

    run: str  # its folder, or the saved model; "" where nothing was trained
    commit: str | None  # the first 12 digits, and whether there were changes
    device: str | None
    command: str | None
    versions: dict[str, str] | None
    seed: int | None
    seconds: float | None


@dataclass(frozen=True, kw_only=True)
class Table:
    """Rows of text and numbers under `head`. Numbers are written as they are, so they must be rounded; None: an empty cell."""

    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """A claim of the paper, with its section, table or figure; whether it is true here; and the figures that decide it."""

    claim: str
    holds: Holds
    because: str


@dataclass(frozen=True, kw_only=True)
class Drawing:
    """A drawing: the name of a .png file in the item's folder, and its caption."""

    file: str
    says: str


@dataclass(frozen=True, kw_only=True)
class Result:
    """The result of an item at a scale. `deviations`: every difference from the paper's protocol; `evidence`: one per run."""

    item: str
    scale: str
    tables: tuple[Table, ...] = ()
    verdicts: tuple[Verdict, ...] = ()
    drawings: tuple[Drawing, ...] = ()
    deviations: tuple[str, ...] = ()
    evidence: tuple[Evidence, ...] = field(default=())

    def to_json(self) -> dict[str, object]:
        """The fields, as JSON can hold them."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> Result:
        """The result from what `to_json` returned, of this or an earlier version.

        Raises:
            KeyError, TypeError, AttributeError: for any other JSON.
        """
        return cls(
            item=found["item"],
            scale=found["scale"],
            tables=tuple(
                Table(title=table["title"], head=tuple(table["head"]), rows=tuple(map(tuple, table["rows"])))
                for table in found["tables"]
            ),
            verdicts=tuple(
                Verdict(**{**verdict, "holds": FORMER.get(verdict["holds"], verdict["holds"])}) for verdict in found["verdicts"]
            ),
            drawings=tuple(Drawing(**drawing) for drawing in found["drawings"]),
            deviations=tuple(found["deviations"]),
            evidence=tuple(found["evidence"]),
        )
