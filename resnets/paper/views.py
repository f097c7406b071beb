"""The testing protocols of He et al. 2015 for any saved models: one crop, ten crops, several scales (section 3.4), ensembles.

`PROTOCOLS` is the table. Each view of an image is scored separately, and the scores are averaged: over views, and over models.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict, TypeVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from resnets.data import sources, splits
from resnets.data.depth import read_as
from resnets.data.machine import default_workers
from resnets.data.pictures.images import BadPicture
from resnets.data.pictures.resize import RESAMPLE, as_image, before_crop, covering, fit_picture, planes
from resnets.data.pictures.stored import evenly_spaced
from resnets.data.preprocess import Preprocess
from resnets.data.transforms import normalise
from resnets.data.types import Split
from resnets.data.workers import BadImages
from resnets.engine.device import find
from resnets.errors import InputError
from resnets.models.model import Model
from resnets.ship import external
from resnets.ship.sessions import exportable
from resnets.verbs.evaluate import pick

SCALES = (224, 256, 384, 480, 640)  # shorter sides in pixels, for networks of 224 (He et al. 2015, section 3.4)
PAD = 1 / 8  # width of the border that training pads with, as a fraction of the side (section 4.2: 4 of 32)
SAY_SECONDS = 5.0  # between lines of progress
T = TypeVar("T")
AVERAGES: dict[str, Callable[[Tensor], Tensor]] = {"probabilities": lambda logits: logits.softmax(1), "logits": lambda x: x}


@dataclass(frozen=True)
class Protocol:
    """A testing protocol: how an image becomes the inputs of a network.

    Args:
        words: a description.
        cut: (image uint8 (H, W, C), preprocessing) -> its parts, each uint8 (C, h, w); the same number for every image.
        inputs: (parts of one size, uint8 (N, C, h, w), preprocessing) -> `num_inputs` inputs for each, float32
            (num_inputs * N, C, ...): the first of all parts, then the second of all, and so on.
        num_inputs: inputs per part.
        dense: whether inputs have other sizes than the network's own, so that it must be fully convolutional.
    """

    words: str
    cut: Callable[[np.ndarray, Preprocess], list[np.ndarray]]
    inputs: Callable[[Tensor, Preprocess], Tensor]
    num_inputs: int
    dense: bool = False


def usual(image: np.ndarray, preprocess: Preprocess) -> list[np.ndarray]:
    """The network's usual input."""
    return [fit_picture(image, preprocess)]


def is_cropped(preprocess: Preprocess) -> bool:
    """Whether the usual input is the centre crop of a larger image."""
    return preprocess.resize == "crop" and preprocess.crop_pct < 1


def uncropped(image: np.ndarray, preprocess: Preprocess) -> list[np.ndarray]:
    """The resized image before the centre crop."""
    if not is_cropped(preprocess):
        return usual(image, preprocess)
    return [planes(before_crop(as_image(image, preprocess.in_chans), preprocess))]


def ten_crops(pixels: Tensor, preprocess: Preprocess) -> Tensor:
    """The crops at the four corners and in the centre, and their mirror images (Krizhevsky et al. 2012, section 4.1).

    Where the usual input is the whole image, the crops are taken as in training (He et al. 2015, section 4.2): from the
    normalised image with a border of zeros, `PAD` of the side wide. So the fifth crop is the usual input.
    """
    from torchvision.transforms.v2.functional import ten_crop

    if is_cropped(preprocess):
        return torch.cat([normalise(crop, preprocess) for crop in ten_crop(pixels, preprocess.size)])
    border = math.ceil(preprocess.size[1] * PAD)
    return torch.cat(ten_crop(F.pad(normalise(pixels, preprocess), [border] * 4), preprocess.size))


def sides(preprocess: Preprocess) -> tuple[int, ...]:
    """The shorter sides in pixels of multi-scale testing: the paper's for an input of 224 pixels, in proportion for others (for
    32: 32, 37, 55, 69, 91)."""
    return tuple(round(min(preprocess.size) * scale / SCALES[0]) for scale in SCALES)


