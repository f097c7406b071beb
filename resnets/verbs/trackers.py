"""`--tracker`: TensorBoard, MLflow, Weights & Biases or Trackio keep a run too, each by its own library.

Addresses, projects and keys are those libraries' own settings (environment variables, a login), so that no file of a run holds
them. trackers.json has, of each tracker, which of its runs this is, and the last epoch that it was told.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import math
import os
import re
import sys
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any, ClassVar, Protocol

from resnets.engine.job import Fit
from resnets.engine.plan import Plan
from resnets.engine.run import BRING_BACK, Row, RunDir
from resnets.errors import InputError
from resnets.files import read_json, short, temporary_folder, write_json

AXES = ("epoch", "step")  # of a row of metrics.csv; trackers have curves over epochs, and words of their own for steps
PROJECT = "resnets"  # where the library's own settings name no other
Values = Mapping[str, float]
Pictures = Mapping[str, Path]  # PNG files by their names


class Tracker(Protocol):
    """One run at one tracker. Whatever these raise is the tracker's fault, not the training's."""

    package: ClassVar[str]

    def start(self, run: RunDir, before: str | None, settings: Mapping[str, Any]) -> tuple[str, str]:
        """Begin, or go on with the run `before`. Its id, and for people where it is found, without credentials."""
        ...

    def epoch(self, number: int, values: Values) -> None: ...

    def pictures(self, found: Pictures, epoch: int) -> None: ...

    def end(self, model: Path | None) -> None:
        """Close the run: `model` is the file of the selected weights; None: it did not come to its end."""
        ...


class TensorBoard(Tracker):
    """Into `tensorboard/` of the run directory. It has no artifacts: the model's path stands among its texts."""

    package = "tensorboard"

    def start(self, run: RunDir, before: str | None, settings: Mapping[str, Any]) -> tuple[str, str]:
        from torch.utils.tensorboard import SummaryWriter

        folder = run.path / "tensorboard"
        self.settings = settings
        self.last: dict[str, float] = {}
        self.writer: Any = SummaryWriter(str(folder))
        table = "".join(f"|{name}|{value}|\n" for name, value in settings.items())
        self.writer.add_text("settings", f"|setting|value|\n|--|--|\n{table}", 0)
        return "tensorboard", f"tensorboard --logdir {folder}"

    def epoch(self, number: int, values: Values) -> None:
        for name, value in values.items():
            self.writer.add_scalar(name, value, number)
        self.writer.flush()
        self.last = {f"last/{name}": value for name, value in values.items() if name.startswith("val/")}

    def pictures(self, found: Pictures, epoch: int) -> None:
        import numpy as np
        from PIL import Image

        for name, path in found.items():
            with Image.open(path) as image:
                self.writer.add_image(name, np.asarray(image.convert("RGB")), epoch, dataformats="HWC")

    def end(self, model: Path | None) -> None:
        if model is not None:
            self.writer.add_text("model", str(model), 0)
            plain = {name: value if isinstance(value, int | float) else str(value) for name, value in self.settings.items()}
            self.writer.add_hparams(plain, self.last, run_name=".")
        self.writer.close()


class MLflow(Tracker):
    """By MLFLOW_TRACKING_URI and MLFLOW_EXPERIMENT_NAME, else where MLflow keeps runs by default."""

    package = "mlflow"

    def start(self, run: RunDir, before: str | None, settings: Mapping[str, Any]) -> tuple[str, str]:
        from mlflow import MlflowClient
        from mlflow.entities import Param

        self.client: Any = MlflowClient()
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME", PROJECT)
        found = self.client.get_experiment_by_name(name)
        if before is not None:
            self.client.update_run(before, status="RUNNING")
            self.id = before
        else:
            experiment = found.experiment_id if found else self.client.create_experiment(name)
            self.id = self.client.create_run(experiment, run_name=name_of(run)).info.run_id
            params = [Param(key, str(value)) for key, value in settings.items()]
            for at in range(0, len(params), 100):  # as many as one call takes
                self.client.log_batch(self.id, params=params[at : at + 100])
        return self.id, f"run {self.id} of the experiment {name}"

    def epoch(self, number: int, values: Values) -> None:
        from mlflow.entities import Metric

        now = int(1000 * time.time())
        self.client.log_batch(self.id, metrics=[Metric(name, value, now, number) for name, value in values.items()])

    def pictures(self, found: Pictures, epoch: int) -> None:
        for name, path in found.items():
            self.client.log_artifact(self.id, str(path), name.rpartition("/")[0])

    def end(self, model: Path | None) -> None:
        if model is not None:
            self.client.log_artifact(self.id, str(model), "model")
        self.client.set_terminated(self.id, "KILLED" if model is None else "FINISHED")


