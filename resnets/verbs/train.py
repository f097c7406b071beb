"""Assembly: settings -> data, network, loaders, run directory -> `fit` -> the score on the test split -> the report."""

from __future__ import annotations

import dataclasses
import html
import signal
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from resnets import tasks
from resnets.data import groups
from resnets.data.check.leaks import leaks
from resnets.data.loader import Loader
from resnets.data.looks import Seen
from resnets.data.readers import known, memory
from resnets.data.types import KINDS, Source
from resnets.draw.curves import curves
from resnets.engine import device as devices
from resnets.engine import range_test, threads
from resnets.engine.contract import Meter, Task
from resnets.engine.distributed import ALONE, Processes, joined
from resnets.engine.job import Fit, Reporter
from resnets.engine.loop import fit
from resnets.engine.plan import (
    Plan,
    check_same_data,
    check_same_parts,
    check_same_processes,
    continued,
    given,
    lengthened,
    requested,
    saved_settings,
    settle,
)
from resnets.engine.recipe import SMALL, Recipe
from resnets.engine.run import RunDir, begins, claiming, now, provenance
from resnets.engine.settings import answers_of
from resnets.errors import InputError, Interrupted, is_memory
from resnets.files import write_bytes, write_text
from resnets.models import weights
from resnets.models.model import Model
from resnets.models.records import DataRecord, ModelRecord, Provenance
from resnets.plugins import needs
from resnets.ship import external, hub
from resnets.stores import sent
from resnets.verbs import evaluate, expected, predictions, probe, trackers
from resnets.verbs.history import History
from resnets.verbs.introduce import introduction, num_params
from resnets.verbs.report import pictures
from resnets.verbs.report import run as report
from resnets.verbs.report.gather import gathered
from resnets.verbs.watching import Silent, watcher


@dataclasses.dataclass(frozen=True, repr=False)
class Run:
    """A finished run: its folder, the model whose weights were selected, and its score {"split", "top1", ...}, by its task."""

    path: Path
    model: Model
    result: dict[str, Any]

    @property
    def history(self) -> History:
        """The epochs: what metrics.csv has."""
        return History(RunDir(self.path).read_metrics())

    @property
    def _told(self) -> str:
        """The network and the first score, in a line."""
        score = self.model.task.scores[0].key
        scored = f"; {self.result['split']} {score} {self.result[score]:.4f}" if score in self.result else ""
        return f"{self.model.spec.name}, task {self.model.task.name}{scored}"

    def __repr__(self) -> str:
        return f"Run({self.path}: {self._told})"

    def _repr_html_(self) -> str:
        rows = {"run": self.path, "network": self._told, "report": RunDir(self.path).report}
        body = "".join(f"<tr><th>{name}</th><td>{html.escape(str(value))}</td></tr>" for name, value in rows.items())
        return f"<table>{body}</table>{self.history._repr_html_()}"


@claiming()
def train(
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
) -> Run:
    """Train a network and keep what belongs to it in a run directory. `resnets train` is this function.

    Args:
        data: a built-in dataset ("digits", "cifar10", ...), a path whose layout is recognised, or data in memory:
            (X, y), X uint8 (N, H, W, C) in the order RGB and y N integers or names; a torch Dataset whose items are a picture
            of 8 bits and its class; a DataLoader of one, of which batch size and workers are taken over; a pandas DataFrame
            with the columns of a CSV list; or {"train": ..., "val": ..., "test": ...} of these. See docs/python.md.
        out: the run directory, new or empty; None: the next free runs/<task>/trainN.
        resume: go on with the run in `out` (None: the newest); start it where `data` is given and `out` is empty or not there.
            Settings that are given must be those of the run, but for a greater epochs, steps or time, whichever it has: then it
            is made longer, finished or not; see docs/training.md.
        data_dir: where built-in datasets lie.
        began: `time.perf_counter()` at which the clock of `time="10m"` starts; None: now.
        reporter: who is told of progress; None: as `verbose` says.
        verbose: 0: nothing is shown; 1: on a terminal a bar, elsewhere a line an epoch, on stderr; None: in a notebook a live
            plot, if `progress`, elsewhere nothing.
        settings: any setting of the task: model, epochs, steps, time, lr, batch_size, seed, ... `resnets train --task TASK
            --help` lists them. model="torchvision/NAME" or "timm/NAME" trains another library's network, to compare with; an
            `nn.Module` of your own, (N, C, H, W) -> (N, num_classes), a copy of that, which starts with its weights. Files hold
            the weights, and which class they need: `resnets.load(RUN, module=...)`.

    Raises:
        InputError: for unknown settings, data that cannot be learnt from, and runs that fail for a reason the user can mend.
        resnets.errors.Interrupted: after Ctrl-C or SIGTERM; the state is saved.
    """
    watching = watcher(reporter, progress, verbose)
    with ExitStack() as watched:
        out = watched.enter_context(sent({"out": out, "resume": resume}))["out"]
        if reporter is None:
            watched.callback(watching.close)
        with joined() as processes:
            job, plan = prepare(
                data,
                out=out,
                resume=resume,
                data_dir=data_dir,
                began=began,
                reporter=Silent() if processes.rank else watching,
                processes=processes,
                **settings,
            )
            watched.enter_context(trackers.tracking(job, plan))
            watched.enter_context(threads.use(job.recipe.threads))
            with memory_errors(job):
                best_epoch = probe.fit_head(job) if job.recipe.is_probe else fit(job, resume=resume).best_epoch
        if processes.rank:
            return Run(job.run.path, job.model, {})
        try:
            with memory_errors(job):
                several = job.recipe.unfreeze_epochs or job.recipe.is_probe
                if job.recipe.freeze == "none" and job.task.counts_head and not several:
                    watching.say(utilisation(job, KINDS[plan.source.kind].inputs))
                return finish(job, plan.source, best_epoch)
        except KeyboardInterrupt:  # while scoring: the training itself is saved
            raise Interrupted(signal.SIGINT, job.run.path) from None


