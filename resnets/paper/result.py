"""What an item of the paper comes to: tables, verdicts and drawings, as plain data that JSON can hold. No torch."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any, Literal

# Of a claim: it shows here too; it does not; or what was run cannot tell (too small, too few seeds, not run).
Holds = Literal["holds", "fails", "open"]


@dataclass(frozen=True, kw_only=True)
class Table:
    """Rows of text and numbers under `head`; numbers are written as they are, so round before."""

    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[str | float | int | None, ...], ...]


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What the paper claims, in our words, with where it does; whether it shows here; and the figures that say so."""

    claim: str
    holds: Holds
    because: str


@dataclass(frozen=True, kw_only=True)
class Drawing:
    """A picture `file` (a name in the item's folder, .png) and the sentence that belongs under it."""

    file: str
    says: str


@dataclass(frozen=True, kw_only=True)
class Result:
    """An item, measured. `deviations`: every difference from the paper's protocol; `evidence`: of each run that was used
    {"run", "command", "commit", "device", "versions", "seed", "seconds"}."""

    item: str
    scale: str
    tables: tuple[Table, ...] = ()
    verdicts: tuple[Verdict, ...] = ()
    drawings: tuple[Drawing, ...] = ()
    deviations: tuple[str, ...] = ()
    evidence: tuple[dict[str, Any], ...] = field(default=())

    def to_json(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, found: dict[str, Any]) -> Result:
        """The result that `to_json` wrote."""
        return cls(
            item=found["item"],
            scale=found["scale"],
            tables=tuple(
                Table(title=table["title"], head=tuple(table["head"]), rows=tuple(map(tuple, table["rows"])))
                for table in found["tables"]
            ),
            verdicts=tuple(Verdict(**verdict) for verdict in found["verdicts"]),
            drawings=tuple(Drawing(**drawing) for drawing in found["drawings"]),
            deviations=tuple(found["deviations"]),
            evidence=tuple(found["evidence"]),
        )
