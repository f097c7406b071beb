"""The same training for each of several seeds, of several folds (cross-validation), or of both; and what their scores are.

Every run is an ordinary one, in `seed0`, `fold1` or `seed0-fold1` of a folder, and its own recipe repeats it.
"""

from __future__ import annotations

import csv
import dataclasses
import html
import io
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from resnets import tasks
from resnets.data.readers import memory
from resnets.draw.curves import several
from resnets.engine.distributed import Processes
from resnets.engine.job import Reporter
from resnets.engine.layers import own_settings, resolve
from resnets.engine.plan import given, is_longer, requested
from resnets.engine.recipe import LENGTHS
from resnets.engine.run import BRING_BACK, RunDir, begins, claiming
from resnets.engine.settings import parse, read_file
from resnets.errors import InputError
from resnets.files import foreign, open_regular, replacing, write_json, write_text
from resnets.ship import external
from resnets.stores import publishing
from resnets.verbs import train as training
from resnets.verbs.history import History
from resnets.verbs.report import repeats as page
from resnets.verbs.watching import watcher

KEYS = ("seed", "fold")  # of a row, what is told apart by; the settings `seeds` and `folds` say how many


@dataclasses.dataclass(frozen=True, repr=False)
class Repeats:
    """Finished runs: their folder, a row for each ({"seed", "fold", "run", "val_top1", ...}), and {score: {"mean",
    "deviation"}}."""

    path: Path
    rows: list[dict[str, Any]]
    scores: dict[str, dict[str, float]]

    def to_json(self) -> dict[str, Any]:
        numbers = {f"{key}s": len({row[key] for row in self.rows}) for key in KEYS if key in self.rows[0]}
        return {**numbers, "scores": self.scores, "runs": self.rows}

    @property
    def summary(self) -> Path:
        """The file with `to_json`."""
        return self.path / f"{kind_of(self.rows[0])}.json"

    @property
    def histories(self) -> dict[str, History]:
        """The epochs of each run, by its name, which is also its folder in `path`."""
        return {row["run"]: History(RunDir(self.path / row["run"]).read_metrics()) for row in self.rows}

    def __repr__(self) -> str:
        scores = ", ".join(f"{name} {found['mean']:.4f} ± {found['deviation']:.4f}" for name, found in self.scores.items())
        return f"Repeats({self.path}: {len(self.rows)} runs; {scores})"

    def _repr_html_(self) -> str:
        """A row for each run, and below them mean and standard deviation."""
        names = list(self.scores)
        rows = [("run", *names)]
        rows += [(row["run"], *(f"{row[name]:.4f}" for name in names)) for row in self.rows]
        rows.append(
            ("mean ± deviation", *(f"{found['mean']:.4f} ± {found['deviation']:.4f}" for found in self.scores.values()))
        )
        return f"{html.escape(str(self.path))}<table>{''.join(map(html_row, rows))}</table>"


def html_row(cells: Sequence[str]) -> str:
    """A row of a table, whose first cell names it."""
    return f"<tr><th>{html.escape(cells[0])}</th>{''.join(f'<td>{cell}</td>' for cell in cells[1:])}</tr>"


def kind_of(found: Mapping[str, Any]) -> str:
    """What the folder is called: "seeds", or "folds" where there are only these."""
    return "seeds" if found.get("seeds", found.get("seed")) is not None else "folds"


def asked(settings: Mapping[str, Any], out: str | Path | None, *, resume: bool) -> bool:
    """Whether these arguments of `train` mean several runs, rather than one."""
    layers = requested(given({"": settings}))
    if resume and out is not None and RunDir(out).recipe.is_file():
        layers = {"": read_file(RunDir(out).recipe)} | layers
    chosen = given(layers)
    return chosen.get("seeds") is not None or (chosen.get("folds") is not None and chosen.get("fold") is None)


