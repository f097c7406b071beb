"""The settings of detection, and its recipe. No torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from resnets.engine.recipe import Facts
from resnets.engine.settings import ANSWERS, COMMON, setting
from resnets.tasks.dense.settings import RECIPE, DenseSettings, batch, head_setting

HEADS = ("pyramid", "c4")


@dataclass(frozen=True, kw_only=True)
class DetectSettings(DenseSettings):
    """The settings of detection."""

    head: str | None = head_setting(HEADS)
    masks: bool = setting(COMMON, False, "find the masks of objects, too (Mask R-CNN)")
    precision_at: float | None = setting(
        ANSWERS,
        None,
        "name objects from the score at which precision on validation reaches this, such as 90%; default: from 0.5",
        least=1e-4,
        most=1 - 1e-4,
    )


def detect(facts: Facts) -> dict[str, Any]:
    """The default: AdamW, one cycle, about 12,000 pictures, each at another scale and mirrored."""
    epochs = min(200, max(10, round(12_000 / facts.num_train)))
    return RECIPE | batch(8, facts) | {"epochs": epochs, "hflip": 0.5 if facts.hflip else 0.0}


RECIPES = {"detect": detect}
