"""The settings of tagging. No torch."""

from __future__ import annotations

from dataclasses import dataclass

from resnets.engine.recipe import part_table
from resnets.engine.settings import ANSWERS, LOSS, setting
from resnets.tasks.image_level.settings import LINEAR, LabelSettings, fast, finetune, head_setting

LOSSES = part_table("loss", "tag", dict.fromkeys(("bce", "asl"), "resnets.tasks.tag.losses:of_recipe"))
HEADS = part_table("head", "tag", LINEAR)


@dataclass(frozen=True, kw_only=True)
class TagSettings(LabelSettings):
    """The settings of tagging."""

    loss: str = setting(LOSS, "bce", "binary cross-entropy, or the asymmetric loss of Ridnik et al. 2021 (asl)", choices=LOSSES)
    head: str | None = head_setting(HEADS)
    gamma_neg: float = setting(
        LOSS, 4.0, "for asl: the greater, the less easy negatives count", least=0, only={"loss": ("asl",)}
    )
    gamma_pos: float = setting(LOSS, 0.0, "for asl: the same of positives", least=0, only={"loss": ("asl",)})
    asl_clip: float = setting(
        LOSS, 0.05, "for asl: negatives of a lower probability do not count", least=0, most=0.5, only={"loss": ("asl",)}
    )
    balance: str = setting(
        LOSS, "none", "loss: give a label that few pictures have more weight where it is there", choices=("none", "loss")
    )

    # Answers
    thresholds: str = setting(
        ANSWERS,
        "f1",
        "probability from which a label is named: of each label that of the best F1 on validation, or 0.5",
        choices=("f1", "none"),
    )


RECIPES = {"fast": fast, "finetune": finetune}