@publishing
@claiming()
def repeat(
    data: Any = None,
    *,
    out: str | Path | None = None,
    resume: bool = False,
    data_dir: str | Path | None = None,
    began: float | None = None,
    reporter: Reporter | None = None,
    progress: bool = True,
    verbose: int | None = None,
    **settings: Any,
) -> Repeats:
    """Train once for each of `seeds`, for each of `folds` parts of the data, or for each of both. `resnets train --seeds` and
    `--folds` are this; the arguments are those of `train`.

    Args:
        resume: go on with those in `out`: finished runs are not done again. Where nothing is there yet, start.

    Raises:
        InputError: as `train`; without seeds or folds, and in distributed training.
        resnets.errors.Interrupted: after Ctrl-C or SIGTERM; the state is saved.
    """
    reporter = watcher(reporter, progress, verbose)
    settings, net = external.own(settings)
    chosen = given({"": {"data": memory.name_of(data)} | settings})
    if not Processes.from_environment().alone:
        raise InputError(
            "these runs go one after the other in one process each; start without torchrun, or give --fold or --seed"
        )
    whole, chosen = taken_up(out, chosen) if resume and not begins(data, out) else begun(out, chosen)
    rows: list[dict[str, Any]] = []
    parts = list(parts_of(chosen))
    for number, part in enumerate(parts, start=1):
        own = {name: value for name, value in chosen.items() if name != "seeds"} | part
        run = RunDir(whole.path / "-".join(f"{key}{value}" for key, value in part.items()))
        reporter.say(f"run      {number} of {len(parts)}: " + ", ".join(f"{key} {value}" for key, value in part.items()))
        if not is_finished(run, own):
            again = run.recipe.is_file()
            held = ({"data": data} if memory.in_memory(data) else {}) | ({} if net is None else {"model": net})
            try:
                training.train(out=run.path, resume=again, data_dir=data_dir, began=began, reporter=reporter, **own | held)
            except InputError:
                if not (rows or again or resume or run.path.exists()):
                    undo(whole, named=out is not None)
                raise
        began = time.perf_counter()
        rows.append(part | {"run": run.path.name} | scores_of(run))
    return finish(whole, rows)


cross_validate = repeat  # its name in version 0.1.0, when there were folds only


def finish(whole: RunDir, rows: list[dict[str, Any]]) -> Repeats:
    """Write the summary, all answers, the curves and the page."""
    scores = [name for name in rows[0] if name not in (*KEYS, "run")]
    result = Repeats(whole.path, rows, {name: spread([row[name] for row in rows]) for name in scores})
    write_json(result.summary, result.to_json())
    join_predictions(whole, rows)
    runs = {row["run"]: RunDir(whole.path / row["run"]).read_metrics() for row in rows}
    score = tasks.of(read_file(whole.recipe)).scores[0]
    several(runs, whole.plots / "curves.png", metric=score.key, percent=score.percent)
    page.write(whole, result.to_json(), score)
    return result


def parts_of(settings: Mapping[str, Any]) -> Iterator[dict[str, int]]:
    """What tells each run apart: {"seed"}, {"fold"} or both.

    Raises:
        InputError: where there are neither seeds nor folds, or they mean nothing.
    """
    schema = tasks.of(settings).settings
    num_folds = parse(schema, "folds", settings["folds"]) if settings.get("folds") is not None else None
    if settings.get("seeds") is None and num_folds is None:
        raise InputError("there is no number of folds or seeds; give one, such as folds=5 or seeds=3")
    folds = [{"fold": fold} for fold in range(1, num_folds + 1)] if num_folds and settings.get("fold") is None else [{}]
    if settings.get("seeds") is None:
        yield from folds
        return
    if settings.get("seed") is not None:
        raise InputError(f"seed={settings['seed']} and seeds={settings['seeds']} exclude each other; give one of them")
    for seed in seeds_of(parse(schema, "seeds", settings["seeds"])):
        for fold in folds:
            yield {"seed": seed} | fold


def seeds_of(given: Sequence[int]) -> tuple[int, ...]:
    """3 means 0, 1, 2; several are themselves. Raises `InputError` for fewer than two, or one that comes twice."""
    seeds = tuple(range(given[0])) if len(given) == 1 else tuple(given)
    if len(seeds) < 2 or len(set(seeds)) < len(seeds) or min(seeds) < 0:
        raise InputError(f"seeds={','.join(map(str, given))}: give their number, such as 3, or at least two, such as 0,1,2")
    return seeds


def begun(out: str | Path | None, asked: dict[str, Any]) -> tuple[RunDir, dict[str, Any]]:
    """A new folder, with what was given as its recipe."""
    settings = given(requested(asked))
    task = tasks.of(settings)
    settings = own_settings(task.settings, settings, "flag")
    for name, value in settings.items():
        parse(task.settings, name, value)
    list(parts_of(settings))  # so that what means nothing is said before there is a folder
    whole = RunDir.create(out, task.name, kind_of(settings))
    write_text(whole.recipe, yaml.safe_dump(settings, sort_keys=False, allow_unicode=True))
    return whole, settings