def prepare(
    data: Any = None,
    *,
    out: str | Path | None = None,
    resume: bool = False,
    data_dir: str | Path | None = None,
    began: float | None = None,
    reporter: Reporter | None = None,
    processes: Processes = ALONE,
    **settings: Any,
) -> tuple[Fit, Plan]:
    """All that a run consists of, its directory begun, and what was planned. The arguments are those of `train`."""
    began = time.perf_counter() if began is None else began
    reporter = reporter or Silent()
    settings, net = external.own(settings)
    found = processes.first(lambda: layers_of(data, settings, out, resume=True)) if resume else layers_of(data, settings)
    run, layers, task = found
    if resume and run is None:
        reporter.say(f"resume   there is nothing in {out} yet, so a run starts")
    chosen = given(layers)
    if run is not None and processes.rank == 0:
        run.claim()
    if run is not None and data_dir is None:
        data_dir = run.read_provenance().get("data", {}).get("dir")
    if not processes.alone and (name := chosen.get("data")) in known.FETCHED:
        processes.ahead(lambda: known.get(name, data_dir))
    plan = settle(task, layers, data_dir, partial(external.named, net=net), data)
    if task.one_process and not processes.alone:
        raise InputError(f"the task {task.name} trains in one process, so far; start it without torchrun")
    prints = processes.gather((plan.fingerprint, (plan.source.corrections or {}).get("sha256")))
    if len(set(prints)) > 1:
        others = ", ".join(str(rank) for rank, found in enumerate(prints) if found != prints[0])
        raise InputError(f"the data of rank {others} is not that of rank 0; every machine needs the same")
    if run is not None:
        check_same_data(run, plan)
        check_same_parts(run, plan)
        check_same_processes(run, processes.world)
    recipe = plan.recipe
    trackers.asked(recipe.tracker)
    device = devices.choose(recipe, processes)
    torch.manual_seed(recipe.seed)
    config = {"head_config": plan.head_config} if plan.head_config else {}
    model = external.create(plan.spec, task=task.name, preprocess=plan.preprocess, labels=plan.labels, **config)
    fitted = None if plan.opened is None else hub.transfer(model, plan.opened)

    folder = known.datasets_dir(data_dir).parent / "packed"
    source, cached = task.keep(plan.source, recipe, folder, reporter.say)
    kept = dataclasses.replace(plan, source=source)
    train, val = (loader(kept, name, device.torch_device, processes) for name in ("train", "val"))
    counts = task.class_counts(plan.source.splits["train"], len(plan.labels))
    task.check_counts(plan.source, counts[: len(source.labels)])
    task.criterion(recipe, counts)  # a library that it lacks is said before there is a folder
    job = Fit(
        task=task,
        model=model,
        load=partial(external.load, module=net),
        train=train,
        val=val,
        recipe=recipe,
        device=device,
        run=run or processes.first(lambda: RunDir.create(out, task.name)),
        bad=plan.bad,
        report=reporter,
        class_counts=counts,
        # Which the first process scores alone, in as much more time than its part of the validation split; and the report's.
        num_test=processes.world
        * (
            len(plan.source.splits.get("test", ()))
            + pictures.num_answers(task, plan.source, model, device.torch_device.type, recipe.seconds)
        ),
        began=began,
        processes=processes,
        threads=threads.Adapting(threads.most() if plan.origins.get("threads") == "this machine" else None),
    )
    if recipe.find_lr:
        plan = with_found_rate(job, plan)
    for line in introduction(job, plan, fitted, cached):
        reporter.say(line)
    if processes.rank == 0:
        job.run.remove_halves()
        if (leaked := leaks(plan.source)) is not None:
            reporter.say(f"leakage  {leaked}; `resnets data check` names them")
        faults = {} if run is not None else task.notes(plan.source, recipe, counts, reporter.say)
        record(job, plan, data_dir, resumed=run is not None, faults=faults)
    return job, plan


