"""Masks of objects from COCO's outlines and run lengths. No torch."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from resnets.data.readers.label_rules import BadLabel
from resnets.errors import InputError

MAX_MASK_BYTES = 2**30  # of one picture
LIBRARIES = ("faster_coco_eval.core.mask", "pycocotools.mask")  # either; they answer alike


def object_masks(segments: Sequence[Any], size: tuple[int, int], name: str) -> np.ndarray:
    """Masks (K, H, W) bool of a picture of `size` (H, W) from outlines or run lengths; empty where it is missing or wrong.

    Raises:
        BadLabel: if they need more than `MAX_MASK_BYTES`.
        InputError: if there are outlines and no library that fills them.
    """
    height, width = size
    if len(segments) * height * width > MAX_MASK_BYTES:
        raise BadLabel(
            name, f"{len(segments)} masks of {width} x {height} are more than {MAX_MASK_BYTES:,} bytes", "bad_annotation"
        )
    masks = np.zeros((len(segments), height, width), dtype=bool)
    for mask, segment in zip(masks, segments, strict=True):
        filled = _runs(segment, size) if isinstance(segment, dict) else _outlines(segment, size)
        if filled is not None:
            mask[:] = filled
    return masks


def _outlines(polygons: Any, size: tuple[int, int]) -> np.ndarray | None:
    """[[x0, y0, x1, y1, ...], ...] filled as COCO fills them."""
    try:
        rings = [np.array(ring, dtype=np.float64).ravel() for ring in polygons or ()]
    except (TypeError, ValueError):
        return None
    # What the library takes for granted; and far corners would cost it memory for every pixel on the way.
    far = 2 * max(size)
    rings = [ring for ring in rings if len(ring) >= 6 and len(ring) % 2 == 0]
    if not rings or not all((abs(ring) <= far).all() for ring in rings):
        return None
    library = _library()
    found = library.merge(library.frPyObjects([ring.tolist() for ring in rings], *size))
    return np.asarray(library.decode(found), dtype=bool)


def _runs(segment: dict[str, Any], size: tuple[int, int]) -> np.ndarray | None:
    """{"size": [H, W], "counts": lengths of runs of 0, 1, 0, ... down the columns, as numbers or as COCO's text}.

    Read here: libraries write past the end of the mask where the lengths of a hostile file add up to more.
    """
    counts = segment.get("counts")
    if isinstance(counts, str):
        counts = _lengths(counts)
    if segment.get("size") != list(size) or not isinstance(counts, list):
        return None
    if not all(type(count) is int and count >= 0 for count in counts) or sum(counts) != size[0] * size[1]:
        return None
    return np.repeat(np.arange(len(counts)) % 2 == 1, counts).reshape(size[::-1]).T


def _lengths(text: str) -> list[int] | None:
    """COCO's text for run lengths: 5 bits a character, lowest first, each from the third on less the last but one."""
    lengths: list[int] = []
    value = shift = 0
    for char in text:
        bits = ord(char) - 48
        if not 0 <= bits < 64 or shift > 50:
            return None
        value |= (bits & 31) << shift
        shift += 5
        if not bits & 32:
            value -= (1 << shift) if bits & 16 else 0
            lengths.append(value + (lengths[-2] if len(lengths) > 2 else 0))
            value = shift = 0
    return lengths if not shift else None


def _library() -> Any:
    for name in LIBRARIES:
        try:
            return importlib.import_module(name)
        except ImportError:
            continue
    raise InputError("masks from COCO's outlines need a library: pip install 'resnets[detect]'")
