"""Testing as He et al. 2015 do it, on any saved models: one crop, ten crops, several scales (section 3.4), and ensembles.

`PROTOCOLS` is the table. Every view of a picture is scored by itself and the scores are averaged: over views, and over models.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from resnets.data import sources
from resnets.data.loaders import BadImages
from resnets.data.pictures.images import BadPicture, default_workers, evenly_spaced
from resnets.data.pictures.resize import RESAMPLE, as_image, before_crop, covering, fit_picture, planes
from resnets.data.preprocess import Preprocess
from resnets.data.transforms import normalise
from resnets.data.types import Split
from resnets.engine.device import find
from resnets.errors import InputError
from resnets.models.model import Model
from resnets.ship import external
from resnets.ship.sessions import for_pictures
from resnets.verbs.evaluate import as_trained, pick

SCALES = (224, 256, 384, 480, 640)  # shorter sides in pixels, for networks of 224 (He et al. 2015, section 3.4)
PAD = 1 / 8  # of the side: the border that training pads with (section 4.2: 4 of 32)
SAY_SECONDS = 5.0
AVERAGES: dict[str, Callable[[Tensor], Tensor]] = {"probabilities": lambda logits: logits.softmax(1), "logits": lambda x: x}


@dataclass(frozen=True)
class Protocol:
    """How pictures are shown to a network.

    Args:
        words: what is done, for people.
        cut: (picture uint8 (H, W, C), preprocessing) -> what of it is shown, each uint8 (C, h, w) of some size. Equally many
            for every picture.
        inputs: pixels of one size, uint8 (N, C, h, w) -> `num_inputs` of each, float32 (num_inputs * N, C, ...): the first
            of all, then the second of all, and so on.
        dense: whether inputs are of other sizes than the network's own, so that it must be fully convolutional.
    """

    words: str
    cut: Callable[[np.ndarray, Preprocess], list[np.ndarray]]
    inputs: Callable[[Tensor, Preprocess], Tensor]
    num_inputs: int
    dense: bool = False


def usual(picture: np.ndarray, preprocess: Preprocess) -> list[np.ndarray]:
    return [fit_picture(picture, preprocess)]


def takes_part(preprocess: Preprocess) -> bool:
    """Whether the usual input is the middle of a larger picture."""
    return preprocess.resize == "crop" and preprocess.crop_pct < 1


def uncut(picture: np.ndarray, preprocess: Preprocess) -> list[np.ndarray]:
    """The resized picture whose middle is the usual input; where that is the whole, the input."""
    if not takes_part(preprocess):
        return usual(picture, preprocess)
    return [planes(before_crop(as_image(picture, preprocess.in_chans), preprocess))]


def ten_crops(pixels: Tensor, preprocess: Preprocess) -> Tensor:
    """The four corners, the middle, and the mirror images of these (Krizhevsky et al. 2012, section 4.1).

    They are cut as training cuts: where the input is the whole picture, out of it with a border of `PAD` of the mean, that is
    zeros after normalising (He et al. 2015, section 4.2). So the fifth is the usual input.
    """
    from torchvision.transforms.v2.functional import ten_crop

    if takes_part(preprocess):
        return torch.cat([normalise(crop, preprocess) for crop in ten_crop(pixels, preprocess.size)])
    border = math.ceil(preprocess.size[1] * PAD)
    return torch.cat(ten_crop(F.pad(normalise(pixels, preprocess), [border] * 4), preprocess.size))


def sides(preprocess: Preprocess) -> tuple[int, ...]:
    """The shorter sides of multi-scale testing: the paper's for 224 pixels, in proportion for others (32: 32 37 55 69 91)."""
    return tuple(round(min(preprocess.size) * scale / SCALES[0]) for scale in SCALES)


def at_scales(picture: np.ndarray, preprocess: Preprocess) -> list[np.ndarray]:
    """The whole picture, in its shape, at each of `sides`."""
    image, resample = as_image(picture, preprocess.in_chans), RESAMPLE[preprocess.interpolation]
    return [planes(covering(image, (side, side), resample)) for side in sides(preprocess)]


def both_ways(pixels: Tensor, preprocess: Preprocess) -> Tensor:
    x = normalise(pixels, preprocess)
    return torch.cat([x, x.flip(-1)])


PROTOCOLS: dict[str, Protocol] = {
    "1-crop": Protocol("the input of `resnets eval`", usual, normalise, 1),
    "10-crop": Protocol("four corners, the middle, and their mirror images", uncut, ten_crops, 10),
    "multi-scale": Protocol("the whole picture at five scales, and mirrored", at_scales, both_ways, 2, dense=True),
}


def remarks(preprocess: Preprocess, views: str) -> list[str]:
    """What a protocol does with this preprocessing that the paper does not say, or does otherwise."""
    found = []
    if views == "10-crop" and not takes_part(preprocess):
        found.append("10-crop: the input is the whole picture, so crops are cut from it with a border of 1/8 of zeros")
    if views == "multi-scale":
        found.append("multi-scale: pictures are also mirrored, as in the works that the paper follows; it does not say whether")
        if min(preprocess.size) != SCALES[0]:
            found.append(
                f"multi-scale: shorter sides {', '.join(map(str, sides(preprocess)))}, in the proportion of the paper's"
            )
        if not takes_part(preprocess):
            found.append(
                "multi-scale: training that only shifts and mirrors whole pictures never shows them enlarged; the paper's did"
            )
        if len(preprocess.mean) > preprocess.in_chans:
            found.append("multi-scale: the per-pixel mean holds at one size; at others its mean over positions is subtracted")
    return found


