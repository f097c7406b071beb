"""dlib's network for faces: `dlib_face_recognition_resnet_model_v1.dat`, and others of the same layers, without dlib.

A file of dlib is a stream without keys: whole numbers, real numbers, text and tensors, one after another. Which layers
follow each other is a C++ type of the program that reads it, and not in the file. `layers` is that type as a table; every
number of the file except the weights must be the one that follows from it. So nothing in the file can ask for memory, time
or code.

Names and order: dlib's `tools/python/src/face_recognition.cpp` (the type) and `serialize.h`, `dnn/core.h`, `dnn/layers.h`.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from resnets.data.preprocess import Preprocess
from resnets.errors import InputError
from resnets.files import open_file, read_bytes
from resnets.models import zoo
from resnets.models.header import Header
from resnets.models.parts import Conv
from resnets.models.pretrained import facts
from resnets.models.pretrained.facts import Facts
from resnets.models.records import Json
from resnets.models.spec import ResNetSpec

START = b"\x01\x01\x01\x0dloss_metric_"  # version 1 of a loss layer, and text of 13 characters
MAX_BYTES = 1 << 26  # of the file; the published one has 22.5 million
SIZE = 150  # side of the input, in pixels
FAMILY = "dlib's network for faces"
SCALE = 256  # what dlib divides pixels by, after it has subtracted the mean
SPEC = zoo.get("resnet29_dlib", norm="none", num_classes=0)  # dlib's affine layers are folded into the convolutions
NUMBERS = 128  # of a descriptor
# Of the task `embed`: descriptors are compared as they are, by the length of their difference. There is no neck behind them,
# and none is ruled out: a training by cosines puts its own there.
HEAD: dict[str, Json] = {"size": NUMBERS, "normalised": False, "distance": "euclidean"}
# SHA-256 of the files whose origin is known, and what their authors say of them.
KNOWN = {
    "55533b28a95800a551ba546ba62fe69625c7e95a7061c338adffead08719da30": Facts(
        source="dlib-models, its README",
        licence="CC0-1.0 (the author: public domain)",
        training_data="about 3 million faces of 7,485 people: FaceScrub, VGG Face, and images collected from the internet",
        weights="dlib_face_recognition_resnet_model_v1",
    )
}


@dataclass(frozen=True)
class Layer:
    """A layer as dlib writes it: the version of its place in the network, and then its own name, weights and settings.

    Args:
        version: of the class that holds it.
        name: of the layer, with its version; "" for one that only marks a place.
        num_weights: values of its tensor of weights; 0: it has none.
        settings: the whole numbers after the weights.
        num_rates: how many real numbers follow those: factors of the learning rate.
        first: whole numbers before the weights.
    """

    version: int
    name: str = ""
    num_weights: int = 0
    settings: tuple[int, ...] = ()
    num_rates: int = 0
    first: tuple[int, ...] = ()


FIRST = 3  # the version of the layer that holds the input
RELU = Layer(2, "relu_")
ADD = Layer(2, "add_prev_")
TAG = SKIP = Layer(1)


def convolution(conv: Conv) -> Layer:
    """A convolution of dlib, which has biases, in the order of the weights here."""
    shape = (conv.out_chans, conv.in_chans, conv.kernel, conv.kernel)
    pad = conv.kernel // 2 * conv.padded
    settings = (conv.out_chans, *[conv.kernel] * 2, *[conv.stride] * 2, pad, pad, 1, *shape, 1, 1, conv.out_chans, 1, 1)
    return Layer(2, "con_4", math.prod(shape) + conv.out_chans, settings, 4)


def affine(channels: int) -> Layer:
    """A scale and a shift of each channel: what dlib makes of a batch norm after training."""
    return Layer(2, "affine_", 2 * channels, (1, 1, channels, 1, 1) * 2 + (0,))


def pool(name: str, width: int, stride: int) -> Layer:
    return Layer(2, name, settings=(width, width, stride, stride, 0, 0))


def linear(inputs: int, outputs: int) -> Layer:
    """A linear layer without biases; its weights are (inputs, outputs)."""
    return Layer(2, "fc_2", inputs * outputs, (1, inputs, outputs, 1, 1, 1, 0, 0, 0, 0, 1), 4, (outputs, inputs))


def layers(spec: ResNetSpec) -> Iterator[Layer]:
    """The layers of dlib's network, from the input on."""
    (stem,) = spec.stem_convs
    yield dataclasses.replace(convolution(stem), version=FIRST)
    yield from (affine(stem.out_chans), RELU, pool("max_pool_2", 3, 2))
    for block in (block for blocks in spec.stages for block in blocks):
        conv1, conv2 = block.convs
        yield from (TAG, convolution(conv1), affine(conv1.out_chans), RELU, convolution(conv2), affine(conv2.out_chans))
        if block.shortcut == "pool_pad":
            yield from (TAG, SKIP, pool("avg_pool_2", 2, 2))
        yield from (ADD, RELU)
    yield from (pool("avg_pool_2", 0, 1), linear(spec.num_features, NUMBERS))


