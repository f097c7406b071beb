"""Assembly: settings -> data, network, loaders, run directory -> `fit` -> the score on the test split -> the report."""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from resnets import evaluation, hub, plots, report, weights, zoo
from resnets.data import preview as drawing
from resnets.data import sources
from resnets.data.loaders import BadImages, Loader, default_workers, statistics
from resnets.data.sources import Source
from resnets.data.transforms import Augment
from resnets.engine import device as devices
from resnets.engine import recipes
from resnets.engine.loop import Fit, Reporter, fit
from resnets.engine.recipe import FIELDS, Recipe, check_names, parse, read_file, resolve
from resnets.engine.recipes import Facts
from resnets.files import write_text
from resnets.model import Model
from resnets.run import RunDir, now, provenance
from resnets.spec import IMAGENET_MEAN, IMAGENET_STD, InputError, Preprocess, ResNetSpec

# What may differ when a run is taken up again: it changes nothing of what is computed.
FREE = ("workers", "save_every", "stall_epochs", "max_bad")


class Silent:
    """A reporter that says nothing."""

    def say(self, text: str) -> None: ...

    def step(self, *of: Any) -> None: ...

    def epoch(self, *of: Any) -> None: ...


@dataclasses.dataclass(frozen=True)
class Run:
    """A finished run: its folder, the model whose weights were selected, and its score {"split", "top1", ...}."""

    path: Path
    model: Model
    result: dict[str, Any]


