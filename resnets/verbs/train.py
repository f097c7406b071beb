"""Assembly: settings -> data, network, loaders, run directory -> `fit` -> the score on the test split -> the report."""

from __future__ import annotations

import dataclasses
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch

from resnets import tasks
from resnets.data.loaders import CPU
from resnets.data.readers import known
from resnets.data.readers.names import DenseSource
from resnets.data.sources import Source
from resnets.draw.curves import curves
from resnets.engine import device as devices
from resnets.engine import range_test
from resnets.engine.distributed import ALONE, Processes, joined
from resnets.engine.job import Fit, Reporter
from resnets.engine.loop import fit
from resnets.engine.plan import Plan, check_same_data, check_same_processes, continued, requested, settle
from resnets.engine.recipe import check_names
from resnets.engine.run import RunDir, now, provenance
from resnets.errors import InputError, Interrupted
from resnets.files import write_text
from resnets.models import zoo
from resnets.models.model import Model
from resnets.models.records import DataRecord, ModelRecord, Provenance
from resnets.models.zoo import Named
from resnets.ship import hub
from resnets.verbs import evaluate as evaluation
from resnets.verbs import preview as drawing
from resnets.verbs import preview_dense, probe, report
from resnets.verbs.introduce import introduction, label_faults, num_params
from resnets.verbs.loading import counted, dense_loaders, loaders, train_loader


class Silent:
    """A reporter that says nothing."""

    def say(self, text: str) -> None: ...

    def step(self, *of: Any) -> None: ...

    def epoch(self, *of: Any) -> None: ...


@dataclasses.dataclass(frozen=True)
class Run:
    """A finished run: its folder, the model whose weights were selected, and its score {"split", "top1", ...}, by its task."""

    path: Path
    model: Model
    result: dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Networks:
    """Where the networks of a run come from, beside this package: see `resnets.ship.external`.

    Args:
        named: a name and changes to its spec -> the spec, or what has its name, counts and levels.
        create: (spec, task=, preprocess=, labels=) -> a new model, or what has its spec, header, task and metadata.
        load: a saved file -> the same.
    """

    named: Named = zoo.get
    create: Callable[..., Model] = hub.create_model
    load: Callable[[Path], Model] = hub.load


OURS = Networks()


def train(
    data: str | None = None,
    *,
    out: str | Path | None = None,
    resume: bool = False,
    data_dir: str | Path | None = None,
    began: float | None = None,
    reporter: Reporter | None = None,
    networks: Networks = OURS,
    **settings: Any,
) -> Run:
    """Train a network and keep what belongs to it in a run directory. `resnets train` is this function.

    Args:
        data: a known set ("digits", "cifar10", "cifar100") or a path whose layout is recognised.
        out: the run directory, new or empty; None: the next free runs/<task>/trainN.
        resume: go on with the run in `out` (None: the newest). Settings that are given must be those of the run.
        data_dir: where known sets lie.
        began: `time.perf_counter()` at which the clock of `time="10m"` starts; None: now.
        reporter: who is told of progress; None: nobody.
        networks: what names of networks mean.
        settings: any field of `Recipe`: model, epochs, steps, time, lr, batch_size, seed, ...

    Raises:
        InputError: for unknown settings, data that cannot be learnt from, and runs that fail for a reason the user can mend.
        resnets.errors.Interrupted: after Ctrl-C or SIGTERM; the state is saved.
    """
    reporter = reporter or Silent()
    with joined() as processes:
        job, plan = prepare(
            data,
            out=out,
            resume=resume,
            data_dir=data_dir,
            began=began,
            reporter=Silent() if processes.rank else reporter,
            processes=processes,
            networks=networks,
            **settings,
        )
        with memory_errors(job):
            best_epoch = probe.fit_head(job) if job.recipe.probe else fit(job, resume=resume).best_epoch
    if processes.rank:
        return Run(job.run.path, job.model, {})
    try:
        with memory_errors(job):
            if job.recipe.freeze == "none" and not (job.task.dense or job.recipe.unfreeze_epochs or job.recipe.probe):
                reporter.say(utilisation(job))
            return finish(job, plan.source, best_epoch)
    except KeyboardInterrupt:  # while scoring: the training itself is saved
        raise Interrupted(signal.SIGINT, job.run.path) from None