class Stream:
    """The content of a file of dlib, read from its start on. Every method raises `InputError` where something else stands."""

    def __init__(self, content: bytes, path: Path) -> None:
        self.content, self.path, self.position = content, path, 0

    def fault(self, expected: object, found: object) -> InputError:
        return InputError(
            f"{self.path}, byte {self.position:,}: {found} stands where dlib's network for faces has {expected}; it is another "
            "network of dlib's, truncated or damaged; get dlib_face_recognition_resnet_model_v1.dat again"
        )

    def take(self, num: int, expected: object) -> bytes:
        found = self.content[self.position : self.position + num]
        if len(found) < num:
            raise self.fault(expected, "the end of the file")
        self.position += num
        return found

    def whole(self, wanted: int | None = None) -> int:
        """A whole number: a byte with its sign (the first bit) and its number of bytes, at most 8, and these."""
        expected = "a whole number" if wanted is None else wanted
        (head,) = self.take(1, expected)
        if head & 0x70 or not 1 <= (head & 15) <= 8:
            raise self.fault(expected, f"the byte {head}")
        value = int.from_bytes(self.take(head & 15, expected), "little") * (-1 if head & 128 else 1)
        if wanted is not None and value != wanted:
            raise self.fault(expected, value)
        return value

    def real(self) -> float:
        """A real number: whole * 2**whole."""
        mantissa, exponent = self.whole(), self.whole()
        if abs(exponent) > 1000:  # how dlib writes infinity and NaN
            raise self.fault("a real number", "infinity or NaN")
        return math.ldexp(mantissa, exponent)

    def text(self, wanted: str) -> None:
        if (found := self.take(self.whole(len(wanted)), repr(wanted))) != wanted.encode():
            raise self.fault(repr(wanted), repr(found.decode("latin-1")))

    def flags(self, num: int) -> None:
        if set(found := self.take(num, "flags")) - set(b"01"):
            raise self.fault("flags", repr(found.decode("latin-1")))

    def tensor(self, wanted: int | None = None) -> np.ndarray:
        """The values of a tensor, float32, as a view into the file: its version, four lengths, and the values."""
        self.whole(2)
        num = math.prod(lengths := [self.whole() for _ in range(4)])
        if min(lengths) < 0 or wanted not in (None, num):
            raise self.fault("a tensor" if wanted is None else f"a tensor of {wanted:,} values", f"one of {lengths}")
        return np.frombuffer(self.take(4 * num, f"a tensor of {num:,} values"), "<f4")


def is_dlib(path: Path) -> bool:
    """Whether the file begins as dlib's network for faces does."""
    with open_file(path) as file:
        return file.read(len(START)) == START


