"""What a DICOM file says of itself: whose it is (as a hash), of which series, and where each frame lies. No torch.

(DICOM PS3.3 C.7.6.2 for the plane of an image; C.7.6.16 for those of multi-frame files.)
"""

from __future__ import annotations

import hashlib
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from resnets.data.pictures.dicom.parse import DicomError, blamed, parse
from resnets.data.pictures.dicom.pixels import FORM, Form, form_of, scale_of
from resnets.files import open_regular

WHO = "PatientID", "IssuerOfPatientID", "StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "Modality"
PLACE = "ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "FrameOfReferenceUID", "ImageType"
SHARED, EACH = "SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"
KEPT = 1 << 16  # files whose facts a process keeps
HASHED = 10  # hexadecimal digits of a hash: among 10,000 patients two are the same with a probability of 0.00005


class Frame(NamedTuple):
    """Where a frame lies, in DICOM's mm (x to the left, y to the back, z to the head), and how its values are scaled.

    Args:
        position: of the centre of its first pixel; None where it is not said.
        orientation: the direction of a row, then that of a column.
        spacing: between rows, and between columns.
        scale: slope and intercept.
    """

    position: tuple[float, ...] | None
    orientation: tuple[float, ...] | None
    spacing: tuple[float, ...] | None
    scale: tuple[float, float]


class Facts(NamedTuple):
    """What is known of a file without its pixels.

    Args:
        patient: a hash (`patient_of`); never a name.
        series, instance: identifiers of its series and of itself; not for people to see.
        form: None where it has no image.
        localiser: whether it says that it is one (a scout, a topogram).
    """

    path: Path
    patient: str
    series: str
    instance: str
    modality: str
    form: Form | None
    frames: tuple[Frame, ...]
    localiser: bool
    table: bool  # whether values go through a table of the modality


def hashed(text: str, what: str) -> str:
    return f"{what}-{hashlib.sha256(text.encode(errors='replace')).hexdigest()[:HASHED]}"


def patient_of(ds: Any) -> str:
    """A hash of PatientID and its issuer; without that, of the study: who belongs together, without saying who it is."""
    own = [str(ds.get(word) or "").strip() for word in ("PatientID", "IssuerOfPatientID")]
    if own[0]:
        return hashed("|".join(own), "patient")
    study = str(ds.get("StudyInstanceUID") or "").strip()
    return hashed(study, "study") if study else ""


def facts_of(path: Path) -> Facts:
    """Raises `DicomError` with the reason where it cannot be read, `OSError` where it is no file."""
    found = path.stat()
    return _facts(path, found.st_size, found.st_mtime_ns)


@lru_cache(KEPT)
def _facts(path: Path, size: int, written: int) -> Facts:
    with open_regular(path) as file:
        ds = parse(file, (*WHO, *PLACE, *FORM, "RescaleSlope", "RescaleIntercept", "ModalityLUTSequence", SHARED, EACH))
    with blamed("its attributes cannot be read"):
        if not any(ds.get(word) for word in WHO):
            raise DicomError("nothing in it that every image has; damaged, or in another byte order than it says")
        series = str(ds.get("SeriesInstanceUID") or "").strip()
        form = form_of(ds) if ds.get("Rows") is not None else None
        return Facts(
            path=path,
            patient=patient_of(ds),
            series=series,
            instance=str(ds.get("SOPInstanceUID") or "").strip(),
            modality=str(ds.get("Modality") or "").strip().upper()[:16] or "unknown",
            form=form,
            frames=() if form is None else frames_of(ds, form.frames),
            localiser="LOCALIZER" in [str(word).upper() for word in ds.get("ImageType") or ()],
            table=bool(ds.get("ModalityLUTSequence")),
        )


def frames_of(ds: Any, num: int) -> tuple[Frame, ...]:
    """Each frame's place: of the file itself, or of each frame where it says so."""
    shared, each = (ds.get(word) for word in (SHARED, EACH))
    if not each:
        own = _numbers(ds, "ImagePositionPatient", 3)
        # Without a position for each, the first frame's is not that of the others.
        return tuple(
            Frame(
                own if n == 0 else None,
                _numbers(ds, "ImageOrientationPatient", 6),
                _numbers(ds, "PixelSpacing", 2),
                scale_of(ds),
            )
            for n in range(num)
        )
    if len(each) != num:
        raise DicomError(f"{len(each):,} descriptions of frames, for {num:,} frames")
    groups = [shared[0]] if shared else []
    return tuple(_frame([frame, *groups], ds) for frame in each)


def _frame(groups: list[Any], ds: Any) -> Frame:
    scale = group_of(groups, "PixelValueTransformationSequence")
    return Frame(
        _numbers(group_of(groups, "PlanePositionSequence"), "ImagePositionPatient", 3),
        _numbers(group_of(groups, "PlaneOrientationSequence"), "ImageOrientationPatient", 6),
        _numbers(group_of(groups, "PixelMeasuresSequence"), "PixelSpacing", 2),
        scale_of(ds if scale is None else scale),
    )


def group_of(groups: list[Any], word: str) -> Any:
    """The first item of the sequence `word` in a frame's own groups, else in those that all frames share."""
    return next((group.get(word)[0] for group in groups if group.get(word)), None)


def _numbers(ds: Any, word: str, num: int) -> tuple[float, ...] | None:
    """`num` finite numbers; None where there are none, and where they are not such."""
    values = None if ds is None else ds.get(word)
    if values is None or not hasattr(values, "__len__") or len(values) != num:
        return None
    found = tuple(float(value) for value in values)
    return found if np.isfinite(found).all() else None
