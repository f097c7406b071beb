"""What finished runs say of themselves: errors, curves, and the evidence that belongs beside a figure. No torch."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from resnets.engine.recipe import read_file
from resnets.engine.run import RunDir
from resnets.errors import InputError
from resnets.paper.trainings import Training


@dataclass(frozen=True)
class Curves:
    """Of one network over its seeds S and epochs K: `steps` (K,), `train` and `val` errors (S, K) in percent, `test` (S,) after
    the last step."""

    steps: np.ndarray
    train: np.ndarray
    val: np.ndarray
    test: np.ndarray


def evaluation(folder: Path) -> dict[str, Any]:
    """What the run's scoring found: {"split", "top1", ...}."""
    path = RunDir(folder).evaluation
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read ({error}); delete the run's folder, and it is run again") from None


def test_error(folder: Path) -> float:
    """In percent, of the weights after the last step, on the split that was scored."""
    return 100 * (1 - evaluation(folder)["top1"])


def by_network(runs: Mapping[Training, Path]) -> dict[str, list[Path]]:
    """The folders of each network, by its label, in the order of seeds."""
    found: dict[str, list[Path]] = {}
    for training in sorted(runs, key=lambda training: training.seed):
        found.setdefault(training.label, []).append(runs[training])
    return {training.label: found[training.label] for training in runs}


def test_errors(runs: Mapping[Training, Path]) -> dict[str, list[float]]:
    """By network, one value a seed."""
    return {name: [test_error(folder) for folder in folders] for name, folders in by_network(runs).items()}


def curves(folders: Iterable[Path]) -> Curves:
    """Of one network's runs. Runs of one scale have the same epochs; were one longer, its rest would be left out."""
    folders = list(folders)
    rows = [RunDir(folder).read_metrics() for folder in folders]
    length = min(map(len, rows))
    if length == 0:
        raise InputError(f"{folders[0]}: metrics.csv is missing or empty; delete the run's folder, and it is run again")
    errors = {
        split: np.array([[100 * (1 - row[f"{split}_top1"]) for row in run[:length]] for run in rows])
        for split in ("train", "val")
    }
    steps = np.array([row["step"] for row in rows[0][:length]])
    return Curves(steps, errors["train"], errors["val"], np.array([test_error(folder) for folder in folders]))


def recipes(runs: Mapping[Training, Path]) -> list[dict[str, Any]]:
    return [read_file(RunDir(folder).recipe) for folder in runs.values()]


def evidence(runs: Mapping[Training, Path], out: Path) -> tuple[dict[str, Any], ...]:
    """Where each figure comes from: a record of each run, its folder as seen from `out`."""
    return tuple(record(folder.relative_to(out).as_posix(), origin_of(RunDir(folder))) for folder in runs.values())


def origin_of(run: RunDir) -> dict[str, Any]:
    """What the run wrote of itself; its seconds are those of all sessions, which its metrics add up, not of the last alone."""
    origin, rows = run.read_provenance(), run.read_metrics()
    sessions = [origin.get("seconds"), rows[-1].get("seconds") if rows else None]
    return origin | {"seconds": max((seconds for seconds in sessions if seconds is not None), default=None)}


def record(run: str, origin: Mapping[str, Any]) -> dict[str, Any]:
    """A row of `Result.evidence` from what a run wrote of itself, or a saved model's header; None where it does not say."""
    told = {name: origin.get(name) for name in ("command", "versions", "seed", "seconds")}
    return {"run": run, "commit": commit_of(origin), "device": device_of(origin), **told}


def commit_of(origin: Mapping[str, Any]) -> str | None:
    git = origin.get("git")
    return f"{git['commit'][:12]}{' with changes' if git['dirty'] else ''}" if git else None


def device_of(origin: Mapping[str, Any]) -> str | None:
    device = origin.get("device")
    if not device:
        return None
    threads = f", {device['threads']} thread{'s' * (device['threads'] != 1)}" if device.get("type") == "cpu" else ""
    return f"{device['name']}{threads}"
