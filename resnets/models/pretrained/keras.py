"""ResNet V1 and V2 of Keras Applications: layers of an HDF5 file to tensors by our names.

Before 2019 there was a ResNet-50 only. Its layers have the names of He et al.'s Caffe files (`res2a_branch2a`), and its norms
another epsilon. Keras 1 also had other names of variables, with the layer's before them (`res2a_branch2a_W`).

Keras names variables (`conv2_block1_1_conv/kernel`; .h5) or numbers them (`.../0`; .keras and .weights.h5). In the latter the
layer's name is an attribute; early versions of Keras 3 omit it, and name layers by class and order: conv2d, conv2d_1, ...
"""

from __future__ import annotations

import re

from torch import Tensor

from resnets.errors import InputError
from resnets.models.pretrained import folding
from resnets.models.pretrained.files import Foreign

Tensors = dict[str, Tensor]
EPSILON, EPSILON_2015 = 1.001e-5, 1e-3
NORM = ("gamma", "beta", "moving_mean", "moving_variance")
KERNELS = {4: (3, 2, 0, 1), 2: (1, 0)}  # permutations to torch's order, by number of axes: (h, w, C, K) and (C, K)
OURS = {"kernel": "weight", "gamma": "weight", "bias": "bias", "beta": "bias"}
OURS |= {"moving_mean": "running_mean", "moving_variance": "running_var"}
KERAS_1 = {"W": "kernel", "b": "bias", "running_mean": "moving_mean", "running_std": "moving_variance"}  # it is the variance

# Patterns from Keras' layers to our modules. In V2 a norm precedes a convolution, and here has that convolution's number.
Rules = tuple[tuple[str, str], ...]
STEM: Rules = ((r"conv1_conv", "conv1"), (r"conv1_bn", "bn1"), (r"post_bn", "norm"), (r"predictions", "fc"))
V1: Rules = (*STEM, (r"(.*_)0_conv", r"\1downsample.0"), (r"(.*_)0_bn", r"\1downsample.1"), (r"(.*_)(\d)_conv", r"\1conv\2"))
V1 += ((r"(.*_)(\d)_bn", r"\1bn\2"),)
V2: Rules = (*STEM, (r"(.*_)0_conv", r"\1downsample.0"), (r"(.*_)(\d)_conv", r"\1conv\2"), (r"(.*_)preact_bn", r"\1bn1"))
V2 += ((r"(.*_)1_bn", r"\1bn2"), (r"(.*_)2_bn", r"\1bn3"))

# Of 2015: "res" or "bn", the stage, the block ("a", "b", ...; in deeper networks "a", "b1", "b2", ...) and the branch.
OF_2015 = re.compile(r"(?P<kind>res|bn)(?P<stage>[2-5])(?P<block>[a-z]|b\d+)_branch(?P<branch>1|2[abc])")
SINGLE_2015 = {"conv1": "conv1_conv", "bn_conv1": "conv1_bn", "fc1000": "predictions"}


def is_of_2015(tensors: Tensors) -> bool:
    """Whether the tensors ("layer/variable") have the names of Keras' first ResNet-50."""
    return "res2a_branch2a/kernel" in tensors


def present_name(layer: str) -> str:
    """The name that Keras Applications gives the layer today, such as "conv2_block1_0_conv" for "res2a_branch1"."""
    if not (found := OF_2015.fullmatch(layer)):
        return SINGLE_2015.get(layer, layer)
    block, branch = found["block"], found["branch"]
    number = int(block[1:]) + 1 if block[1:] else ord(block) - ord("a") + 1
    place = 0 if branch == "1" else "abc".index(branch[1]) + 1
    return f"conv{found['stage']}_block{number}_{place}_{'conv' if found['kind'] == 'res' else 'bn'}"


def is_v2(tensors: Tensors) -> bool:
    """Whether the tensors ("layer/variable") are those of ResNet V2."""
    return any(name.startswith("post_bn/") or "_preact_bn/" in name for name in tensors)