def prepare(
    data: str | None = None,
    *,
    out: str | Path | None = None,
    resume: bool = False,
    data_dir: str | Path | None = None,
    began: float | None = None,
    reporter: Reporter | None = None,
    processes: Processes = ALONE,
    networks: Networks = OURS,
    **settings: Any,
) -> tuple[Fit, Plan]:
    """All that a run consists of, its directory begun, and what was planned. The arguments are those of `train`."""
    began = time.perf_counter() if began is None else began
    reporter = reporter or Silent()
    given = {name: value for name, value in ({"data": data} | settings).items() if value is not None}
    check_names(given, "settings")
    run, layers = processes.first(lambda: continued(out, given)) if resume else (None, requested(given))
    if run is not None and data_dir is None:
        data_dir = run.read_provenance().get("data", {}).get("dir")
    name = {key: value for layer in layers.values() for key, value in layer.items()}.get("data")
    if not processes.alone and name in known.FETCHED:
        processes.ahead(lambda: known.get(name, data_dir))
    plan = settle(layers, data_dir, networks.named)
    if tasks.get(plan.recipe.task).sees_targets and not processes.alone:
        raise InputError(f"the task {plan.recipe.task} trains in one process, so far; start it without torchrun")
    prints = processes.gather(plan.fingerprint)
    if len(set(prints)) > 1:
        others = ", ".join(str(rank) for rank, found in enumerate(prints) if found != prints[0])
        raise InputError(f"the data of rank {others} is not that of rank 0; every machine needs the same")
    if run is not None:
        check_same_data(run, plan.fingerprint)
        check_same_processes(run, processes.world)
    recipe, source = plan.recipe, plan.source
    device = devices.choose(recipe, processes)
    torch.manual_seed(recipe.seed)
    model = networks.create(plan.spec, task=recipe.task, preprocess=plan.preprocess, labels=plan.labels, **plan.form)
    fitted = None if plan.opened is None else hub.transfer(model, plan.opened)

    train, val, cached = loaders(plan, data_dir, reporter, device.place, processes)
    job = Fit(
        model=model,
        load=networks.load,
        train=train,
        val=val,
        recipe=recipe,
        device=device,
        run=run or processes.first(lambda: RunDir.create(out, recipe.task)),
        bad=plan.bad,
        report=reporter,
        class_counts=counted(source, len(plan.labels)),
        # Which the first process scores alone, in as much more time than its part of the validation split.
        num_test=processes.world * len(source.splits["test"].targets) if "test" in source.splits else 0,
        began=began,
        processes=processes,
    )
    if recipe.find_lr:
        plan = with_found_rate(job, plan)
    for line in introduction(job, plan, fitted, cached):
        reporter.say(line)
    if processes.rank == 0:
        job.run.remove_halves()
        record(job, plan, data_dir, resumed=resume, faults={} if resume else label_faults(plan.source, reporter))
    return job, plan


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
    except torch.OutOfMemoryError:
        raise InputError(
            f"{job.device.name} has not memory enough; use a --batch-size below {job.recipe.batch_size}, with --accumulate to "
            "keep the total, a smaller --img-size, or --checkpoint-activations"
        ) from None


def preview(data: str | None = None, *, out: str | Path, data_dir: str | Path | None = None, **settings: Any) -> Path:
    """Draw what the network would see of the data under these settings, which are `train`'s. `resnets data preview` is this."""
    given = {name: value for name, value in ({"data": data} | settings).items() if value is not None}
    plan = settle(requested(given), data_dir)
    if isinstance(plan.source, DenseSource):
        augment = dense_loaders(plan, CPU, ALONE)[0].augment
        assert augment is not None
        return preview_dense.preview(plan.source, augment, out, seed=plan.recipe.seed)
    loader = train_loader(plan)
    return drawing.preview(
        plan.source, plan.preprocess, loader.augment, out, seed=plan.recipe.seed, train_size=loader.train_size
    )


