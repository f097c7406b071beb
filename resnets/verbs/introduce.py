"""What a person should know of a run before its first step."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence

from resnets.data import groups, splits
from resnets.data.check.pictures import LONG
from resnets.data.pictures.stored import StoredImages
from resnets.data.types import KINDS
from resnets.engine import freeze, threads
from resnets.engine.job import Fit
from resnets.engine.plan import Plan
from resnets.engine.recipe import SMALL
from resnets.engine.settings import fields_of, show
from resnets.models.model import Model

FEW_IMAGES = 5000  # from which on random weights are no handicap in a short training, as a rule
NAMED = 10  # classes that the line on the data names


def introduction(job: Fit, plan: Plan, fitted: Mapping[str, list[str]] | None, cached: str | None) -> Iterator[str]:
    """What a person should know before the first step."""
    source, origins = plan.source, plan.origins
    recipe, spec, size = job.recipe, job.model.spec, job.model.preprocess.size
    sizes = ", ".join(f"{len(split):,} {name}" for name, split in source.splits.items())
    cut = f" ({splits.words_of(source.cut)})" if source.cut else ""
    grouping = groups.words_of(source, recipe.group_by)
    whole = "" if job.task.counts_head else " of the trunk"
    macs = f"{spec.num_macs(size) / 1e6:,.1f} M multiply-adds{whole} at {' x '.join(map(str, size))}"
    world, kind = job.processes.world, KINDS[source.kind]
    total = recipe.batch_size * recipe.accumulate * world
    labels = ", ".join(source.labels[:NAMED])
    if len(source.labels) > 1:
        labels = f"{len(source.labels)} {kind.names}: {labels}"
    labels += f" and {len(source.labels) - NAMED} more" if len(source.labels) > NAMED else ""
    yield f"data     {source.name}: {labels}; {kind.images}: {sizes}{cut}{grouping}"
    for note in source.told:
        yield f"data     {note.text}"
    if cached is not None:
        yield f"cache    {cached}"
    yield f"network  {spec.name}: {spec.num_layers} layers, {num_params(job.model):,} parameters, {macs}"
    speed = {"channels last": job.device.channels_last, "fused norms": job.device.fused, "compiled": job.device.compile}
    precision = str(job.device.autocast or "float32").removeprefix("torch.")
    yield f"device   {', '.join([f'{job.device.name}; {precision}', *(word for word, on in speed.items() if on)])}"
    if origins.get("threads") == "this machine" and (recipe.threads or 0) < (most := threads.most()):
        words = "other programs use the rest, which is looked at again"
        yield f"threads  {recipe.threads} of {most}: {words} (--threads {most} takes all)"
    yield (
        f"batch    {recipe.batch_size} {kind.inputs} per process, {total} in all"
        + (f" ({recipe.accumulate} accumulated)" * (recipe.accumulate > 1))
        + f" ({world} processes)" * (world > 1)
    )
    yield f"run      {job.run.path}"
    if foreign := getattr(spec, "note", ""):
        yield f"note     {foreign}"
    if fitted is not None and plan.opened is not None:
        yield f"weights  {plan.opened.told}"
        for how, names in fitted.items():
            few = f"  {', '.join(names[:4])}{', ...' * (len(names) > 4)}" if how != "loaded" and names else ""
            yield f"         {how:<15}{len(names):>4} tensors{few}"
        yield f"learns   {learning(job)}"
    yield f"inputs   {plan.inputs}"
    yield from hints(job, plan)
    values = dataclasses.asdict(recipe)
    for origin in sorted(set(origins.values()), key=lambda origin: (origin == "default", origin)):
        own = [name for name in fields_of(type(recipe)) if origins[name] == origin]
        told = [name for name in own if not (origin == "default" and values[name] is None)]
        yield f"settings ({origin}) " + " ".join(f"{name}={show(values[name])}" for name in told)


def hints(job: Fit, plan: Plan) -> Iterator[str]:
    """What may spoil the run, or is left unused."""
    spec, preprocess, train = job.model.spec, job.model.preprocess, plan.source.splits["train"]
    photographs = spec.in_chans == 3 and spec.dims == 2 and max(preprocess.size) > SMALL
    if plan.opened is None and photographs and len(train) < FEW_IMAGES and "/" not in spec.name:
        words = f"{len(train):,} {KINDS[plan.source.kind].images} are few for random weights"
        yield f"hint     {words}; a trained network to start from: --weights torchvision/resnet18 (docs/transfer.md)"
    if job.recipe.hflip and (pair := mirrored(plan.source.labels)):
        words = f"'{pair[0]}' and '{pair[1]}' may be each other's mirror image, and training mirrors images"
        yield f"hint     {words}; --hflip 0 leaves them as they are"
    if preprocess.resize == "crop" and isinstance(train.images, StoredImages):
        sizes = train.images.sizes()
        if long := sum(max(size) > LONG * min(size) for size in sizes):
            words = f"{long} of {len(sizes)} that were looked at are more than {LONG} times as long as wide"
            yield f"hint     {words}, of which the crop keeps the middle only; --resize pad keeps all"


def mirrored(labels: Sequence[str]) -> tuple[str, str] | None:
    """Two classes of which one is called left where the other is called right."""
    known = {label.lower(): label for label in labels}
    pairs = ((label, known.get(label.lower().replace("left", "right"))) for label in labels if "left" in label.lower())
    return next(((left, right) for left, right in pairs if right), None)


def learning(job: Fit) -> str:
    """How much of the network learns."""
    recipe, model = job.recipe, job.model
    counts = {parameter: parameter.numel() for parameter, _ in freeze.learning(model, recipe)}
    if recipe.is_probe:
        counts = {parameter: parameter.numel() for name in model.head_names for parameter in getattr(model, name).parameters()}
    remarks = ["the head alone, on features computed once"] * recipe.is_probe
    remarks += [f"frozen: {recipe.freeze}"] * (recipe.freeze != "none" and not recipe.is_probe)
    remarks += [f"one stage more every {recipe.unfreeze_epochs} epochs"] * (recipe.unfreeze_epochs > 0)
    remarks += ["norms keep the saved statistics"] * (recipe.norm_stats == "frozen")
    return f"{sum(counts.values()):,} of {num_params(model):,} parameters" + (f" ({'; '.join(remarks)})" if remarks else "")


def num_params(model: Model) -> int:
    """Of trunk and head together."""
    return sum(parameter.numel() for parameter in model.parameters())
