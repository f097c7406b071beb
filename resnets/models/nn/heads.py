"""Heads: what reads the trunk's levels. A head is a chain of named modules; the names are those in the state dict."""

from __future__ import annotations

from torch import Tensor, nn

from resnets.models.nn.layers import Features
from resnets.models.spec import ResNetSpec


class GlobalPool(nn.Module):
    """The mean over the positions of the last level: {"c1": ..., "cK": (N, C, *spatial)} -> (N, C)."""

    def forward(self, features: Features) -> Tensor:
        last = features[max(features)]
        return last.flatten(2).mean(-1)


def classifier(spec: ResNetSpec) -> dict[str, nn.Module]:
    """The paper's head: global average pooling and one fully connected layer. Logits (N, num_classes).

    With `num_classes` 0, the pooled features (N, num_features).
    """
    head: dict[str, nn.Module] = {"avgpool": GlobalPool()}
    if spec.num_classes:
        head["fc"] = nn.Linear(spec.num_features, spec.num_classes)
    return head
