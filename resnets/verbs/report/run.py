"""`report.html`: what one run did, on one page that needs nothing beside it, made from the files of the run directory.

Whatever is missing is left out.
"""

from __future__ import annotations

import csv
import io
import math
import shlex
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from resnets import tasks
from resnets.data.words import FILES_OF, PICTURES
from resnets.draw.confusion import largest_confusions
from resnets.engine.contract import Task
from resnets.engine.run import MAX_RECORD, RunDir
from resnets.engine.values import Headline
from resnets.files import foreign, read_json, read_text, write_text
from resnets.verbs.report.folders import gather, read_or_empty
from resnets.verbs.report.page import filled, picture
from resnets.verbs.report.values import flat, is_number, percent

# The drawings with a section of their own, by the name of the file; any other in plots/ stands under "More drawings".
NOTHING: Mapping[str, Any] = {}
SECTIONS = ("robustness", "curves", "confusion", "reliability", "roc", "precision_recall", "errors", "worst")


def write(folder: Path | str, found: Mapping[str, Any] = NOTHING, out: Path | None = None) -> Path:
    """Make the page of the run directory `folder`, there or as the file `out`; its path. `found`: its pictures."""
    run = RunDir(folder)
    return write_text(out or run.report, render(run, found))


def render(run: RunDir, found: Mapping[str, Any] = NOTHING) -> str:
    """The page as text."""
    return filled("report/run.html.jinja", {**contents(run), **found}, scripts=("pictures.js",))


def contents(run: RunDir) -> dict[str, Any]:
    """What the template reads, from the files that are there."""
    read = gather(run.path)
    recipe, provenance, evaluation, metrics = read.recipe, read.provenance, read.evaluation, read.metrics
    faults = list(read.faults)
    slices, robustness = (
        read_or_empty(path, partial(read_json, path, most=MAX_RECORD, strict=False), dict, faults)
        for path in (run.slices, run.robustness)
    )
    bad_images = read_or_empty(run.bad_images, partial(_csv, run.bad_images), list, faults)
    drawings = {path.stem: picture(path) for path in sorted(run.plots.glob("*.png"))}
    task = read.task or tasks.get(tasks.DEFAULT)
    images = str(evaluation.get("images", PICTURES))
    score, table = task.scores[0], task.report_table.worded(images)
    per_class = sorted(evaluation.get("per_class") or [], key=lambda row: _weakest(row, table.columns))
    first = table.headline(evaluation) if table.headline else Headline(score.key, score.words)
    written = percent if first.is_fraction else "{:.4g}".format
    value, interval = evaluation.get(first.key), evaluation.get(f"{first.key}_interval")
    return {
        "name": run.path.resolve().name,
        "recipe": recipe,
        "settings": list(flat(recipe)),
        "provenance": provenance,
        "origin": list(flat(provenance)),
        "evaluation": evaluation,
        "images": images,
        "headline": {
            "words": first.words,
            "value": written(value) if is_number(value) else None,
            "interval": [written(bound) for bound in interval] if interval else None,
        },
        "told": [*(f"Left out: {fault}" for fault in faults), *_told(task, evaluation)],
        "columns": table.columns,
        "facts": {words: told for key, words in table.facts.items() if (told := _fact(evaluation, key))},
        "score": score,
        "validated": _best_row(metrics, f"val_{score.key}"),
        "num_epochs": len(metrics),
        "drawings": {stem: drawings[stem] for stem in SECTIONS if stem in drawings},
        "more": {stem: picture for stem, picture in drawings.items() if stem not in SECTIONS},
        "per_class": per_class,
        "num_weak": min(3, len(per_class) // 4),
        "confusions": _confusions(evaluation),
        "slices": slices,
        "robustness": robustness,
        "bad_images": bad_images,
        "commands": _commands(run, provenance, images),
    }


def _csv(path: Path) -> list[dict[str, str]]:
    with foreign(path):
        table = csv.DictReader(io.StringIO(read_text(path, most=MAX_RECORD), newline=""))
        return [{str(key): str(value) for key, value in row.items()} for row in table]


def _fact(evaluation: Mapping[str, Any], key: str) -> str:
    """A figure as a percentage, with its interval where it has one; "" where there is none."""
    value, interval = evaluation.get(key), evaluation.get(f"{key}_interval")
    if not isinstance(value, float):
        return ""
    return percent(value) + (f" ({percent(interval[0])} to {percent(interval[1])})" if interval else "")


def _told(task: Task, evaluation: Mapping[str, Any]) -> list[str]:
    """What `resnets eval` says of it, without the table of classes; nothing of a run whose version had other figures."""
    try:
        return task.rows.told(evaluation, False).splitlines() if evaluation else []
    except KeyError:
        return []


def _weakest(row: Mapping[str, Any], columns: Mapping[str, str]) -> tuple[bool, float]:
    """The weakest class by the first column first; classes that the last column counts none of, whose score says nothing,
    last."""
    first, *_, counted = columns
    return not row.get(counted), row.get(first) or 0.0


def _best_row(metrics: Sequence[Mapping[str, float]], score: str) -> Mapping[str, Any]:
    """The row of metrics.csv with the best validation score, which is then its "score" too."""
    known = [row for row in metrics if math.isfinite(row.get(score, math.nan))]
    best = max(known, key=lambda row: row[score], default=None)
    return {} if best is None else {**best, "score": best[score]}


def _confusions(evaluation: Mapping[str, Any]) -> list[Any]:
    matrix = evaluation.get("confusion") or []
    labels = evaluation.get("labels") or [str(number) for number in range(len(matrix))]
    return largest_confusions(matrix, labels, limit=5) if matrix else []


def _commands(run: RunDir, provenance: Mapping[str, Any], images: str) -> dict[str, str]:
    """What to type to get this run again, to go on with it, and to use it; each only where its files are there."""
    folder, recipe = shlex.quote(str(run.path)), shlex.quote(str(run.recipe))
    commands = {
        "Repeat the run": provenance.get("command") or (run.recipe.exists() and f"resnets train --recipe {recipe}"),
        "Go on with it": run.resume_position.exists() and f"resnets train --resume --out {folder}",
    }
    if run.best.exists() or run.last.exists():
        commands["Predict"] = f"resnets predict {folder} {FILES_OF[images]}"
        commands[f"Evaluate on other {images}"] = f"resnets eval {folder} DATA"
    return {purpose: command for purpose, command in commands.items() if command}
