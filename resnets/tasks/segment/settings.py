"""The settings of segmentation, and its recipe. No torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from resnets.engine.recipe import part_table
from resnets.engine.settings import AUGMENTATION, DATA, IMAGES, LOSS, setting
from resnets.engine.values import Facts
from resnets.errors import InputError
from resnets.tasks.dense.settings import RECIPE, DenseSettings, batch, head_setting
from resnets.tasks.volume_settings import VolumeSettings

OWN = {"unet": "UNet", "fcn": "FCN", "deeplabv3": "DeepLabV3", "deep_unet": "DeepUNet"}
HEADS = part_table("head", "segment", {name: f"resnets.tasks.segment.head:{made}" for name, made in OWN.items()})
LOSSES = part_table(
    "loss", "segment", dict.fromkeys(("ce", "dice", "ce+dice", "focal"), "resnets.tasks.segment.losses:of_recipe")
)
SURFACE_TOLERANCE = 1.0  # mm
PATCH = 64  # side of the parts of volumes that training sees, of networks that are not planned
PATCHES = 500  # least patches of an epoch, of planned ones
PLANNED = "resenc54"  # the network that is planned from volumes


@dataclass(frozen=True, kw_only=True)
class SegmentSettings(VolumeSettings, DenseSettings):
    """The settings of segmentation."""

    head: str | None = head_setting(HEADS)
    train_size: tuple[int, ...] | None = setting(  # type: ignore[assignment]
        IMAGES,
        None,
        "side of the windows that training sees, or height,width; of volumes depth,height,width of the patches",
        alone=True,
    )
    intensity: float = setting(
        AUGMENTATION,
        0.0,
        "of volumes: how often brightness, contrast, gamma, noise, blur and resolution change; 1: as in nnU-Net",
        least=0,
        most=2,
    )
    foreground: float = setting(
        AUGMENTATION, 1 / 3, "of volumes: fraction of the patches that lie about a voxel of a random class", least=0, most=1
    )
    ignore_index: int | None = setting(DATA, None, "index in masks that is ignored, beside 255", least=0, most=255)
    spacing: str = setting(
        IMAGES,
        "auto",
        "of volumes: mm between slices, rows and columns that they are brought to, such as 2.5,0.8,0.8; auto: "
        "their median, where they differ; none: as they are",
    )
    modality: str = setting(
        IMAGES,
        "auto",
        "of volumes: ct clips and scales values by those of the foreground; auto: as the data says",
        choices=("auto", "ct", "other"),
    )
    surface_tolerance: float = setting(
        DATA, SURFACE_TOLERANCE, "of volumes: mm between surfaces up to which they fit (surface Dice)", least=0, most=1000
    )
    loss: str = setting(LOSS, "ce", "cross-entropy, Dice, both, or focal loss", choices=LOSSES)
    smoothing: float = setting(LOSS, 0.0, "label smoothing", least=0, most=1, only={"loss": ("ce", "ce+dice", "focal")})
    balance: str = setting(LOSS, "none", "give rare classes more weight in the loss", choices=("none", "loss"))

    def __post_init__(self) -> None:
        super().__post_init__()
        sides = self.train_size or (1,)
        if len(sides) > 3 or not all(1 <= side <= 8192 for side in sides):
            raise InputError(f"train_size={','.join(map(str, sides))}: give one side, or one for each axis, from 1 to 8192")


def planned(facts: Facts) -> dict[str, Any]:
    """Of volumes and the network that is planned for them: about 14,000 patches, at least `PATCHES` an epoch."""
    repeats = max(1, round(PATCHES / facts.num_train))
    return RECIPE | {
        "epochs": max(10, round(14_000 / (repeats * facts.num_train))),
        "repeats": repeats,
        "loss": "ce+dice",
        "hflip": 0.5,  # not along the other axes, as nnU-Net does: where front and feet are is much of what is to be learnt
        "rotation": 30.0,
        "zoom": 0.3,
        "intensity": 1.0,
        "jitter": 0.0,
        "scales": (1.0,),
        "channels_last": True,  # of convolutions in three dimensions half as fast again, in float32 too
    }


def segment(facts: Facts) -> dict[str, Any]:
    """The default: AdamW, one cycle, about 12,000 pictures at several scales and mirrored; of more than two classes the rare
    ones weigh more; of pictures of many sizes, windows of one. Of volumes, about 8,000 patches, at least 200 per epoch."""
    if facts.spec.name == PLANNED and facts.spec.dims == 3:
        return planned(facts)
    if facts.spec.dims == 3:
        repeats = max(1, round(200 / facts.num_train))
        return RECIPE | {
            "epochs": min(40, max(10, round(8_000 / (repeats * facts.num_train)))),
            "repeats": repeats,
            "batch_size": 4,
            "train_size": PATCH,
            "loss": "ce+dice",
            "hflip": 0.5,
            "scales": (1.0,),
        }
    usual = 4 if facts.num_train < 1000 else 8
    return (
        RECIPE
        | (batch(usual, facts) if facts.one_size else {"batch_size": usual})
        | {
            "epochs": min(200, max(10, round(12_000 / facts.num_train))),
            "balance": "loss" if facts.num_classes > 2 else "none",
            "train_size": None if facts.one_size else max(32, min(256, min(facts.size) // 32 * 32)),
            "loss": "ce+dice",
            "hflip": 0.5 if facts.hflip else 0.0,
        }
    )


RECIPES = {"segment": segment}
