"""The settings that detection and segmentation share. No torch."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from resnets.data.preprocess import FREE
from resnets.engine.recipe import Recipe
from resnets.engine.settings import AUGMENTATION, DATA, IMAGES, NETWORK, setting
from resnets.engine.values import Facts
from resnets.errors import InputError

RESIZE = ("resize", "interpolation")  # of Preprocess, that the settings have too


@dataclass(frozen=True, kw_only=True)
class DenseSettings(Recipe):
    """The settings that detection and segmentation share."""

    compiles = False  # inputs have many sizes, each of which would be compiled anew

    class_names: tuple[str, ...] = setting(
        DATA, (), "names of the classes, by the index in masks from 0 on; default: the lines of classes.txt"
    )
    resize: str = setting(IMAGES, "keep", "keep the size of each picture, or bring its shorter side to img_size", choices=FREE)
    normalise: str = setting(
        IMAGES,
        "data",
        "subtract a mean for each channel of the data, or ImageNet's",
        choices=("data", "imagenet"),
        only={"weights": (None,)},
    )
    scales: tuple[float, ...] = setting(AUGMENTATION, (1.0,), "fractions of its size, of which each training picture gets one")
    jitter: float = setting(
        AUGMENTATION, 0.0, "largest change of brightness, contrast and saturation, as a fraction", least=0, most=1
    )
    vflip: float = setting(
        AUGMENTATION, 0.0, "probability of turning upside down; of volumes, of exchanging back and front", least=0, most=1
    )
    repeats: int = setting(
        AUGMENTATION, 1, "times each image is seen per epoch, each time differently augmented; for few images", least=1
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.scales or not all(0.1 <= scale <= 10 for scale in self.scales):
            raise InputError(f"scales={list(self.scales)}: give fractions from 0.1 to 10, such as 0.75,1,1.25")


def head_setting(choices: Collection[str]) -> Any:
    """The setting `head`; the first of `choices` is the default."""
    words = f"what reads the trunk's features; default: that of the weights, else {next(iter(choices))}"
    return setting(NETWORK, None, words, choices=choices)


# Pixels of a batch up to which its activations in training fit into a few GB at the full resolution of a small stem. Of
# pictures that differ in size each batch is as large as its largest picture.
BATCH_PIXELS = 4_200_000


def batch(usual: int, facts: Facts) -> dict[str, int]:
    """The usual batch; in parts (`accumulate`) where so many of the largest pictures would need too much memory and the user
    chose neither, each of at least two pictures, which batch norm needs."""
    parts = 1
    if not {"batch_size", "accumulate"} & set(facts.asked):
        while usual // parts > 2 and usual // parts * facts.most_pixels > BATCH_PIXELS:
            parts *= 2
    return {"batch_size": usual // parts, "accumulate": parts}


RECIPE = {
    "opt": "adamw",
    "lr": 1e-3,
    "weight_decay": 0.01,
    "norm_bias_decay": False,
    "norm_stats": "batch",
    "sched": "onecycle",
    "clip_grad": 10.0,
    "scales": (0.75, 1.0, 1.25),
    "jitter": 0.2,
}
