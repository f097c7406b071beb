"""A mask of a DICOM series as DICOM SEG, by highdicom: a segment for each class, beside the images that it is of. No torch.

The standard obliges a SEG to repeat the patient's and the study's attributes of its images, by which archives file it. So it is
the one file that is written here and names a person: nothing else of the images goes into it, and no private attribute.
(DICOM PS3.3 A.51, C.8.20.)
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import logging
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from resnets.data.pictures.dicom.parse import EXTRA, library, parse
from resnets.data.pictures.dicom.pixels import FORM
from resnets.data.pictures.dicom.stack import Stack
from resnets.data.targets import background_of
from resnets.errors import InputError
from resnets.files import open_regular, replacing

# What a SEG repeats of its images (PS3.3 C.7.1.1, C.7.2.1, C.7.4.1), or that is asked for to write it.
OF_PATIENT = "PatientName", "PatientID", "IssuerOfPatientID", "PatientBirthDate", "PatientSex"
OF_STUDY = (
    *("StudyInstanceUID", "StudyDate", "StudyTime", "AccessionNumber", "StudyID", "ReferringPhysicianName"),
    *("FrameOfReferenceUID", "PositionReferenceIndicator"),
)
OF_IMAGE = (
    *("SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID", "Modality", "ImagePositionPatient", "ImageOrientationPatient"),
    *("PixelSpacing", "SliceThickness", "SpacingBetweenSlices", "SharedFunctionalGroupsSequence", "SpecificCharacterSet"),
    *("PerFrameFunctionalGroupsSequence", "DimensionOrganizationSequence", "DimensionIndexSequence", "InstanceNumber"),
)
LONGEST = 64  # characters of a label (PS3.5, LO)
SERIES_NUMBER = 9000  # far above those that scanners give


def write(stack: Stack, classes: np.ndarray, labels: Sequence[str], path: Path) -> None:
    """Write class indices uint8 (slices, rows, columns), in the order of the stack.

    Raises:
        InputError: without highdicom, or where the series lacks what a SEG must repeat.
    """
    try:
        import highdicom
    except ImportError as error:
        raise InputError(f"masks of DICOM series need a library: {EXTRA}") from error
    logging.getLogger("highdicom").addHandler(logging.NullHandler())  # it would quote attributes on stderr
    background, images = background_of(labels), _images(stack)
    segments = [index for index in range(len(labels)) if index != background]
    numbers = np.zeros(max(len(labels), 256), np.uint8)
    numbers[segments] = np.arange(1, len(segments) + 1)
    if len(images) == 1:  # of one file the frames are taken in its own order
        classes = classes[np.argsort([place.number for place in stack.places])]
    elif len(images) < len(stack.places):
        raise InputError(f"{path}: no DICOM SEG can be made of several files of several frames each; give one file")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            made = highdicom.seg.Segmentation(
                source_images=images,
                pixel_array=numbers[classes],
                segmentation_type="BINARY",
                segment_descriptions=[_segment(highdicom, n, labels[index]) for n, index in enumerate(segments, start=1)],
                series_instance_uid=highdicom.UID(),
                series_number=SERIES_NUMBER,
                sop_instance_uid=highdicom.UID(),
                instance_number=1,
                manufacturer="resnets",
                manufacturer_model_name="resnets",
                software_versions=version(),
                device_serial_number="0",
                series_description="Segmentation by a residual network",
                omit_empty_frames=bool((numbers[classes] > 0).any()),
            )
    except Exception as error:
        raise InputError(
            f"{path}: no DICOM SEG can be made of these images ({type(error).__name__}); a tag that it must repeat is missing "
            "or wrong"
        ) from None
    with replacing(path) as temporary, temporary.open("wb") as file:
        made.save_as(file)


def version() -> str:
    """Of this package; "unknown" where it is used without being installed."""
    try:
        return importlib.metadata.version("resnets")
    except importlib.metadata.PackageNotFoundError:
        return "unknown"


def _images(stack: Stack) -> list[Any]:
    """The headers of the files of a stack in order, without their pixels, as highdicom takes them."""
    pydicom, step = library(), float(np.linalg.norm(stack.affine[:3, 2]))
    found: dict[Path, Any] = {}
    for path in dict.fromkeys(place.path for place in stack.places):
        with open_regular(path) as file:
            ds = parse(file, (*OF_PATIENT, *OF_STUDY, *OF_IMAGE, *FORM))
        for word in (*OF_PATIENT, *OF_STUDY):  # which may be empty, but not missing
            if word not in ds and word not in ("IssuerOfPatientID", "FrameOfReferenceUID", "PositionReferenceIndicator"):
                setattr(ds, word, "" if word != "StudyInstanceUID" else pydicom.uid.generate_uid())
        if "FrameOfReferenceUID" not in ds:  # one for the whole series
            own = hashlib.sha256(str(ds.SeriesInstanceUID).encode()).hexdigest()
            ds.FrameOfReferenceUID = pydicom.uid.generate_uid(entropy_srcs=[own])
        # highdicom asks for a thickness, which files need not have; the distance of the slices stands in for it.
        groups = [*ds.get("SharedFunctionalGroupsSequence", ()), *ds.get("PerFrameFunctionalGroupsSequence", ())]
        measures = [item for group in groups for item in group.get("PixelMeasuresSequence", ())]
        for item in measures or [ds]:
            if item.get("SliceThickness") is None:
                item.SliceThickness = f"{step:.10g}"
        found[path] = ds
    return list(found.values())


def _segment(highdicom: Any, number: int, label: str) -> Any:
    """A segment's description; what it shows is coded by its name alone, which no terminology is asked for."""
    coded = highdicom.sr.CodedConcept(f"class-{number}", "99RESNETS", label[:LONGEST] or "class")
    anatomy = highdicom.sr.CodedConcept("123037004", "SCT", "Anatomical Structure")
    network = highdicom.sr.CodedConcept("123110", "DCM", "Artificial Intelligence")
    return highdicom.seg.SegmentDescription(
        segment_number=number,
        segment_label=label[:LONGEST] or f"class {number}",
        segmented_property_category=anatomy,
        segmented_property_type=coded,
        algorithm_type="AUTOMATIC",
        algorithm_identification=highdicom.AlgorithmIdentificationSequence(name="resnets", family=network, version=version()),
    )
