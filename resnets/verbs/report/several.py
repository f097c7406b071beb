"""`resnets report RUN RUN...`: several runs on one page: curves, differences and how sure they are, costs, settings.

All of it comes from the run directories; no model is run. The first run is the one that the others are compared with.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np

from resnets.draw import overlaid
from resnets.engine.plan import FREE
from resnets.engine.values import Score
from resnets.errors import InputError
from resnets.files import short, temporary_folder, write_text
from resnets.measures.paired import Difference, holm, of_runs, paired_bootstrap, right_together
from resnets.verbs.report.folders import Gathered, answers, gather
from resnets.verbs.report.page import filled, picture
from resnets.verbs.report.values import is_number, plain

REPEATED = ("seed", "fold")  # by which repetitions of the same settings differ
COSTS = {  # of a run, with their words
    "seconds": "seconds of training", "num_params": "parameters", "num_macs": "multiply-adds of an image",
    "images_per_second": "images a second in training",
}  # fmt: skip
MOST = 40  # runs on one page


def compare(folders: Sequence[str | Path]) -> dict[str, Any]:
    """The comparison of run directories, as JSON can hold it.

    Returns:
        {"task", "score": {"key", "words"},
        "runs": one each: "number", "run", "state", "faults", "group", "split", "score", "interval", "best_epoch", and `COSTS`;
        "groups": of runs that differ in their seed or fold only: "runs" (numbers), "mean", "deviation", "difference" to the
            first group with "interval" and "p_value";
        "differences": of each run to the first: "difference", "interval", "p_value", "p_holm", of classes "mcnemar"; or
            "reason", why there is none;
        "settings": {name: values, one a run} of those that differ;
        "notes": what else keeps figures from being compared}.

    Raises:
        InputError: where there is no such folder, or the runs are for several tasks, or none of them has begun.
    """
    return compared([gather(folder) for folder in expanded(folders)])


def compared(runs: Sequence[Gathered]) -> dict[str, Any]:
    """As `compare`, of runs that have been read."""
    if len(runs) > MOST:
        raise InputError(f"{len(runs)} runs; give at most {MOST}")
    score = common_score(runs)
    groups = grouped(runs)
    group_of = {number: at for at, numbers in enumerate(groups) for number in numbers}
    return {
        "task": next(run.task.name for run in runs if run.task),
        "score": {"key": score.key, "words": score.words},
        "runs": [row_of(number, run, group_of[number], score) for number, run in enumerate(runs)],
        "groups": group_rows(groups, runs, score),
        "differences": differences(runs),
        "settings": differing([run.recipe for run in runs]),
        "notes": notes(runs),
    }


def expanded(folders: Sequence[str | Path]) -> list[Path]:
    """The folders, with the runs in a folder of several seeds or folds in its place."""
    found: list[Path] = []
    for folder in map(Path, folders):
        repeated = any((folder / name).is_file() for name in ("seeds.json", "folds.json"))
        found += sorted(recipe.parent for recipe in folder.glob("*/recipe.yaml")) if repeated else [folder]
    return found


def common_score(runs: Sequence[Gathered]) -> Score:
    """The first score of the task that all runs are for. Raises `InputError` where there are several, or none."""
    found = {run.task.name: run.task for run in runs if run.task}
    if not found:
        raise InputError(f"{runs[0].run.path}: no recipe.yaml that can be read here, nor in the others: no run has begun")
    if len(found) > 1:
        told = "; ".join(f"{name}: {next(run.run.path for run in runs if run.task is task)}" for name, task in found.items())
        raise InputError(f"the runs are for several tasks ({told}), whose scores say nothing of each other; give those of one")
    return next(iter(found.values())).scores[0]


def row_of(number: int, run: Gathered, group: int, score: Score) -> dict[str, Any]:
    """What the table says of a run."""
    validated = [row for row in run.metrics if math.isfinite(row.get(f"val_{score.key}", math.nan))]
    best = max(validated, key=lambda row: (row[f"val_{score.key}"], row["epoch"]), default=None)  # as the weights are chosen
    return {
        "number": number + 1,
        "run": str(run.run.path),
        "state": run.state,
        "faults": list(run.faults),
        "group": group + 1,
        "model": plain(run.origin("model").get("name") or run.recipe.get("model") or ""),
        "seed": run.recipe.get("seed"),
        "split": run.split or None,
        "num_images": None if (num := run.score("num_images")) is None else int(num),
        "score": run.score(score.key),
        "interval": run.interval(score.key),
        "validated": best and best[f"val_{score.key}"],
        "best_epoch": best and int(best["epoch"]),
        "num_epochs": len(run.metrics),
        **run.costs(),
    }


def grouped(runs: Sequence[Gathered]) -> list[list[int]]:
    """Numbers of the runs that have the same settings but for seed, fold, and what changes nothing of what is computed."""
    found: dict[Any, list[int]] = {}
    for number, run in enumerate(runs):
        same = {name: plain(value) for name, value in run.recipe.items() if name not in (*FREE, *REPEATED)}
        found.setdefault(tuple(sorted(same.items())) or number, []).append(number)
    return list(found.values())


def group_rows(groups: Sequence[Sequence[int]], runs: Sequence[Gathered], score: Score) -> list[dict[str, Any]]:
    """Mean and sample standard deviation over the runs of each group, and its difference to the first by Welch's t-test."""
    rows: list[dict[str, Any]] = []
    values = [[value for number in group if (value := runs[number].score(score.key)) is not None] for group in groups]
    for group, own in zip(groups, values, strict=True):
        spread = float(np.std(own, ddof=1)) if len(own) > 1 else None
        row = {"group": len(rows) + 1, "runs": [number + 1 for number in group], "num_scores": len(own)}
        difference = of_runs(own, values[0]) if rows else None
        rows.append(row | {"mean": float(np.mean(own)) if own else None, "deviation": spread} | written(difference))
    return rows


