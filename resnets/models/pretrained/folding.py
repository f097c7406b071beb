"""Changes to tensors that make our networks give the same outputs as others that compute slightly differently.

Tensors have our names; convolutions may have biases, which our networks with batch norm do not have.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import torch
from torch import Tensor

Tensors = dict[str, Tensor]
EPSILON = 1e-5  # of every batch norm here


def blocks(tensors: Tensors) -> Iterator[tuple[str, int]]:
    """The prefix of each block ("layer1.0.", ...), in order, with its number of convolutions (2 or 3)."""
    found = {(int(m[1]), int(m[2])) for name in tensors if (m := re.match(r"layer(\d)\.(\d+)\.conv1\.weight$", name))}
    for stage, position in sorted(found):
        prefix = f"layer{stage}.{position}."
        yield prefix, 3 if f"{prefix}conv3.weight" in tensors else 2


def epsilon(tensors: Tensors, theirs: float) -> Tensors:
    """Tensors of batch norms with epsilon `theirs`, their variances changed to give the same outputs with `EPSILON`."""
    return {
        name: (tensor.double() + (theirs - EPSILON)).float() if name.endswith("running_var") else tensor
        for name, tensor in tensors.items()
    }


def biases_into_norms(tensors: Tensors) -> Tensors:
    """Remove biases of convolutions followed by a norm by subtracting them from the norm's running mean."""
    found = dict(tensors)
    for name in tensors:
        if m := re.fullmatch(r"(?:(.*\.)?conv(\d)|(.*\.downsample)\.0)\.bias", name):
            norm = f"{m[3]}.1.running_mean" if m[3] else f"{m[1] or ''}bn{m[2]}.running_mean"
            if norm in found:
                found[norm] = found[norm] - found.pop(name)
    return found


def biases_before_additions(tensors: Tensors) -> Tensors:
    """In "pre" order, remove biases of convolutions before the addition by changing the running means of later norms.

    Without the biases, the sum along the shortcuts is smaller by a constant per channel, and the mean of every norm that
    reads it is reduced by the same constant. Outputs are equal; features before the last norm differ by that constant.
    """
    found, offset = dict(tensors), torch.zeros(())
    for prefix, depth in blocks(tensors):
        found[f"{prefix}bn1.running_mean"] = found[f"{prefix}bn1.running_mean"] - offset
        if f"{prefix}downsample.0.weight" in found:
            offset = found.pop(f"{prefix}downsample.0.bias", torch.zeros(()))
        offset = offset + found.pop(f"{prefix}conv{depth}.bias", torch.zeros(()))
    found["norm.running_mean"] = found["norm.running_mean"] - offset
    return found


def zeros_at_end_to_both_ends(tensors: Tensors) -> Tensors:
    """Reorder channels from networks whose shortcut A adds all zero channels at the end to ours, which adds half at each end.

    Features are equal up to that order; outputs of the classifier are equal. `order[k]` is the index in their network of
    our channel k, at the current stage's addition.
    """
    found = dict(tensors)
    order = torch.arange(len(tensors["conv1.weight"]))
    for prefix, depth in blocks(tensors):
        first, last, norm = f"{prefix}conv1.weight", f"{prefix}conv{depth}.weight", f"{prefix}bn{depth}."
        found[first] = found[first][:, order]
        num_new = len(tensors[last]) - len(order)
        if num_new:
            new = torch.arange(len(order), len(tensors[last]))
            order = torch.cat([new[: num_new // 2], order, new[num_new // 2 :]])
        found[last] = found[last][order]
        for name in ("weight", "bias", "running_mean", "running_var"):
            found[norm + name] = found[norm + name][order]
    if "fc.weight" in found:
        found["fc.weight"] = found["fc.weight"][:, order]
    return found


def stem_from_bgr(tensors: Tensors) -> Tensors:
    """The stem for BGR input changed to take RGB input."""
    return tensors | {"conv1.weight": tensors["conv1.weight"].flip(1)}
