"""The paper's protocol as settings of `resnets.train`, and every difference from it in words. No torch.

Section 4.2 for the CIFAR family: 45k images for training and 5k for validation, per-pixel mean, 4 pixels of padding and a
random crop, horizontal flips with probability 0.5, SGD with learning rate 0.1, momentum 0.9 and weight decay 1e-4, batches of
128, 64k steps, the learning rate divided by 10 after 32k and 48k; from 110 layers on, 400 warm-up steps at 0.01; the weights of
the last step are evaluated. The recipe `he2015` has these settings; this module has what a scale changes.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypedDict

from resnets.paper.scales import PAPER_SEEDS, PAPER_SIZE, PAPER_STEPS, WARMUP_LAYERS, Scale

WARMUP_STEPS = 400  # "the learning rate of 0.01 ... until about 400 iterations", for 110 layers
SMALL_DATA = ("cifar10", "cifar100", "digits")  # built-in datasets of small images, for which ImageNet networks are scaled down
Settings = Mapping[str, object]  # of a run, as its recipe.yaml has them


class ProtocolSettings(TypedDict, total=False):
    """The settings of a run, beside its network, in the order in which they are given to `resnets train`."""

    data: str
    recipe: str
    seed: int
    steps: int
    img_size: int
    warmup_steps: int
    val_fraction: float
    stall_epochs: int


def is_large(data: str) -> bool:
    """Whether the data is the user's own folder or list, on which the ImageNet networks are trained unchanged."""
    return data not in SMALL_DATA


def settings(scale: Scale, num_layers: int, *, data: str, seed: int, large: bool = False) -> ProtocolSettings:
    """The settings of `resnets.train`, beside the network, for a CIFAR network or, with `large`, an ImageNet network.

    The milestones stay where the recipe has them, at a half and three quarters of the run. A short run has a warm-up of 400
    steps too, but at most a quarter of the run: the number of steps decides when a learning rate of 0.1 is safe (with nine
    steps, ResNet-110 did not learn).
    Some scales warm up shallower networks too, by a rate that rises.
    """
    chosen: ProtocolSettings = {
        "data": data,
        "recipe": "he2015",
        "seed": seed,
        "steps": scale.large_steps if large else scale.steps,
        "img_size": scale.large_size if large else scale.img_size,
    }
    if not large and num_layers >= scale.warmup_layers and scale.steps != PAPER_STEPS:
        chosen["warmup_steps"] = min(WARMUP_STEPS, max(1, scale.steps // 4))
    # No early stopping: a network that does not learn is a result here.
    return {**chosen, "val_fraction": 0.1, "stall_epochs": 0}


def deviations(
    scale: Scale, *, data: str, recipes: Sequence[Settings] = (), large: bool = False, curves: bool = False
) -> tuple[str, ...]:
    """Every difference from the paper's protocol, one sentence each.

    Args:
        recipes: the settings of the runs.
        large: whether the networks are ImageNet's, unchanged.
        curves: whether errors during training are shown.
    """
    return tuple(_large(scale, data) if large else _small(scale, data, recipes)) + tuple(_everywhere(scale, recipes, curves))


def _small(scale: Scale, data: str, recipes: Sequence[Settings]) -> Iterator[str]:
    if data != "cifar10":
        yield f"The images are those of {data}, not of CIFAR-10; a tenth of the training split is cut off for validation."
    else:
        yield (
            "All networks are trained on 45,000 images. The paper determines its schedule on a 45k/5k split and does not say "
            "whether the networks of its tables were trained on 45k or on all 50k. The 5,000 are drawn for each seed, the same "
            "number of each class."
        )
    if data == "digits":
        yield "Images are not flipped, because a mirrored digit is not a digit."
    steps, sizes = (named(recipes, name) or {str(own)} for name, own in (("steps", scale.steps), ("img_size", scale.img_size)))
    if steps != {str(PAPER_STEPS)}:
        told = " or ".join(f"{int(number):,}" for number in sorted(steps, key=int))
        yield f"{told} steps instead of {PAPER_STEPS:,}; " + (
            "the learning rate is constant, as in the first steps of the paper's schedule."
            if named(recipes, "sched") == {"constant"}
            else "the learning rate is divided by 10 after a half and three quarters of them, as in the paper, and the warm-up "
            f"of networks with {scale.warmup_layers} layers or more has {WARMUP_STEPS} steps, or a quarter of the run."
        )
        if scale.warmup_layers < WARMUP_LAYERS:
            yield (
                f"The paper warms up from {WARMUP_LAYERS} layers on, at a constant rate; here shallower networks do so "
                "too, at one that rises from 0, for in a short run a first rate of 0.1 holds back 56 layers."
            )
    if sizes != {str(PAPER_SIZE)}:
        told = " or ".join(f"{size} x {size}" for size in sorted(sizes, key=int))
        yield f"Images of {told} pixels instead of {PAPER_SIZE} x {PAPER_SIZE}."
    yield "Batch norm sees 128 images; the paper splits a batch over two GPUs, so its batch norm saw 64."


def _large(scale: Scale, data: str) -> Iterator[str]:
    yield f"{scale.large_steps:,} steps at {scale.large_size} x {scale.large_size} pixels (the paper: 600,000 at 224 x 224)."
    yield (
        "The learning rate is divided by 10 after a quarter, a half and three quarters of the steps; the paper does so "
        '"when the error plateaus".'
    )
    yield (
        "Training images are random resized crops; the paper resizes the shorter side to 256 to 480 pixels, crops, and "
        "changes colours as Krizhevsky et al. (2012)."
    )
    yield "Errors are measured on one centre crop; the paper's tables 2 and 3 average ten crops."
    yield "Batch norm in evaluation uses moving averages; the paper's statistics were computed after training."
    yield f"The images are those of {Path(data).name}; if they have no test split, the validation split is evaluated."


def _everywhere(scale: Scale, recipes: Sequence[Settings], curves: bool) -> Iterator[str]:
    if scale.seeds < PAPER_SEEDS:
        yield (
            f"{scale.seeds} run{'s' * (scale.seeds > 1)} of each network; the paper has 5 of its network of 110 layers, and "
            "gives no number for the others."
        )
    precisions = named(recipes, "precision") - {"float32"}
    if precisions:
        yield f"Training computes in {' and '.join(sorted(precisions))}, evaluation in float32; the paper: float32."
    yield (
        "Weights are initialised from normal distributions scaled by the fan-out of each convolution, one of the two forms of "
        "the initialisation that the paper cites; it does not say which it used."
    )
    if curves:
        yield (
            "The test split is evaluated once, after the last step (the dots). The curves show the error on the validation "
            "split, where the paper shows the test error."
        )
        yield (
            "The training error of an epoch is the mean over its steps, on cropped and flipped images, while the weights "
            "change."
        )


def named(recipes: Collection[Settings], setting: str) -> set[str]:
    """The values of a setting in recipes."""
    return {str(recipe[setting]) for recipe in recipes if setting in recipe}
