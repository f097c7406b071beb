"""How a page writes values: fractions, counts, times, and any leaf of a record."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Iterator, Mapping
from typing import Any, TypeGuard

NONE = "–"


def flat(tree: Any, prefix: str = "") -> Iterator[tuple[str, str]]:
    """`{"data": {"name": "digits"}}` as ("data.name", "digits"), one pair a leaf."""
    if isinstance(tree, Mapping) and (tree or not prefix):
        for key, value in tree.items():
            yield from flat(value, f"{prefix}.{key}" if prefix else str(key))
    else:
        yield prefix, plain(tree)


def plain(value: Any) -> str:
    """A value as YAML would write it, cut where it is very long."""
    if isinstance(value, list):
        words = ", ".join(plain(item) for item in value) or "[]"
    elif isinstance(value, float):
        words = f"{value:.6g}"
    else:
        words = value if isinstance(value, str) else json.dumps(value, default=str, ensure_ascii=False)
    return words if len(words) <= 400 else f"{words[:400].rstrip()} …"


def is_number(value: Any) -> TypeGuard[float]:
    return isinstance(value, int | float) and math.isfinite(value)


def percent(value: Any, digits: int = 1) -> str:
    return f"{100 * value:.{digits}f} %" if is_number(value) else NONE


def short(value: Any) -> str:
    """Three digits and a unit: 269722 is "270 k"."""
    if not is_number(value):
        return NONE
    for size, unit in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if abs(value) >= 0.9995 * size:
            return f"{value / size:#.3g}".rstrip(".") + unit
    return f"{value:g}"


def duration(seconds: Any) -> str:
    """The two largest units: "1 h 23 min"."""
    if not is_number(seconds):
        return NONE
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    units = ((86400, "d"), (3600, "h"), (60, "min"), (1, "s"))
    for (large, name), (small, below) in itertools.pairwise(units):
        if seconds >= large:
            whole, rest = divmod(int(seconds), large)
            return f"{whole} {name} {rest // small} {below}"
    raise AssertionError(seconds)
