"""The runs of `--seeds` and `--folds` by an engine: side by side, each in one worker, and gone on with in another."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from resnets.data.readers import memory
from resnets.engine.job import Reporter
from resnets.engine.plan import given
from resnets.engine.run import RunDir, begins, claiming
from resnets.errors import InputError
from resnets.fleet.engines import Lost
from resnets.fleet.engines import engine as opened
from resnets.verbs import train as training
from resnets.verbs.repeats import Repeats, begun, finish, is_finished, parts_of, scores_of, taken_up, undo
from resnets.verbs.together import check_names
from resnets.verbs.watching import Silent


@dataclass(frozen=True)
class Trial:
    """One of the runs: what tells it apart ({"seed"}, {"fold"} or both), its folder, and all its settings."""

    part: dict[str, int]
    folder: str
    settings: dict[str, Any] = field(repr=False)

    def __str__(self) -> str:
        return ", ".join(f"{key} {value}" for key, value in self.part.items())


@claiming()
def repeat(
    data: Any = None,
    *,
    engine: str,
    num_workers: int | None = None,
    out: str | Path | None = None,
    resume: bool = False,
    data_dir: str | Path | None = None,
    reporter: Reporter | None = None,
    **settings: Any,
) -> Repeats:
    """As `repeats.repeat`, with `num_workers` runs at once.

    Raises:
        InputError: as that, and the engine; and where runs were lost, with all others done.
    """
    check_names(data, settings)
    reporter = reporter or Silent()
    chosen = given({"": {"data": memory.name_of(data)} | settings})
    whole, chosen = taken_up(out, chosen) if resume and not begins(data, out) else begun(out, chosen)
    common, trials = {name: value for name, value in chosen.items() if name != "seeds"}, list[Trial]()
    for part in parts_of(chosen):
        folder = whole.path.absolute() / "-".join(f"{key}{value}" for key, value in part.items())
        trials.append(Trial(part, str(folder), common | part))
    todo = [trial for trial in trials if not is_finished(RunDir(trial.folder), trial.settings)]
    lost, done = list[str](), len(trials) - len(todo)
    try:
        with opened(engine, num_workers=num_workers, device=common.get("device"), say=reporter.say) as working:
            for trial, found in working.each(partial(train_one, data_dir), todo):
                if isinstance(found, Lost):
                    lost.append(f"{trial}: {found.reason}")
                    continue
                done += 1
                scores = ", ".join(f"{name} {value:.4f}" for name, value in found.items())
                reporter.say(f"run      {done} of {len(trials)}: {trial}: {scores}")
    except InputError:
        if not resume and not any(Path(trial.folder).exists() for trial in trials):
            undo(whole, named=out is not None)
        raise
    if lost:
        raise InputError(
            f"{len(lost)} of {len(trials)} runs have no score, for their workers were lost in every try ({'; '.join(lost)}); "
            f"when that is mended, go on by --resume --out {whole.path}"
        )
    return finish(whole, [trial.part | {"run": Path(trial.folder).name} | scores_of(RunDir(trial.folder)) for trial in trials])


def train_one(data_dir: str | Path | None, trial: Trial) -> dict[str, float]:
    """Train one run to its end, from where it stands; its scores."""
    run = RunDir(trial.folder)
    training.train(out=run.path, resume=run.recipe.is_file(), data_dir=data_dir, reporter=Silent(), **trial.settings)
    return scores_of(run)
