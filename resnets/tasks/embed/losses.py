"""The losses of embedding. Those by a margin have the vectors of the identities in the model itself (`Cosines`), where the
optimiser, the saved state and several processes find them; those by pairs are pytorch-metric-learning's.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from resnets.engine.values import Criterion, Losses
from resnets.errors import InputError
from resnets.tasks.embed.settings import MARGINS, EmbedSettings


class Cosines(nn.Module):
    """Embeddings (N, D) -> their cosines to the vectors of the training identities (N, num_identities)."""

    def __init__(self, num_features: int, num_identities: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(num_identities, num_features))
        nn.init.xavier_normal_(self.weight)

    def forward(self, embeddings: Tensor) -> Tensor:
        return F.linear(F.normalize(embeddings), F.normalize(self.weight))


def criterion(loss: str, margin: float | None, scale: float, temperature: float) -> Criterion:
    """Outputs and whom each picture shows (N,) int64 -> the loss.

    Args:
        loss: "arcface", "cosface": of cosines (N, num_identities); "triplet", "supcon": of embeddings (N, D).
        margin: None: that of `MARGINS`.
    """
    margin = MARGINS.get(loss, 0.0) if margin is None else margin
    if loss in ("triplet", "supcon"):
        return of_pairs(loss, margin, temperature)
    with_margin = arcface if loss == "arcface" else cosface

    def by_margin(outputs: Tensor, targets: Tensor) -> Losses:
        return {"loss": F.cross_entropy(scale * with_margin(outputs.float(), targets, margin), targets)}

    return by_margin


def of_recipe(recipe: EmbedSettings, class_counts: np.ndarray) -> Criterion:
    """The loss that a recipe names."""
    return criterion(recipe.loss, recipe.margin, recipe.scale, recipe.temperature)


def arcface(cosines: Tensor, targets: Tensor, margin: float) -> Tensor:
    """The cosines with that of the own identity taken at an angle greater by the margin (Deng et al. 2019, arXiv 1801.07698,
    equation 3). Beyond pi - margin, where that cosine would rise again, a line goes on instead."""
    own = cosines.gather(1, targets[:, None])
    sine = torch.sqrt((1 - own.square()).clamp(min=1e-7))
    moved = own * math.cos(margin) - sine * math.sin(margin)
    moved = torch.where(own > -math.cos(margin), moved, own - margin * math.sin(margin))
    return cosines.scatter(1, targets[:, None], moved)


def cosface(cosines: Tensor, targets: Tensor, margin: float) -> Tensor:
    """The cosines with that of the own identity less the margin (Wang et al. 2018, arXiv 1801.09414, equation 4)."""
    return cosines - margin * F.one_hot(targets, cosines.shape[1])


def of_pairs(loss: str, margin: float, temperature: float) -> Criterion:
    """Of all triplets of a batch that violate the margin in cosine (Hermans et al. 2017, arXiv 1703.07737: "batch all"), or the
    supervised contrastive loss (Khosla et al. 2020, arXiv 2004.11362, equation 2).

    Raises:
        InputError: where pytorch-metric-learning is not installed.
    """
    try:
        from pytorch_metric_learning import distances, losses
    except ModuleNotFoundError:
        raise InputError(f"loss={loss} needs pytorch-metric-learning; install it by `pip install 'resnets[embed]'`") from None
    function: Any = (
        losses.TripletMarginLoss(margin=margin, distance=distances.CosineSimilarity())
        if loss == "triplet"
        else losses.SupConLoss(temperature=temperature)
    )

    def by_pairs(outputs: Tensor, targets: Tensor) -> Losses:
        return {"loss": function(outputs.float(), targets)}

    return by_pairs
