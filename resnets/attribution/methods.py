"""Methods of attribution, a row each: a map of the parts of an input that speak for an output.

torch-cam computes the class activation maps, Captum the others. Both take any number that a network computes, so that one row
serves every task, and inputs with one, two or three spatial axes.
"""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from resnets.attribution.seen import Evidence, Seen
from resnets.errors import InputError

MODES = {1: "linear", 2: "bilinear", 3: "trilinear"}
STEPS = 32  # between the blank input and the input, of integrated gradients
PATCHES = 8  # of occlusion along each axis; neighbours overlap by half
CHANNELS = 32  # masked inputs at once, of Score-CAM


def library(name: str) -> Any:
    """A module of torch-cam or Captum. Raises `InputError` where it is not installed."""
    try:
        with warnings.catch_warnings():  # Captum's tqdm looks for widgets in notebooks, and draws no bar here
            warnings.filterwarnings("ignore", "IProgress not found")
            return importlib.import_module(name)
    except ImportError as error:
        raise InputError("maps need torch-cam and Captum: pip install 'resnets[explain]'") from error


@dataclass(frozen=True)
class Method:
    """One row.

    Args:
        map: (input, name of the layer) -> (*positions), float32, at least 0; greater where more speaks for the number.
        words: what it is.
        source: the paper.
        of_layer: whether it is a map of a layer, and as coarse.
        gradient: whether it needs gradients, which only torch has.
        dims: how many spatial axes it can have.
        batch: the same for many inputs: (network and numbers, x (N, C, *size), name of the layer) -> (N, *positions).
    """

    map: Callable[[Seen, str], Tensor]
    words: str
    source: str
    of_layer: bool = False
    gradient: bool = True
    dims: tuple[int, ...] = (1, 2, 3)
    batch: Callable[[Evidence, Tensor, str], Tensor] | None = None


def by_gradient(batch: Callable[[Evidence, Tensor, str], Tensor], words: str, source: str) -> Method:
    """The row of a class activation map that one gradient makes, of one input or of many."""

    def map_(seen: Seen, layer: str) -> Tensor:
        assert seen.evidence is not None and seen.x is not None
        return batch(seen.evidence, seen.x, layer)[0]

    return Method(map_, words, source, of_layer=True, batch=batch)


@contextmanager
def gradients_from(layer: nn.Module) -> Iterator[None]:
    """Inside, a forward pass keeps what a gradient needs from the output of this layer on, and nothing before it."""

    def start(module: nn.Module, inputs: Any, output: Tensor) -> Tensor:
        torch.set_grad_enabled(True)
        return output.requires_grad_().clone()  # a copy, for what follows may change it in place

    handle = layer.register_forward_hook(start)
    try:
        with torch.no_grad():  # at its end gradients are again as they were
            yield
    finally:
        handle.remove()


@contextmanager
def activations(name: str, evidence: Evidence, x: Tensor, layer: str) -> Iterator[tuple[Any, Tensor]]:
    """(one of torch-cam's classes, which holds the layer's activations; the numbers (N,) of x (N, C, *size))."""
    extractor = getattr(library("torchcam.methods"), name)
    with gradients_from(evidence.model.get_submodule(layer)), extractor(evidence, f"model.{layer}") as cam:
        yield cam, evidence(x)


def class_activation(name: str, evidence: Evidence, x: Tensor, layer: str) -> Tensor:
    """The maps (N, *positions) of one of torch-cam's classes that take gradients."""
    with activations(name, evidence, x, layer) as (cam, numbers):
        (found,) = cam(scores=numbers, targets=lambda number: number, normalized=False)
    return found.clamp(min=0)


def grad_cam_plus_plus(evidence: Evidence, x: Tensor, layer: str) -> Tensor:
    """The paper's equations 10 and 19, of the activations and gradients that torch-cam holds: its own class (0.5.0) leaves the
    denominator out, for it divides a copy."""
    with activations("GradCAM", evidence, x, layer) as (cam, numbers):
        cam(scores=numbers, targets=lambda number: number, normalized=False)
        (activation,), (gradient,) = cam.hook_a, cam.hook_g
    positions = tuple(range(2, gradient.ndim))
    # Equation 19, divided by the gradient squared.
    shares = 1 / (2 + activation.sum(positions, keepdim=True) * gradient.relu())
    weights = (shares * gradient.relu()).sum(positions, keepdim=True)
    return (weights * activation).sum(1).clamp(min=0)


def score_cam(seen: Seen, layer: str) -> Tensor:
    """torch-cam's: the input, masked by each channel of the layer, through the network."""
    assert seen.evidence is not None and seen.x is not None
    with library("torchcam.methods").ScoreCAM(seen.evidence, f"model.{layer}", batch_size=CHANNELS) as cam, torch.no_grad():
        (found,) = cam(scores=seen.evidence(seen.x), targets=lambda number: number, normalized=False)
    return found[0].clamp(min=0)