class Wandb(Tracker):
    """By `wandb login`, WANDB_PROJECT and WANDB_MODE. What is sent later (offline) lies in `wandb/` of the run directory."""

    package = "wandb"

    def start(self, run: RunDir, before: str | None, settings: Mapping[str, Any]) -> tuple[str, str]:
        import wandb

        self.run: Any = wandb.init(
            project=os.environ.get("WANDB_PROJECT", PROJECT),
            name=name_of(run),
            id=before or new_id(),
            resume=None if before is None else "allow",
            dir=os.environ.get("WANDB_DIR", str(run.path)),
            config=dict(settings),
            reinit="create_new",  # one that the user has begun goes on
            settings=wandb.Settings(console="off", save_code=False, quiet=True),
        )
        self.run.define_metric("*", step_metric="epoch")
        offline = f"wandb sync {Path(self.run.dir).parent}"
        return self.run.id, self.run.url or offline

    def epoch(self, number: int, values: Values) -> None:
        self.run.log({"epoch": number, **values})

    def pictures(self, found: Pictures, epoch: int) -> None:
        import wandb

        self.run.log({"epoch": epoch, **{name: wandb.Image(str(path)) for name, path in found.items()}})

    def end(self, model: Path | None) -> None:
        import wandb

        if model is not None:
            artifact = wandb.Artifact(f"model-{self.run.id}", "model")
            artifact.add_file(str(model))
            self.run.log_artifact(artifact)
        self.run.finish(exit_code=int(model is None))


class Trackio(Tracker):
    """By TRACKIO_DIR or TRACKIO_SPACE_ID; the project TRACKIO_PROJECT. It knows runs by their names."""

    package = "trackio"

    def start(self, run: RunDir, before: str | None, settings: Mapping[str, Any]) -> tuple[str, str]:
        import trackio

        project, name = os.environ.get("TRACKIO_PROJECT", PROJECT), before or f"{slug(name_of(run))}-{new_id()}"
        quiet: dict[str, Any] = {"embed": False, "auto_log_cpu": False, "auto_log_gpu": False}
        resume = "never" if before is None else "allow"
        self.run: Any = trackio.init(project=project, name=name, config=dict(settings), resume=resume, **quiet)
        return name, f"trackio show --project {project}"

    def epoch(self, number: int, values: Values) -> None:
        self.run.log(dict(values), step=number)

    def pictures(self, found: Pictures, epoch: int) -> None:
        import trackio

        self.run.log({name: trackio.Image(str(path)) for name, path in found.items()}, step=epoch)

    def end(self, model: Path | None) -> None:
        import trackio

        if model is not None:
            self.run.log_artifact(str(model), name="model", type="model")
        trackio.finish()  # which forgets it too: at exit the library would close it once more, on stdout


TRACKERS: dict[str, type[Tracker]] = {"tensorboard": TensorBoard, "mlflow": MLflow, "wandb": Wandb, "trackio": Trackio}


def asked(names: Sequence[str]) -> list[str]:
    """The trackers of the setting, each once. Raises `InputError` where the library of one is not installed."""
    found = [name for name in dict.fromkeys(names) if name != "none"]
    for name in found:
        spec = importlib.util.find_spec(TRACKERS[name].package)
        if spec is None or spec.origin is None:  # without an origin, it is a folder of that name that happens to lie here
            raise InputError(f"tracker={name} needs {TRACKERS[name].package}: pip install 'resnets[{name}]'")
    return found


@contextmanager
def tracking(job: Fit, plan: Plan) -> Iterator[None]:
    """Inside, the trackers of the recipe follow the job: its reporter tells them of each epoch, after whom it told before."""
    names = asked(job.recipe.tracker)
    if not names or job.processes.rank:
        yield
        return
    follow = Following(job)
    try:
        follow.start(names, plan)
        job.report = follow
        yield
    finally:
        follow.end()


