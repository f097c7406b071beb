"""Whether a map depends on what was learnt: the check with randomised weights (Adebayo et al. 2018, arXiv 1810.03292).

Part by part from the output down, the network's weights are drawn anew, and the maps of the network that results are compared
with its own. A method whose maps stay as they are shows the input, not what the network learnt, as guided backpropagation does.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from resnets.models.nn.layers import NORMS

SAME = math.sqrt(0.5)  # rank correlation from which on more than half of a map (R squared, by rank) is that of random weights


def parts(model: Any, head: Sequence[str]) -> list[tuple[str, list[nn.Module]]]:
    """The parts of a network from its output down: the head (its modules' names), the stages, the stem."""
    stages = [(f"stage {number}", [stage]) for number, stage in enumerate(model.stages, start=1)]
    below = {id(module) for _, (stage,) in stages for module in stage.modules()} | {id(getattr(model, name)) for name in head}
    stem = [module for module in model.children() if id(module) not in below]
    return [("head", [getattr(model, name) for name in head]), *reversed(stages), ("stem", stem)]


def cascade(model: Any, head: Sequence[str], inputs: Sequence[Tensor], *, seed: int = 0) -> Iterator[tuple[str, Any]]:
    """(name of the part, the network with random weights from the output down to that part); one network, changed step by step.

    Args:
        model: a network in evaluation mode, which stays as it is.
        head: names of the modules of its head.
        inputs: (N, C, *size) each, normalised: what the statistics of norms in the random parts are taken of.
    """
    changed = copy.deepcopy(model)
    done: list[nn.Module] = []
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for name, modules in parts(changed, head):
            for module in modules:
                draw_anew(module)
            done += modules
            take_statistics(changed, done, inputs)
            yield name, changed


def draw_anew(module: nn.Module) -> None:
    """Draw the weights of all layers as in a new network (arXiv 1502.01852)."""
    for layer in module.modules():
        if isinstance(layer, (nn.Linear, nn.modules.conv._ConvNd)):
            nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
        elif isinstance(layer, NORMS):
            layer.reset_parameters()


def take_statistics(model: nn.Module, parts: Sequence[nn.Module], inputs: Sequence[Tensor]) -> None:
    """Give the norms of some parts the statistics of these inputs, for those of the learnt weights would not fit any more."""
    norms: list[Any] = [norm for part in parts for norm in part.modules() if isinstance(norm, NORMS)]
    before = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the mean over all batches
        norm.train()
    try:
        with torch.no_grad():
            for x in inputs:
                model(x)
    finally:
        for norm, momentum in zip(norms, before, strict=True):
            norm.momentum = momentum
            norm.eval()


def similarity(one: np.ndarray, other: np.ndarray) -> float:
    """Spearman's rank correlation of two maps; 0 where one of them is the same everywhere."""
    from scipy.stats import spearmanr

    if one.min() == one.max() or other.min() == other.max():
        return 0.0
    return float(spearmanr(one, other, axis=None)[0])
