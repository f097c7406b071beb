"""Run directories as they are read for a comparison: whatever is there, and in words what is not."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from resnets import tasks
from resnets.engine.contract import Task
from resnets.engine.run import MAX_RECORD, Row, RunDir
from resnets.errors import InputError
from resnets.files import foreign, read_json, read_text, read_yaml
from resnets.verbs.report.values import is_number, plain

Records = list[Mapping[str, str]]


@dataclass(frozen=True)
class Gathered:
    """A run directory: its files' contents, empty where there are none, and what is wrong with them."""

    run: RunDir
    recipe: Mapping[str, Any]
    provenance: Mapping[str, Any]
    evaluation: Mapping[str, Any]
    metrics: list[Row]
    faults: tuple[str, ...]

    @property
    def task(self) -> Task | None:
        name = str(self.recipe.get("task", tasks.DEFAULT)) if self.recipe else ""
        return tasks.get(name) if name in tasks.TASKS else None

    @property
    def state(self) -> str:
        """How far it is, in words."""
        if self.provenance.get("result"):
            return "finished"
        if self.metrics:
            return f"interrupted after epoch {self.metrics[-1]['epoch']:g}"
        return "begun; no epoch is finished" if self.recipe else "no run: there is no recipe.yaml"

    @property
    def split(self) -> str:
        """Of the evaluation; "" where there is none."""
        value = self.evaluation.get("split")
        return value if isinstance(value, str) else ""

    @property
    def fingerprint(self) -> str | None:
        """Of the data; None where it is not known."""
        value = self.origin("data").get("fingerprint")
        return None if value is None else plain(value)

    def origin(self, name: str) -> Mapping[str, Any]:
        """A record of the provenance."""
        value = self.provenance.get(name)
        return value if isinstance(value, dict) else {}

    def score(self, key: str) -> float | None:
        value = self.evaluation.get(key)
        return float(value) if is_number(value) else None

    def interval(self, key: str) -> list[float] | None:
        """The 95 % interval of a score."""
        value = self.evaluation.get(f"{key}_interval")
        return value if isinstance(value, list) and len(value) == 2 and all(map(is_number, value)) else None

    def costs(self) -> dict[str, float | None]:
        """Seconds of training, parameters, multiply-adds of an image, and images per second in training."""
        rates = sorted(rate for row in self.metrics if is_number(rate := row.get("images_per_second")))
        found = {
            "seconds": self.metrics[-1].get("seconds") if self.metrics else None,
            "num_params": self.origin("model").get("num_params"),
            "num_macs": self.origin("model").get("num_macs"),
            "images_per_second": self.origin("speed").get("images_per_second", rates[len(rates) // 2] if rates else None),
        }
        return {name: float(value) if is_number(value) else None for name, value in found.items()}


def gather(folder: str | Path) -> Gathered:
    """Read a run directory. Raises `InputError` only where there is no such folder."""
    run, faults = RunDir(folder), list[str]()
    if not run.path.is_dir():
        raise InputError(f"{run.path}: no such run directory; `resnets train --out DIR` makes one")

    def tried(path: Path, read: Callable[[], Any], kind: type) -> Any:
        return read_or_empty(path, read, kind, faults)

    recipe = tried(run.recipe, lambda: read_yaml(run.recipe), dict)
    metrics = tried(run.metrics, run.read_metrics, list)
    return Gathered(
        run=run,
        recipe={str(name): value for name, value in recipe.items()},
        provenance=tried(run.provenance, run.read_provenance, dict),
        evaluation=tried(run.evaluation, lambda: read_json(run.evaluation, most=MAX_RECORD, strict=False), dict),
        metrics=[row for row in metrics if is_number(row["epoch"])],
        faults=tuple(faults),
    )


def read_or_empty(path: Path, read: Callable[[], Any], kind: type, faults: list[str]) -> Any:
    """What `read` finds in a file, of that kind; empty where there is none, or it is damaged, which is added to `faults`."""
    try:
        found = read() if path.exists() else kind()
        if not isinstance(found, kind):
            raise InputError(f"{path}: is damaged")
    except InputError as error:
        faults.append(str(error))
        return kind()
    return found


def answers(run: RunDir, split: str) -> dict[str, Records]:
    """The rows of predictions.csv for a split, by the picture's path. Raises `InputError` where they are missing or damaged."""
    if not run.predictions.exists():
        raise InputError(f"{run.predictions}: no such file; `resnets eval --out` writes one")
    found: dict[str, Records] = {}
    with foreign(run.predictions):
        for row in csv.DictReader(io.StringIO(read_text(run.predictions, most=MAX_RECORD), newline=""), strict=True):
            if None in row or None in row.values():
                raise ValueError("another number of cells than columns")
            if row["split"] == split:
                found.setdefault(row["path"], []).append(row)
    return found
