"""The convolutions of a training step alone, on the shapes of that step: what the rest of a step is measured by."""

from __future__ import annotations

import copy
import itertools
from typing import Any, NamedTuple, NoReturn

import torch
from torch import Tensor, nn

from resnets.data.types import Batch
from resnets.engine.job import Fit
from resnets.engine.loop import autocast, on_device
from resnets.verbs.bench.stopwatch import Stopwatch


class Alone(NamedTuple):
    """A convolution as a training step computes it.

    Args:
        layer: the module, with weights of the dtype that it computes in.
        x: its input (N, C, *spatial), in that dtype and in the memory format of the step.
        grad: the gradient of its output, likewise; the values are those of the output, as they make no difference to the speed.
        learnt: what gets a gradient: the weights, and the input but for that of the first convolution.
    """

    layer: nn.Module
    x: Tensor
    grad: Tensor
    learnt: list[Tensor]


def convolutions(job: Fit, batch: Batch) -> list[Alone]:
    """The convolutions of the network of `job`, in the order in which a step on `batch` calls them."""
    calls: list[tuple[nn.Module, Tensor, Tensor, bool]] = []

    def note(layer: nn.Module, given: tuple[Tensor, ...], output: Tensor) -> None:
        # Copies, because what follows may overwrite an output in place. Autocast converts inputs inside the convolution.
        x = given[0].detach().to(output.dtype, copy=True)
        calls.append((layer, x, output.detach().clone(), given[0].requires_grad))

    layers = [module for module in job.model.modules() if isinstance(module, nn.modules.conv._ConvNd)]
    hooks = [layer.register_forward_hook(note) for layer in layers]
    images, targets = on_device(batch, job.device)
    with autocast(job.device):
        job.net(images, targets)
    for hook in hooks:
        hook.remove()
    return [alone(copy.deepcopy(layer).to(grad.dtype), x.requires_grad_(needed), grad) for layer, x, grad, needed in calls]


def alone(layer: nn.Module, x: Tensor, grad: Tensor) -> Alone:
    return Alone(layer, x, grad, [part for part in (*layer.parameters(), x) if part.requires_grad])


def step(layers: list[Alone]) -> list[tuple[Tensor, ...]]:
    """All forward, then all backward in reverse order, as a training step does it; the gradients of each one's `learnt`, from
    the last to the first."""
    outputs = [each.layer(each.x) for each in layers]
    return [torch.autograd.grad(outputs.pop(), each.learnt, each.grad) for each in reversed(layers) if each.learnt]


def loop(job: Fit, watch: Stopwatch) -> NoReturn:
    """Steps of the convolutions on the first batch, until the stopwatch raises `Enough`."""
    batch: Any = next(iter(job.train.epoch(0)))
    layers = convolutions(job, batch)
    while True:
        for _ in watch.epoch(itertools.repeat((batch.images,))):
            step(layers)
