"""The slices of a series in order, as one grid; or why they are none. Nothing is interpolated or invented. No torch.

The order and the distance of slices come from their positions along the normal of their plane; SliceThickness, InstanceNumber
and the names of files are not asked.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from resnets.data.pictures.dicom.facts import Facts, Frame
from resnets.data.pictures.dicom.parse import DicomError
from resnets.data.pictures.dicom.pixels import MAX_PIXELS, Form

SAME = 1e-3  # mm, and cosines of directions, up to which two are the same: files round them
UNEVEN, LEAST_UNEVEN = 0.01, 0.01  # of the distance of slices, by a fraction of it, or in mm
DRIFT = 0.1  # of a pixel, by which slices may be shifted within their plane in all


class Place(NamedTuple):
    """A slice: the file that has it, the number of the frame there, and where it lies."""

    path: Path
    number: int
    frame: Frame


class Stack(NamedTuple):
    """Slices in order along their normal.

    Args:
        affine: (4, 4), from (column, row, slice) to DICOM's mm.
        notes: what was left out, in words.
    """

    places: tuple[Place, ...]
    form: Form
    affine: np.ndarray
    notes: tuple[str, ...]
    table: bool


def stacked(files: Sequence[Facts]) -> Stack:
    """The grid of a series. Raises `DicomError` where it is none, with the reason and the remedy."""
    notes: list[str] = []
    images = _images(files, notes)
    if not all(file.form for file in images):
        raise DicomError(f"no image in it (modality {images[0].modality})")
    if len({file.form[1:] for file in images if file.form}) > 1:
        raise DicomError(f"slices of several sizes or kinds ({_sizes(images)}); move those that are not of it elsewhere")
    places = [Place(file.path, number, frame) for file in images for number, frame in enumerate(file.frames)]
    if unknown := sum(None in (place.frame.position, place.frame.orientation, place.frame.spacing) for place in places):
        raise DicomError(
            f"{unknown:,} of {len(places):,} slices do not say where they lie (ImagePositionPatient, ImageOrientationPatient, "
            "PixelSpacing); a volume cannot be made of them, but each can be a picture"
        )
    if len(places) < 2:
        raise DicomError("one slice, which is a picture and not a volume; give the folder with all of them")
    along, across, spacing = _plane(places)
    normal = np.cross(along, across)
    positions = np.array([place.frame.position for place in places], np.float64)
    order = np.argsort(positions @ normal, kind="stable")
    places, positions = [places[n] for n in order], positions[order]
    step = _step(positions, normal, spacing)
    affine = np.eye(4)
    affine[:3] = np.stack([along * spacing[1], across * spacing[0], normal * step, positions[0]], 1)
    form = images[0].form
    assert form is not None
    if form.rows * form.columns * form.samples * len(places) > MAX_PIXELS:
        raise DicomError(f"more than the {MAX_PIXELS:,} values that are read")
    return Stack(tuple(places), form, affine, tuple(notes), any(file.table for file in images))


def _images(files: Sequence[Facts], notes: list[str]) -> list[Facts]:
    """The files that slices come from: no localisers among others, no copies."""
    if len({file.patient for file in files}) > 1:
        raise DicomError(
            f"files of {len({file.patient for file in files})} patients in one series; one of them has a wrong tag"
        )
    scouts = [file for file in files if file.localiser]
    if scouts and len(scouts) < len(files):
        notes.append(f"{len(scouts):,} localiser{'s' * (len(scouts) > 1)} among the slices left out")
        files = [file for file in files if not file.localiser]
    kept: dict[str, Facts] = {}
    copies = 0
    for file in files:
        if (before := kept.get(file.instance)) is None or not file.instance:
            kept[file.instance or str(file.path)] = file
        elif before.frames == file.frames and before.path.read_bytes() == file.path.read_bytes():
            copies += 1
        else:
            raise DicomError("two different files with one SOPInstanceUID; keep the right one")
    if copies:
        notes.append(f"{copies:,} files that are there twice, byte for byte, left out")
    return list(kept.values())


def _sizes(images: Sequence[Facts]) -> str:
    sizes = Counter((file.form.rows, file.form.columns) for file in images if file.form)
    return ", ".join(f"{rows} x {columns}: {num:,}" for (rows, columns), num in sizes.most_common(4))


def _plane(places: Sequence[Place]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The direction of rows and that of columns, (3,) each, and the spacing (2,) of all slices."""
    directions = np.array([place.frame.orientation for place in places], np.float64)
    if (apart := np.abs(directions - directions[0]).max(1) > SAME).any():
        raise DicomError(
            f"slices in several orientations ({apart.sum():,} of {len(places):,} unlike the first); a localiser, or several "
            "planes in one series: keep one plane"
        )
    along, across = directions[0, :3], directions[0, 3:]
    if max(abs(along @ along - 1), abs(across @ across - 1), abs(along @ across)) > 10 * SAME:
        raise DicomError("directions of rows and columns that are no unit vectors at right angles")
    along, across = along / np.linalg.norm(along), across / np.linalg.norm(across)
    spacings = np.array([place.frame.spacing for place in places], np.float64)
    if spacings.min() <= 0 or np.abs(spacings - spacings[0]).max() > SAME * spacings[0].min():
        raise DicomError("pixels of several sizes (PixelSpacing), or of none; keep those of one")
    return along, across, spacings[0]


def _step(positions: np.ndarray, normal: np.ndarray, spacing: np.ndarray) -> float:
    """The distance of slices in mm. `positions` (N, 3) are in order."""
    depth = positions @ normal
    steps = np.diff(depth)
    if twice := int((steps < SAME).sum()):
        numbers = np.unique(np.cumsum(np.concatenate([[0], steps >= SAME])), return_counts=True)[1]
        if numbers.min() == numbers.max() and len(numbers) > 1:
            raise DicomError(
                f"{numbers[0]} images at each of {len(numbers)} positions (times, echoes or weightings in one series); keep one"
            )
        raise DicomError(f"{twice:,} of {len(positions):,} positions are there more than once; keep one slice of each")
    usual = float(np.median(steps))
    odd = np.abs(steps - usual) > max(UNEVEN * usual, LEAST_UNEVEN)
    if odd.any():
        first = int(np.flatnonzero(odd)[0])
        where = f"between slices {first + 1} and {first + 2} of {len(positions)} lie {steps[first]:.6g} mm, else {usual:.6g}"
        times = steps[odd] / usual
        if (times > 1.5).all() and (np.abs(times - np.rint(times)) <= UNEVEN * np.rint(times)).all():
            num = int((np.rint(times) - 1).sum())
            raise DicomError(f"{num:,} slice{'s are' if num > 1 else ' is'} missing: {where}; get the whole series")
        raise DicomError(f"slices at uneven distances: {where}; resample them to one distance")
    step = float(depth[-1] - depth[0]) / (len(depth) - 1)
    shift = positions - positions[0] - np.outer(depth - depth[0], normal)
    if (drift := float(np.linalg.norm(shift, axis=1).max())) > DRIFT * spacing.min():
        raise DicomError(
            f"a tilted stack (gantry tilt): slices are shifted within their plane by up to {drift:.4g} mm; straighten it, as "
            "dcm2niix does"
        )
    return step


def described(stack: Stack) -> dict[str, Any]:
    """Size and spacing of a stack, for people and programs: (slices, rows, columns), and mm in the same order."""
    lengths = np.linalg.norm(stack.affine[:3, :3], axis=0)[::-1]
    return {
        "shape": (len(stack.places), stack.form.rows, stack.form.columns),
        "spacing": tuple(round(float(length), 6) for length in lengths),
    }
