"""Tuning on validation: settings that beat the defaults by more than the noise of seeds, or word that there are none.

1. The defaults are trained with each of `seeds`; how their scores differ is the noise, below which nothing is called better.
2. Trials, all with one further seed: the defaults first, then what Optuna's TPE proposes (Bergstra et al. 2011); those behind
   are stopped early (median rule; Golovin et al. 2017). Each is an ordinary run in its own folder.
3. The best trials are trained anew with the seeds of the defaults, and compared with them seed by seed: a trial that is the
   best of many was lucky, too, and its own score says too much.

The test split is not opened. All that is decided is in `tune.json`, from which a search that was stopped goes on: what is
proposed next is a function of the seed and the trials before.
"""

from __future__ import annotations

import dataclasses
import math
import re
import signal
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from resnets import tasks
from resnets.data.readers import memory
from resnets.engine.distributed import Processes
from resnets.engine.job import Reporter
from resnets.engine.layers import own_settings
from resnets.engine.plan import given, requested
from resnets.engine.run import BRING_BACK, MAX_RECORD, RunDir, claiming
from resnets.engine.settings import parse, parse_duration, read_file
from resnets.errors import InputError, Interrupted
from resnets.files import read_json, write_json, write_text
from resnets.stores import publishing
from resnets.verbs import train as training
from resnets.verbs.repeats import is_finished, scores_of, seeds_of
from resnets.verbs.report import tune as page
from resnets.verbs.tune_space import Dimension, distributions, optuna, settings_of, space, study_of
from resnets.verbs.tune_verdict import line_of, noise_of, verdict_of
from resnets.verbs.watching import watcher

NUM_SEEDS, NUM_TRIALS, NUM_FINALISTS = 3, 12, 2
LEAST_SECONDS = 20.0  # of a run that the budget plans
LENGTHS = ("epochs", "steps", "time")
# Of tune.json, and of each of its runs, what is read again.
SHAPES = {"settings": dict, "seeds": list, "runs": list, "spent": float, "seed": int, "over": list, "finalists": int}
ROW = {"run": str, "part": str, "seed": int, "params": dict, "settings": dict, "state": str, "seconds": float, "curve": dict}


class Pruned(Exception):
    """A trial is behind the median of those before, and is stopped."""


@dataclasses.dataclass(frozen=True)
class Tuned:
    """A finished search: its folder, and the content of tune.json."""

    path: Path
    record: dict[str, Any]

    @property
    def best(self) -> Path | None:
        """The recipe that is better than the defaults; None where nothing was found beyond the noise."""
        return self.path / "best.yaml" if self.record["verdict"]["better"] else None

    def to_json(self) -> dict[str, Any]:
        return {"path": str(self.path), "best": self.best and str(self.best), **self.record}


@publishing
@claiming()
def tune(
    data: Any = None,
    *,
    budget: str | None = None,
    trials: int | None = None,
    over: Sequence[str] = (),
    finalists: int | None = None,
    out: str | Path | None = None,
    resume: bool = False,
    data_dir: str | Path | None = None,
    began: float | None = None,
    reporter: Reporter | None = None,
    progress: bool = True,
    **settings: Any,
) -> Tuned:
    """Search for settings that are better than the defaults by more than the noise of seeds, on validation only.

    Args:
        data, data_dir, reporter, progress: as of `train`.
        budget: wall time of all of it, over all sessions, such as "2h".
        trials: the number of trials at most; None: as many as the budget allows.
        over: what is searched: "lr", "weight_decay", "augment", "model" (the default: all of them that are not given), or any
            setting with its values, "smoothing=0:0.2", "opt=sgd:adamw".
        finalists: how many of the best trials are compared with the defaults, seed by seed; None: two.
        out: the folder; None: the next free runs/<task>/tuneN.
        resume: go on with the search in `out` (None: the newest).
        began: `time.perf_counter()` at which the clock of the budget starts; None: now.
        settings: those of `train`, the same in all runs: the defaults that are to be beaten. `seeds` (3) are those of the
            defaults and the finalists. With a budget and without epochs, steps or time, each run has an equal part of it.

    Raises:
        InputError: for settings that mean nothing, and a budget that is too short.
        resnets.errors.Interrupted: after Ctrl-C or SIGTERM; the state is saved.
    """
    began = time.perf_counter() if began is None else began
    if not Processes.from_environment().alone:
        raise InputError("these runs go one after the other in one process each; start without torchrun")
    optuna()  # so that a missing package is said before anything is trained
    asked = given({"": {"data": memory.name_of(data)} | settings})
    search = {"budget": budget, "trials": trials, "over": list(over), "finalists": finalists}
    whole, record = _taken_up(out, asked, search) if resume else _begun(out, asked, search)
    work = Search(whole, record, data, data_dir, watcher(reporter, progress), began - record["spent"])
    try:
        return work.run()
    except Interrupted as stopped:
        raise work.stopped(stopped.signal) from None
    except KeyboardInterrupt:
        raise work.stopped(signal.SIGINT) from None