def at_scales(image: np.ndarray, preprocess: Preprocess) -> list[np.ndarray]:
    """The whole image at each of `sides`, with its aspect ratio."""
    whole, resample = as_image(image, preprocess.in_chans), RESAMPLE[preprocess.interpolation]
    return [planes(covering(whole, (side, side), resample)) for side in sides(preprocess)]


def flipped_too(pixels: Tensor, preprocess: Preprocess) -> Tensor:
    """The images and their mirror images."""
    x = normalise(pixels, preprocess)
    return torch.cat([x, x.flip(-1)])


PROTOCOLS: dict[str, Protocol] = {
    "1-crop": Protocol("the input of `resnets eval`", usual, normalise, 1),
    "10-crop": Protocol("four corners, the centre, and their mirror images", uncropped, ten_crops, 10),
    "multi-scale": Protocol("the whole image at five scales, and mirrored", at_scales, flipped_too, 2, dense=True),
}


def remarks(preprocess: Preprocess, views: str) -> list[str]:
    """In what a protocol with this preprocessing differs from the paper, or goes beyond what it says."""
    found = []
    if views == "10-crop" and not is_cropped(preprocess):
        found.append(
            "10-crop: the input is the whole image, so crops are taken from it with a border of zeros, 1/8 of the side"
        )
    if views == "multi-scale":
        found.append("multi-scale: images are also mirrored, as in the works that the paper follows; it does not say whether")
        if min(preprocess.size) != SCALES[0]:
            found.append(
                f"multi-scale: shorter sides {', '.join(map(str, sides(preprocess)))}, in the proportion of the paper's"
            )
        if not is_cropped(preprocess):
            found.append("multi-scale: the network was trained with shifts and flips only; the paper's saw enlarged images too")
        if len(preprocess.mean) > preprocess.in_chans:
            found.append("multi-scale: a per-pixel mean is for one size; at others its mean over positions is subtracted")
    return found


class Errors(TypedDict):
    """Errors as fractions."""

    top1_error: float
    top5_error: float


class MemberErrors(Errors):
    """The errors of one model of an ensemble."""

    model: str


class ViewsResult(Errors):
    """The errors of a model or an ensemble under a protocol."""

    num_images: int
    views: str
    average: str
    members: list[MemberErrors]
    seconds: float
    split: str
    data: str
    bad_images: dict[str, str]  # path -> why it could not be read
    remarks: list[str]


@dataclass(frozen=True)
class Hits:
    """Whether the most probable class (top1) and one of the five most probable (top5) is the true one: bool (N,) each."""

    top1: np.ndarray
    top5: np.ndarray

    def errors(self) -> Errors:
        return {"top1_error": 1 - float(self.top1.mean()), "top5_error": 1 - float(self.top5.mean())}


@dataclass(frozen=True)
class Judged:
    """The results of models on the readable images of a split: of each, and of the mean of their scores; `seconds` for all."""

    members: tuple[Hits, ...]
    together: Hits
    seconds: float


@dataclass(frozen=True)
class Opened:
    """Models of the same classes, and a split of data with these classes."""

    models: tuple[Any, ...]
    data: str
    split_name: str
    split: Split


