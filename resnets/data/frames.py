"""A pandas DataFrame as a list: what a CSV file with its columns would be. No pandas is imported: who has one has it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

NAME = "DataFrame"  # what the data is called in a recipe


def is_frame(data: Any) -> bool:
    """Whether it is a DataFrame, by what is used of one."""
    return all(hasattr(data, name) for name in ("columns", "itertuples", "notna"))


class Frame(os.PathLike[str]):
    """A DataFrame in the place of the path of a CSV file in the current folder, for the readers of such lists."""

    stem, suffix, name = NAME, ".csv", NAME
    parent = Path()

    def __init__(self, table: Any) -> None:
        self.table = table

    def __fspath__(self) -> str:
        return f"the {NAME}"

    __str__ = __fspath__

    def rows(self) -> Iterator[tuple[str, list[str]]]:
        """As `tables.csv_rows`: the columns' names, then the cells of each row as text, "" where a value is missing."""
        table = self.table
        yield self.__fspath__(), [str(column) for column in table.columns]
        whole = table.astype(object).where(table.notna(), "")
        for number, row in enumerate(whole.itertuples(index=False, name=None)):
            yield f"{self.__fspath__()}, row {number}", [str(cell) for cell in row]


def framed(data: Any) -> Any:
    """A `Frame` of a DataFrame; anything else as it is."""
    return Frame(data) if is_frame(data) else data
