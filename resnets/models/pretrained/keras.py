"""Keras Applications' ResNet (V1 and V2): layers of an HDF5 file to tensors under our names.

Keras writes variables in two ways: by name (`conv2_block1_1_conv/kernel`; .h5), or by number (`.../0`; .keras and .weights.h5),
the layer's name beside or, by early versions of Keras 3, not at all: then by class and order, conv2d, conv2d_1, ...
"""

from __future__ import annotations

import re

from torch import Tensor

from resnets.errors import InputError
from resnets.models.pretrained import folding
from resnets.models.pretrained.files import Foreign

Tensors = dict[str, Tensor]
EPSILON = 1.001e-5
NORM = ("gamma", "beta", "moving_mean", "moving_variance")
KERNELS = {4: (3, 2, 0, 1), 2: (1, 0)}  # (h, w, C, K) and (C, K) as torch has them, by number of axes
OURS = {"kernel": "weight", "gamma": "weight", "bias": "bias", "beta": "bias"}
OURS |= {"moving_mean": "running_mean", "moving_variance": "running_var"}

# Layers of the applications to modules of ours; in the second, the norm before a convolution has the number of that one.
Rules = tuple[tuple[str, str], ...]
STEM: Rules = ((r"conv1_conv", "conv1"), (r"conv1_bn", "bn1"), (r"post_bn", "norm"), (r"predictions", "fc"))
V1: Rules = (*STEM, (r"(.*_)0_conv", r"\1downsample.0"), (r"(.*_)0_bn", r"\1downsample.1"), (r"(.*_)(\d)_conv", r"\1conv\2"))
V1 += ((r"(.*_)(\d)_bn", r"\1bn\2"),)
V2: Rules = (*STEM, (r"(.*_)0_conv", r"\1downsample.0"), (r"(.*_)(\d)_conv", r"\1conv\2"), (r"(.*_)preact_bn", r"\1bn1"))
V2 += ((r"(.*_)1_bn", r"\1bn2"), (r"(.*_)2_bn", r"\1bn3"))


def is_second(tensors: Tensors) -> bool:
    """Whether it is V2: no norm directly behind the stem."""
    return any(name.startswith("post_bn/") or "_preact_bn/" in name for name in tensors)


def layers(file: Foreign) -> dict[str, Tensor]:
    """ "layer/variable" with the applications' names of layers and Keras' names of variables."""
    kinds: dict[str, dict[str, Tensor]] = {}
    for name, tensor in file.tensors.items():
        layer, _, variable = name.rpartition("/")
        kinds.setdefault(layer, {})[variable] = tensor
    if "conv1_conv" not in kinds and any(re.match(r"conv2d(_\d+)?$", layer) for layer in kinds):
        kinds = _by_order(kinds, file)
    dense = [layer for layer, held in kinds.items() if any(tensor.ndim == 2 for tensor in held.values())]
    found = {}
    for layer, held in kinds.items():
        numbers = NORM if all(tensor.ndim == 1 for tensor in held.values()) else ("kernel", "bias")
        if layer in dense and len(dense) == 1:
            layer = "predictions"  # whatever the one dense layer is called
        for variable, tensor in held.items():
            if variable.isdigit() and int(variable) < len(numbers):
                variable = numbers[int(variable)]
            found[f"{layer}/{variable}"] = tensor
    return found


def _by_order(kinds: dict[str, dict[str, Tensor]], file: Foreign) -> dict[str, dict[str, Tensor]]:
    """Layers that are only numbered, under the names that the applications give them.

    Within a block convolutions come as 1, 2, then that of the shortcut (0), 3; where there is one, two have four times
    the outputs of the 3x3.
    """

    def numbered(stem: str) -> list[dict[str, Tensor]]:
        rows = {int(m[1] or 0): held for layer, held in kinds.items() if (m := re.fullmatch(rf"{stem}(?:_(\d+))?", layer))}
        return [rows[number] for number in sorted(rows)]

    convs, norms = numbered("conv2d"), numbered("batch_normalization")
    if not convs or not norms:
        raise InputError(f"{file.path}: layers of Keras without the convolutions and norms of a ResNet")
    second = len(norms[0]["0"]) == len(convs[0]["0"][0, 0, 0]) and "1" in convs[0] and "1" not in convs[1]
    names, at, stage, block = ["conv1"], 1, 1, 0
    while at < len(convs):
        wide = 4 * convs[at + 1]["0"].shape[-1] if at + 1 < len(convs) else 0
        last = [index for index in (at + 2, at + 3) if index < len(convs) and convs[index]["0"].shape[-1] == wide]
        stage, block = (stage + 1, 1) if len(last) == 2 else (stage, block + 1)
        names += [f"conv{stage}_block{block}_{part}" for part in ("1", "2", *(("0", "3") if len(last) == 2 else ("3",)))]
        at += 2 + max(1, len(last))
    found = {f"{name}_conv": held for name, held in zip(names, convs, strict=False)}
    if second:
        inside = {"1": "preact_bn", "2": "1_bn", "3": "2_bn"}
        by_norm = [f"{name[:-1]}{inside[name[-1]]}" for name in names[1:] if name[-1] != "0"] + ["post_bn"]
    else:
        by_norm = [f"{name}_bn" for name in names]
    found |= dict(zip(by_norm, norms, strict=False))
    return found | {layer: held for layer, held in kinds.items() if layer.startswith("dense")}


def ours(tensors: Tensors) -> Tensors:
    """ "layer/variable" tensors under our names, kernels as torch has them, biases still among them."""
    rules, found = (V2 if is_second(tensors) else V1), {}
    for name, tensor in tensors.items():
        layer, _, variable = name.rpartition("/")
        for pattern, module in rules:
            if m := re.fullmatch(pattern, layer):
                layer = m.expand(module)
                break
        layer = re.sub(r"^conv(\d)_block(\d+)_", lambda m: f"layer{int(m[1]) - 1}.{int(m[2]) - 1}.", layer)
        if tensor.ndim in KERNELS:
            tensor = tensor.permute(KERNELS[tensor.ndim])
        found[f"{layer}.{OURS.get(variable, variable)}"] = tensor
    return found


def finish(tensors: Tensors) -> Tensors:
    """Biases and Keras' epsilon computed into the norms. The stem of V2 keeps its bias, since max-pooling follows it."""
    tensors = folding.epsilon(tensors, EPSILON)
    second = "norm.weight" in tensors
    return folding.biases_along_the_stream(tensors) if second else folding.biases_into_norms(tensors)
