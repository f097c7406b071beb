"""What other networks compute and ours do not, computed into the tensors beforehand, so that the outputs are the same.

Tensors come under our names, in the order of convolutions and norms of ours, with biases on convolutions where they had them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import torch
from torch import Tensor

Tensors = dict[str, Tensor]
EPSILON = 1e-5  # of every batch norm here


def blocks(tensors: Tensors) -> Iterator[tuple[str, int]]:
    """ "layer1.0." and so on in order, with the number of convolutions in the branch."""
    found = {(int(m[1]), int(m[2])) for name in tensors if (m := re.match(r"layer(\d)\.(\d+)\.conv1\.weight$", name))}
    for stage, position in sorted(found):
        prefix = f"layer{stage}.{position}."
        yield prefix, 3 if f"{prefix}conv3.weight" in tensors else 2


def epsilon(tensors: Tensors, theirs: float) -> Tensors:
    """Norms that add `theirs` to the variance, as norms that add ours."""
    return {
        name: (tensor.double() + (theirs - EPSILON)).float() if name.endswith("running_var") else tensor
        for name, tensor in tensors.items()
    }


def biases_into_norms(tensors: Tensors) -> Tensors:
    """Biases of convolutions that a norm follows, into that norm's mean."""
    found = dict(tensors)
    for name in tensors:
        if m := re.fullmatch(r"(?:(.*\.)?conv(\d)|(.*\.downsample)\.0)\.bias", name):
            norm = f"{m[3]}.1.running_mean" if m[3] else f"{m[1] or ''}bn{m[2]}.running_mean"
            if norm in found:
                found[norm] = found[norm] - found.pop(name)
    return found


def biases_along_the_stream(tensors: Tensors) -> Tensors:
    """In "pre" order: biases of convolutions that end in the sum, into the means of the norms that read the sum.

    The sum of ours is smaller than theirs by a constant, which every norm behind it subtracts less; the outputs are the same,
    and features before the last norm differ by that constant.
    """
    found, offset = dict(tensors), torch.zeros(())
    for prefix, depth in blocks(tensors):
        found[f"{prefix}bn1.running_mean"] = found[f"{prefix}bn1.running_mean"] - offset
        if f"{prefix}downsample.0.weight" in found:
            offset = found.pop(f"{prefix}downsample.0.bias", torch.zeros(()))
        offset = offset + found.pop(f"{prefix}conv{depth}.bias", torch.zeros(()))
    found["norm.running_mean"] = found["norm.running_mean"] - offset
    return found


def zeros_after_to_both_sides(tensors: Tensors) -> Tensors:
    """Option A with its channels of zeros behind the old ones, as that of ours, with half before: another order of channels.

    Features are the same in that order; the classifier's outputs are the same. `order[k]` is the channel of theirs that is
    channel k of ours, along the sum of a stage.
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
    """A stem that takes blue, green, red, as one that takes red, green, blue."""
    return tensors | {"conv1.weight": tensors["conv1.weight"].flip(1)}