class Search:
    """A search under way; `record` is the content of tune.json, and `began` when it would have begun without a pause."""

    def __init__(
        self, whole: RunDir, record: dict[str, Any], data: Any, data_dir: str | Path | None, reporter: Reporter, began: float
    ) -> None:
        self.whole, self.record, self.data, self.data_dir = whole, record, data, data_dir
        self.reporter, self.began = reporter, began
        self.seeds: list[int] = record["seeds"]
        self.task = tasks.of(record["settings"])
        self.key = f"val_{self.task.scores[0].key}"

    def run(self) -> Tuned:
        say, record = self.reporter.say, self.record
        if record["seconds_each"]:
            say(f"plan     each run has {record['seconds_each']:.0f} s; give --epochs, --steps or --time for another length")
        defaults = [self.trained("defaults", f"defaults-seed{seed}", seed, {}, {}) for seed in self.seeds]
        record["noise"] = noise_of([row["value"] for row in defaults])
        noise = record["noise"]
        say(
            f"defaults {self.key} {noise['mean']:.4f} ± {noise['deviation']:.4f} over {len(self.seeds)} seeds; by the seed "
            f"alone two runs differ by {noise['difference']:.4f} (standard deviation)"
        )
        used = read_file(RunDir(self.whole.path / defaults[0]["run"]).recipe)
        dimensions = space(self.task.settings, used, self._fixed(), record["over"])
        record["space"] = [dataclasses.asdict(row) for row in dimensions]
        for row in dimensions:
            say(f"search   {row.told}")
        self._trials(dimensions)
        if not self.rows("trials"):
            say("the budget leaves no time for a trial beside the finalists")
        self._finalists()
        record["verdict"] = verdict_of(record, self.key)
        self.save()
        if record["verdict"]["better"]:
            settings = {name: value for name, value in record["settings"].items() if name != "data"}
            write_text(self.whole.path / "best.yaml", _yaml(settings | record["verdict"]["settings"]))
        page.write(self.whole, record, self.task.scores[0])
        return Tuned(self.whole.path, record)

    def _trials(self, dimensions: list[Dimension]) -> None:
        """Trials while there are budget and number; the defaults first."""
        while self._left_for_trial():
            done = self.rows("trials")
            under_way = next((row for row in done if row["state"] == "running"), None)
            before = [row for row in done if row is not under_way]
            number = len(before)
            study = study_of(before, dimensions, self.record["seed"] + number)
            if under_way is not None or number == 0:
                study.enqueue_trial(under_way["params"] if under_way else {row.name: row.start for row in dimensions})
            trial = study.ask(distributions(dimensions))
            own = {} if number == 0 else settings_of(dimensions, trial.params)
            self.trained("trials", f"trial{number}", max(self.seeds) + 1, trial.params, own, trial)

    def _left_for_trial(self) -> bool:
        rows, most = self.rows("trials"), self.record["trials"]
        if any(row["state"] == "running" for row in rows):
            return True
        if (most is not None and len(rows) >= most) or "finalists" in {row["part"] for row in self.record["runs"]}:
            return False
        # Time is kept for the finalists that there are, and for the trial if it becomes one.
        return self._fits(1 + min(self.record["finalists"], len(self._above()) + 1) * len(self.seeds))

    def _above(self) -> list[dict[str, Any]]:
        """The trials that are above the defaults of the same seed, the best first."""
        found = [row for row in self.rows("trials") if row["state"] == "done"]
        start = next((row["value"] for row in found if row["run"] == "trial0"), -math.inf)
        return sorted((row for row in found if row["value"] > start), key=lambda row: -row["value"])

    def _finalists(self) -> None:
        """The best trials, each with the seeds of the defaults."""
        for row in self._above()[: self.record["finalists"]]:
            named = [f"{row['run']}-seed{seed}" for seed in self.seeds]
            begun = {each["run"] for each in self.rows("finalists")}
            if not begun & set(named) and not self._fits(len(self.seeds)):
                self.reporter.say(f"{row['run']} is not compared with the defaults: the budget is spent")
                break
            for seed, name in zip(self.seeds, named, strict=True):
                self.trained("finalists", name, seed, row["params"], row["settings"])

    def trained(
        self, part: str, name: str, seed: int, params: Mapping[str, Any], own: Mapping[str, Any], trial: Any = None
    ) -> dict[str, Any]:
        """The row of a run, which is trained unless it was finished before."""
        row = next((row for row in self.record["runs"] if row["run"] == name), None)
        if row is None:
            row = {"run": name, "part": part, "seed": seed, "params": dict(params), "settings": dict(own), "state": "running"}
            row |= {"value": None, "seconds": 0.0, "curve": {}}
            self.record["runs"].append(row)
            self.save()
        if row["state"] != "running":
            return row
        run, settings = RunDir(self.whole.path / name), self._settings(own) | {"seed": seed}
        watch = Watch(self, row, trial)
        try:
            if not is_finished(run, settings):
                held = {"data": self.data} if memory.in_memory(self.data) else {}
                again = run.recipe.is_file()
                training.train(out=run.path, resume=again, data_dir=self.data_dir, reporter=watch, **settings | held)
            row |= {"state": "done", "value": scores_of(run)[self.key]}
            if not math.isfinite(row["value"]):
                row |= {"state": "failed", "why": f"{self.key} is no number"}
        except Pruned:
            row |= {"state": "pruned", "value": max(row["curve"].values())}
        except InputError as error:
            if part == "defaults":
                raise
            row |= {"state": "failed", "why": str(error)}
        watch.count()
        self.save()
        self.reporter.say(line_of(row, self.key))
        return row

    def _settings(self, own: Mapping[str, Any]) -> dict[str, Any]:
        """The settings of a run: those that are given, the length that the budget allows, and its own."""
        each = self.record["seconds_each"]
        length = {"time": f"{each:.2f}s"} if each else {}
        return self.record["settings"] | length | {"test": False} | dict(own)

    def _fixed(self) -> dict[str, Any]:
        return {name: value for name, value in self.record["settings"].items() if name != "model" or value != "auto"}

    def _fits(self, num_runs: int) -> bool:
        """Whether so many more runs end within the budget, by what runs took that were not stopped early."""
        if self.record["budget"] is None:
            return True
        took = [row["seconds"] for row in self.record["runs"] if row["state"] == "done"]
        return self.spent() + num_runs * float(np.mean(took)) <= self.record["budget"]

    def spent(self) -> float:
        """Seconds so far, over all sessions."""
        return time.perf_counter() - self.began

    def rows(self, part: str) -> list[dict[str, Any]]:
        return [row for row in self.record["runs"] if row["part"] == part]

    def save(self) -> None:
        self.record["spent"] = round(self.spent(), 2)
        write_json(self.whole.path / "tune.json", self.record)

    def stopped(self, number: int) -> Interrupted:
        self.save()
        path = self.whole.path
        return Interrupted(number, path, f"stopped, and saved; to go on: resnets tune --resume --out {path}")


