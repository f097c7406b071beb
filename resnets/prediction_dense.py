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
from resnets.contracts import DenseTask
from resnets.data.fit import fit_picture
from resnets.data.images import BadPicture, FileImages
from resnets.data.transforms import normalise
from resnets.dense import Detections
from resnets.files import replacing
from resnets.model import Model
from resnets.results import PLACES, at_least
from resnets.spec import InputError

Found = tuple[dict[str, Any], np.ndarray | None, Any]  # its row, the picture uint8 (H, W, C), what is in it


def look(model: Model, images: FileImages, *, threshold: float = 0.5, amp: bool = False) -> Generator[Found, None, None]:
    """For each picture its row, the picture and what is in it; of one that cannot be read the row has an "error".

    Rows have {"path", "height", "width"}. Those of "detect" have {"objects": [{"label", "index", "score", "box"}]}, the surest
    first, boxes as [x0, y0, x1, y1] in pixels of the picture, half-open; those of "segment" {"classes": [{"label", "index",
    "share"}]}, what is in it, by its share of the picture.

    Args:
        threshold: the least score of an object.
        amp: compute in bfloat16.
    """
    task: DenseTask = tasks.get(model.task.name)  # type: ignore[assignment]
    place = next(model.parameters()).device
    model.eval()
    for index, picture in enumerate(decoded(images)):
        row: dict[str, Any] = {"path": images.name(index)}
        if isinstance(picture, BadPicture):
            yield row | {"error": picture.reason}, None, None
            continue
        pixels = torch.from_numpy(fit_picture(picture, model.preprocess)[None])
        with torch.inference_mode(), torch.autocast(place.type, torch.bfloat16, enabled=amp):
            found = task.infer(model, normalise(pixels.to(place), model.preprocess), picture.shape[:2])
        if isinstance(found, Detections):
            found = at_least(found, threshold)
        row |= {"height": picture.shape[0], "width": picture.shape[1]}
        yield row | PLACES[task.name](found, model.labels), picture, found


def decoded(images: FileImages) -> Iterator[np.ndarray | BadPicture]:
    """The pictures in order, each decoded while its predecessor is worked on."""

    def read(index: int) -> np.ndarray | BadPicture:
        try:
            return images[index]
        except BadPicture as bad:
            return bad

    with ThreadPoolExecutor(1, "decode") as pool:
        ahead = pool.submit(read, 0)
        for index in range(len(images)):
            picture = ahead.result()
            if index + 1 < len(images):
                ahead = pool.submit(read, index + 1)
            yield picture


def drawn(picture: np.ndarray, found: Any, labels: Sequence[str], path: Path) -> Path:
    """The picture with what was found in it, as a PNG."""
    from resnets import plots_dense

    if isinstance(found, Detections):
        return plots_dense.boxes(picture, found, labels, path)
    return plots_dense.segments(picture, found, labels, path)


def masked(found: Any, path: Path) -> Path:
    """A PNG: class indices in 8 bits, or of a detector with masks the numbers of objects in 16, from 1, the surest on top.

    Raises:
        InputError: for a detector without masks.
    """
    from PIL import Image

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


def places_in(folder: Path, images: FileImages) -> dict[str, Path]:
    """Where in `folder` the PNG of each picture goes, by its name: under its stem, with a number where that is taken.

    Of all pictures of a call, those too that an earlier call has done: they keep theirs.
    """
    found: dict[str, Path] = {}
    taken: set[str] = set()
    for name in map(images.name, range(len(images))):
        stem, number = Path(name).stem, 1
        while (free := stem if number == 1 else f"{stem}-{number}") in taken:
            number += 1
        taken.add(free)
        found[name] = folder / f"{free}.png"
    return found