@dataclass(frozen=True)
class Hits:
    """For each picture (N,) whether the likeliest class is the true one, and whether one of the five likeliest is."""

    top1: np.ndarray
    top5: np.ndarray

    def errors(self) -> dict[str, float]:
        return {"top1_error": 1 - float(self.top1.mean()), "top5_error": 1 - float(self.top5.mean())}


@dataclass(frozen=True)
class Judged:
    """Models on the readable pictures of a split: each alone, and the mean of their scores; `seconds` of all together."""

    members: tuple[Hits, ...]
    together: Hits
    seconds: float


@dataclass(frozen=True)
class Opened:
    """Models that know the same classes, and a split of data with these."""

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
) -> dict[str, Any]:
    """The errors of a model, or of several whose scores are averaged, under a testing protocol.

    Args:
        models: files, run directories, names (`torchvision/resnet50`) or models, all of the same classes; each sees pictures
            by its own preprocessing.
        data: a known set or a path.
        views: a key of `PROTOCOLS`.
        split: "test", "val" or "train"; None: the first of them that the data has.
        limit: at most so many pictures, evenly spread over the split.
        average: what is averaged: "probabilities" or "logits". (Over positions of a picture always logits: global average
            pooling and a linear classifier are that mean.)
        batch_size: inputs of the usual size that go through a network at once; of larger ones as many fewer.
        say: is told of progress every few seconds.

    Returns:
        {"top1_error", "top5_error" (fractions), "num_images", "views", "average", "members" (the same errors of each model),
        "seconds", "split", "data", "bad_images", "remarks"}.

    Raises:
        InputError: for models of different classes, networks that take one size only, and as `resnets.verbs.evaluate.evaluate`.
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
        "members": [{"model": name} | hits.errors() for name, hits in zip(names, judged.members, strict=True)],
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
    headers = [for_pictures(model.header) for model in loaded]
    for header in headers[1:]:
        if set(header.labels) != set(headers[0].labels):
            raise InputError(
                f"{header.spec.name} and {headers[0].spec.name} know different classes ({len(header.labels)} and "
                f"{len(headers[0].labels)}), so their scores have no mean; give models of the same classes"
            )
    in_chans = max(header.preprocess.in_chans for header in headers)
    source = sources.open_source(data, data_dir=data_dir, in_chans=in_chans, labels=headers[0].labels)
    cut = [as_trained(source, header) for header in headers] if split != "test" else [source]
    name, chosen = pick(cut[0], split)
    if name != "test" and any(other.cut != chosen.cut for other in cut):
        raise InputError(f"the models were trained on different parts of {source.name}; use the test split")
    place = find(device)
    return Opened(tuple(model.to(place).eval() for model in loaded), data, name, chosen.splits[name])


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
    """Each model, and all together, on the split under a protocol. The arguments are those of `evaluate_views`."""
    protocol = _row(PROTOCOLS, "views", views)
    scores_of = _row(AVERAGES, "average", average)
    for model in opened.models:
        if protocol.dense and not isinstance(model, Model):
            raise InputError(f"{model.spec.name} takes inputs of one size, so {views} means nothing for it; use 10-crop")
    began, (images, targets) = time.perf_counter(), opened.split
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
            say(f"{views}: {num_done:,} of {len(positions):,} pictures")
    if not num_done:
        raise InputError("no picture of the split can be read; `resnets data check` says why")
    whole = [Hits(*(torch.cat(part).numpy() for part in zip(*held, strict=True))) for held in hits]
    return Judged(tuple(whole[:-1]), whole[-1], time.perf_counter() - began)


def _row(table: dict[str, Any], what: str, name: str) -> Any:
    if name not in table:
        raise InputError(f"there is no {what}={name!r}; use one of: {', '.join(table)}")
    return table[name]


CHUNK = 64  # pictures that are in memory at once, as bytes: a photograph at all scales takes 4 MB


def _shown(
    images: Any,
    positions: np.ndarray,
    protocol: Protocol,
    rules: Sequence[Preprocess],
    bad: BadImages,
    workers: int | None,
) -> Iterator[tuple[np.ndarray, list[list[list[np.ndarray]]]]]:
    """Chunk by chunk the positions of what can be read, and for each picture, by each rule, what is shown of it."""

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
    """The mean scores (N, num_classes), float64 on the CPU, of N pictures of which `cuts` are shown."""
    place, (height, width) = next(model.parameters()).device, model.preprocess.size
    total = torch.zeros(len(cuts), len(model.labels), dtype=torch.float64)
    for shown in zip(*cuts, strict=True):  # of every picture the first, then the second, ...
        by_size: dict[tuple[int, ...], list[int]] = {}
        for number, pixels in enumerate(shown):
            by_size.setdefault(pixels.shape, []).append(number)
        for (_, high, wide), numbers in by_size.items():
            together = max(1, batch_size * height * width // (protocol.num_inputs * high * wide))
            for start in range(0, len(numbers), together):
                few = numbers[start : start + together]
                pixels = torch.from_numpy(np.stack([shown[number] for number in few])).to(place)
                logits = model(protocol.inputs(pixels, model.preprocess)).float().cpu().double()
                total[few] += scores_of(logits).unflatten(0, (protocol.num_inputs, len(few))).mean(0)
    return total / len(cuts[0])


def _hits(scores: Tensor, truth: Tensor) -> tuple[Tensor, Tensor]:
    top = scores.topk(min(5, scores.shape[1])).indices
    return scores.argmax(1) == truth, (top == truth[:, None]).any(1)
