"""Decoding of COCO's instance masks, given as polygons or run lengths. No torch."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from resnets.data.readers.label_rules import BadLabel

MAX_MASK_BYTES = 2**30  # for all masks of one image
MAX_OUTLINE = 2**22  # pixels along the outlines of one object; the libraries need about 100 bytes for each
LIBRARY = "faster_coco_eval.core.mask"


def object_masks(segments: Sequence[Any], size: tuple[int, int], name: str) -> np.ndarray:
    """Decode K instance masks of an image of `size` (H, W): bool (K, H, W). A missing or invalid mask is all False.

    Raises:
        BadLabel: if the masks need more than `MAX_MASK_BYTES`; `name` is the image's.
    """
    height, width = size
    if len(segments) * height * width > MAX_MASK_BYTES:
        raise BadLabel(
            name, f"{len(segments)} masks of {width} x {height} are more than {MAX_MASK_BYTES:,} bytes", "bad_annotation"
        )
    masks = np.zeros((len(segments), height, width), dtype=bool)
    for mask, segment in zip(masks, segments, strict=True):
        filled = _run_lengths(segment, size) if isinstance(segment, dict) else _polygons(segment, size)
        if filled is not None:
            mask[:] = filled
    return masks


def in_pixels(segment: Any, size: tuple[int, int]) -> Any:
    """Polygons whose coordinates are fractions of an image of `size` (H, W), in its pixels."""
    if segment is None:
        return None
    return [(np.asarray(ring).reshape(-1, 2) * size[::-1]).ravel() for ring in segment]


def _polygons(polygons: Any, size: tuple[int, int]) -> np.ndarray | None:
    """Polygons [[x0, y0, x1, y1, ...], ...] -> bool (H, W), filled as COCO does; None if they are invalid."""
    if isinstance(polygons, list) and polygons and all(type(value) in (int, float) for value in polygons):
        polygons = [polygons]  # a single ring without brackets of its own
    try:
        rings = [np.array(ring, dtype=np.float64).ravel() for ring in polygons or ()]
    except (TypeError, ValueError, OverflowError):
        return None
    rings = [ring for ring in rings if len(ring) >= 6 and len(ring) % 2 == 0]
    # The libraries assume both. They would allocate memory for every pixel on the way to distant corners.
    if not rings or not all((abs(ring) <= 2 * max(size)).all() for ring in rings):
        return None
    if sum(_length(ring.reshape(-1, 2)) for ring in rings) > MAX_OUTLINE:
        return None
    library = importlib.import_module(LIBRARY)
    found = library.merge(library.frPyObjects([ring.tolist() for ring in rings], *size))
    return np.asarray(library.decode(found), dtype=bool)


def _length(corners: np.ndarray) -> float:
    """The number of pixels along a closed outline with the corners (K, 2)."""
    return float(abs(corners - np.roll(corners, 1, 0)).max(1).sum()) + len(corners)


def _run_lengths(segment: Mapping[str, object], size: tuple[int, int]) -> np.ndarray | None:
    """Run lengths {"size": [H, W], "counts": ...} -> bool (H, W); None if they are invalid.

    "counts" are the lengths of runs of 0, 1, 0, ... in column-major order, as integers or as COCO's compressed text.

    They are decoded here, because the libraries write past the end of the mask if the lengths in a file add up to more.
    """
    counts = segment.get("counts")
    if isinstance(counts, str):
        counts = _decompressed(counts)
    if segment.get("size") != list(size) or not isinstance(counts, list):
        return None
    if not all(type(count) is int and count >= 0 for count in counts) or sum(counts) != size[0] * size[1]:
        return None
    return np.repeat(np.arange(len(counts)) % 2 == 1, counts).reshape(size[::-1]).T


def _decompressed(text: str) -> list[int] | None:
    """COCO's compressed text -> run lengths; None if it is invalid.

    A number is written in groups of 5 bits, lowest first, one per character; from the fourth number on it is the difference
    from the number two before.
    """
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