def undo(whole: RunDir, *, named: bool) -> None:
    """Remove what `begun` wrote, where the first run was refused, and folders that are empty then, unless they were named."""
    whole.recipe.unlink()
    with suppress(OSError):  # not empty
        for folder in () if named else (whole.path, *whole.path.parents[:2]):
            folder.rmdir()


def taken_up(out: str | Path | None, asked: dict[str, Any]) -> tuple[RunDir, dict[str, Any]]:
    whole = RunDir(out) if out is not None else RunDir.latest(asked.get("task"), kind_of(asked))
    if not whole.recipe.is_file():
        raise InputError(f"{whole.path}: no recipe.yaml here, so there are no runs to go on with; leave out --resume")
    whole.claim()
    before, again = read_file(whole.recipe), given(requested(asked))
    saved = before | again
    if any(is_longer(before.get(name), again.get(name)) for name in LENGTHS):
        write_text(whole.recipe, yaml.safe_dump(saved, sort_keys=False, allow_unicode=True))
    return whole, own_settings(tasks.of(saved).settings, saved, str(whole.recipe))


def is_finished(run: RunDir, settings: Mapping[str, Any]) -> bool:
    """Whether the run has its score. Raises `InputError` where it was made with other settings."""
    if not run.recipe.is_file():
        return False
    _, layers, task = training.layers_of(None, settings, run.path, resume=True)
    recipe, _ = resolve(task.settings, layers)
    name, length = recipe.length
    return "result" in run.read_provenance() and read_file(run.recipe).get(name) == length  # else it is to be made longer


def scores_of(run: RunDir) -> dict[str, float]:
    """What a finished run gives: the task's first score on its part of the data, with the weights that were selected and with
    the last; and on a test split, if there is one."""
    metrics, result = run.read_metrics(), run.read_provenance()
    key = tasks.of(read_file(run.recipe)).scores[0].key
    if not metrics or "selected" not in result or not {"epoch", f"val_{key}"} <= metrics[0].keys():
        raise InputError(f"{run.path}: metrics.csv and provenance.json are not those of a finished run; {BRING_BACK}")
    best = max(metrics, key=lambda row: (-math.inf if math.isnan(row[f"val_{key}"]) else row[f"val_{key}"], row["epoch"]))
    row = best if result["selected"] == "best" else metrics[-1]
    found = {name: row[name] for name in (f"val_{key}", "val_loss") if name in row}  # dense tasks have no validation loss
    found[f"last_val_{key}"] = metrics[-1][f"val_{key}"]
    return found | ({f"test_{key}": result["result"][key]} if result["result"]["split"] == "test" else {})


def spread(values: list[float]) -> dict[str, float]:
    """Mean and sample standard deviation over the runs."""
    return {"mean": float(np.mean(values)), "deviation": float(np.std(values, ddof=1))}


def join_predictions(whole: RunDir, rows: Sequence[Mapping[str, Any]]) -> None:
    """The predictions.csv of all runs as one, each row with the seed and the fold of its run. Over folds, the rows of the
    validation splits are answers out of fold: each image once (for each seed), by a model that was not trained on it."""
    with replacing(whole.predictions) as temporary, temporary.open("w", encoding="utf-8", newline="") as out:
        writer: Any = None
        for row in rows:
            own = {key: row[key] for key in KEYS if key in row}
            for line in answers_of(RunDir(whole.path / row["run"])):
                if writer is None:
                    writer = csv.DictWriter(out, [*own, *line], lineterminator="\n")
                    writer.writeheader()
                writer.writerow(own | line)


def answers_of(run: RunDir) -> Iterator[dict[str, str]]:
    """The rows of predictions.csv. Raises `InputError` where that is missing or damaged."""
    with (
        foreign(run.predictions, "remove the folder of this run, and go on with --resume"),
        io.TextIOWrapper(open_regular(run.predictions), encoding="utf-8", newline="") as file,
    ):
        for line in csv.DictReader(file, strict=True):
            if None in line or None in line.values():
                raise ValueError("another number of cells than columns")
            yield line
