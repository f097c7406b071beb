"""Images as inputs of a network that is to be explained: of files, of arrays, and a sample of a split with its truth."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from resnets.data.inputs import INPUTS
from resnets.data.loader import Loader
from resnets.data.pictures.images import MODES, BadPicture
from resnets.data.pictures.resize import fit_picture, mean_array
from resnets.data.places import as_input, places_of
from resnets.data.preprocess import FREE, Preprocess
from resnets.data.series.opened import given_series
from resnets.data.series.series import blank_series
from resnets.data.types import Source
from resnets.data.workers import BadImages
from resnets.engine.contract import Task
from resnets.errors import InputError
from resnets.models.header import Header
from resnets.ship.sessions import answering
from resnets.verbs import evaluate
from resnets.verbs.predict import find_files


def nowhere(label: int) -> np.ndarray | None:
    """Where objects of a class are, of an image without labels."""
    return None


@dataclass(frozen=True)
class Item:
    """One image.

    Args:
        name: its path, or what else it is called.
        pixels: (C, *size), as a runtime takes it.
        blank: an input that shows nothing; see `attribution.seen.Seen`.
        places: index of a class -> where its objects truly are in the input (M, *size), bool; None where that is not known.
        image: an opened volume.
        error: why it cannot be read; it has no pixels then.
    """

    name: str
    pixels: np.ndarray
    blank: np.ndarray
    places: Callable[[int], np.ndarray | None] = nowhere
    image: Any = None
    error: str | None = None


def unread(name: str, reason: str) -> Item:
    nothing = np.zeros(0, np.uint8)
    return Item(name, nothing, nothing, error=reason)


def blank_of(pixels: np.ndarray, preprocess: Preprocess) -> np.ndarray:
    """The mean colour, or of series the mean, as a runtime takes it, which is 0 once it is normalised."""
    if len(preprocess.size) == 1:
        return blank_series(pixels, preprocess)
    if pixels.dtype != np.uint8:
        return np.zeros((), np.float32)
    mean = mean_array(preprocess)
    if preprocess.resize in FREE or mean.shape[1:] not in ((1, 1), pixels.shape[1:]):
        mean = mean.mean((1, 2), keepdims=True)
    return (mean * 255).round().astype(np.uint8)


def of_pictures(task: Task, header: Header, pictures: Iterable[Any]) -> tuple[int, Iterator[Item]]:
    """How many there are; paths of images and folders, or images themselves; see `explain`. Paths are looked for at once."""
    given = [pictures] if isinstance(pictures, str | Path | np.ndarray | Image.Image) else list(pictures)
    if not given:
        raise InputError("there is no picture to explain; name some, or leave them out for a sample of the training's data")
    if all(isinstance(each, str | Path) for each in given):
        answering(header)
        files = find_files(header, map(str, given))
        return len(files), _of_files(task, header, files)
    return len(given), (_of_array(header, f"image {number}", each) for number, each in enumerate(given, start=1))


def _of_files(task: Task, header: Header, files: Any) -> Iterator[Item]:
    inputs = INPUTS[header.spec.dims]
    images = inputs.opened(files, header.spec.in_chans)
    for index in range(len(files)):
        try:
            fitted = inputs.fitted(images, index, header.preprocess, task.own_size)
        except BadPicture as bad:
            yield unread(images.name(index), bad.reason)
            continue
        pixels = np.ascontiguousarray(fitted.pixels)
        yield Item(images.name(index), pixels, blank_of(pixels, header.preprocess), image=fitted.image)


def _of_array(header: Header, name: str, image: Any) -> Item:
    """An image as `Model.predict` takes it, or an input (C, *size)."""
    spec = header.spec
    if len(header.preprocess.size) == 1:
        (pixels,) = given_series([image], header.preprocess)
    elif (
        isinstance(image, np.ndarray)
        and image.ndim == spec.dims + 1
        and (image.dtype != np.uint8 or spec.in_chans not in MODES)
    ):
        if image.shape[0] != spec.in_chans:
            raise InputError(f"{name}: {image.shape[0]} channels, and the model takes {spec.in_chans}; give (C, *size)")
        pixels = image if image.dtype == np.uint8 else image.astype(np.float32)
        if not np.isfinite(pixels).all():
            raise InputError(f"{name}: values that are not finite")
    elif spec.dims == 2:
        pixels = np.ascontiguousarray(fit_picture(image, header.preprocess))
    else:
        raise InputError(f"{name}: the model takes float32 arrays ({spec.in_chans}, {', '.join('DHW'[-spec.dims :])})")
    return Item(name, pixels, blank_of(pixels, header.preprocess))


def of_split(
    task: Task, header: Header, data: str | None, split: str | None, num: int, data_dir: str | Path | None
) -> tuple[tuple[Source, str], Iterator[Item]]:
    """`num` images of a split, evenly spread, with what is true of them; and the source with the name of the split.

    Raises:
        InputError: where no data is named, and the model does not say what it was trained on.
    """
    answering(header)
    named = data or header.provenance.get("recipe", {}).get("data")
    if named is None:
        raise InputError("the model does not say what it was trained on; name pictures, or labelled data by --data")
    source = task.open_for(header, named, {}, data_dir=data_dir)
    name = evaluate.pick(source, split)
    return (source, name), _of_split(task, header, source, name, num)


def some(source: Source, split: str, num: int) -> np.ndarray:
    """The positions of up to `num` images of a split, evenly spread."""
    whole = len(source.splits[split])
    return np.unique(np.linspace(0, whole - 1, min(num, whole)).round().astype(int))


def _of_split(task: Task, header: Header, source: Source, split: str, num: int) -> Iterator[Item]:
    part = source.splits[split].subset(some(source, split, num))
    bad = BadImages(len(part))
    samples = task.samples(part, header.preprocess, header.spec.num_classes)
    for batch in Loader(samples=samples, batch_size=1, bad=bad).epoch(0):
        if not len(batch.images):
            continue
        index, pixels = int(batch.indices[0]), np.ascontiguousarray(batch.images.numpy()[0])

        def places(label: int, index: int = index) -> np.ndarray | None:
            image, target = part[index]
            found = places_of(target, label, image.shape[: header.spec.dims])
            return None if found is None else np.array([as_input(place, header.preprocess) for place in found])

        image = part.images[index] if header.spec.dims == 3 and task.own_size else None
        yield Item(part.images.name(index), pixels, blank_of(pixels, header.preprocess), places, image)
    yield from (unread(name, reason) for name, reason in bad.reasons.items())