def integrated_gradients(seen: Seen, layer: str) -> Tensor:
    """The gradient, averaged on the straight way from the blank input, times the way; what all channels say together."""
    assert seen.evidence is not None and seen.x is not None
    given: dict[str, Any] = {"n_steps": STEPS, "internal_batch_size": len(seen.x) * 8}
    found = library("captum.attr").IntegratedGradients(seen.evidence).attribute(seen.x, torch.zeros_like(seen.x), **given)
    return found.sum(1)[0].clamp(min=0)


def guided_backprop(seen: Seen, layer: str) -> Tensor:
    """The gradient with its negative part left out at every ReLU. It hardly depends on the weights (arXiv 1810.03292)."""
    assert seen.evidence is not None and seen.x is not None
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Setting backward hooks on ReLU")
        found = library("captum.attr").GuidedBackprop(seen.evidence).attribute(seen.x.clone().requires_grad_())
    return found.abs().sum(1)[0]


def occlusion(seen: Seen, layer: str) -> Tensor:
    """By how much the chance falls where a patch is blank, averaged over the patches that hide a position. Any runtime."""
    chans, *size = seen.pixels.shape
    patch = tuple(max(1, 2 * side // (PATCHES + 1)) for side in size)
    stride = tuple(max(1, -(-side // 2)) for side in patch)
    given: dict[str, Any] = {"sliding_window_shapes": (chans, *patch), "strides": (chans, *stride)}
    kind, pixels = seen.pixels.dtype, torch.from_numpy(np.array(seen.pixels[None], np.float32))
    blank = torch.from_numpy(np.broadcast_to(seen.blank, seen.pixels.shape)[None].astype(np.float32))

    def chance(inputs: Tensor) -> Tensor:
        return torch.from_numpy(seen.chances(each.astype(kind) for each in inputs.numpy()))

    found = library("captum.attr").Occlusion(chance).attribute(pixels, baselines=blank, perturbations_per_eval=16, **given)
    return found[0, 0].clamp(min=0).float()


METHODS: dict[str, Method] = {
    "layercam": by_gradient(
        partial(class_activation, "LayerCAM"), "activations, each weighted by its own positive gradient",
        "LayerCAM, Jiang et al. 2021",
    ),
    "gradcam": by_gradient(
        partial(class_activation, "GradCAM"), "activations, each channel weighted by its mean gradient", "arXiv 1610.02391",
    ),
    "gradcam++": by_gradient(
        grad_cam_plus_plus, "as gradcam, positive gradients weighted by position", "arXiv 1710.11063",
    ),
    "xgradcam": by_gradient(
        partial(class_activation, "XGradCAM"), "as gradcam, gradients weighted by activation", "arXiv 2008.02312",
    ),
    "scorecam": Method(
        score_cam, "channels weighted by what they say alone; slow", "arXiv 1910.01279", of_layer=True, dims=(2, 3),
    ),
    "integrated_gradients": Method(integrated_gradients, "gradients on the way from a blank input", "arXiv 1703.01365"),
    "occlusion": Method(occlusion, "how far the answer falls where a patch is hidden", "arXiv 1311.2901", gradient=False),
    "guided_backprop": Method(guided_backprop, "positive gradients; fails the check below, as published", "arXiv 1412.6806"),
}  # fmt: skip


def attribute(method: str, seen: Seen, layer: str) -> np.ndarray:
    """The map (*positions) of a method of `METHODS`, float32, with 1 at its greatest; all 0 where nothing speaks for it.

    Raises:
        InputError: where the method's library is missing, or the method does not take so many axes.
    """
    if len(seen.size) not in METHODS[method].dims:
        raise InputError(f"{method} takes no inputs with {len(seen.size)} spatial axis; use another method, such as gradcam")
    return from_0_to_1(METHODS[method].map(seen, layer)[None])[0]


def from_0_to_1(maps: Tensor) -> np.ndarray:
    """Maps (N, *positions) as float32, each with 1 at its greatest; what is not finite is 0."""
    values = np.nan_to_num(maps.detach().float().cpu().numpy(), posinf=0.0, neginf=0.0)
    most = values.max(tuple(range(1, values.ndim)), keepdims=True)
    return np.divide(values, most, out=np.zeros_like(values), where=most > 0)


def enlarged(values: np.ndarray, size: Sequence[int]) -> np.ndarray:
    """A map (*positions) at the size of the input, linear between positions."""
    if values.shape == tuple(size):
        return values
    x = torch.from_numpy(np.ascontiguousarray(values))[None, None]
    return F.interpolate(x, size=tuple(size), mode=MODES[values.ndim], align_corners=False)[0, 0].numpy()