def layers(file: Foreign) -> dict[str, Tensor]:
    """The tensors as "layer/variable", with the layer names of Keras Applications and Keras' names of variables."""
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
        # The name of the only dense layer may differ.
        own, layer = layer, "predictions" if layer in dense and len(dense) == 1 else layer
        for variable, tensor in held.items():
            variable = variable.removeprefix(f"{own}_")
            variable = KERAS_1.get(variable, variable)
            if variable.isdigit() and int(variable) < len(numbers):
                variable = numbers[int(variable)]
            found[f"{layer}/{variable}"] = tensor
    return found


def _by_order(kinds: dict[str, dict[str, Tensor]], file: Foreign) -> dict[str, dict[str, Tensor]]:
    """Layers named by class and order, with numbered variables, renamed to the names of Keras Applications.

    The convolutions of a block come in the order 1, 2, shortcut (0, if there is one), 3. The shortcut's and the third have
    four times as many outputs as the second, so that two such convolutions mean that there is a shortcut.
    """

    def numbered(stem: str) -> list[dict[str, Tensor]]:
        rows = {int(m[1] or 0): held for layer, held in kinds.items() if (m := re.fullmatch(rf"{stem}(?:_(\d+))?", layer))}
        return [rows[number] for number in sorted(rows)]

    convs, norms = numbered("conv2d"), numbered("batch_normalization")
    if not convs or not norms:
        raise InputError(f"{file.path}: layers of Keras without the convolutions and norms of a ResNet")
    if len(convs) > 1 and max(_kernel(convs[1]).shape[:2]) > 1:  # a bottleneck begins with 1x1
        raise InputError(
            f"{file.path}: a network of Keras of basic blocks, such as MLPerf Tiny's ResNet-8; TensorFlow pads its strided "
            "convolutions on one side alone, which no network here does"
        )
    v2 = len(norms[0]["0"]) == len(convs[0]["0"][0, 0, 0]) and "1" in convs[0] and "1" not in convs[1]
    names, at, stage, block = ["conv1"], 1, 1, 0
    while at < len(convs):
        wide = 4 * convs[at + 1]["0"].shape[-1] if at + 1 < len(convs) else 0
        last = [index for index in (at + 2, at + 3) if index < len(convs) and convs[index]["0"].shape[-1] == wide]
        stage, block = (stage + 1, 1) if len(last) == 2 else (stage, block + 1)
        names += [f"conv{stage}_block{block}_{part}" for part in ("1", "2", *(("0", "3") if len(last) == 2 else ("3",)))]
        at += 2 + max(1, len(last))
    found = {f"{name}_conv": held for name, held in zip(names, convs, strict=False)}
    if v2:
        inside = {"1": "preact_bn", "2": "1_bn", "3": "2_bn"}
        by_norm = [f"{name[:-1]}{inside[name[-1]]}" for name in names[1:] if name[-1] != "0"] + ["post_bn"]
    else:
        by_norm = [f"{name}_bn" for name in names]
    found |= dict(zip(by_norm, norms, strict=False))
    return found | {layer: held for layer, held in kinds.items() if layer.startswith("dense")}


def _kernel(held: dict[str, Tensor]) -> Tensor:
    return next(tensor for tensor in held.values() if tensor.ndim == 4)


def ours(tensors: Tensors) -> Tensors:
    """Tensors ("layer/variable") by our names, kernels in torch's order of axes, biases still included."""
    rules, found = (V2 if is_v2(tensors) else V1), {}
    for name, tensor in tensors.items():
        layer, _, variable = name.rpartition("/")
        layer = present_name(layer)
        for pattern, module in rules:
            if m := re.fullmatch(pattern, layer):
                layer = m.expand(module)
                break
        layer = re.sub(r"^conv(\d)_block(\d+)_", lambda m: f"layer{int(m[1]) - 1}.{int(m[2]) - 1}.", layer)
        if tensor.ndim in KERNELS:
            tensor = tensor.permute(KERNELS[tensor.ndim])
        found[f"{layer}.{OURS.get(variable, variable)}"] = tensor
    return found


def finish(tensors: Tensors, epsilon: float = EPSILON) -> Tensors:
    """The tensors with biases and Keras' epsilon folded into the norms. The stem of V2 keeps its bias: no norm follows it."""
    tensors = folding.epsilon(tensors, epsilon)
    v2 = "norm.weight" in tensors
    return folding.biases_before_additions(tensors) if v2 else folding.biases_into_norms(tensors)
