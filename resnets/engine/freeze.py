"""Fine-tuning's policy: which parts of a network learn, from when on, how fast each of them, and whose norms count batches.

A network has the stem, its stages and the head, in the order in which pictures pass them. What is frozen forms one piece from
the input on, so that no gradient is ever computed for it or through it.
"""

from __future__ import annotations

from typing import Any

from torch import nn

from resnets.engine.recipe import Recipe, need_weights
from resnets.errors import InputError
from resnets.models.nn.layers import NORMS
from resnets.models.spec import ResNetSpec

STEM = ("conv1", "bn1")
SMALL_BATCH = 16  # pictures below which a batch's statistics are worse than saved ones (arXiv 1803.08494, figure 1)
# What makes no sense on random weights, and what it is worth where it is off.
NEED_WEIGHTS: dict[str, tuple[Any, ...]] = {
    "freeze": ("none",),
    "unfreeze_epochs": (0,),
    "norm_stats": ("auto", "batch"),
}


def num_stages(model: nn.Module) -> int:
    return sum(name.startswith("layer") for name, _ in model.named_children())


def part_of(name: str, stages: int) -> int:
    """The part that a tensor or module called `name` is in: 0 the stem, 1 to `stages` the stages, `stages` + 1 the head."""
    first = name.partition(".")[0]
    if first in STEM:
        return 0
    if first.startswith("layer"):
        return int(first.removeprefix("layer"))
    return stages if first == "norm" else stages + 1  # "norm": pre-activation's last, which ends its last stage


def num_never(recipe: Recipe, stages: int) -> int:
    """How many parts, from the input on, never learn."""
    words = {"none": 0, "stem": 1, "trunk": stages + 1}
    return words[recipe.freeze] if recipe.freeze in words else int(recipe.freeze) + 1


def num_frozen(recipe: Recipe, stages: int, epoch: int) -> int:
    """How many parts, from the input on, do not learn in `epoch` (from 0)."""
    if not recipe.unfreeze_epochs:
        return num_never(recipe, stages)
    return max(num_never(recipe, stages), stages + 1 - epoch // recipe.unfreeze_epochs)


def set_training(model: nn.Module, recipe: Recipe, epoch: int) -> None:
    """Put `model` into training as it is in `epoch`: frozen parts without gradients and as in evaluation, and with
    `norm_stats` frozen all norms so."""
    stages = num_stages(model)
    frozen = num_frozen(recipe, stages, epoch)
    model.train()
    for name, part in model.named_children():
        learns = part_of(name, stages) >= frozen
        part.requires_grad_(learns).train(learns)
    if recipe.norm_stats == "frozen":
        for module in model.modules():
            if isinstance(module, NORMS):
                module.eval()


def learning(model: nn.Module, recipe: Recipe) -> list[tuple[nn.Parameter, float]]:
    """The parameters that learn at some time, each with what its learning rate is multiplied by."""
    stages = num_stages(model)
    never = num_never(recipe, stages)
    parts = [(parameter, part_of(name, stages)) for name, parameter in model.named_parameters()]
    return [(parameter, recipe.layer_decay ** (stages + 1 - part)) for parameter, part in parts if part >= never]


def check(recipe: Recipe, spec: ResNetSpec) -> None:
    """Raise `InputError` for settings of fine-tuning that mean nothing for this run."""
    if recipe.freeze.isdigit() and int(recipe.freeze) > len(spec.depths):
        raise InputError(f"freeze={recipe.freeze}: {spec.name} has {len(spec.depths)} stages; give fewer, or trunk")
    for name, off in NEED_WEIGHTS.items():
        need_weights(recipe, name, off)
