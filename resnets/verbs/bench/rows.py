"""The rows of a benchmark: which are chosen, which can run here, and running each in turn. No torch."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib import metadata, util
from typing import Protocol, TypedDict, TypeVar, final

from resnets.errors import InputError
from resnets.verbs.bench.process import Failed

T = TypeVar("T")
# Networks that torchvision and timm have under the same name.
TORCHVISION = (
    "resnet18", "resnet34", "resnet50", "resnet101", "resnet152", "resnext50_32x4d", "resnext101_32x8d", "resnext101_64x4d",
    "wide_resnet50_2", "wide_resnet101_2",
)  # fmt: skip


class Way(Protocol):
    """One way of doing the job. `needs`: packages beside the core's; `default`: whether it is measured by default."""

    @property
    def needs(self) -> tuple[str, ...]: ...

    @property
    def default(self) -> bool: ...


@final
class Unmeasured(TypedDict):
    """A row of a result that could not be measured, and why."""

    row: str
    error: str | None


def wanted(names: Sequence[str] | None, rows: Mapping[str, Way]) -> list[str]:
    """The chosen names of `rows`, in the order of `rows`; default (None): those that are measured by default.

    Raises:
        InputError: for an unknown name, or no name.
    """
    if names is not None and not names:
        raise InputError(f"no row is named; there are: {', '.join(rows)}")
    unknown = [name for name in names or () if name not in rows]
    if unknown:
        raise InputError(f"no row is called {unknown[0]!r}; there are: {', '.join(rows)}")
    return [name for name, row in rows.items() if (row.default if names is None else name in names)]


def missing(chosen: Iterable[str], rows: Mapping[str, Way]) -> dict[str, str]:
    """For each row that lacks a package: what to install."""
    lacks = {name: [package for package in rows[name].needs if util.find_spec(package) is None] for name in chosen}
    return {name: f"not installed: pip install {' '.join(packages)}" for name, packages in lacks.items() if packages}


def versions(chosen: Iterable[str], rows: Mapping[str, Way]) -> dict[str, str]:
    """The versions of the installed packages that the rows need beside the core dependencies."""
    packages = dict.fromkeys(package for name in chosen for package in rows[name].needs)
    return {name: metadata.version(name) for name in packages if util.find_spec(name)}


def in_turn(
    chosen: Sequence[str],
    rounds: int,
    measure: Callable[[str], T],
    errors: dict[str, str],
    step: Callable[[], None],
) -> dict[str, list[T]]:
    """Measure all rows in turn, round after round.

    Args:
        chosen: names of rows.
        measure: the name of a row -> what one run of it told.
        errors: why rows cannot be measured, by name; rows that fail are added to it and not run again.
        step: called after each run.

    Returns:
        For each row without an error, what each of its runs told.
    """
    runs: dict[str, list[T]] = {row: [] for row in chosen}
    for _ in range(rounds):
        for row in chosen:
            if row not in errors:
                try:
                    runs[row].append(measure(row))
                except (Failed, InputError) as error:
                    errors[row] = str(error)
                step()
    return {row: told for row, told in runs.items() if row not in errors}
