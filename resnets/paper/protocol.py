"""The paper's protocol as settings of `resnets.train`, and every difference from it in words. No torch.

Section 4.2 for the CIFAR family: 45k/5k, per-pixel mean, 4 pixels of padding and a random crop, mirrored half of the time, SGD
with 0.1, 0.9 and 1e-4, batches of 128, 64k steps, the rate divided by 10 after 32k and 48k; from 110 layers on, 400 steps at
0.01 first; the last step counts. The recipe `he2015` has these; here is what a scale changes.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from resnets.paper.scales import PAPER_SEEDS, PAPER_SIZE, PAPER_STEPS, Scale

WARMUP_STEPS, WARMUP_LAYERS = 400, 110  # "the learning rate of 0.01 ... until about 400 iterations", of 110 layers
SMALL_DATA = ("cifar10", "cifar100", "digits")  # known sets, of small pictures: on them ImageNet networks are scaled down


def is_large(data: str) -> bool:
    """Whether the ImageNet networks are trained as they are: on a folder or list of one's own pictures."""
    return data not in SMALL_DATA


def settings(scale: Scale, num_layers: int, *, data: str, seed: int, large: bool = False) -> dict[str, Any]:
    """What `resnets.train` is told beside the network, of a CIFAR network or (`large`) of an ImageNet network on a folder.

    The milestones stay where the recipe has them, at a half and three quarters. A warm-up has its 400 steps in a short run
    too, up to a quarter of it: how soon 0.1 is safe is a matter of steps (after nine, ResNet-110 never left chance).
    """
    chosen: dict[str, Any] = {"data": data, "recipe": "he2015", "seed": seed}
    chosen |= {"steps": scale.large_steps if large else scale.steps, "img_size": scale.large_size if large else scale.img_size}
    if not large and num_layers >= WARMUP_LAYERS and scale.steps != PAPER_STEPS:
        chosen["warmup_steps"] = min(WARMUP_STEPS, max(1, scale.steps // 4))
    # A network that does not learn is a finding here, not a mistake to be stopped.
    return chosen | {"val_fraction": 0.1, "stall_epochs": 0}


def deviations(
    scale: Scale, *, data: str, recipes: Sequence[Mapping[str, Any]] = (), large: bool = False, curves: bool = False
) -> tuple[str, ...]:
    """Every difference from the paper's protocol, a sentence each.

    Args:
        recipes: the settings of the runs that were used, as their recipe.yaml has them.
        curves: whether errors along the way are shown.
    """
    return tuple(_large(scale, data) if large else _small(scale, data, recipes)) + tuple(_everywhere(scale, recipes, curves))


def _small(scale: Scale, data: str, recipes: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    if data != "cifar10":
        yield f"The pictures are those of {data}, not of CIFAR-10; a tenth of the training split is cut off for validation."
    else:
        yield (
            "All networks are trained on 45,000 pictures. The paper determines its schedule on a 45k/5k split and does not say "
            "whether the networks of its tables were trained on 45k or on all 50k. The 5,000 are drawn anew with each seed, "
            "the same share of each class."
        )
    if data == "digits":
        yield "Nothing is mirrored: a mirrored digit is another."
    steps, sizes = (named(recipes, name) or {str(own)} for name, own in (("steps", scale.steps), ("img_size", scale.img_size)))
    if steps != {str(PAPER_STEPS)}:
        told = " or ".join(f"{int(number):,}" for number in sorted(steps, key=int))
        yield f"{told} steps instead of {PAPER_STEPS:,}; " + (
            "the rate does not fall, as it does not at the paper's start."
            if named(recipes, "sched") == {"constant"}
            else "the rate is divided by 10 after a half and three quarters of them, as in the paper, and the warm-up of "
            f"networks from {WARMUP_LAYERS} layers on has its {WARMUP_STEPS} steps, or a quarter of the run."
        )
    if sizes != {str(PAPER_SIZE)}:
        told = " or ".join(f"{size} x {size}" for size in sorted(sizes, key=int))
        yield f"Pictures of {told} pixels instead of {PAPER_SIZE} x {PAPER_SIZE}."
    yield "Batch norm sees 128 pictures; the paper spreads a batch over two GPUs, so its batch norm saw 64."


def _large(scale: Scale, data: str) -> Iterator[str]:
    yield f"{scale.large_steps:,} steps at {scale.large_size} x {scale.large_size} pixels (the paper: 600,000 at 224 x 224)."
    yield (
        "The rate is divided by 10 after a quarter, a half and three quarters of the steps, where the paper does so "
        '"when the error plateaus".'
    )
    yield (
        "Training pictures are random resized crops; the paper resizes the shorter side to 256 to 480 pixels, crops, and "
        "changes colours as Krizhevsky did."
    )
    yield "Errors are of one crop in the middle; the paper's tables 2 and 3 average ten crops."
    yield "Batch norm in evaluation uses moving averages; the paper's statistics were computed anew after training."
    yield f"The pictures are those of {Path(data).name}; where they have no test split, the validation split is scored."


def _everywhere(scale: Scale, recipes: Sequence[Mapping[str, Any]], curves: bool) -> Iterator[str]:
    if scale.seeds < PAPER_SEEDS:
        yield (
            f"{scale.seeds} run{'s' * (scale.seeds > 1)} of each network; the paper has 5 of its network of 110 layers, and "
            "names no number for the others."
        )
    precisions = named(recipes, "precision") - {"float32"}
    if precisions:
        yield f"Training computes in {' and '.join(sorted(precisions))}, scoring in float32; the paper: float32."
    yield (
        "Weights start from normal numbers scaled by the outputs of each convolution (fan-out), one of the two forms of the "
        "initialisation that the paper cites; it does not say which it took."
    )
    if curves:
        yield (
            "The test split is scored once, after the last step (the dots). Along the way the error is that of the validation "
            "split, where the paper draws the test error."
        )
        yield (
            "The training error of an epoch is the mean over its steps, of cropped and mirrored pictures while the weights "
            "change."
        )


def named(recipes: Collection[Mapping[str, Any]], setting: str) -> set[str]:
    """The values that a setting has in recipes."""
    return {str(recipe[setting]) for recipe in recipes if setting in recipe}
