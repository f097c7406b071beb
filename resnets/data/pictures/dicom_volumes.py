"""A DICOM series as a volume: slices in order of their positions, values as the modality means them. No torch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cached_property
from itertools import groupby
from pathlib import Path

import numpy as np

from resnets.data.pictures.dicom.facts import Facts
from resnets.data.pictures.dicom.parse import DicomError, parse
from resnets.data.pictures.dicom.pixels import FORM, SCALE, rescaled, stored
from resnets.data.pictures.dicom.series import files_of
from resnets.data.pictures.dicom.stack import Place, stacked
from resnets.data.pictures.images import BadPicture
from resnets.data.pictures.volume import Volume, library, write_nifti
from resnets.files import open_regular

TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])  # DICOM's x and y run to the left and to the back


class Dicom(Volume):
    """The series at a path that `series.gathered` gives, in a folder that holds one alone, or a file of several frames.

    Raises:
        BadPicture: if its slices are no grid, with the reason and the remedy; see `stack.stacked`.
    """

    def __init__(self, path: Path, window: tuple[float, float] | None = None) -> None:
        try:
            self.files: Sequence[Facts] = files_of(path)
            self.stack = stacked(self.files)
            form = self.stack.form
            if form.samples > 1:
                raise DicomError("slices in colour, which are not read as a volume; each can be a picture")
            super().__init__(path, (form.columns, form.rows, len(self.stack.places)), TO_RAS @ self.stack.affine, window)
        except OSError as error:
            raise BadPicture(path, (error.strerror or type(error).__name__).lower()) from error
        except (DicomError, ValueError) as error:
            raise BadPicture(path, str(error)) from error
        self.notes = self.stack.notes
        scales = {place.frame.scale for place in self.stack.places}
        self.one_scale = len(scales) == 1 and not self.stack.table
        self.scale = scales.pop() if self.one_scale else (1.0, 0.0)

    @cached_property
    def _stored(self) -> np.ndarray:
        """See `Volume`; of slices that are scaled differently the scaled values, float32."""
        form, values = self.stack.form, None
        try:
            for path, group in groupby(enumerate(self.stack.places), lambda item: item[1].path):
                places = list(group)
                for row, frame in self._frames(path, places):
                    if values is None:
                        kind = frame.dtype if self.one_scale else np.dtype(np.float32)
                        values = np.empty((len(self.stack.places), form.rows, form.columns), kind)
                    values[row] = _fitting(frame, values.dtype)
        except OSError as error:
            raise BadPicture(self.path, (error.strerror or type(error).__name__).lower()) from error
        except DicomError as error:
            raise BadPicture(self.path, f"{path.name}: {error}") from error
        assert values is not None
        return self.turned(values.transpose(2, 1, 0))

    def _frames(self, path: Path, places: list[tuple[int, Place]]):  # type: ignore[no-untyped-def]
        """(row, values) of the slices in one file; it is read once."""
        with open_regular(path) as file:
            ds = parse(file, (*FORM, *SCALE), pixels=True)
        for row, place in places:
            frame = next(stored(ds, first=place.number, num=1))
            if self.stack.table:
                frame = rescaled(frame, ds)
            elif not self.one_scale:
                slope, offset = place.frame.scale
                frame = frame.astype(np.float32) * np.float32(slope) + np.float32(offset)
            yield row, frame

    @property
    def num_bytes(self) -> int:
        return math.prod(self.shape) * (max(1, self.stack.form.bits // 8) if self.one_scale else 4)

    def save_like(self, values: np.ndarray, path: Path) -> None:
        write_nifti(library().Nifti1Image(self.turned_back(values), TO_RAS @ self.stack.affine), path)

    def save_mask(self, values: np.ndarray, labels: Sequence[str], path: Path) -> None:
        """See `Volume`: as DICOM SEG, with a segment for each class but the background."""
        from resnets.data.pictures.dicom.segmentation import write

        write(self.stack, self.turned_back(values).transpose(2, 1, 0), labels, path)


def _fitting(frame: np.ndarray, kind: np.dtype) -> np.ndarray:
    """Raises `DicomError` where the slices before this one are stored in another type, which would cut its values."""
    if not np.can_cast(frame.dtype, kind, "safe"):
        raise DicomError(f"values of {frame.dtype} in a series of {kind}; its slices are stored in different ways")
    return frame