def evaluate_views(
    models: str | Path | Model | Sequence[str | Path | Model],
    data: str,
    views: str = "1-crop",
    *,
    split: str | None = None,
    limit: int | None = None,
    average: str = "probabilities",
    data_dir: str | Path | None = None,
    batch_size: int = 64,
    workers: int | None = None,
    max_bad: int | None = None,
    device: str = "auto",
    say: Callable[[str], None] | None = None,
) -> ViewsResult:
    """The errors of a model, or of several whose scores are averaged, under a testing protocol.

    Args:
        models: files, run directories, names (`torchvision/resnet50`) or models, all of the same classes; each has its own
            preprocessing.
        data: a built-in dataset or a path.
        views: a key of `PROTOCOLS`.
        split: "test", "val" or "train"; default (None): the first of these that the data has.
        limit: largest number of images, evenly spaced over the split.
        average: what is averaged over views and models: "probabilities" or "logits". (Over the positions of an image always
            logits, because global average pooling before a linear classifier is their mean.)
        data_dir: the folder of the built-in datasets.
        batch_size: number of inputs of the usual size in a batch; larger inputs come in batches of as many pixels.
        workers, max_bad, device: as `resnets.verbs.evaluate.evaluate` takes them.
        say: called with a line of progress every few seconds.

    Returns:
        See `ViewsResult`; "top1_error" and "top5_error" are fractions.

    Raises:
        InputError: for models of different classes, for networks that take one input size only under "multi-scale", and as
            `resnets.verbs.evaluate.evaluate`.
    """
    several = [models] if isinstance(models, str | Path) or not isinstance(models, Sequence) else list(models)
    opened = open_all(several, data, split=split, data_dir=data_dir, device=device)
    bad = BadImages.allowing(max_bad, opened.split)
    judged = judge(
        opened,
        views,
        limit=limit,
        average=average,
        batch_size=batch_size,
        workers=workers,
        bad=bad,
        say=say or (lambda _: None),
    )
    names = [str(one) if isinstance(one, str | Path) else one.spec.name for one in several]
    return {
        **judged.together.errors(),
        "num_images": len(judged.together.top1),
        "views": views,
        "average": average,
        "members": [{"model": name, **hits.errors()} for name, hits in zip(names, judged.members, strict=True)],
        "seconds": round(judged.seconds, 2),
        "split": opened.split_name,
        "data": data,
        "bad_images": bad.reasons,
        "remarks": list(dict.fromkeys(line for model in opened.models for line in remarks(model.preprocess, views))),
    }


def open_all(
    models: Sequence[str | Path | Model], data: str, *, split: str | None, data_dir: str | Path | None, device: str
) -> Opened:
    """Open models and, with their classes, a split of the data. Raises as `evaluate_views`."""
    if not models:
        raise InputError("no model to test; give a file, a run directory or a name such as torchvision/resnet50")
    loaded = [external.load(model) if isinstance(model, str | Path) else model for model in models]
    headers = [exportable(model.header) for model in loaded]
    for header in headers[1:]:
        if set(header.labels) != set(headers[0].labels):
            raise InputError(
                f"{header.spec.name} and {headers[0].spec.name} know different classes ({len(header.labels)} and "
                f"{len(headers[0].labels)}), so their scores have no mean; give models of the same classes"
            )
    in_chans = max(header.preprocess.in_chans for header in headers)
    source = sources.open_source(data, data_dir=data_dir, in_chans=in_chans, labels=headers[0].labels)
    cut = (
        [splits.cut_as_trained(source, header.provenance.get("data", {})) for header in headers]
        if split != "test"
        else [source]
    )
    name, chosen = pick(cut[0], split), cut[0]
    if name != "test" and any(other.cut != chosen.cut for other in cut):
        raise InputError(f"the models were trained on different parts of {source.name}; use the test split")
    place = find(device)
    part = read_as(chosen.splits[name], headers[0].preprocess)
    return Opened(tuple(model.to(place).eval() for model in loaded), data, name, part)


