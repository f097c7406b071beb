"""The settings of detection, and its recipe. No torch."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from resnets.engine.settings import ANSWERS, COMMON, setting
from resnets.engine.values import Facts
from resnets.tasks.dense.settings import BATCH_PIXELS, RECIPE, DenseSettings, batch, head_setting

HEADS = ("pyramid", "c4")
FAR_LARGER = 4  # times the pixels of the usual picture


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
    """The default: AdamW, one cycle, about 12,000 pictures, each at another scale and mirrored; of pictures of which some are
    far larger than the usual one, windows of its size."""
    epochs = min(200, max(10, round(12_000 / facts.num_train)))
    outliers = 8 * facts.most_pixels > BATCH_PIXELS and facts.most_pixels > FAR_LARGER * math.prod(facts.size)
    fitting = {"batch_size": 8, "train_size": -(-max(facts.size) // 32) * 32} if outliers else batch(8, facts)
    return RECIPE | fitting | {"epochs": epochs, "hflip": 0.5 if facts.hflip else 0.0}


RECIPES = {"detect": detect}