def layers_of(
    data: Any, settings: Mapping[str, Any], out: str | Path | None = None, *, resume: bool = False
) -> tuple[RunDir | None, dict[str, dict[str, Any]], Task]:
    """The run to go on with, if it is to be resumed and is there; the layers of settings, and the task that they are for."""
    asked = given({"": {"data": memory.name_of(data)} | dict(settings)})
    if not resume or begins(data, out):
        layers = {"the data": memory.settings_of(data)} | requested(asked)
        return None, layers, tasks.of(given(layers))
    run = RunDir(out) if out is not None else RunDir.latest(asked.get("task"))
    saved = saved_settings(run)
    task = tasks.of(saved)
    tasks.check_owned(task, asked)
    return run, continued(run, task.settings, saved, asked), task


def loader(plan: Plan, name: str, device: torch.device, processes: Processes) -> Loader:
    """The loader of a split: of training with what the recipe does to images, of the others as they are evaluated."""
    recipe, split, num_classes, world = plan.recipe, plan.source.splits[name], len(plan.labels), processes.world
    # What is not on a GPU anyway is normalised on the processor.
    inputs: dict[str, Any] = {"device": device if device.type == "cuda" else None}
    if name == "train":
        samples, batch_size = plan.task.samples(split, plan.preprocess, num_classes, recipe=recipe, **inputs), recipe.batch_size
    else:
        samples = plan.task.samples(split, plan.preprocess, num_classes, **inputs)
        several = max(recipe.batch_size, 250 if max(plan.preprocess.size) <= SMALL else 32)
        batch_size = 1 if plan.task.own_size else several
    return Loader(
        samples=samples,
        batch_size=batch_size * world,
        bad=plan.bad,
        part=None if processes.alone else processes.part,
        workers=recipe.workers or 0,
        pin_memory=device.type == "cuda",
    )


def with_found_rate(job: Fit, plan: Plan) -> Plan:
    """The plan with a learning rate from a range test, which the job then has too. It is found once: a resumed run has it."""
    job.report.say(f"range    {range_test.NUM_STEPS} steps with rising learning rates")
    with memory_errors(job):
        found = range_test.find(job)
    recipe = dataclasses.replace(plan.recipe, lr=found.suggestion, find_lr=False)
    job.recipe, job.schedule = recipe, dataclasses.replace(job.schedule, recipe=recipe)
    return dataclasses.replace(plan, recipe=recipe, origins=plan.origins | {"lr": "range test"})


