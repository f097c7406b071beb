"""The settings of grading, and its recipes. No torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from resnets.engine.recipe import part_table
from resnets.engine.settings import ANSWERS, DATA, LOSS, fields_of, setting
from resnets.engine.values import Facts
from resnets.errors import InputError
from resnets.tasks.image_level import settings as image_level
from resnets.tasks.image_level.settings import LINEAR, ImageLevelSettings, head_setting

NUMBERS = ("huber", "l1", "mse")  # losses of a number
ORDINAL = "corn"  # the loss whose outputs are ordered grades; those of the others are a number
LOSSES = part_table("loss", "grade", dict.fromkeys(("auto", *NUMBERS, ORDINAL), "resnets.tasks.grade.losses:of_recipe"))
HEADS = part_table("head", "grade", LINEAR)


@dataclass(frozen=True, kw_only=True)
class GradeSettings(ImageLevelSettings):
    """The settings of grading."""

    loss: str = setting(
        LOSS,
        "auto",
        "of a number: huber, l1 or mse; of ordered grades: corn; auto: corn for folders named by whole numbers, else huber",
        choices=LOSSES,
    )
    head: str | None = head_setting(HEADS)
    target: str | None = setting(
        DATA,
        None,
        "what is learnt: the column of a list; of boxes or instance masks their number, count or count:CLASS; default: "
        "the column target, or the only one there is",
    )
    target_scale: str = setting(
        LOSS, "linear", "log: learn log(1 + target), of counts that differ by factors", choices=("linear", "log")
    )
    target_mean: float | None = setting(
        LOSS,
        None,
        "what is subtracted from the target, on its scale; default: the mean of the training split",
        only={"loss": NUMBERS},
    )
    target_std: float | None = setting(
        LOSS,
        None,
        "what it is divided by; default: the standard deviation of the training split",
        least=1e-12,
        only={"loss": NUMBERS},
    )
    interval: float | None = setting(
        ANSWERS,
        None,
        "share of the truths that prediction intervals are to hold; default: 0.9, where validation has 9 pictures or more",
        least=0.5,
        most=0.99,
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.loss == ORDINAL and self.target_scale != "linear":
            raise InputError(
                f"target_scale={self.target_scale} is for numbers, and loss={ORDINAL} for grades; give one of them"
            )


def fast(facts: Facts) -> dict[str, Any]:
    """The default: that of the other tasks, but pictures stay whole, for a crop would change what is counted."""
    return whole(image_level.fast(facts))


def finetune(facts: Facts) -> dict[str, Any]:
    """The default with `weights`, of whole pictures too."""
    return whole(image_level.finetune(facts))


def whole(recipe: dict[str, Any]) -> dict[str, Any]:
    """The recipe without crops, and without what only classes have."""
    return (
        {name: value for name, value in recipe.items() if name in fields_of(GradeSettings)}
        | image_level.WHOLE
        | {"crop": "pad"}
    )


RECIPES = {"fast": fast, "finetune": finetune}