def written(difference: Difference | None) -> dict[str, Any]:
    if difference is None:
        return {"difference": None, "interval": None, "p_value": None}
    return {"difference": difference.value, "interval": list(difference.interval), "p_value": difference.p_value}


def differences(runs: Sequence[Gathered]) -> list[dict[str, Any]]:
    """Of each run but the first its figure less the first's, on the same pictures."""
    found = [{"number": number} | paired(run, runs[0]) for number, run in enumerate(runs[1:], start=2)]
    tested = [row for row in found if "reason" not in row]
    for row, adjusted in zip(tested, holm([row["p_value"] for row in tested]), strict=True):
        row["p_holm"] = adjusted
    return found


def paired(run: Gathered, first: Gathered) -> dict[str, Any]:
    """The difference of two runs by their answers to the same pictures; or {"reason"} why it cannot be told."""
    task = run.task
    if task is None or not (run.split and first.split):
        return {"reason": "one of the two has no evaluation"}
    if run.split != first.split:
        return {"reason": f"one was scored on the {run.split} split, the first run on {first.split}"}
    if run.fingerprint != first.fingerprint:
        return {"reason": "their data differ; `resnets eval A B DATA --compare` tests both on the same pictures"}
    try:
        own, other = answers(run.run, run.split), answers(first.run, run.split)
        for each, rows in ((run, own), (first, other)):
            if not rows:
                return {"reason": f"{each.run.predictions} has no row of the {run.split} split: it is damaged, or cut short"}
        if own.keys() != other.keys():
            return {"reason": f"their {run.split} splits are not the same pictures (cut anew by each seed or fold)"}
        paths = sorted(own)
        samples = [task.rows.sample([rows[path] for path in paths]) for rows in (own, other)]
    except InputError as error:
        return {"reason": str(error)}
    except (KeyError, ValueError, TypeError, IndexError) as error:
        return {"reason": f"predictions.csv has not the columns of the task ({short(error)})"}
    groups = np.array([own[path][0].get("group") or "" for path in paths])
    by = groups if (groups != "").all() else None
    difference = paired_bootstrap(samples[0].figure, samples[1].figure, len(paths), by)
    told = {"figure": samples[0].name, "num_images": len(paths), "num_groups": None if by is None else len(np.unique(by))}
    told |= written(difference)
    if samples[0].right is not None and samples[1].right is not None:
        told["mcnemar"] = right_together(samples[1].right, samples[0].right)  # first: the first run
    return told


