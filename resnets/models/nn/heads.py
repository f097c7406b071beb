"""Classification heads. A head is a dict of modules applied in order; its keys are the names in the state dict."""

from __future__ import annotations

from torch import Tensor, nn

from resnets.models.nn.layers import Features
from resnets.models.spec import ResNetSpec


class GlobalPool(nn.Module):
    """Global average pooling of the last level: {"c1": ..., "cK": (N, C, *spatial)} -> (N, C)."""

    def forward(self, features: Features) -> Tensor:
        last = features[max(features)]
        return last.flatten(2).mean(-1)


def classifier(spec: ResNetSpec) -> dict[str, nn.Module]:
    """The head of He et al. (2015): global average pooling ("avgpool") and a fully connected layer ("fc").

    Its output is logits (N, num_classes); with `num_classes` 0, the pooled features (N, num_features).
    """
    head: dict[str, nn.Module] = {"avgpool": GlobalPool()}
    if spec.num_classes:
        head["fc"] = nn.Linear(spec.num_features, spec.num_classes)
    return head
