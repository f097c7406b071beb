"""The table of a run's epochs, as metrics.csv has it."""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from typing import Any, overload

from resnets.engine.run import Row, score_column
from resnets.errors import InputError

SHOWN = 12  # rows that a notebook shows of a long history: the first and the last


class History(Sequence[Row]):
    """Rows, one per epoch: `history[-1]` is the last as {column: value}, `history["val_top1"]` a column as a list.

    Args:
        rows: of metrics.csv.
    """

    def __init__(self, rows: Sequence[Row]) -> None:
        self.rows = list(rows)

    @property
    def columns(self) -> list[str]:
        return list(self.rows[0]) if self.rows else []

    def __len__(self) -> int:
        return len(self.rows)

    @overload
    def __getitem__(self, key: int) -> Row: ...
    @overload
    def __getitem__(self, key: slice) -> History: ...
    @overload
    def __getitem__(self, key: str) -> list[float]: ...
    def __getitem__(self, key: int | slice | str) -> Any:
        if isinstance(key, str):
            if key not in self.columns:
                raise KeyError(f"{key}; the columns are {', '.join(self.columns)}")
            return [row[key] for row in self.rows]
        return self.rows[key] if isinstance(key, int) else History(self.rows[key])

    def to_pandas(self) -> Any:
        """A pandas DataFrame. Raises `InputError` where pandas is not installed."""
        try:
            import pandas
        except ModuleNotFoundError:
            raise InputError("history.to_pandas() needs pandas: pip install pandas; history['val_loss'] is a list") from None
        return pandas.DataFrame(self.rows)

    def __repr__(self) -> str:
        if not self.rows:
            return "History(no epoch yet)"
        score = score_column(self.rows[0])
        measured = [row for row in self.rows if not math.isnan(row[score])]
        best = max(measured, key=lambda row: row[score], default=None)
        told = "" if best is None else f"; best {score} {best[score]:.4f} in epoch {best['epoch']}"
        return f"History({len(self)} epoch{'s' * (len(self) > 1)}: {', '.join(self.columns)}{told})"

    def _repr_html_(self) -> str:
        few = len(self) <= SHOWN
        rows = self.rows if few else [*self.rows[: SHOWN // 2], None, *self.rows[-SHOWN // 2 :]]
        head = "".join(f"<th>{html.escape(column)}</th>" for column in self.columns)
        body = "".join(
            f"<tr><td colspan='{len(self.columns)}'>... {len(self) - SHOWN} more</td></tr>"
            if row is None
            else "<tr>" + "".join(f"<td>{value:.6g}</td>" for value in row.values()) + "</tr>"
            for row in rows
        )
        return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
