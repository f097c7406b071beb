"""A DICOM SEG as labels of the series that it is of: each frame at the slice of its position. No torch. (PS3.3 A.51)"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from resnets.data.pictures.dicom.facts import EACH, SHARED, facts_of, group_of
from resnets.data.pictures.dicom.parse import DicomError, blamed, parse
from resnets.data.pictures.dicom.pixels import FORM, stored
from resnets.data.pictures.dicom.stack import SAME
from resnets.data.pictures.dicom_volumes import TO_RAS, Dicom
from resnets.data.pictures.images import BadPicture
from resnets.data.pictures.volume import Volume
from resnets.files import open_regular

MODALITY = "SEG"
APART = 0.1  # of the distance of slices, by which a frame may lie beside its slice


def is_seg(path: Path) -> bool:
    """Whether a file is a DICOM SEG."""
    try:
        return facts_of(path).modality == MODALITY
    except (DicomError, OSError):
        return False


def read(path: Path, *, pixels: bool) -> tuple[Any, list[int]]:
    """The data set, and the number of the segment of each frame; 0 where its pixels are these numbers (a label map)."""
    with open_regular(path) as file:
        ds = parse(file, (*FORM, "SegmentationType", "SegmentSequence", SHARED, EACH), pixels=pixels)
    kind = str(ds.get("SegmentationType", ""))
    if kind not in ("BINARY", "LABELMAP"):
        raise DicomError("a SEG whose segments are fractions; save them as binary ones")
    with blamed("its segments cannot be read"):
        if kind == "LABELMAP":
            return ds, [0] * len(ds[EACH].value)
        shared = list(ds.get(SHARED, ()))
        found = [group_of([frame, *shared], "SegmentIdentificationSequence") for frame in ds[EACH].value]
        return ds, [int(item.ReferencedSegmentNumber) for item in found]


def numbers_of(path: Path) -> np.ndarray:
    """0 and the numbers of all segments, int32. Raises `BadPicture`."""
    try:
        ds, _ = read(path, pixels=False)
        with blamed("its segments cannot be read"):
            return np.unique([0, *(int(item.SegmentNumber) for item in ds.SegmentSequence)]).astype(np.int32)
    except (DicomError, OSError) as error:
        raise BadPicture(path, str(error)) from error


class Segments(Volume):
    """The segments' numbers on the grid of a series, 0 where there is none.

    Raises:
        BadPicture: where frames do not lie on slices of the series, or segments overlap (on access).
    """

    def __init__(self, path: Path, series: Volume) -> None:
        if not isinstance(series, Dicom):
            raise BadPicture(path, "a DICOM SEG, whose volume is no DICOM series; save the labels as NIfTI")
        form = series.stack.form
        self.slices = len(series.stack.places), form.rows, form.columns
        super().__init__(path, self.slices[::-1], TO_RAS @ series.stack.affine)
        try:
            self.rows = self._rows(series)
        except (DicomError, OSError) as error:
            raise BadPicture(path, str(error)) from error

    def _rows(self, series: Dicom) -> list[int]:
        """The slice of each frame."""
        facts, stack = facts_of(self.path), series.stack
        assert facts.form is not None
        if (facts.form.rows, facts.form.columns) != (stack.form.rows, stack.form.columns):
            raise DicomError(f"frames of {facts.form.rows} x {facts.form.columns}, on slices of another size")
        found = []
        directions = np.array(stack.places[0].frame.orientation)
        for frame in facts.frames:
            if frame.position is None or frame.orientation is None:
                raise DicomError("frames that do not say where they lie")
            column, row, number = (np.linalg.inv(stack.affine) @ [*frame.position, 1])[:3]
            beside = max(abs(column), abs(row), abs(number - round(number)))
            if beside > APART or np.abs(directions - frame.orientation).max() > 10 * SAME:
                raise DicomError("frames that lie beside the slices of the series; resample them to it")
            if not 0 <= round(number) < len(stack.places):
                raise DicomError("frames outside of the series")
            found.append(round(number))
        return found

    @cached_property
    def _stored(self) -> np.ndarray:
        values = np.zeros(self.slices, np.int32)
        try:
            ds, numbers = read(self.path, pixels=True)
            for row, number, frame in zip(self.rows, numbers, stored(ds), strict=True):
                there = frame > 0
                if (values[row][there] != 0).any():
                    raise DicomError("segments that overlap, where each voxel has one class")
                values[row][there] = number or frame[there]
        except (DicomError, OSError, ValueError) as error:
            raise BadPicture(self.path, str(error)) from error
        return self.turned(values.transpose(2, 1, 0))

    @property
    def num_bytes(self) -> int:
        return 4 * math.prod(self.shape)

    def save_like(self, values: np.ndarray, path: Path) -> None:
        raise AssertionError("labels are not written anew")

    def save_mask(self, values: np.ndarray, labels: Sequence[str], path: Path) -> None:
        raise AssertionError("labels are not written anew")