def opened(
    path: Path, source: str, mean: Sequence[float] | None, std: Sequence[float] | None
) -> tuple[Header, dict[str, Tensor]]:
    """The header and the tensors of a file of dlib's network for faces.

    Args:
        source: name of the file or weights, for the provenance.
        mean, std: normalisation of images in [0, 1], one value per channel; default (None): the file's.

    Raises:
        InputError: as `read`.
    """
    tensors, colour = read(path)
    digest = facts.sha256(path)
    own = Preprocess(size=(SIZE, SIZE), crop_pct=1.0, mean=tuple(value / 255 for value in colour), std=(SCALE / 255,) * 3)
    user = facts.of_user(mean, std, None, own)
    known = KNOWN.get(digest, Facts(source=FAMILY, licence=facts.UNKNOWN, training_data=facts.UNKNOWN))
    told = {name: value for name in ("weights", "licence", "training_data") if (value := getattr(known, name))}
    by = facts.USER if user.preprocess else "the file"
    provenance: Any = {"source": source, "family": FAMILY, **told, "sha256": digest, "preprocess": by}
    return Header(SPEC, "embed", user.preprocess or own, (), metrics={}, provenance=provenance, head=dict(HEAD)), tensors


def read(path: Path, spec: ResNetSpec = SPEC) -> tuple[dict[str, Tensor], tuple[float, ...]]:
    """The tensors of a network `spec` of dlib, by our names and without affine layers, and its mean colour, in [0, 255].

    Raises:
        InputError: if the file is larger than `MAX_BYTES`, or anything in it except the weights is not that network's.
    """
    stream = Stream(read_bytes(path, most=MAX_BYTES), path)
    every = list(layers(spec))
    stream.whole(1)
    stream.text("loss_metric_2")
    _ = stream.real(), stream.real()  # the margin and the threshold of the loss
    for layer in reversed(every):
        stream.whole(layer.version)
    stream.text("input_rgb_image_sized")
    mean = tuple(stream.real() for _ in range(3))
    _ = stream.whole(SIZE), stream.whole(SIZE)
    found = [weights for layer in every if (weights := held(stream, layer)) is not None]
    if stream.position < len(stream.content):
        raise stream.fault("its end", "more")
    return ours(found, spec), mean


def held(stream: Stream, layer: Layer) -> np.ndarray | None:
    """The weights of a layer; None for one without."""
    if not layer.name:
        return None
    stream.text(layer.name)
    for number in layer.first:
        stream.whole(number)
    weights = stream.tensor(layer.num_weights) if layer.num_weights else None
    for number in layer.settings:
        stream.whole(number)
    for _ in range(layer.num_rates):
        stream.real()
    stream.flags(3)
    for _ in range(3):  # what a training program may have left there: gradients, outputs
        stream.tensor()
    if layer.version == FIRST:
        stream.whole(1)  # how many samples an image becomes
    return weights


def ours(found: list[np.ndarray], spec: ResNetSpec) -> dict[str, Tensor]:
    """The weights by our names: each convolution together with the scale and shift that follow it, then the linear layer."""
    blocks = [(stage, number) for stage, depth in enumerate(spec.depths, start=1) for number in range(depth)]
    names = ["conv1", *(f"layer{stage}.{number}.conv{n}" for stage, number in blocks for n in (1, 2))]
    convs = [*spec.stem_convs, *(conv for blocks in spec.stages for block in blocks for conv in block.convs)]
    tensors = {}
    for name, conv, own, norm in zip(names, convs, found[:-1:2], found[1:-1:2], strict=True):
        scale, shift = torch.from_numpy(norm.astype(np.float64)).chunk(2)
        values = torch.from_numpy(own.astype(np.float64))
        weight = values[: -conv.out_chans].view(conv.out_chans, conv.in_chans, *[conv.kernel] * 2)
        bias = values[-conv.out_chans :]
        tensors[f"{name}.weight"] = (weight * scale.view(-1, 1, 1, 1)).float()
        tensors[f"{name}.bias"] = (bias * scale + shift).float()
    tensors["fc.bias"] = torch.zeros(NUMBERS)
    tensors["fc.weight"] = torch.from_numpy(found[-1].copy()).view(spec.num_features, -1).T.contiguous()
    return tensors
