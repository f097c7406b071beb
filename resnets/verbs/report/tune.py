"""The page of a search for settings."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from resnets import tasks
from resnets.draw.tuning import tuning
from resnets.engine.run import MAX_RECORD, RunDir
from resnets.engine.values import Score
from resnets.errors import InputError
from resnets.files import foreign, read_json, write_text
from resnets.verbs.report.page import filled, picture
from resnets.verbs.report.values import flat


def write(whole: RunDir, record: Mapping[str, Any], score: Score, out: str | Path | None = None) -> Path:
    """Make `report.html` in the folder of a search, and `plots/tune.png`; `record` is the content of its tune.json."""
    whole.plots.mkdir(exist_ok=True)
    figure = tuning(record, whole.plots / "tune.png", score=f"validation {score.words}")
    page = {
        "name": whole.path.resolve().name,
        "score": score,
        "record": record,
        "noise": record["noise"],
        "verdict": record["verdict"],
        "settings": list(flat(record["settings"])),
        "figure": picture(figure),
        "counts": {state: sum(row["state"] == state for row in record["runs"]) for state in ("done", "pruned", "failed")},
    }
    return write_text(whole.report if out is None else Path(out), filled("report/tune.html.jinja", page))


def write_again(path: Path, out: str | Path | None = None) -> Path:
    """The page from the file tune.json of a finished search. Raises `InputError` where it has not ended, or is damaged."""
    record = read_json(path, most=MAX_RECORD, strict=False)
    with foreign(path, "go on with the search by `resnets tune --resume`", what="a search"):
        if record["verdict"] is None:
            raise InputError(f"{path}: the search has not ended; go on with it by `resnets tune --resume --out {path.parent}`")
        return write(RunDir(path.parent), record, tasks.of(record["settings"]).scores[0], out)
