"""Cross-validation: a run for each part of the data, validated on that part and trained on the others; and their scores.

Every run is an ordinary one, in `fold1`, `fold2`, ... of the folder, and its own recipe repeats it.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from resnets import tasks
from resnets.engine.distributed import Processes
from resnets.engine.job import Reporter
from resnets.engine.plan import given, requested
from resnets.engine.recipe import own_settings
from resnets.engine.run import BRING_BACK, RunDir, claiming
from resnets.engine.settings import parse, read_file
from resnets.errors import InputError
from resnets.files import write_json, write_text
from resnets.verbs import train as training

SUMMARY = "folds.json"


@dataclasses.dataclass(frozen=True)
class Folds:
    """Finished folds: their folder, a row for each ({"fold", "run", "val_top1", ...}), and {score: {"mean", "deviation"}}."""

    path: Path
    rows: list[dict[str, Any]]
    scores: dict[str, dict[str, float]]

    def to_json(self) -> dict[str, Any]:
        return {"folds": len(self.rows), "scores": self.scores, "runs": self.rows}


def asked(settings: Mapping[str, Any], out: str | Path | None, *, resume: bool) -> bool:
    """Whether these arguments of `train` mean all folds, rather than one run."""
    layers = requested(given({"": settings}))
    if resume and out is not None and RunDir(out).recipe.is_file():
        layers = {"": read_file(RunDir(out).recipe)} | layers
    chosen = given(layers)
    return chosen.get("folds") is not None and chosen.get("fold") is None


@claiming()
def cross_validate(
    data: str | None = None,
    *,
    out: str | Path | None = None,
    resume: bool = False,
    data_dir: str | Path | None = None,
    began: float | None = None,
    reporter: Reporter | None = None,
    **settings: Any,
) -> Folds:
    """Train once for each of `folds` parts of the data. `resnets train --folds` is this; the arguments are those of `train`.

    Args:
        resume: go on with those in `out`: finished folds are not run again.

    Raises:
        InputError: as `train`; without a number of folds, and in distributed training.
        resnets.errors.Interrupted: after Ctrl-C or SIGTERM; the state is saved.
    """
    reporter = reporter or training.Silent()
    chosen = given({"": {"data": data} | settings})
    if not Processes.from_environment().alone:
        raise InputError("folds run one after the other in one process each; start without torchrun, or give --fold")
    whole, chosen = _taken_up(out, chosen) if resume else _begun(out, chosen)
    num_folds = parse(tasks.of(chosen).settings, "folds", chosen["folds"])
    rows: list[dict[str, Any]] = []
    for fold in range(1, num_folds + 1):
        run = RunDir(whole.path / f"fold{fold}")
        reporter.say(f"fold     {fold} of {num_folds}")
        if not is_finished(run, chosen | {"fold": fold}):
            again = run.recipe.is_file()
            training.train(
                out=run.path, resume=again, data_dir=data_dir, began=began, reporter=reporter, **chosen | {"fold": fold}
            )
        began = time.perf_counter()
        rows.append({"fold": fold, "run": run.path.name} | scores_of(run))
    scores = [name for name in rows[0] if name not in ("fold", "run")]
    result = Folds(whole.path, rows, {name: spread([row[name] for row in rows]) for name in scores})
    write_json(whole.path / SUMMARY, result.to_json())
    return result


def _begun(out: str | Path | None, asked: dict[str, Any]) -> tuple[RunDir, dict[str, Any]]:
    """A new folder, with what was given as its recipe."""
    settings = given(requested(asked))
    task = tasks.of(settings)
    settings = own_settings(task.settings, settings, "settings")
    if settings.get("folds") is None:
        raise InputError("there is no number of folds; give one, such as folds=5")
    for name, value in settings.items():
        parse(task.settings, name, value)
    whole = RunDir.create(out, task.name, "folds")
    write_text(whole.recipe, yaml.safe_dump(settings, sort_keys=False, allow_unicode=True))
    return whole, settings


def _taken_up(out: str | Path | None, asked: dict[str, Any]) -> tuple[RunDir, dict[str, Any]]:
    whole = RunDir(out) if out is not None else RunDir.latest(asked.get("task"), "folds")
    if not whole.recipe.is_file():
        raise InputError(f"{whole.path}: no recipe.yaml here, so there are no folds to go on with; leave out --resume")
    whole.claim()
    saved = read_file(whole.recipe) | given(requested(asked))
    return whole, own_settings(tasks.of(saved).settings, saved, str(whole.recipe))


def is_finished(run: RunDir, settings: Mapping[str, Any]) -> bool:
    """Whether the run has its score. Raises `InputError` where it was made with other settings."""
    if not run.recipe.is_file():
        return False
    training.layers_of(None, settings, run.path, resume=True)
    return "result" in run.read_provenance()


def scores_of(run: RunDir) -> dict[str, float]:
    """What a finished run gives: the task's first score on its part of the data, with the weights that were selected and with
    the last; and on a test split, if there is one."""
    metrics, result = run.read_metrics(), run.read_provenance()
    key = tasks.of(read_file(run.recipe)).scores[0].key
    if not metrics or "selected" not in result or not {"epoch", "val_loss", f"val_{key}"} <= metrics[0].keys():
        raise InputError(f"{run.path}: metrics.csv and provenance.json are not those of a finished run; {BRING_BACK}")
    best = max(metrics, key=lambda row: (row[f"val_{key}"], row["epoch"]))
    row = best if result["selected"] == "best" else metrics[-1]
    found = {f"val_{key}": row[f"val_{key}"], "val_loss": row["val_loss"], f"last_val_{key}": metrics[-1][f"val_{key}"]}
    return found | ({f"test_{key}": result["result"][key]} if result["result"]["split"] == "test" else {})


def spread(values: list[float]) -> dict[str, float]:
    """Mean and sample standard deviation over the folds."""
    return {"mean": float(np.mean(values)), "deviation": float(np.std(values, ddof=1))}