def utilisation(job: Fit) -> str:
    """How fast it was, as a share of what the device reaches (MFU); a training picture costs three forward passes."""
    rate = float(np.median([row["images_per_second"] for row in job.run.read_metrics()]))
    size = job.train.train_size or job.model.preprocess.size
    flops, peak = 3 * 2 * job.model.spec.num_macs(size) * rate, devices.peak_flops(job.device) * job.processes.world
    job.run.update_provenance(speed={"images_per_second": rate, "flops": flops, "peak_flops": peak, "mfu": flops / peak})
    share = f"{flops / 1e12:.2f} TFLOP/s, {flops / peak:.0%} of the {peak / 1e12:.2f} that matrix products reach here"
    return f"speed    {rate:,.0f} pictures a second: {share}"


def record(
    job: Fit, plan: Plan, data_dir: str | Path | None, *, resumed: bool, faults: Mapping[str, int] | None = None
) -> None:
    """Write recipe.yaml and provenance.json, and give the model what is to travel with it."""
    spec, run, source = job.model.spec, job.run, plan.source
    write_text(run.recipe, job.recipe.to_yaml())
    data: DataRecord = {
        "name": source.name,
        "fingerprint": plan.fingerprint,
        "num_images": {name: len(split.targets) for name, split in source.splits.items()},
        "labels": list(source.labels),
        "cut": source.cut and dict(source.cut),
        "inputs": plan.inputs,
        "dir": None if data_dir is None else str(data_dir),
    }
    if faults:
        data["label_faults"] = dict(faults)
    model: ModelRecord = {
        "name": spec.name,
        "num_params": num_params(job.model),
        "num_macs": spec.num_macs(job.model.preprocess.size),
    }
    if resumed and (known := run.read_provenance()):
        origin = run.update_provenance(resumed=[*known.get("resumed", []), now()])
    else:
        device = job.device.describe() | ({} if job.processes.alone else {"processes": job.processes.world})
        begun: Provenance = {**provenance(device), "seed": job.recipe.seed, "data": data, "model": model}
        if plan.opened is not None:
            begun["weights"] = plan.opened.origin
        origin = run.update_provenance(**begun)
    travels = ("command", "started", "versions", "device", "git", "seed", "data", "weights")
    job.model.metadata["provenance"] = {key: origin.get(key) for key in travels if key in origin} | {
        "recipe": dataclasses.asdict(job.recipe)
    }


def finish(job: Fit, source: Source | DenseSource, best_epoch: int) -> Run:
    """Score the selected weights once on the test split (without one, on validation), draw, and write the report."""
    run, recipe = job.run, job.recipe
    title = f"{job.model.spec.name} on {source.name}"
    curves(run.read_metrics(), run.plots / "curves.png", title=title, metric=job.task.metrics[0], percent=not job.task.dense)
    chosen = {"best": run.best, "last": run.last}[recipe.select]
    model = job.load(chosen).to(job.device.place)
    split = "test" if "test" in source.splits else "val"
    result = evaluation.score(model, source, split, out=run.path, workers=recipe.workers, max_bad=recipe.max_bad)
    job.bad.reasons.update(result["bad_images"])
    run.write_bad_images(job.bad.reasons)
    result["selected"] = f"{recipe.select} (epoch {best_epoch})" if recipe.select == "best" else "last"
    seconds = time.perf_counter() - job.began
    run.update_provenance(finished=now(), seconds=round(seconds, 2), selected=recipe.select, result=evaluation.summary(result))
    report.write(run.path)
    return Run(run.path, model.cpu(), result)