class Following:
    """A reporter with trackers. One that fails is left out from there on, and a line says so."""

    def __init__(self, job: Fit) -> None:
        self.reporter, self.run, self.recipe = job.report, job.run, job.recipe
        self.trackers: dict[str, Tracker] = {}
        self.known = read(self.run)
        self.say, self.step = self.reporter.say, self.reporter.step

    def epoch(self, row: Row, at: Any, seconds: float) -> None:
        self.reporter.epoch(row, at, seconds)
        self.tell([row])

    def start(self, names: Sequence[str], plan: Plan) -> None:
        """Begin at each tracker, or go on; what it has missed it is told. Raises `InputError` where one cannot begin."""
        settings = described(self.run, self.recipe)
        new = [name for name in names if name not in self.known]
        for name in names:
            tracker = TRACKERS[name]()
            before = self.known.get(name, {}).get("id")
            try:
                with redirect_stdout(sys.stderr):
                    begun, where = tracker.start(self.run, before, settings)
            except Exception as error:
                raise InputError(
                    f"tracker={name}: cannot begin ({short(error)}); mend that and go on with --resume, or with --tracker none"
                ) from error
            self.trackers[name], self.known[name] = tracker, {"id": begun, "epoch": self.known.get(name, {}).get("epoch", 0)}
            self.say(f"tracker  {name}: {where}")
        self.tell(self.run.read_metrics())
        if new:
            self.preview(new, plan)

    def preview(self, names: Sequence[str], plan: Plan) -> None:
        """Show these trackers what the network will see."""
        with temporary_folder() as folder:
            try:
                path = plan.task.preview(plan.source, plan.recipe, plan.preprocess, folder / "preview.png")
            except InputError as error:  # such as a picture that cannot be read, which is no reason to stop
                self.say(f"warning  trackers have no preview ({short(error)})")
            else:
                self.each(names, "pictures", {"pictures/preview": Path(path)}, 0)

    def tell(self, rows: Sequence[Row]) -> None:
        """Tell each tracker of those epochs that it does not know."""
        for row in rows:
            epoch = int(row["epoch"])
            values = {slashed(name): value for name, value in row.items() if name not in AXES and math.isfinite(value)}
            late = [name for name in self.trackers if self.known[name]["epoch"] < epoch]
            self.each(late, "epoch", epoch, values)
            for name in self.trackers.keys() & late:
                self.known[name]["epoch"] = epoch
        write_json(self.run.trackers, self.known)

    def end(self) -> None:
        """Close all of them; of a run with its result with the drawings and the selected weights."""
        done = self.run.read_provenance()
        if "result" in done:
            self.tell(self.run.read_metrics())  # a probe tells of no epochs
            drawings = {f"pictures/{path.stem}": path for path in sorted(self.run.plots.glob("*.png"))}
            for name in list(self.trackers):
                self.each([name], "pictures", drawings, self.known[name]["epoch"])
        model = (self.run.last if self.recipe.select == "last" else self.run.best) if "result" in done else None
        self.each(list(self.trackers), "end", model)

    def each(self, names: Sequence[str], method: str, *words: Any) -> None:
        """Call a method of these trackers, as far as they still follow."""
        for name in [name for name in names if name in self.trackers]:
            try:
                with redirect_stdout(sys.stderr):  # stdout is the result's
                    getattr(self.trackers[name], method)(*words)
            except Exception as error:
                del self.trackers[name]
                self.say(f"warning  {name} keeps no more of this run ({short(error)}); the training goes on without it")


def read(run: RunDir) -> dict[str, dict[str, Any]]:
    """What trackers.json says: {tracker: {"id", "epoch"}}. Raises `InputError` where it is damaged."""
    if not run.trackers.exists():
        return {}
    known: dict[str, dict[str, Any]] = read_json(run.trackers)
    for kept in known.values():
        sound = isinstance(kept, dict) and re.fullmatch(r"[\w.-]{1,200}", str(kept.get("id")), re.ASCII)
        if not sound or type(kept.get("epoch")) is not int:
            raise InputError(f"{run.trackers}: is damaged; {BRING_BACK}")
    return known


def described(run: RunDir, recipe: Any) -> dict[str, Any]:
    """The settings as trackers take them, and of the provenance what is compared by: the data, the network, the commit."""
    origin = run.read_provenance()
    chosen = {name: value for name, value in dataclasses.asdict(recipe).items() if name != "tracker"}
    facts = {f"model.{name}": origin["model"].get(name) for name in ("num_params", "num_macs")}
    facts |= {"data.fingerprint": origin["data"]["fingerprint"], "git.commit": (origin["git"] or {"commit": None})["commit"]}
    plain = {name: ",".join(map(str, value)) if isinstance(value, tuple) else value for name, value in chosen.items()}
    return {**plain, **facts}


def slashed(name: str) -> str:
    """val_top1 as val/top1: trackers group curves by what stands before the slash."""
    return re.sub(r"^(train|val)_", r"\1/", name)


def name_of(run: RunDir) -> str:
    return run.path.resolve().name


def slug(name: str) -> str:
    """The name in signs that an id may have."""
    return re.sub(r"[^\w.-]+", "-", name, flags=re.ASCII)[:100]


def new_id() -> str:
    return uuid.uuid4().hex[:8]