class Watch:
    """The reporter of one run: it keeps the score so far by tenths of the run, and stops a trial that is behind."""

    def __init__(self, search: Search, row: dict[str, Any], trial: Any) -> None:
        self.search, self.row, self.trial = search, row, trial
        self.began, self.before = time.perf_counter(), row["seconds"]
        for percent, value in row["curve"].items() if trial else ():
            trial.report(value, int(percent))

    def say(self, text: str) -> None: ...

    def step(self, *of: Any) -> None: ...

    def epoch(self, metrics: Mapping[str, float], at: Any, seconds: float) -> None:
        curve, value = self.row["curve"], metrics[self.search.key]
        best = max([*curve.values(), *([value] if math.isfinite(value) else [])], default=None)
        share = 100 * at.step / at.total_steps
        for percent in range(10, 101, 10):
            if best is not None and percent <= share and str(percent) not in curve:
                curve[str(percent)] = best
                if self.trial:
                    self.trial.report(best, percent)
        self.count()
        self.search.save()
        if self.trial and not at.finished and self.trial.should_prune():
            raise Pruned

    def count(self) -> None:
        self.row["seconds"] = round(self.before + time.perf_counter() - self.began, 2)


# --- beginning and going on ---


def _begun(out: str | Path | None, asked: dict[str, Any], search: dict[str, Any]) -> tuple[RunDir, dict[str, Any]]:
    """A new folder, with what was asked for."""
    settings = given(requested(asked))
    task = tasks.of(settings)
    settings = own_settings(task.settings, settings, "flag")
    for name, value in settings.items():
        parse(task.settings, name, value)
    if alone := [name for name in ("folds", "fold", "seed", "find_lr", "probe") if settings.get(name)]:
        raise InputError(f"{alone[0]}={settings[alone[0]]} is not for tuning; leave it out")
    seeds = list(seeds_of(parse(task.settings, "seeds", settings.pop("seeds", NUM_SEEDS))))
    seconds = None if search["budget"] is None else parse_duration(str(search["budget"]))
    if seconds is None and search["trials"] is None:
        raise InputError("how long? give a budget of time, such as --budget 2h, or a number of trials, such as --trials 20")
    search = search | {"finalists": NUM_FINALISTS if search["finalists"] is None else search["finalists"]}
    if min(1 if search["trials"] is None else search["trials"], search["finalists"]) < 1:
        raise InputError(f"trials={search['trials']}, finalists={search['finalists']}: give at least 1")
    has_length = any(settings.get(name) is not None for name in LENGTHS)
    each = None if seconds is None or has_length else seconds_each(seconds, len(seeds), search["trials"], search["finalists"])
    whole = RunDir.create(out, task.name, "tune")
    write_text(whole.path / "base.yaml", _yaml(settings))
    record = {"settings": settings, **search, "budget": seconds, "seeds": seeds, "seed": 0, "seconds_each": each}
    record |= {"spent": 0.0, "space": [], "noise": None, "runs": [], "verdict": None}
    write_json(whole.path / "tune.json", record)
    return whole, record


