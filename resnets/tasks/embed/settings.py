"""The settings of embedding, and its recipes. No torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from resnets.engine.recipe import part_table
from resnets.engine.settings import ANSWERS, AUGMENTATION, DATA, LOSS, NETWORK, fields_of, setting
from resnets.engine.values import Facts
from resnets.tasks.image_level import settings as image_level
from resnets.tasks.image_level.settings import ImageLevelSettings

# Losses by cosines to a vector that is learnt for each identity, with a margin; and losses by pairs or triplets of a batch.
MARGIN, PAIRS = ("arcface", "cosface"), ("triplet", "supcon")
MARGINS = {"arcface": 0.3, "cosface": 0.2, "triplet": 0.2}  # radians; cosines
LOSSES = part_table("loss", "embed", dict.fromkeys((*MARGIN, *PAIRS), "resnets.tasks.embed.losses:of_recipe"))
EMBEDDING = 128


@dataclass(frozen=True, kw_only=True)
class EmbedSettings(ImageLevelSettings):
    """The settings of embedding."""

    val_fraction: float = setting(
        DATA,
        0.2,
        "fraction of the identities that becomes the validation split where the data has none, and as much the test split "
        "where it has neither",
        least=0.001,
        most=0.9,
    )
    loss: str = setting(
        LOSS,
        "arcface",
        "by a vector for each identity: arcface, cosface; by the pairs and triplets of a batch: triplet, supcon (supervised "
        "contrastive)",
        choices=LOSSES,
    )
    margin: float | None = setting(
        LOSS,
        None,
        "by which the own identity must be nearer: an angle in radians (arcface) or a cosine; default: "
        + ", ".join(f"{value:g} ({name})" for name, value in MARGINS.items()),
        least=0,
        most=1.5,
        only={"loss": tuple(MARGINS)},
    )
    scale: float = setting(LOSS, 16.0, "what cosines are multiplied by", least=1, only={"loss": MARGIN})
    temperature: float = setting(LOSS, 0.1, "what cosines are divided by", least=0.001, only={"loss": ("supcon",)})
    per_identity: int = setting(
        DATA, 4, "pictures of each identity in a batch (K of P x K); 1: pictures in any order, without such batches", least=1
    )
    embedding: int | None = setting(
        NETWORK, None, f"numbers of an embedding; default: {EMBEDDING}, or those of the weights", least=2, most=4096
    )
    augment: str = setting(
        AUGMENTATION,
        "faces",
        "what pictures are of: faces (moved a little, mirrored) or things (cropped, mirrored, colours and shapes changed); "
        "none: as they are",
        choices=("faces", "things", "none"),
    )
    far: float | None = setting(
        ANSWERS,
        None,
        "false accept rate of the threshold that is chosen on validation; default: 0.01, or where validation has fewer than a "
        "hundred pairs of different identities the least that they can tell",
        least=1e-9,
        most=0.5,
    )


# What `augment` stands for, where these settings are not given.
AUGMENT: dict[str, dict[str, Any]] = {
    "faces": {"crop": "pad", "crop_pad": 1 / 16, "auto_augment": "none", "random_erase": 0.0},
    "things": {"crop": "resized", "crop_scale": (0.5, 1.0), "auto_augment": "randaugment-m6", "random_erase": 0.0},
    "none": {"crop": "none", "hflip": 0.0, "auto_augment": "none", "random_erase": 0.0},
}


def fast(facts: Facts) -> dict[str, Any]:
    """The default: that of the other tasks, in batches of P x K, at half the rate: at theirs, with few identities, the
    vectors of all of them come to point one way."""
    recipe = in_batches(image_level.fast(facts), facts)
    return recipe | ({} if "opt" in recipe else {"lr": recipe["lr"] / 2})


def finetune(facts: Facts) -> dict[str, Any]:
    """The default with `weights`, of small pictures at a quarter of the rate that classes are learnt at: with few identities
    more forgets what the weights know of others."""
    recipe = in_batches(image_level.finetune(facts), facts)
    return recipe | ({"lr": recipe["lr"] / 4} if facts.small else {})


def in_batches(recipe: dict[str, Any], facts: Facts) -> dict[str, Any]:
    """The recipe, with 32 pictures a batch or more."""
    own = {name: value for name, value in recipe.items() if name in fields_of(EmbedSettings)} | image_level.WHOLE
    batch_size = max(32, recipe["batch_size"])
    return own | {"batch_size": batch_size, "lr": recipe["lr"] * (batch_size / recipe["batch_size"]) ** 0.5}


RECIPES = {"fast": fast, "finetune": finetune}
