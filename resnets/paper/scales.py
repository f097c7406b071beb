"""How much of the paper's protocol is run: one row per scale. No torch."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from resnets.errors import InputError
from resnets.models import zoo

PAPER_STEPS, PAPER_SIZE, PAPER_SEEDS = 64_000, 32, 5
WARMUP_LAYERS = 110  # from which on the paper warms up


@dataclass(frozen=True, kw_only=True)
class Scale:
    """Length, input size and number of runs.

    Args:
        img_size: side of the CIFAR networks' input in pixels; 32 in the paper.
        steps: training steps of the CIFAR networks; 64,000 in the paper.
        seeds: number of runs of each network.
        depths: layers of the plain and residual CIFAR networks.
        identity_depths: layers of the networks of "Identity Mappings".
        warmup_layers: CIFAR networks of so many layers or more begin with a warm-up.
        large_size, large_steps: input size and steps of the ImageNet networks, which are trained on a folder of images.
        shows: what runs of this scale can show, and what not.
    """

    name: str
    img_size: int
    steps: int
    seeds: int
    depths: tuple[int, ...]
    identity_depths: tuple[int, ...]
    large_size: int
    large_steps: int
    shows: str
    warmup_layers: int = WARMUP_LAYERS


SCALES = {
    row.name: row
    for row in (
        Scale(
            name="full", img_size=32, steps=PAPER_STEPS, seeds=PAPER_SEEDS, depths=(20, 32, 44, 56, 110),
            identity_depths=(110, 164, 1001), large_size=224, large_steps=600_000,
            shows="the paper's own protocol: error rates can be compared with the paper's, and every ordering.",
        ),
        Scale(
            name="medium", img_size=16, steps=8_000, seeds=3, depths=(20, 56),
            identity_depths=(56, 110), large_size=128, large_steps=100_000, warmup_layers=20,
            shows="8,000 of 64,000 steps on images of half the side: whether 20 or 56 layers are better, of plain and of "
            "residual networks, as in figure 6; not the paper's error rates.",
        ),
        Scale(
            name="small", img_size=16, steps=1_500, seeds=3, depths=(20, 32, 44, 56),
            identity_depths=(56, 110), large_size=96, large_steps=20_000,
            shows="1,500 of 64,000 steps on images of half the side: it can show which network learns more easily, and so the "
            "degradation of plain networks; not the paper's error rates, nor effects that need a long training, such as the "
            "advantage of the deeper of two residual networks.",
        ),
        Scale(
            name="tiny", img_size=8, steps=120, seeds=1, depths=(20, 32),
            identity_depths=(20, 56), large_size=72, large_steps=100,
            shows="that everything runs; one run of a few steps decides no ordering, and error rates mean nothing.",
        ),
    )
}  # fmt: skip


def get(name: str, *, seeds: int | None = None, depths: tuple[int, ...] | None = None) -> Scale:
    """The scale called `name`; `seeds` and `depths` (of the CIFAR networks) replace its own.

    Raises:
        InputError: if there is no such scale, or the zoo has no residual CIFAR network of one of the depths.
    """
    if name not in SCALES:
        raise InputError(f"there is no scale {name!r}; use one of {', '.join(SCALES)}")
    scale = SCALES[name]
    if seeds is not None:
        if seeds < 1:
            raise InputError(f"seeds={seeds}: give at least 1")
        scale = dataclasses.replace(scale, seeds=seeds)
    if depths is not None:
        known = [row.removeprefix("resnet").removesuffix("_cifar") for row in zoo.names("resnet*_cifar")]
        known = [depth for depth in known if depth.isdigit()]
        for depth in depths:
            if str(depth) not in known:
                raise InputError(f"depths: there is no resnet{depth}_cifar; give some of {', '.join(known)}")
        scale = dataclasses.replace(scale, depths=tuple(sorted(set(depths))))
    return scale