def seconds_each(budget: float, num_seeds: int, num_trials: int | None, num_finalists: int) -> float:
    """The length of a run, all of equal length: the defaults and the finalists with each seed, and the trials."""
    others = num_seeds * (1 + num_finalists)
    least = 3 if num_trials is None else num_trials
    num = num_trials or max(least, min(NUM_TRIALS, int(budget / LEAST_SECONDS) - others))
    if budget / (others + num) < LEAST_SECONDS:
        minutes = math.ceil((others + num) * LEAST_SECONDS / 60)
        raise InputError(
            f"budget={budget:g}s: too short for {others + num} runs of {LEAST_SECONDS:g} s ({num_seeds} of the defaults, {num} "
            f"trials, {num_finalists} x {num_seeds} of the best); give at least {minutes}m, or how long a run is, as --epochs 5"
        )
    return budget / (others + num)


def _taken_up(out: str | Path | None, asked: dict[str, Any], search: dict[str, Any]) -> tuple[RunDir, dict[str, Any]]:
    """The search in a folder, which goes on as it was begun."""
    whole = RunDir(out) if out is not None else RunDir.latest(asked.get("task"), "tune")
    path = whole.path / "tune.json"
    if not path.is_file():
        raise InputError(f"{whole.path}: no tune.json here, so there is no search to go on with; leave out --resume")
    whole.claim()
    record = checked(read_json(path, most=MAX_RECORD, strict=False), path)
    schema, before = tasks.of(record["settings"]).settings, record["settings"] | {"seeds": record["seeds"]}
    whole_seeds = {"seeds": list(seeds_of(parse(schema, "seeds", asked["seeds"])))} if "seeds" in asked else {}
    again = {name: parse(schema, name, value) for name, value in own_settings(schema, asked | whole_seeds, "flag").items()}
    changed = [name for name, value in again.items() if name not in before or value != parse(schema, name, before[name])]
    seconds = None if search["budget"] is None else parse_duration(str(search["budget"]))
    changed += [name for name, value in ({**search, "budget": seconds}).items() if value not in (None, [], record[name])]
    if changed:
        raise InputError(f"{whole.path}: {changed[0]} was {(before | record).get(changed[0])}; leave it out to go on as it was")
    return whole, record


def checked(record: dict[str, Any], path: Path) -> dict[str, Any]:
    """The content of a tune.json. Raises `InputError` where it is not that of a search."""
    rows = record.get("runs") if all(type(record.get(name)) is kind for name, kind in SHAPES.items()) else [None]
    for row in rows or ():
        if not isinstance(row, dict) or any(type(row.get(name)) is not kind for name, kind in ROW.items()):
            raise InputError(f"{path}: is damaged, or not that of a search; {BRING_BACK}")
        if not re.fullmatch(r"(defaults|trial\d{1,9})(-seed\d{1,10})?", row["run"]):  # which are folders
            raise InputError(f"{path}: {row['run']!r:.80} is no run of a search; {BRING_BACK}")
    return record


def _yaml(settings: Mapping[str, Any]) -> str:
    plain = {name: list(value) if isinstance(value, tuple) else value for name, value in settings.items()}
    return str(yaml.safe_dump(plain, sort_keys=False, allow_unicode=True))
