"""A norm and an attention of one's own: `resnets train --plugin my_block.py --norm my_norm --attention my_attention`."""

import torch
from torch import nn

import resnets


@resnets.register("norm", "my_norm")
class GroupRMS(nn.Module):
    """In each image, divide every 8 channels by their root mean square; then scale and shift each channel."""

    def __init__(self, channels, dims):
        super().__init__()
        self.groups = max(1, channels // 8)
        self.weight = nn.Parameter(torch.ones(channels, *[1] * dims))
        self.bias = nn.Parameter(torch.zeros(channels, *[1] * dims))

    def forward(self, x):
        parts = x.unflatten(1, (self.groups, -1)).flatten(2)  # (N, groups, values)
        scaled = parts / (parts.square().mean(2, keepdim=True) + 1e-5).sqrt()
        return scaled.unflatten(2, (-1, *x.shape[2:])).flatten(1, 2) * self.weight + self.bias


@resnets.register("attention", "my_attention")
class Neighbours(nn.Module):
    """Scale each channel by what its mean and those of its four neighbours say (ECA, arXiv 1910.03151)."""

    def __init__(self, channels, dims):
        super().__init__()
        self.conv = nn.Conv1d(1, 1, 5, padding=2, bias=False)

    def forward(self, x):
        means = x.flatten(2).mean(2)  # (N, channels)
        factors = self.conv(means[:, None]).squeeze(1).sigmoid()
        return x * factors[(..., *[None] * (x.ndim - 2))]
