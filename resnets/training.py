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

from resnets import evaluation, hub, plots, probe, report, tasks, zoo
from resnets.contracts import Interrupted
from resnets.data import cache, known, preview_dense, sources
from resnets.data import preview as drawing
from resnets.data.check_dense import check_labels
from resnets.data.dense_loader import Augmentation, DenseLoader, class_counts, fill_of
from resnets.data.geometry import DenseAugment
from resnets.data.label_rules import RULES
from resnets.data.labelled import DenseSource, DenseSplit
from resnets.data.loaders import CPU, Loader
from resnets.data.patches import Patches
from resnets.data.sources import Source
from resnets.data.transforms import Augment
from resnets.engine import device as devices
from resnets.engine import freeze, range_test
from resnets.engine.distributed import ALONE, Processes, joined
from resnets.engine.job import Fit, Reporter
from resnets.engine.loop import fit
from resnets.engine.recipe import FIELDS, check_names, show
from resnets.engine.recipes import SMALL
from resnets.files import write_text
from resnets.model import Model
from resnets.plan import Named, Plan, check_same_data, check_same_processes, continued, of_volumes, requested, settle, times
from resnets.run import RunDir, now, provenance
from resnets.spec import InputError


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
    """Where the networks of a run come from, beside this package: see `resnets.paper.external`.

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
        resnets.contracts.Interrupted: after Ctrl-C or SIGTERM; the state is saved.
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


def loaders(
    plan: Plan, data_dir: str | Path | None, reporter: Reporter, place: torch.device, processes: Processes
) -> tuple[Any, Any, str | None]:
    """The loaders of training and validation, and a line that tells how decoded pictures are kept."""
    if isinstance(plan.source, DenseSource):
        return *dense_loaders(plan, place, processes), None
    kept, line = kept_pictures(plan, data_dir, reporter)
    return train_loader(kept, place, processes), val_loader(kept, place, processes), line


def counted(source: Source | DenseSource, num_classes: int) -> np.ndarray:
    """How often each class is there in the training split: pictures, objects or pixels."""
    train = source.splits["train"]
    if isinstance(train, DenseSplit):
        return class_counts(train, num_classes)
    return np.bincount(train.targets, minlength=num_classes)


def dense_loaders(plan: Plan, place: torch.device, processes: Processes) -> tuple[DenseLoader, DenseLoader]:
    """The loaders of training and validation for a dense task."""
    recipe, preprocess, splits = plan.recipe, plan.preprocess, plan.source.splits
    size: tuple[int, ...] | None
    augment: Augmentation
    if of_volumes(plan.source):
        size = preprocess.size
        augment = Patches(size=size, hflip=recipe.hflip, jitter=recipe.jitter)
    else:
        size = crop = None if recipe.train_size is None else (recipe.train_size, recipe.train_size)
        augment = DenseAugment(
            preprocess=preprocess,
            scales=recipe.scales,
            hflip=recipe.hflip,
            vflip=recipe.vflip,
            crop=crop,
            jitter=recipe.jitter,
            fill=fill_of(preprocess),
        )
    common: dict[str, Any] = {
        "preprocess": preprocess,
        "bad": plan.bad,
        "part": None if processes.alone else processes.part,
        "workers": recipe.workers or 0,
        "place": place if place.type == "cuda" else CPU,
    }
    train = DenseLoader(
        split=splits["train"],
        batch_size=recipe.batch_size * processes.world,
        augment=augment,
        train_size=size,
        seed=recipe.seed,
        repeats=recipe.repeats,
        **common,
    )
    return train, DenseLoader(split=splits["val"], batch_size=processes.world, **common)


def train_loader(plan: Plan, place: torch.device = CPU, processes: Processes = ALONE) -> Loader:
    recipe, preprocess = plan.recipe, plan.preprocess
    least, most = recipe.crop_scale
    augment = Augment(
        crop=recipe.crop,
        pad=recipe.crop_pad,
        scale=(least, most),
        hflip=recipe.hflip,
        auto_augment=recipe.auto_augment,
        random_erase=recipe.random_erase,
        mixup=recipe.mixup,
        cutmix=recipe.cutmix,
    )
    return Loader(
        split=plan.source.splits["train"],
        preprocess=preprocess,
        batch_size=recipe.batch_size * processes.world,
        part=None if processes.alone else processes.part,
        num_classes=len(plan.labels),
        bad=plan.bad,
        augment=augment,
        train_size=None if recipe.train_size is None else (recipe.train_size, recipe.train_size),
        seed=recipe.seed,
        balance=recipe.balance == "sampler",
        repeats=recipe.repeats,
        workers=recipe.workers or 0,
        place=place if place.type == "cuda" else CPU,
    )


def val_loader(plan: Plan, place: torch.device, processes: Processes) -> Loader:
    recipe, small = plan.recipe, max(plan.preprocess.size) <= SMALL
    return Loader(
        split=plan.source.splits["val"],
        preprocess=plan.preprocess,
        batch_size=max(recipe.batch_size, 250 if small else 32) * processes.world,
        part=None if processes.alone else processes.part,
        num_classes=len(plan.labels),
        bad=plan.bad,
        workers=recipe.workers or 0,
        place=place if place.type == "cuda" else CPU,
    )


def kept_pictures(plan: Plan, data_dir: str | Path | None, reporter: Reporter) -> tuple[Plan, str | None]:
    """The plan with pictures that are kept once they are decoded, as its recipe says, and a line that tells how."""
    recipe, splits = plan.recipe, plan.source.splits
    pictures = recipe.batch_size * recipe.accumulate * (recipe.steps or 0)
    kept, line = cache.keep(
        recipe.cache,
        {name: splits[name] for name in ("train", "val")},
        again=not recipe.probe
        and (recipe.time is not None or (recipe.epochs or 0) > 1 or pictures > len(splits["train"].targets)),
        workers=recipe.workers or 0,
        folder=known.datasets_dir(data_dir).parent / "packed",
        say=reporter.say,
    )
    return dataclasses.replace(plan, source=dataclasses.replace(plan.source, splits={**splits, **kept})), line


def introduction(job: Fit, plan: Plan, fitted: Mapping[str, list[str]] | None, cached: str | None) -> Iterator[str]:
    """What a person should know before the first step."""
    source, origins = plan.source, plan.origins
    recipe, spec, size = job.recipe, job.model.spec, job.model.preprocess.size
    sizes = ", ".join(f"{len(split.targets):,} {name}" for name, split in source.splits.items())
    cut = f" ({sources.words_of(source.cut)})" if source.cut else ""
    macs = f"{spec.num_macs(size) / 1e6:,.1f} M multiply-adds{' of the trunk' * job.task.dense} at {times(size)}"
    world = job.processes.world
    total = recipe.batch_size * recipe.accumulate * world
    what, parts = ("volumes", "patches") if of_volumes(source) else ("pictures", "pictures")
    yield f"data     {source.name}: {len(source.labels)} classes; {what}: {sizes}{cut}"
    if cached is not None:
        yield f"cache    {cached}"
    yield f"network  {spec.name}: {spec.num_layers} layers, {num_params(job.model):,} parameters, {macs}"
    speed = {"channels last": job.device.channels_last, "fused norms": job.device.fused, "compiled": job.device.compile}
    precision = str(job.device.autocast or "float32").removeprefix("torch.")
    yield f"device   {', '.join([f'{job.device.name}; {precision}', *(word for word, on in speed.items() if on)])}"
    yield (
        f"batch    {recipe.batch_size} {parts} a process, {total} in all"
        + (f" ({recipe.accumulate} accumulated)" * (recipe.accumulate > 1))
        + f" ({world} processes)" * (world > 1)
    )
    yield f"run      {job.run.path}"
    if "/" in spec.name:
        yield "note     another library's network, from random weights, to compare with; pretrained ResNets: --weights"
    if fitted is not None and plan.opened is not None:
        yield f"weights  {plan.opened.told}"
        for kind, names in fitted.items():
            few = f"  {', '.join(names[:4])}{', ...' * (len(names) > 4)}" if kind != "loaded" and names else ""
            yield f"         {kind:<15}{len(names):>4} tensors{few}"
        yield f"learns   {learning(job)}"
    yield f"inputs   {plan.inputs}"
    counts = job.class_counts[job.class_counts > 0]
    if not isinstance(source, DenseSource) and counts.max() > 5 * counts.min() and recipe.balance == "none":
        yield f"note     classes have {counts.min()} to {counts.max()} pictures; --balance sampler or loss evens them out"
    values = dataclasses.asdict(recipe)
    for origin in sorted(set(origins.values()), key=lambda origin: (origin == "default", origin)):
        told = [name for name in FIELDS if origins[name] == origin and not (origin == "default" and values[name] is None)]
        yield f"settings ({origin}) " + " ".join(f"{name}={show(values[name])}" for name in told)


def learning(job: Fit) -> str:
    """How much of the network learns."""
    recipe, model = job.recipe, job.model
    counts = {parameter: parameter.numel() for parameter, _ in freeze.learning(model, recipe)}
    if recipe.probe:
        counts = {parameter: parameter.numel() for name in model.head_names for parameter in getattr(model, name).parameters()}
    remarks = ["the head alone, on features computed once"] * recipe.probe
    remarks += [f"frozen: {recipe.freeze}"] * (recipe.freeze != "none" and not recipe.probe)
    remarks += [f"one stage more every {recipe.unfreeze_epochs} epochs"] * (recipe.unfreeze_epochs > 0)
    remarks += ["norms keep the saved statistics"] * (recipe.norm_stats == "frozen")
    return f"{sum(counts.values()):,} of {num_params(model):,} parameters" + (f" ({'; '.join(remarks)})" if remarks else "")


def num_params(model: Model) -> int:
    """Of trunk and head together."""
    return sum(parameter.numel() for parameter in model.parameters())


def utilisation(job: Fit) -> str:
    """How fast it was, as a share of what the device reaches (MFU); a training picture costs three forward passes."""
    rate = float(np.median([row["images_per_second"] for row in job.run.read_metrics()]))
    size = job.train.train_size or job.model.preprocess.size
    flops, peak = 3 * 2 * job.model.spec.num_macs(size) * rate, devices.peak_flops(job.device) * job.processes.world
    job.run.update_provenance(speed={"images_per_second": rate, "flops": flops, "peak_flops": peak, "mfu": flops / peak})
    share = f"{flops / 1e12:.2f} TFLOP/s, {flops / peak:.0%} of the {peak / 1e12:.2f} that matrix products reach here"
    return f"speed    {rate:,.0f} pictures a second: {share}"


CHECKED = 20_000  # pictures up to which all labels are looked at before training; it takes some seconds a thousand


def label_faults(source: Source | DenseSource, reporter: Reporter) -> dict[str, int]:
    """How often each rule for labels that cannot be right was applied (see `data.label_rules`), of a dense task; told, too."""
    if not isinstance(source, DenseSource):
        return {}
    if sum(map(len, source.splits.values())) > CHECKED:
        reporter.say("labels   many; `resnets data check` looks at all of them")
        return {}
    found = [finding for finding in check_labels(source, voxels=False).findings if finding.kind in RULES]
    for finding in found:
        if finding.level != "note":
            reporter.say(f"labels   {finding.text}; `resnets data check` names them")
    return {finding.kind: len(finding.items) for finding in found}


def record(
    job: Fit, plan: Plan, data_dir: str | Path | None, *, resumed: bool, faults: Mapping[str, int] | None = None
) -> None:
    """Write recipe.yaml and provenance.json, and give the model what is to travel with it."""
    spec, run, source = job.model.spec, job.run, plan.source
    write_text(run.recipe, job.recipe.to_yaml())
    data = {
        "name": source.name,
        "fingerprint": plan.fingerprint,
        "num_images": {name: len(split.targets) for name, split in source.splits.items()},
        "labels": list(source.labels),
        "cut": source.cut and dict(source.cut),
        "inputs": plan.inputs,
        "dir": data_dir and str(data_dir),
        **({"label_faults": dict(faults)} if faults else {}),
    }
    model = {"name": spec.name, "num_params": num_params(job.model), "num_macs": spec.num_macs(job.model.preprocess.size)}
    if resumed and (known := run.read_provenance()):
        origin = run.update_provenance(resumed=[*known.get("resumed", []), now()])
    else:
        device = job.device.describe() | ({} if job.processes.alone else {"processes": job.processes.world})
        weights = {} if plan.opened is None else {"weights": plan.opened.origin}
        origin = run.update_provenance(**provenance(device), seed=job.recipe.seed, data=data, model=model, **weights)
    travels = ("command", "started", "versions", "device", "git", "seed", "data", "weights")
    job.model.metadata["provenance"] = {key: origin[key] for key in travels if key in origin} | {
        "recipe": dataclasses.asdict(job.recipe)
    }


def finish(job: Fit, source: Source | DenseSource, best_epoch: int) -> Run:
    """Score the selected weights once on the test split (without one, on validation), draw, and write the report."""
    run, recipe = job.run, job.recipe
    title = f"{job.model.spec.name} on {source.name}"
    plots.curves(
        run.read_metrics(), run.plots / "curves.png", title=title, metric=job.task.metrics[0], percent=not job.task.dense
    )
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