def judge(
    opened: Opened,
    views: str,
    *,
    bad: BadImages,
    limit: int | None = None,
    average: str = "probabilities",
    batch_size: int = 64,
    workers: int | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> Judged:
    """The results of each model, and of all together, on the split. The arguments are those of `evaluate_views`."""
    protocol = _row(PROTOCOLS, "views", views)
    scores_of = _row(AVERAGES, "average", average)
    for model in opened.models:
        if protocol.dense and not isinstance(model, Model):
            raise InputError(f"{model.spec.name} takes inputs of one size only, and {views} has several; use 10-crop")
    began, images, targets = time.perf_counter(), opened.split.images, opened.split.targets
    positions = np.arange(len(targets)) if limit is None else evenly_spaced(np.arange(len(targets)), max(1, limit))
    rules = list(dict.fromkeys(model.preprocess for model in opened.models))
    which = [rules.index(model.preprocess) for model in opened.models]
    first = opened.models[0].labels
    orders = [[model.labels.index(label) for label in first] for model in opened.models]
    hits: list[list[tuple[Tensor, Tensor]]] = [[] for _ in range(len(opened.models) + 1)]
    said, num_done = began, 0
    for read, seen in _shown(images, positions, protocol, rules, bad, workers):
        truth = torch.from_numpy(targets[read])
        own = [
            scored(model, [cut[rule] for cut in seen], protocol, scores_of, batch_size)[:, order]
            for model, rule, order in zip(opened.models, which, orders, strict=True)
        ]
        for held, scores in zip(hits, [*own, torch.stack(own).mean(0)], strict=True):
            held.append(_hits(scores, truth))
        num_done += len(read)
        if time.perf_counter() - said > SAY_SECONDS:
            said = time.perf_counter()
            say(f"{views}: {num_done:,} of {len(positions):,} images")
    if not num_done:
        raise InputError("no image of the split can be read; `resnets data check` says why")
    whole = [Hits(*(torch.cat(part).numpy() for part in zip(*held, strict=True))) for held in hits]
    return Judged(tuple(whole[:-1]), whole[-1], time.perf_counter() - began)


def _row(table: Mapping[str, T], what: str, name: str) -> T:
    """`table[name]`; `InputError` if there is none."""
    if name not in table:
        raise InputError(f"there is no {what}={name!r}; use one of: {', '.join(table)}")
    return table[name]


CHUNK = 64  # images in memory at the same time, as bytes: a photograph at all scales takes 4 MB


def _shown(
    images: Any,
    positions: np.ndarray,
    protocol: Protocol,
    rules: Sequence[Preprocess],
    bad: BadImages,
    workers: int | None,
) -> Iterator[tuple[np.ndarray, list[list[list[np.ndarray]]]]]:
    """Chunk by chunk, the positions of the readable images, and the parts of each for every preprocessing in `rules`."""

    def read(position: int) -> list[list[np.ndarray]] | BadPicture:
        try:
            picture = images[position]
        except BadPicture as fault:
            return fault
        return [protocol.cut(picture, rule) for rule in rules]

    with ThreadPoolExecutor(max(1, default_workers() if workers is None else workers)) as pool:
        for start in range(0, len(positions), CHUNK):
            part = positions[start : start + CHUNK]
            found = list(pool.map(read, part.tolist()))
            for position, cut in zip(part.tolist(), found, strict=True):
                if isinstance(cut, BadPicture):
                    bad.add(images.name(position), cut.reason)
            seen = [cut for cut in found if not isinstance(cut, BadPicture)]
            if seen:
                yield part[[not isinstance(cut, BadPicture) for cut in found]], seen


@torch.inference_mode()
def scored(
    model: Any,
    cuts: Sequence[Sequence[np.ndarray]],
    protocol: Protocol,
    scores_of: Callable[[Tensor], Tensor],
    batch_size: int = 64,
) -> Tensor:
    """The mean scores (N, num_classes), float64 on the CPU, of N images, whose parts are `cuts`."""
    device, (height, width) = next(model.parameters()).device, model.preprocess.size
    total = torch.zeros(len(cuts), len(model.labels), dtype=torch.float64)
    for shown in zip(*cuts, strict=True):  # the first part of all images, then the second, ...
        by_size: dict[tuple[int, ...], list[int]] = {}
        for number, pixels in enumerate(shown):
            by_size.setdefault(pixels.shape, []).append(number)
        for (_, high, wide), numbers in by_size.items():
            together = max(1, batch_size * height * width // (protocol.num_inputs * high * wide))
            for start in range(0, len(numbers), together):
                few = numbers[start : start + together]
                pixels = torch.from_numpy(np.stack([shown[number] for number in few])).to(device)
                logits = model(protocol.inputs(pixels, model.preprocess)).float().cpu().double()
                total[few] += scores_of(logits).unflatten(0, (protocol.num_inputs, len(few))).mean(0)
    return total / len(cuts[0])


def _hits(scores: Tensor, truth: Tensor) -> tuple[Tensor, Tensor]:
    top = scores.topk(min(5, scores.shape[1])).indices
    return scores.argmax(1) == truth, (top == truth[:, None]).any(1)
