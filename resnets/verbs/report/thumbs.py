"""Small pictures for a page: each as a `data:` address, or many in one sheet."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from resnets.data.machine import num_processors
from resnets.data.pictures.images import BadPicture
from resnets.draw.heat import painted
from resnets.draw.lines import is_series, sketch
from resnets.draw.paint import three
from resnets.draw.pictured import pictured

SIDE = 96  # pixels of the longer side of a thumbnail
QUALITY = 72  # of WebP
ACROSS = 40  # pictures in a row of a sheet


class Sheet(NamedTuple):
    """Many pictures as one, in rows of `across`, each fitted into a square."""

    address: str
    across: int
    rows: int


def small(pixels: np.ndarray, side: int = SIDE) -> Image.Image:
    """What `pictured` makes of an image, with its longer side at most `side`, in colours."""
    image = Image.fromarray(np.ascontiguousarray(three(pictured(pixels))))
    image.thumbnail((side, side), Image.Resampling.BOX, reducing_gap=2.0)
    return image


def address(image: Image.Image) -> str:
    """A picture as a `data:` address of WebP."""
    content = io.BytesIO()
    image.save(content, "WEBP", quality=QUALITY, method=4)
    return f"data:image/webp;base64,{base64.b64encode(content.getvalue()).decode('ascii')}"


def thumbnails(images: Any, positions: Iterable[int]) -> dict[int, str]:
    """The addresses of the thumbnails of images by their positions; those that cannot be read are left out."""
    wanted = list(dict.fromkeys(int(position) for position in positions))
    made = dict(zip(wanted, _each(images, wanted, lambda pixels: address(small(pixels))), strict=True))
    return {position: found for position, found in made.items() if found is not None}


def sheet(images: Any, positions: Sequence[int], side: int) -> Sheet:
    """A sheet of images by their positions, `side` pixels for each; of those that cannot be read the place stays empty."""
    rows = -(-len(positions) // ACROSS)
    whole = Image.new("RGB", (min(ACROSS, max(1, len(positions))) * side, max(1, rows) * side), (128, 128, 128))
    for number, image in enumerate(_each(images, positions, lambda pixels: small(pixels, side))):
        if image is not None:
            row, column = divmod(number, ACROSS)
            left, top = (side - image.width) // 2, (side - image.height) // 2
            whole.paste(image, (column * side + left, row * side + top))
    return Sheet(address(whole), whole.width // side, max(1, rows))


def mapped(pixels: np.ndarray, values: np.ndarray) -> str:
    """The address of a map (H, W) over the input uint8 (C, H, W) that the network saw; of a series (C, L) the map is (L,)."""
    if is_series(pixels):
        return address(small(sketch(pixels, values)))
    return address(small(painted(np.ascontiguousarray(pixels.transpose(1, 2, 0)), values)))


def _each(images: Any, positions: Sequence[int], make: Any) -> list[Any]:
    def one(position: int) -> Any:
        try:
            return make(images[position])
        except BadPicture:
            return None

    with ThreadPoolExecutor(num_processors()) as threads:
        return list(threads.map(one, [int(position) for position in positions]))
