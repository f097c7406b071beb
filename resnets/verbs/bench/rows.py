"""Rows of a comparison: which of them are wanted, which can be had, and each in turn. No torch."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib import metadata, util
from typing import Any, Protocol

from resnets.errors import InputError
from resnets.verbs.bench.process import Failed

# Networks that torchvision and timm have under the same name.
TORCHVISION = (
    "resnet18", "resnet34", "resnet50", "resnet101", "resnet152", "resnext50_32x4d", "resnext101_32x8d", "resnext101_64x4d",
    "wide_resnet50_2", "wide_resnet101_2",
)  # fmt: skip


class Row(Protocol):
    """One way. `needs`: packages beside the core; `default`: whether it is measured unless others are named."""

    @property
    def needs(self) -> tuple[str, ...]: ...

    @property
    def default(self) -> bool: ...


def wanted(names: Sequence[str] | None, rows: Mapping[str, Row]) -> list[str]:
    """Those of `rows` that are called so, or that are measured by default, in the order of `rows`."""
    if names is not None and not names:
        raise InputError(f"no row is named; there are: {', '.join(rows)}")
    unknown = [name for name in names or () if name not in rows]
    if unknown:
        raise InputError(f"no row is called {unknown[0]!r}; there are: {', '.join(rows)}")
    return [name for name, row in rows.items() if (row.default if names is None else name in names)]


def missing(chosen: Iterable[str], rows: Mapping[str, Row]) -> dict[str, str]:
    """What to install for those of the rows that lack a package."""
    lacks = {name: [package for package in rows[name].needs if util.find_spec(package) is None] for name in chosen}
    return {name: f"not installed: pip install {' '.join(packages)}" for name, packages in lacks.items() if packages}


def versions(chosen: Iterable[str], rows: Mapping[str, Row]) -> dict[str, str]:
    """Of the packages that the rows need and that are here."""
    packages = dict.fromkeys(package for name in chosen for package in rows[name].needs)
    return {name: metadata.version(name) for name in packages if util.find_spec(name)}


def in_turn(
    chosen: Sequence[str],
    rounds: int,
    measure: Callable[[str], dict[str, Any]],
    errors: dict[str, str],
    step: Callable[[], None],
) -> dict[str, list[dict[str, Any]]]:
    """What each row tells, round after round. One that fails is left alone from then on, and `errors` says why."""
    runs: dict[str, list[dict[str, Any]]] = {row: [] for row in chosen}
    for _ in range(rounds):
        for row in chosen:
            if row not in errors:
                try:
                    runs[row].append(measure(row))
                except (Failed, InputError) as error:
                    errors[row] = str(error)
                step()
    return {row: told for row, told in runs.items() if row not in errors}
