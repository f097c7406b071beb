"""What a detector or a segmenter finds in files, one after the other: rows, and where they are wanted drawings and masks.

A picture that cannot be read is a row with its error. The next picture is decoded while the network has this one.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch

from resnets import tasks
from resnets.data.pictures.images import BadPicture, FileImages
from resnets.data.pictures.resize import fit_picture
from resnets.data.pictures.volumes import SUFFIXES, Volume, Volumes
from resnets.data.preprocess import Preprocess
from resnets.data.targets import Detections, background_of
from resnets.data.transforms import normalise
from resnets.engine.contract import DenseTask
from resnets.errors import InputError
from resnets.files import replacing
from resnets.models.model import Model
from resnets.tasks.results import PLACES, at_least

Picture = np.ndarray | Volume  # uint8 (H, W, C), or a volume that is open
Found = tuple[dict[str, Any], Picture | None, Any]  # its row, the picture, what is in it


def look(
    model: Model, images: FileImages | Volumes, *, threshold: float = 0.5, amp: bool = False
) -> Generator[Found, None, None]:
    """For each picture its row, the picture and what is in it; of one that cannot be read the row has an "error".

    Rows have {"path", "height", "width"}, of volumes "depth" too. Those of "detect" have {"objects": [{"label", "index",
    "score", "box"}]}, the surest first, boxes as [x0, y0, x1, y1] in pixels of the picture, half-open; those of "segment"
    {"classes": [{"label", "index", "share"}]}, what is in it, by its share of the picture or volume.

    Args:
        threshold: the least score of an object.
        amp: compute in bfloat16.
    """
    task: DenseTask = tasks.get(model.task.name)  # type: ignore[assignment]
    place = next(model.parameters()).device
    model.eval()
    for index, read in enumerate(decoded(images, model.preprocess)):
        row: dict[str, Any] = {"path": images.name(index)}
        if isinstance(read, BadPicture):
            yield row | {"error": read.reason}, None, None
            continue
        picture, pixels = read
        whole = tuple(picture.shape[: model.spec.dims])
        x = torch.from_numpy(pixels[None]).to(place)
        with torch.inference_mode(), torch.autocast(place.type, torch.bfloat16, enabled=amp):
            found = task.infer(model, normalise(x, model.preprocess) if len(whole) == 2 else x, whole)
        if isinstance(found, Detections):
            found = at_least(found, threshold)
        size = dict(zip(("depth", "height", "width")[-len(whole) :], whole, strict=True))
        yield row | size | PLACES[task.name](found, model.labels), picture, found


def decoded(images: FileImages | Volumes, preprocess: Preprocess) -> Iterator[tuple[Picture, np.ndarray] | BadPicture]:
    """The pictures in order with their pixels, each decoded while its predecessor is worked on.

    Pixels are uint8 (C, H, W) before `normalise`, those of volumes float32 (C, D, H, W) after it.
    """

    def read(index: int) -> tuple[Picture, np.ndarray] | BadPicture:
        try:
            picture = images[index]
            if isinstance(picture, Volume):
                pixels = picture.normalised()
                picture.forget()
                return picture, pixels
            return picture, fit_picture(picture, preprocess)
        except BadPicture as bad:
            return bad

    with ThreadPoolExecutor(1, "decode") as pool:
        ahead = pool.submit(read, 0)
        for index in range(len(images)):
            picture = ahead.result()
            if index + 1 < len(images):
                ahead = pool.submit(read, index + 1)
            yield picture


def drawn(picture: Picture, found: Any, labels: Sequence[str], path: Path) -> Path:
    """The picture with what was found in it, as a PNG; of a volume, the slice with most of it."""
    from resnets.tasks.detect.draw import boxes
    from resnets.tasks.segment.draw import segments

    if isinstance(picture, Volume):
        row = int(np.argmax((found != background_of(labels)).sum((1, 2))))
        picture, found = picture.drawn(row), found[row, ::-1]
    if isinstance(found, Detections):
        return boxes(picture, found, labels, path)
    return segments(picture, found, labels, path)


def masked(picture: Picture, found: Any, path: Path) -> Path:
    """A PNG: class indices in 8 bits, or of a detector with masks the numbers of objects in 16, from 1, the surest on top. Of a
    volume class indices in 8 bits as NIfTI, in its place and orientation.

    Raises:
        InputError: for a detector without masks.
    """
    from PIL import Image

    if isinstance(picture, Volume):
        picture.save_like(found, path)
        return path
    if isinstance(found, Detections):
        if found.masks is None:
            raise InputError("this detector finds boxes and no masks; leave out --masks, or train it with --masks")
        numbers = np.zeros(found.masks.shape[1:], np.uint16)
        for number in reversed(range(len(found.masks))):
            numbers[found.masks[number]] = number + 1
        found = numbers
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary:
        Image.fromarray(found).save(temporary, format="PNG")
    return path


def places_in(folder: Path, images: FileImages, suffix: str = ".png") -> dict[str, Path]:
    """Where in `folder` the file of each picture goes, by its name: under its stem, with a number where that is taken.

    Of all pictures of a call, those too that an earlier call has done: they keep theirs.
    """
    found: dict[str, Path] = {}
    taken: set[str] = set()
    for name in map(images.name, range(len(images))):
        own = next((end for end in SUFFIXES if name.lower().endswith(end)), None)
        stem, number = Path(name).stem if own is None else Path(name).name[: -len(own)], 1
        while (free := stem if number == 1 else f"{stem}-{number}") in taken:
            number += 1
        taken.add(free)
        found[name] = folder / f"{free}{suffix}"
    return found
