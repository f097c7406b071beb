"""`report.html`: what one run did, on one page that needs nothing beside it, made from the files of the run directory.

Whatever is missing is left out. Everything shown is somebody's data (names of classes, paths), so all of it is escaped, and
the page's own policy forbids scripts and loads.
"""

from __future__ import annotations

import base64
import csv
import io
import itertools
import json
import math
import shlex
import struct
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from resnets import tasks
from resnets.draw.confusion import largest_confusions
from resnets.engine.contract import Headline, Score, Task
from resnets.engine.run import MAX_RECORD, RunDir
from resnets.files import foreign, read_json, read_text, read_yaml, write_text

NONE = "–"
# The drawings with a section of their own, by the name of the file; any other in plots/ stands under "More drawings".
# The charts are drawn on white and may be turned dark with the page; pictures may not.
CHARTS = ("curves", "confusion", "reliability", "roc", "precision_recall")
SECTIONS = (*CHARTS, "errors", "worst")


def write(folder: Path | str) -> Path:
    """Make `report.html` in the run directory `folder`; its path."""
    run = RunDir(folder)
    return write_text(run.report, render(run))


def write_repeats(run: RunDir, result: Mapping[str, Any], score: Score) -> Path:
    """Make the page of several runs with other seeds or folds; `result` is `verbs.repeats.Repeats.to_json`'s."""
    key = next(name for name in (f"test_{score.key}", f"val_{score.key}") if name in result["scores"])
    values, curves = [row[key] for row in result["runs"]], run.plots / "curves.png"
    page = {
        "name": run.path.resolve().name,
        "recipe": _yaml(run.path / result["runs"][0]["run"] / "recipe.yaml"),
        "settings": list(flat(_yaml(run.recipe))),
        "score": score,
        "split": {"test": "test", "val": "validation"}[key.partition("_")[0]],
        "headline": result["scores"][key] | {"lowest": min(values), "highest": max(values)},
        "words": ", ".join(f"{result[name]} {name}" for name in ("seeds", "folds") if name in result),
        "scores": result["scores"],
        "runs": result["runs"],
        "curves": picture(curves) if curves.exists() else None,
    }
    return write_text(run.report, filled("repeats.html.jinja", page))


def render(run: RunDir) -> str:
    """The page as text."""
    return filled("report.html.jinja", contents(run))


def filled(template: str, page: Mapping[str, Any]) -> str:
    """The page that a template of this folder makes."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("resnets.verbs", ""),
        autoescape=True,
        undefined=jinja2.ChainableUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"percent": percent, "duration": duration, "short": short, "plain": plain}
    return environment.get_template(template).render(page)


def contents(run: RunDir) -> dict[str, Any]:
    """What the template reads, from the files that are there."""
    provenance, evaluation = _json(run.provenance), _json(run.evaluation)
    recipe, metrics = _yaml(run.recipe), run.read_metrics()
    drawings = {path.stem: picture(path) for path in sorted(run.plots.glob("*.png"))}
    task = tasks.get(str(recipe.get("task") or tasks.DEFAULT))
    score, table = task.scores[0], task.report_table
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
        "headline": {
            "words": first.words,
            "value": written(value) if _is_number(value) else None,
            "interval": [written(bound) for bound in interval] if interval else None,
        },
        "told": _told(task, evaluation),
        "columns": table.columns,
        "facts": {words: told for key, words in table.facts.items() if (told := _fact(evaluation, key))},
        "score": score,
        "validated": _best_row(metrics, f"val_{score.key}"),
        "num_epochs": len(metrics),
        "drawings": {stem: drawings[stem] for stem in SECTIONS if stem in drawings},
        "more": {stem: picture for stem, picture in drawings.items() if stem not in SECTIONS},
        "charts": CHARTS,
        "per_class": per_class,
        "num_weak": min(3, len(per_class) // 4),
        "confusions": _confusions(evaluation),
        "bad_images": _csv(run.bad_images),
        "commands": _commands(run, provenance),
    }


def _json(path: Path) -> dict[str, Any]:
    return read_json(path, most=MAX_RECORD, strict=False) if path.exists() else {}


def _yaml(path: Path) -> dict[str, Any]:
    return (read_yaml(path) or {}) if path.exists() else {}


def _csv(path: Path) -> list[dict[str, str]]:
    if not path.exists():
        return []
    with foreign(path):
        table = csv.DictReader(io.StringIO(read_text(path, most=MAX_RECORD), newline=""))
        return [{str(key): str(value) for key, value in row.items()} for row in table]


def picture(path: Path) -> dict[str, Any]:
    """A PNG file as the page embeds it."""
    content = path.read_bytes()
    width, height = struct.unpack(">II", content[16:24])  # where every PNG states them
    return {"width": width, "height": height, "base64": base64.b64encode(content).decode("ascii")}


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


def _commands(run: RunDir, provenance: Mapping[str, Any]) -> dict[str, str]:
    """What to type to get this run again, to go on with it, and to use it; each only where its files are there."""
    folder, recipe = shlex.quote(str(run.path)), shlex.quote(str(run.recipe))
    commands = {
        "Repeat the run": provenance.get("command") or (run.recipe.exists() and f"resnets train --recipe {recipe}"),
        "Go on with it": run.resume_position.exists() and f"resnets train --resume --out {folder}",
    }
    if run.best.exists() or run.last.exists():
        commands["Predict"] = f"resnets predict {folder} photo.jpg"
        commands["Evaluate on other pictures"] = f"resnets eval {folder} DATA"
    return {purpose: command for purpose, command in commands.items() if command}


# --- how values are written ---


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


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def percent(value: Any, digits: int = 1) -> str:
    return f"{100 * value:.{digits}f} %" if _is_number(value) else NONE


def short(value: Any) -> str:
    """Three digits and a unit: 269722 is "270 k"."""
    if not _is_number(value):
        return NONE
    for size, unit in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if abs(value) >= 0.9995 * size:
            return f"{value / size:#.3g}".rstrip(".") + unit
    return f"{value:g}"


def duration(seconds: Any) -> str:
    """The two largest units: "1 h 23 min"."""
    if not _is_number(seconds):
        return NONE
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    units = ((86400, "d"), (3600, "h"), (60, "min"), (1, "s"))
    for (large, name), (small, below) in itertools.pairwise(units):
        if seconds >= large:
            whole, rest = divmod(int(seconds), large)
            return f"{whole} {name} {rest // small} {below}"
    raise AssertionError(seconds)
