"""The settings of tagging. No torch."""

from __future__ import annotations

from dataclasses import dataclass

from resnets.engine.settings import LOSS, setting
from resnets.tasks.image_level.settings import LabelSettings, fast, finetune


@dataclass(frozen=True, kw_only=True)
class TagSettings(LabelSettings):
    """The settings of tagging."""

    balance: str = setting(
        LOSS, "none", "loss: give a label that few pictures have more weight where it is there", choices=("none", "loss")
    )


RECIPES = {"fast": fast, "finetune": finetune}
