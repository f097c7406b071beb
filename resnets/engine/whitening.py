"""A stem that starts as whitening filters: its outputs are uncorrelated and of equal variance before the first step.

After David Page ("How to train your ResNet", 2018) and Keller Jordan (arXiv 2404.00498, section 3.2), who freeze the filters;
here they learn on. Neighbouring pixels are nearly equal, and a network of random filters spends its first steps on their sum.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import torch
from torch import Tensor, nn

from resnets.data.types import Batch
from resnets.errors import InputError
from resnets.models.nn.layers import CONVS

NUM_IMAGES = 2000  # that are looked at
MOST_PATCHES = 2048  # of one image, evenly spaced
NOISE = 5e-4  # variance that every direction has at least, so that what hardly varies is not magnified without bound


@torch.no_grad()
def whiten(model: nn.Module, batches: Iterable[Batch]) -> None:
    """Set the filters of the first convolution of `model`'s stem to the leading eigenvectors of the patches of `NUM_IMAGES`
    training images, each divided by its standard deviation, and to their negatives, for a ReLU follows. Filters for which
    there is no eigenvector stay as they were drawn.

    Args:
        model: a network of this package; its `conv1` is the stem.
        batches: of training, normalised: images (N, C, *spatial).

    Raises:
        InputError: for a network without a stem, or whose stem convolves in groups; for images smaller than its filters.
    """
    conv = first_convolution(model)
    moments, kernel = second_moments(images_of(batches), conv), conv.kernel_size
    values, vectors = torch.linalg.eigh(moments)  # rising
    filters = (vectors / (values.clamp(min=0) + NOISE).sqrt()).T.flip(0)
    num = min(conv.out_channels // 2, len(filters))
    filters = filters[:num].unflatten(1, (conv.in_channels, *kernel)).to(conv.weight)
    conv.weight[: 2 * num] = torch.cat([filters, -filters])


def first_convolution(model: nn.Module) -> nn.Conv2d:
    """The first convolution of the stem, of whatever dimensions. Raises as `whiten`."""
    stem = getattr(model, "conv1", nn.Identity())
    found = next((module for module in stem.modules() if isinstance(module, CONVS)), None)
    if found is None or found.groups > 1:
        raise InputError(
            "stem_init=whitening: the network has no stem, a first convolution of its own over all channels; use random"
        )
    return found  # type: ignore[return-value]


def images_of(batches: Iterable[Batch]) -> Iterator[Tensor]:
    """The first `NUM_IMAGES` images (C, *spatial)."""
    left = NUM_IMAGES
    for batch in batches:
        yield from batch.images[:left]
        left -= len(batch.images)
        if left <= 0:
            return


def second_moments(images: Iterable[Tensor], conv: nn.Conv2d) -> Tensor:
    """The mean of p pᵀ over the patches p that the convolution sees without padding, (D, D) float64, D values of a patch."""
    length = conv.in_channels * conv.weight[0, 0].numel()
    total, num = torch.zeros(length, length, dtype=torch.float64, device=conv.weight.device), 0
    for image in images:
        patches = image.to(conv.weight.device, torch.float32)
        if any(given < side for given, side in zip(image.shape[1:], conv.kernel_size, strict=True)):
            raise InputError("stem_init=whitening: images are smaller than the stem's filters; use random")
        for axis, (side, stride) in enumerate(zip(conv.kernel_size, conv.stride, strict=True), start=1):
            patches = patches.unfold(axis, side, stride)
        patches = patches.movedim(0, image.ndim - 1).flatten(end_dim=image.ndim - 2).flatten(1)
        patches = patches[:: max(1, -(-len(patches) // MOST_PATCHES))]
        total += (patches.T @ patches).double()
        num += len(patches)
    return total / max(1, num)
