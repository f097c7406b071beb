"""The page of several runs of the same settings, with other seeds or folds."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from resnets.engine.run import RunDir
from resnets.engine.values import Score
from resnets.files import read_yaml, write_text
from resnets.verbs.report.page import filled, picture
from resnets.verbs.report.values import flat


def write(run: RunDir, result: Mapping[str, Any], score: Score) -> Path:
    """Make `report.html` in the folder of the runs; `result` is `verbs.repeats.Repeats.to_json`'s."""
    key = next(name for name in (f"test_{score.key}", f"val_{score.key}") if name in result["scores"])
    values, curves = [row[key] for row in result["runs"]], run.plots / "curves.png"
    page = {
        "name": run.path.resolve().name,
        "recipe": read_yaml(run.path / result["runs"][0]["run"] / "recipe.yaml"),
        "settings": list(flat(read_yaml(run.recipe))),
        "score": score,
        "split": {"test": "test", "val": "validation"}[key.partition("_")[0]],
        "headline": result["scores"][key] | {"lowest": min(values), "highest": max(values)},
        "words": ", ".join(f"{result[name]} {name}" for name in ("seeds", "folds") if name in result),
        "scores": result["scores"],
        "runs": result["runs"],
        "curves": picture(curves) if curves.exists() else None,
    }
    return write_text(run.report, filled("report/repeats.html.jinja", page))
