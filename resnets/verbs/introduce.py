"""What a person should know of a run before its first step."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping

from resnets.data import sources
from resnets.data.check.labels import check_labels
from resnets.data.readers.label_rules import RULES
from resnets.data.readers.names import DenseSource
from resnets.data.sources import Source
from resnets.engine import freeze
from resnets.engine.job import Fit, Reporter
from resnets.engine.plan import Plan
from resnets.engine.recipe import FIELDS, show
from resnets.models.model import Model
from resnets.tasks.dense import of_volumes, times

CHECKED = 20_000  # pictures up to which all labels are looked at before training; it takes some seconds a thousand


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