@contextmanager
def memory_errors(job: Fit) -> Iterator[None]:
    """Inside, too little memory becomes an `InputError` with what helps."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not is_memory(error):
            raise
        raise InputError(
            f"{job.device.name} is out of memory; use a --batch-size below {job.recipe.batch_size}, with --accumulate to "
            "keep the total, a smaller --img-size, or --checkpoint-activations"
        ) from None


def utilisation(job: Fit, inputs: str) -> str:
    """The speed of training on `inputs`, as they are called, and the model FLOPs utilisation (MFU): the part of the device's
    speed in large matrix products, measured now, that training used. The backward pass counts as two forward passes. Where
    other programs slowed the measurement down, training was the faster one, and there is no such part."""
    rate = float(np.median([row["images_per_second"] for row in job.run.read_metrics()]))
    size = job.train.samples.size
    flops, peak = 3 * 2 * job.model.spec.num_macs(size) * rate, devices.peak_flops(job.device) * job.processes.world
    job.run.update_provenance(speed={"images_per_second": rate, "flops": flops, "peak_flops": peak, "mfu": flops / peak})
    used = f"{flops / 1e12:.2f} of {peak / 1e12:.2f} TFLOP/s"
    part = f"{flops / peak:.0%}: {used}" if flops <= peak else f"not told, as other programs had the processors: {used}"
    return f"speed    {rate:,.0f} {inputs} per second; hardware utilisation (MFU) {part}"


def record(
    job: Fit, plan: Plan, data_dir: str | Path | None, *, resumed: bool, faults: Mapping[str, int] | None = None
) -> None:
    """Write recipe.yaml and provenance.json, and give the model what is to travel with it."""
    spec, run, source = job.model.spec, job.run, plan.source
    if resumed and (longer := lengthened(run, job.recipe)):
        run.update_provenance(lengthened=longer)  # first: a kill in between leaves a run that can be made longer
    write_text(run.recipe, job.recipe.to_yaml())
    data: DataRecord = {
        "name": source.name,
        "fingerprint": plan.fingerprint,
        "num_images": {name: len(split) for name, split in source.splits.items()},
        "labels": list(source.labels),
        "cut": source.cut and dict(source.cut),
        "inputs": plan.inputs,
        "dir": None if data_dir is None else str(data_dir),
    }
    if groups.number(source):
        data |= {"group_by": job.recipe.group_by, "num_groups": groups.number(source)}
    if source.corrections is not None:
        data["corrections"] = dict(source.corrections)
    if faults:
        data["label_faults"] = dict(faults)
    model: ModelRecord = {
        "name": spec.name,
        "num_params": num_params(job.model),
        "num_macs": spec.num_macs(job.model.preprocess.size),
    }
    if resumed and (before := run.read_provenance()):
        origin = run.update_provenance(resumed=[*before.get("resumed", []), now()])
    else:
        device = job.device.describe() | ({} if job.processes.alone else {"processes": job.processes.world})
        begun: Provenance = {**provenance(device), "seed": job.recipe.seed, "data": data, "model": model}
        if plan.opened is not None:
            begun["weights"] = plan.opened.origin
        if plan.parts:
            begun["plugins"] = needs(plan.parts)
        for file in {part.file for part in plan.parts if part.file and part.file.path}:  # for the record: nothing executes them
            write_bytes(run.plugins / file.name, file.content)
        origin = run.update_provenance(**begun)
    travels = ("command", "started", "versions", "device", "git", "seed", "data", "weights")
    job.model.metadata["provenance"] = {key: origin.get(key) for key in travels if key in origin} | {
        "recipe": dataclasses.asdict(job.recipe)
    }


def finish(job: Fit, source: Source, best_epoch: int) -> Run:
    """Choose on validation how outputs become answers, score the selected weights once on the test split (without one, on
    validation), keep all answers, draw, and write the report."""
    run, recipe = job.run, job.recipe
    title = f"{job.model.spec.name} on {source.name}"
    score = job.task.scores[0]
    curves(run.read_metrics(), run.plots / "curves.png", title=title, metric=score.key, percent=score.percent)
    chosen = run.last if recipe.select == "last" else run.best
    model = job.load(chosen).to(job.device.torch_device)
    splits = ("val", "test") if "test" in source.splits else ("val",)
    seen = {name: Seen() for name in splits}
    judged = [
        evaluate.judge(model, source, name, workers=recipe.workers, max_bad=recipe.max_bad, watch=seen[name]) for name in splits
    ]
    decision, refused = decide(job.task, judged[0].meter, recipe)
    for each in judged:
        each.meter.decision = decision
        job.bad.reasons.update(each.bad)
    answers = expected.count(job.task, (record for _, record in judged[0].meter.records()), decision)
    result = judged[-1].result()
    found = {"answers": answers, "result": evaluate.summary(result)}
    origin = model.metadata.setdefault("provenance", {})
    if (decision, found) != (model.decision, {name: origin.get(name) for name in found}):
        model.decision = decision
        origin.update(found)
        weights.save(model, chosen)  # they are there already where a finished run was resumed
    predictions.write(run.predictions, judged)
    evaluate.keep(judged[-1], result, run.path)
    if doubt := job.task.doubt(result, recipe):
        job.report.say(f"hint     {doubt}")
    run.write_bad_images(job.bad.reasons)
    result["selected"] = "last" if recipe.select == "last" else f"{recipe.select} (epoch {best_epoch})"
    seconds = time.perf_counter() - job.began
    run.update_provenance(finished=now(), seconds=round(seconds, 2), selected=recipe.select, result=evaluate.summary(result))
    report.write(run.path, gathered(run, model, source, judged[-1], seen[splits[-1]], recipe.workers))
    if refused is not None:
        raise InputError(f"{refused}; all else of the run is in {run.path}")
    return Run(run.path, model.cpu(), result)


def decide(task: Task, meter: Meter, recipe: Recipe) -> tuple[dict[str, Any], InputError | None]:
    """What the task decides by validation; where that does not support what was asked for, what it decides unasked, and why: a
    run that has been trained is evaluated and reported whatever is to be said of its rules."""
    try:
        return task.decide(meter, answers_of(recipe)), None
    except InputError as refused:
        return task.decide(meter, answers_of(task.settings())), refused
