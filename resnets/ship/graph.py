"""The graph of a model from which every export format is written: uint8 pixels -> outputs of the task, batch norm folded."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram
from torch.fx import GraphModule
from torch.nn.utils.fusion import fuse_conv_bn_weights

from resnets.data.transforms import by_itself, mean_tensor
from resnets.models.model import Model
from resnets.models.pooled import Pooled

CONVOLUTIONS = (torch.ops.aten.conv1d.default, torch.ops.aten.conv2d.default, torch.ops.aten.conv3d.default)
BATCH_NORM = torch.ops.aten.batch_norm.default


class Deployed(nn.Module):
    """A model with normalisation included: uint8 (N, H, W, C) in [0, 255] -> the model's outputs.

    Users of the file then cannot forget to normalise, or do it twice. Channels are last, as decoders return images, and as
    most runtimes compute convolutions.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, model: Model | Pooled) -> None:
        super().__init__()
        self.model = model
        self.register_buffer("mean", mean_tensor(model.preprocess).permute(1, 2, 0) * 255)
        self.register_buffer("std", torch.tensor(model.preprocess.std) * 255)

    def forward(self, pixels: Tensor) -> Tensor:
        return self.model((torch.sub(pixels, self.mean) / self.std).permute(0, 3, 1, 2))


class Finding(Deployed):
    """The same of a network that finds any number of things in one image: its outputs by name, in their order."""

    names: tuple[str, ...]

    def forward(self, pixels: Tensor) -> Any:
        found = self.model((torch.sub(pixels, self.mean) / self.std).permute(0, 3, 1, 2), quick=True)[0]
        return tuple(found[name] for name in self.names)


class DeployedSeries(nn.Module):
    """As `Deployed`, of series: float32 (N, L, C), in the units of the training data -> the model's outputs."""

    mean: Tensor
    std: Tensor

    def __init__(self, model: Model | Pooled) -> None:
        super().__init__()
        self.model, self.each = model, model.preprocess.each
        self.register_buffer("mean", torch.tensor(model.preprocess.mean))
        self.register_buffer("std", torch.tensor(model.preprocess.std))

    def forward(self, pixels: Tensor) -> Tensor:
        if self.each:
            return self.model(by_itself(pixels.permute(0, 2, 1)))
        return self.model((torch.sub(pixels, self.mean) / self.std).permute(0, 2, 1))


class DeployedVolumes(nn.Module):
    """The same of volumes: float32 (N, D, H, W, C), normalised already: mean and deviation are those of the whole volume, and
    an input may be its middle."""

    def __init__(self, model: Model | Pooled) -> None:
        super().__init__()
        self.model = model

    def forward(self, pixels: Tensor) -> Tensor:
        return self.model(pixels.permute(0, 4, 1, 2, 3))


DEPLOYED: dict[int, type[Any]] = {1: DeployedSeries, 2: Deployed, 3: DeployedVolumes}  # by spatial axes
DTYPES = {1: torch.float32, 2: torch.uint8, 3: torch.float32}


def program(model: Model | Pooled) -> ExportedProgram | Finding:
    """The graph of `model` in evaluation mode, on the CPU in float32. The model itself is not changed.

    Its input is `pixels`, uint8 (N, H, W, in_chans), resized to the network's input size but not normalised; of series float32
    (N, L, in_chans) likewise; of volumes float32 (N, D, H, W, in_chans), normalised. N is variable; so are the sides, unless
    the mean is per pixel. What finds any number of things is no graph that torch.export can make: it is the module itself,
    which `write_onnx` traces, for one image.
    """
    if isinstance(model, Model) and model.task.outputs != ("outputs",):
        finding = Finding(copy.deepcopy(model).cpu().float()).eval().requires_grad_(False)
        finding.names = model.task.outputs
        return finding
    dims = len(model.preprocess.size)
    deployed = DEPLOYED[dims](copy.deepcopy(model).cpu().float()).eval().requires_grad_(False)
    for module in deployed.modules():
        if isinstance(module, nn.ReLU | nn.LeakyReLU):
            module.inplace = False  # quantisers do not recognise the in-place operation
    preprocess = model.preprocess
    pixels = torch.zeros(2, *preprocess.size, preprocess.in_chans, dtype=DTYPES[dims])
    axes = tuple(range(1 + dims)) if len(preprocess.mean) == preprocess.in_chans else (0,)
    free = {"pixels": dict.fromkeys(axes, Dim.DYNAMIC)}
    with torch.no_grad():
        unfolded = torch.export.export(deployed, (pixels,), dynamic_shapes=free)
        folded = torch.export.export(fold(unfolded.module()), (pixels,), dynamic_shapes=free)
    return private(folded)


def fold(graph: GraphModule) -> GraphModule:
    """Fold each batch norm that follows a convolution into the convolution's weights, in place; returns the graph.

    A norm remains if the convolution's output has other users too, as in pre-activation networks.
    """
    for norm in graph.graph.find_nodes(op="call_function", target=BATCH_NORM):
        conv = norm.args[0]
        if conv.target not in CONVOLUTIONS or len(conv.users) > 1:
            continue
        source, weight, bias, *rest = (*conv.args, None)[: max(3, len(conv.args))]
        _, scale, shift, mean, variance, _, _, epsilon, *_ = norm.args
        w, b, m, v, s, t = (constant(graph, node) for node in (weight, bias, mean, variance, scale, shift))
        fused = fuse_conv_bn_weights(w, b, m, v, epsilon, s, t)
        with graph.graph.inserting_before(conv):
            nodes = []
            for part, parameter in zip(("weight", "bias"), fused, strict=True):
                graph.register_parameter(f"{conv.name}_{part}", nn.Parameter(parameter, requires_grad=False))
                nodes.append(graph.graph.get_attr(f"{conv.name}_{part}"))
        conv.args = (source, *nodes, *rest)
        norm.replace_all_uses_with(conv)
        graph.graph.erase_node(norm)
    graph.graph.eliminate_dead_code()
    graph.delete_all_unused_submodules()
    graph.recompile()
    return graph


def constant(graph: GraphModule, node: Any) -> Any:
    """The tensor that a get_attr node refers to; None for None."""
    value: Any = graph if node is not None else None
    for part in node.target.split(".") if node is not None else ():
        value = getattr(value, part)
    return value


def private(exported: ExportedProgram) -> ExportedProgram:
    """Remove stack traces, which contain paths of this machine, and sample inputs, in place; returns the program."""
    for module in exported.graph_module.modules():
        if isinstance(module, GraphModule):
            for node in module.graph.nodes:
                for key in ("stack_trace", "from_node"):
                    node.meta.pop(key, None)
    exported.example_inputs = None
    return exported