def train(
    data: str | None = None,
    *,
    out: str | Path | None = None,
    resume: bool = False,
    data_dir: str | Path | None = None,
    began: float | None = None,
    reporter: Reporter | None = None,
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
        settings: any field of `Recipe`: model, epochs, steps, time, lr, batch_size, seed, ...

    Raises:
        InputError: for unknown settings, data that cannot be learnt from, and runs that fail for a reason the user can mend.
        resnets.contracts.Interrupted: after Ctrl-C or SIGTERM; the state is saved.
    """
    began = time.perf_counter() if began is None else began
    reporter = reporter or Silent()
    given = {name: value for name, value in ({"data": data} | settings).items() if value is not None}
    check_names(given, "settings")

    run, layers = continued(out, given) if resume else (None, requested(given))
    plan = settle(layers, data_dir)
    if run is not None:
        check_same_data(run, plan.fingerprint)
    recipe, source = plan.recipe, plan.source
    device = devices.choose(recipe)
    if recipe.allocator == "auto" and device.place.type == "cpu":
        devices.keep_freed_memory()
    torch.manual_seed(recipe.seed)
    labels = padded(source.labels, recipe.num_classes)
    spec = dataclasses.replace(plan.spec, num_classes=len(labels))
    model = hub.create_model(spec, task=recipe.task, preprocess=plan.preprocess, labels=labels)
    fitted = hub.transfer(model, hub.find(recipe.weights)) if recipe.weights else None

    job = Fit(
        model=model,
        train=train_loader(plan),
        val=val_loader(plan),
        recipe=recipe,
        device=device,
        run=run or RunDir.create(out, recipe.task),
        bad=plan.bad,
        report=reporter,
        class_counts=np.bincount(source.splits["train"].targets, minlength=len(labels)),
        num_test=len(source.splits["test"].targets) if "test" in source.splits else 0,
        began=began,
    )
    for line in introduction(job, plan, fitted):
        reporter.say(line)
    record(job, plan, resumed=resume)
    try:
        position = fit(job, resume=resume)
    except torch.OutOfMemoryError:
        raise InputError(
            f"{device.name} has not memory enough; use a --batch-size below {recipe.batch_size}, with --accumulate to keep the "
            "total, a smaller --img-size, or --checkpoint-activations"
        ) from None
    return finish(job, source, position.best_epoch)


def preview(data: str | None = None, *, out: str | Path, data_dir: str | Path | None = None, **settings: Any) -> Path:
    """Draw what the network would see of the data under these settings, which are `train`'s. `resnets data preview` is this."""
    given = {name: value for name, value in ({"data": data} | settings).items() if value is not None}
    plan = settle(requested(given), data_dir)
    loader = train_loader(plan)
    return drawing.preview(
        plan.source, plan.preprocess, loader.augment, out, seed=plan.recipe.seed, train_size=loader.train_size
    )


@dataclasses.dataclass(frozen=True)
class Plan:
    """A run before anything is built: the data with its validation split, the network, and every setting with its origin."""

    source: Source
    fingerprint: str
    spec: ResNetSpec
    preprocess: Preprocess
    recipe: Recipe
    origins: dict[str, str]
    bad: BadImages


def settle(layers: Mapping[str, Mapping[str, Any]], data_dir: str | Path | None) -> Plan:
    """Open the data, find the network, and resolve every setting that was left open."""
    for origin, layer in layers.items():
        check_names(layer, origin)
    asked = {name: parse(name, value) for layer in layers.values() for name, value in layer.items()}
    source = sources.open_source(asked.get("data", "digits"), data_dir=data_dir, in_chans=asked.get("in_chans"))
    fingerprint = source.fingerprint()
    spec, preprocess = network(asked, source)
    recipe, origins = settings(layers, source, spec, preprocess)
    source = sources.cut_val(source, recipe.val_fraction, recipe.seed)
    bad = BadImages(evaluation.allowed(recipe.max_bad, *source.splits.values()))
    preprocess = fitted_preprocess(recipe, preprocess, source, bad)
    return Plan(source, fingerprint, spec, preprocess, recipe, origins, bad)


def requested(given: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The layers of a new run, without the named recipe, which needs to know the data: a recipe file's settings, then flags."""
    name = str(given.get("recipe", "fast"))
    if not (name.endswith((".yaml", ".yml")) or Path(name).is_file()):
        recipes.get(name)  # so that a wrong name is said before anything is opened
        return {"flag": dict(given)}
    return {name: read_file(name), "flag": {key: value for key, value in given.items() if key != "recipe"}}


def continued(out: str | Path | None, given: Mapping[str, Any]) -> tuple[RunDir, dict[str, dict[str, Any]]]:
    """The run to go on with, and its settings as the only layer.

    Raises:
        InputError: where there is no such run, or `given` has other settings than it (they are named).
    """
    run = RunDir(out) if out is not None else RunDir.latest(str(given.get("task", "classify")))
    if not run.recipe.is_file():
        raise InputError(f"{run.path}: no recipe.yaml here, so there is no run to go on with; leave out --resume to start one")
    settings = read_file(run.recipe)
    changes = []
    for name, value in given.items():
        value, before = parse(name, value), parse(name, settings.get(name))
        if name in FREE:
            settings[name] = value
        elif value != before and not (name in ("data", "weights") and Path(value).resolve() == Path(str(before)).resolve()):
            changes.append(f"{name} was {before}, not {value}")
    if changes:
        raise InputError(
            f"{run.path}: {'; '.join(changes)}; leave that out to go on as it was, or start a new run without --resume"
        )
    return run, {run.recipe.name: settings}


def check_same_data(run: RunDir, fingerprint: str) -> None:
    before = json.loads(run.provenance.read_text(encoding="utf-8")) if run.provenance.is_file() else {}
    if before.get("data", {}).get("fingerprint", fingerprint) != fingerprint:
        raise InputError(f"{run.path}: the data has changed since the run began; bring back what it was, or start a new run")


def network(asked: Mapping[str, Any], source: Source) -> tuple[ResNetSpec, Preprocess]:
    """The network, and how pictures reach it, as far as flags, weights and the data settle them before the recipe is known."""
    changes = {name: value for name, value in asked.items() if name in SPEC_FIELDS and value is not None}
    native = source.size if source.size is not None and max(source.size) <= 64 else None
    size = asked.get("img_size")
    name = asked.get("model", "auto")
    if asked.get("weights"):
        header = weights.read_header(hub.find(asked["weights"]))
        if name not in ("auto", header.spec.name):
            raise InputError(f"the weights are a {header.spec.name}'s, not a {name}'s; leave out --model")
        spec = zoo.change(header.spec, **changes)
        rule = {name: asked[name] for name in RULE if asked.get(name) is not None}
        preprocess = dataclasses.replace(header.preprocess, **rule | ({} if size is None else {"size": (size, size)}))
        if spec.in_chans != source.in_chans or preprocess.in_chans != source.in_chans:
            raise InputError(
                f"the weights take {preprocess.in_chans} channels, and {source.name} has {source.in_chans}; "
                f"add --in-chans {preprocess.in_chans}"
            )
    else:
        if name == "auto":
            small = size <= 64 if size is not None else native is not None
            name = "resnet20_cifar" if small else "resnet18"
        spec = zoo.get(name, **({"in_chans": source.in_chans} | changes))
        size_2d = (size, size) if size is not None else native or (spec.img_size, spec.img_size)
        neutral = (0.5,) * source.in_chans
        preprocess = Preprocess(size=size_2d, mean=neutral, std=neutral)
    if spec.dims != 2:
        raise InputError(f"dims={spec.dims}: pictures have 2 spatial axes; other data reaches a network through Python only")
    return spec, preprocess


RULE = ("resize", "crop_pct", "interpolation")  # of Preprocess, that the recipe has too
SPEC_FIELDS = {field.name for field in dataclasses.fields(ResNetSpec)} & FIELDS.keys()


def settings(
    layers: Mapping[str, Mapping[str, Any]], source: Source, spec: ResNetSpec, preprocess: Preprocess
) -> tuple[Recipe, dict[str, str]]:
    """The whole recipe, and where each value came from; what was left to be found out ("auto") is now said."""
    name = next((str(layer["recipe"]) for layer in reversed(list(layers.values())) if layer.get("recipe")), "fast")
    num_train, (height, width) = len(source.splits["train"].targets), preprocess.size
    facts = Facts(num_train=num_train, hflip=source.hflip, size=preprocess.size, spec=spec)
    recipe, origins = resolve({f"recipe {name}": recipes.get(name)(facts), **layers})
    if recipe.batch_size == 1:
        raise InputError("batch_size=1: batch norm cannot learn from one picture at a time; use at least 2, and --accumulate")
    if spec.in_chans == 4 and recipe.auto_augment != "none":
        raise InputError(f"auto_augment={recipe.auto_augment} knows grey and colour pictures; use none with 4 channels")
    found: dict[str, tuple[Any, str]] = {"recipe": (name, origins["recipe"])}
    if recipe.weights:
        found |= {rule: (getattr(preprocess, rule), "the weights") for rule in RULE if origins[rule] != "flag"}
    if recipe.model == "auto":
        found["model"] = (spec.name, "the weights" if recipe.weights else "the data")
    if height == width and (recipe.img_size is None or recipe.weights):
        found["img_size"] = (height, "the weights" if recipe.weights else "the data" if facts.small else "the network")
    if recipe.workers is None:
        found["workers"] = (default_workers(), "this machine")
    settled = dataclasses.replace(recipe, **{setting: value for setting, (value, _) in found.items()})
    return settled, origins | {setting: origin for setting, (_, origin) in found.items()}


def fitted_preprocess(recipe: Recipe, preprocess: Preprocess, source: Source, bad: BadImages) -> Preprocess:
    """How pictures become inputs: as the weights say, or as the recipe does, with the statistics of the training split."""
    if recipe.weights:
        return preprocess
    size = preprocess.size if recipe.img_size is None else (recipe.img_size, recipe.img_size)
    preprocess = dataclasses.replace(preprocess, size=size, **{rule: getattr(recipe, rule) for rule in RULE})
    if recipe.normalise == "imagenet" and preprocess.in_chans == 3:
        return dataclasses.replace(preprocess, mean=IMAGENET_MEAN, std=IMAGENET_STD)
    return statistics(source.splits["train"], preprocess, bad, per_pixel=recipe.normalise == "pixel")


def padded(labels: tuple[str, ...], num_classes: int | None) -> tuple[str, ...]:
    """The labels of the data, and where more classes were asked for, names for those without pictures."""
    if num_classes is not None and num_classes < len(labels):
        raise InputError(
            f"num_classes={num_classes}, and the data has {len(labels)} classes; leave it out, or give at least {len(labels)}"
        )
    return labels + tuple(f"unused_{number}" for number in range(len(labels), num_classes or 0))


def train_loader(plan: Plan) -> Loader:
    recipe, preprocess = plan.recipe, plan.preprocess
    least, most = recipe.crop_scale
    augment = Augment(
        crop=recipe.crop,
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
        batch_size=recipe.batch_size,
        num_classes=max(len(plan.source.labels), recipe.num_classes or 0),
        bad=plan.bad,
        augment=augment,
        train_size=None if recipe.train_size is None else (recipe.train_size, recipe.train_size),
        seed=recipe.seed,
        balance=recipe.balance == "sampler",
        repeats=recipe.repeats,
        workers=recipe.workers or 0,
    )


def val_loader(plan: Plan) -> Loader:
    recipe, small = plan.recipe, max(plan.preprocess.size) <= 64
    return Loader(
        split=plan.source.splits["val"],
        preprocess=plan.preprocess,
        batch_size=max(recipe.batch_size, 250 if small else 32),
        num_classes=len(plan.source.labels),
        bad=plan.bad,
        workers=recipe.workers or 0,
    )


def introduction(job: Fit, plan: Plan, fitted: Mapping[str, list[str]] | None) -> Iterator[str]:
    """What a person should know before the first step."""
    source, origins = plan.source, plan.origins
    recipe, spec, height, width = job.recipe, job.model.spec, *job.model.preprocess.size
    sizes = ", ".join(f"{len(split.targets):,} {name}" for name, split in source.splits.items())
    cut = f" (val cut from train: {source.cut['fraction']:.0%}, seed {source.cut['seed']})" if source.cut else ""
    macs = f"{spec.num_macs((height, width)) / 1e6:,.1f} M multiply-adds at {height} x {width}"
    total = recipe.batch_size * recipe.accumulate
    yield f"data     {source.name}: {len(source.labels)} classes; pictures: {sizes}{cut}"
    yield f"network  {spec.name}: {spec.num_layers} layers, {spec.num_params:,} parameters, {macs}"
    yield f"device   {job.device.name}; {str(job.device.autocast or 'float32').removeprefix('torch.')}" + (
        ", channels last" if job.device.channels_last else ""
    )
    yield f"batch    {recipe.batch_size} pictures a process, {total} in all" + (
        f" ({recipe.accumulate} accumulated)" * (total != recipe.batch_size)
    )
    yield f"run      {job.run.path}"
    if fitted is not None:
        yield "weights  " + "; ".join(
            f"{len(names)} tensors {kind}" + (f" ({', '.join(names[:4])}{', ...' * (len(names) > 4)})" * (kind != "loaded"))
            for kind, names in fitted.items()
        )
    counts = job.class_counts[job.class_counts > 0]
    if counts.max() > 5 * counts.min() and recipe.balance == "none":
        yield f"note     classes have {counts.min()} to {counts.max()} pictures; --balance sampler or loss evens them out"
    values = dataclasses.asdict(recipe)
    for origin in dict.fromkeys(origins.values()):
        if origin != "default":
            yield f"settings ({origin}) " + " ".join(
                f"{name}={show(values[name])}" for name in FIELDS if origins[name] == origin
            )
    yield "settings (default) " + " ".join(f"{name}={show(values[name])}" for name in FIELDS if origins[name] == "default")


def show(value: Any) -> str:
    if isinstance(value, tuple):
        return ",".join(show(part) for part in value)
    return f"{value:g}" if isinstance(value, float) else str(value)


def record(job: Fit, plan: Plan, *, resumed: bool) -> None:
    """Write recipe.yaml and provenance.json, and give the model what is to travel with it."""
    spec, run, source = job.model.spec, job.run, plan.source
    write_text(run.recipe, job.recipe.to_yaml())
    data = {
        "name": source.name,
        "fingerprint": plan.fingerprint,
        "num_images": {name: len(split.targets) for name, split in source.splits.items()},
        "labels": list(source.labels),
        "cut": source.cut and dict(source.cut),
    }
    model = {"name": spec.name, "num_params": spec.num_params, "num_macs": spec.num_macs(job.model.preprocess.size)}
    if resumed and run.provenance.is_file():
        known = json.loads(run.provenance.read_text(encoding="utf-8"))
        origin = run.update_provenance(resumed=[*known.get("resumed", []), now()])
    else:
        origin = run.update_provenance(**provenance(job.device.describe()), seed=job.recipe.seed, data=data, model=model)
    travels = ("command", "started", "versions", "device", "git", "seed", "data")
    job.model.metadata["provenance"] = {key: origin[key] for key in travels if key in origin} | {
        "recipe": dataclasses.asdict(job.recipe)
    }


def finish(job: Fit, source: Source, best_epoch: int) -> Run:
    """Score the selected weights once on the test split (without one, on validation), draw, and write the report."""
    run, recipe = job.run, job.recipe
    plots.curves(run.read_metrics(), run.plots / "curves.png", title=f"{job.model.spec.name} on {source.name}")
    chosen = {"best": run.best, "last": run.last}[recipe.select]
    model = hub.load(chosen).to(job.device.place)
    split = "test" if "test" in source.splits else "val"
    result = evaluation.score(model, source, split, out=run.path, workers=recipe.workers, max_bad=recipe.max_bad)
    job.bad.reasons.update(result["bad_images"])
    run.write_bad_images(job.bad.reasons)
    result["selected"] = f"{recipe.select} (epoch {best_epoch})" if recipe.select == "best" else "last"
    seconds = time.perf_counter() - job.began
    run.update_provenance(finished=now(), seconds=round(seconds, 2), selected=recipe.select, result=evaluation.summary(result))
    report.write(run.path)
    return Run(run.path, model.cpu(), result)