def differing(recipes: Sequence[Mapping[str, Any]]) -> dict[str, list[str | None]]:
    """The settings that are not the same in all runs, as text; None in runs that do not have it, or have no settings."""
    names = dict.fromkeys(name for recipe in recipes for name in recipe)
    rows = {name: [plain(recipe[name]) if name in recipe else None for recipe in recipes] for name in names}
    have = [number for number, recipe in enumerate(recipes) if recipe]
    return {name: row for name, row in rows.items() if len({row[number] for number in have}) > 1}


def notes(runs: Sequence[Gathered]) -> list[str]:
    """What keeps figures from being compared as they stand."""
    begun = [run for run in runs if run.recipe]
    data = {run.fingerprint for run in begun} - {None}
    splits = {run.split for run in begun} - {""}
    devices = {plain(name) for run in begun if (name := run.origin("device").get("name"))}
    sizes = {num for run in begun if (num := run.score("num_images")) is not None}
    found = []
    if len(data) > 1:
        found.append("The runs have different data, so that a difference of their scores may be one of the pictures.")
    if len(splits) > 1:
        found.append(f"The scores are of different splits: {', '.join(sorted(splits))}.")
    elif len(sizes) > 1:
        found.append(f"The scores are of different numbers of pictures: {', '.join(f'{num:,.0f}' for num in sorted(sizes))}.")
    if len(devices) > 1:
        found.append(f"Times and speeds are of different devices: {', '.join(sorted(devices))}.")
    return found


def write(folders: Sequence[str | Path], out: Path) -> Path:
    """Make the page of several runs; its path. Raises as `compare`."""
    runs = [gather(folder) for folder in expanded(folders)]
    found = compared(runs)
    score = next(run.task.scores[0] for run in runs if run.task)
    page = {
        **found,
        "score": score,
        "costs": {name: words for name, words in COSTS.items() if any(row[name] is not None for row in found["runs"])},
        "names": names_of([row["run"] for row in found["runs"]]),
        "links": [link(run, out) for run in runs],
        "drawings": drawn(found, [run.metrics for run in runs], score),
        "repeated": any(row["num_scores"] > 1 for row in found["groups"]),
        "split": ", ".join(sorted({{"val": "validation"}.get(s, s) for row in found["runs"] if (s := row["split"])})),
    }
    return write_text(out, filled("report/several.html.jinja", page))


def drawn(found: Mapping[str, Any], metrics: Sequence[Sequence[Mapping[str, Any]]], score: Score) -> dict[str, Any]:
    """The drawings of the page that have something to show."""
    groups, rows = [row["group"] for row in found["runs"]], found["runs"]
    scored = [row for row in rows if row["score"] is not None]
    known = {name: words for name, words in COSTS.items() if any(row[name] for row in scored)}
    tested = [row for row in found["differences"] if is_number(row.get("difference"))]
    made: dict[str, Any] = {}
    with temporary_folder() as folder:
        if any(metrics):
            path = overlaid.curves(metrics, groups, folder / "curves.png", metric=score.key, percent=score.percent)
            made["curves"] = picture(path)
        if known:
            path = overlaid.costs(scored, known, folder / "costs.png", y_name=score.words)
            made["costs"] = picture(path)
        if tested:
            made["differences"] = picture(overlaid.differences(tested, folder / "differences.png"))
    return made


def names_of(paths: Sequence[str]) -> list[str]:
    """The last part of each path where that tells the runs apart, else the paths."""
    last = [Path(path).resolve().name for path in paths]
    return last if len(set(last)) == len(last) else list(paths)


def link(run: Gathered, out: Path) -> str | None:
    """The way from the page to the run's own; None where there is none."""
    return quote(os.path.relpath(run.run.report, out.resolve().parent)) if run.run.report.exists() else None
