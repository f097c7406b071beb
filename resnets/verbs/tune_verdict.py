"""The end of a search: what is better than the defaults by more than the noise of seeds, and how it is told. No torch."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from resnets.measures.paired import holm, of_pairs

LEVEL = 0.05  # of the tests, all finalists together


def noise_of(values: Sequence[float]) -> dict[str, float]:
    """Mean and standard deviation of the defaults over seeds; the standard deviation of the difference of two runs, and of the
    difference of two means over so many seeds."""
    deviation = float(np.std(values, ddof=1))
    apart = math.sqrt(2) * deviation
    return {
        "mean": float(np.mean(values)),
        "deviation": deviation,
        "difference": apart,
        "of_means": apart / math.sqrt(len(values)),
    }


def verdict_of(record: Mapping[str, Any], key: str) -> dict[str, Any]:
    """Each finalist against the defaults, seed by seed, and the best that is better: beyond chance by a paired t-test over
    seeds (Holm's correction for several finalists), and by more than the noise of means over so many seeds."""
    rows: dict[str, dict[int, dict[str, Any]]] = {}
    for row in record["runs"]:
        if row["part"] == "finalists":
            rows.setdefault(row["run"].rpartition("-seed")[0], {})[row["seed"]] = row
    defaults = {row["seed"]: row["value"] for row in record["runs"] if row["part"] == "defaults"}
    found = []
    for trial, by_seed in rows.items():
        seeds = [seed for seed, row in by_seed.items() if row["state"] == "done"]
        if len(seeds) < len(defaults):
            continue
        own = [by_seed[seed]["value"] for seed in seeds]
        test = of_pairs(own, [defaults[seed] for seed in seeds])
        first = by_seed[seeds[0]]
        found.append(
            {"trial": trial, "params": first["params"], "settings": first["settings"], key: own, "mean": float(np.mean(own))}
            | {"difference": test.value, "interval": test.interval, "p_value": test.p_value}
        )
    for row, p_value in zip(found, holm([row["p_value"] for row in found]), strict=True):
        row["p_value"] = p_value
        row["better"] = bool(p_value < LEVEL and row["difference"] > record["noise"]["of_means"])
    better = max((row for row in found if row["better"]), key=lambda row: row["difference"], default=None)
    return {
        "better": better is not None,
        "trial": better and better["trial"],
        "settings": better["settings"] if better else {},
        "finalists": found,
    }


def told(record: Mapping[str, Any]) -> Iterator[str]:
    """The end of a search, for people."""
    noise, verdict = record["noise"], record["verdict"]
    for row in verdict["finalists"]:
        low, high = row["interval"]
        yield (
            f"{row['trial']} ({words_of(row['params'])}): {row['difference']:+.4f} against the defaults over "
            f"{len(record['seeds'])} seeds (95 % interval {low:+.4f} to {high:+.4f}, p {row['p_value']:.3f})"
        )
    if verdict["better"]:
        yield f"better than the defaults by more than the noise ({noise['of_means']:.4f}): {verdict['trial']}"
    else:
        yield f"nothing found beyond the noise ({noise['of_means']:.4f} of means, 95 % sure): keep the defaults"


def words_of(params: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {f'{value:.3g}' if isinstance(value, float) else value}" for name, value in params.items())


def line_of(row: Mapping[str, Any], key: str) -> str:
    """A run as one line."""
    value = "" if row["value"] is None else f"{key} {row['value']:.4f}  "
    what = words_of(row["params"]) or f"seed {row['seed']}"
    state = {"pruned": "  stopped early", "failed": f"  failed: {row.get('why')}"}.get(row["state"], "")
    return f"{row['run']:<16} {value}{what}  {row['seconds']:.0f} s{state}"
