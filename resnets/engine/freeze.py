"""Fine-tuning: which parts of a network learn, from which epoch, at which learning rate, and which norms are frozen.

A network has these parts, in order: the stem, the stages, the head. The frozen parts are always the first ones, so that no
gradient is computed for them or through them.
"""

from __future__ import annotations

from typing import Any

from torch import nn

from resnets.engine.recipe import Recipe, need_weights
from resnets.errors import InputError
from resnets.models.nn.layers import NORMS
from resnets.models.spec import ResNetSpec

STEM = ("conv1", "bn1")
SMALL_BATCH = 16  # with fewer images, batch statistics are worse than saved ones (arXiv 1803.08494, figure 1)
# Settings that make no sense with random weights, and their values when off.
NEED_WEIGHTS: dict[str, tuple[Any, ...]] = {
    "freeze": ("none",),
    "unfreeze_epochs": (0,),
    "norm_stats": ("auto", "batch"),
}


def num_stages(model: nn.Module) -> int:
    return sum(name.startswith("layer") for name, _ in model.named_children())


def part_of(name: str, stages: int) -> int:
    """The number of the part with the tensor or module `name`: 0 the stem, 1 to `stages` the stages, `stages` + 1 the head."""
    first = name.partition(".")[0]
    if first in STEM:
        return 0
    if first.startswith("layer"):
        return int(first.removeprefix("layer"))
    return stages if first == "norm" else stages + 1  # "norm": the last norm in "pre" order, part of the last stage


def num_never(recipe: Recipe, stages: int) -> int:
    """The number of parts, counted from the input, that never learn."""
    words = {"none": 0, "stem": 1, "trunk": stages + 1}
    return words[recipe.freeze] if recipe.freeze in words else int(recipe.freeze) + 1


def num_frozen(recipe: Recipe, stages: int, epoch: int) -> int:
    """The number of parts, counted from the input, that do not learn in `epoch` (from 0)."""
    if not recipe.unfreeze_epochs:
        return num_never(recipe, stages)
    return max(num_never(recipe, stages), stages + 1 - epoch // recipe.unfreeze_epochs)


def set_training(model: nn.Module, recipe: Recipe, epoch: int) -> None:
    """Set `model` to training mode for `epoch` (from 0).

    Frozen parts are set to evaluation mode without gradients; with `norm_stats` "frozen" all norms are in evaluation mode.
    """
    stages = num_stages(model)
    frozen = num_frozen(recipe, stages, epoch)
    model.train()
    for name, part in model.named_children():
        learns = part_of(name, stages) >= frozen
        part.requires_grad_(learns).train(learns)
    for norm in (module for module in model.modules() if isinstance(module, NORMS)):
        norm.momentum = norm.momentum if recipe.norm_momentum is None else recipe.norm_momentum
        norm.train(norm.training and recipe.norm_stats != "frozen")


def learning(model: nn.Module, recipe: Recipe) -> list[tuple[nn.Parameter, float]]:
    """The parameters that learn in some epoch, each with the factor on its learning rate (`layer_decay`)."""
    stages = num_stages(model)
    never = num_never(recipe, stages)
    parts = [(parameter, part_of(name, stages)) for name, parameter in model.named_parameters()]
    return [(parameter, recipe.layer_decay ** (stages + 1 - part)) for parameter, part in parts if part >= never]


def check_batch(recipe: Recipe, spec: ResNetSpec) -> None:
    """Raise `InputError` where batch norm would take its statistics from one image at a time."""
    learns = recipe.norm_stats == "batch" and recipe.freeze != "trunk" and getattr(spec, "norm", "batch") == "batch"
    if recipe.batch_size == 1 and learns and not recipe.is_probe:
        raise InputError(
            "batch_size=1: batch norm cannot learn from one picture at a time; use at least 2, and --accumulate; or --norm "
            "none, or --weights with --norm-stats frozen"
        )


def check(recipe: Recipe, spec: ResNetSpec) -> None:
    """Raise `InputError` for fine-tuning settings that make no sense for this run."""
    if recipe.freeze.isdigit() and int(recipe.freeze) > len(spec.depths):
        raise InputError(f"freeze={recipe.freeze}: {spec.name} has {len(spec.depths)} stages; give fewer, or trunk")
    for name, off in NEED_WEIGHTS.items():
        need_weights(recipe, name, off)
