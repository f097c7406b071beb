"""What `resnets data check` says of DICOM: series, patients, spacings, and whether a class can be told without its images.

Patients are counted, and shown as hashes; of a scanner's attributes their names are shown, never what they hold: an institution
or a device may lead to a person.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from resnets.data.check.findings import LEVELS, Finding, Findings, many
from resnets.data.check.told import Told, told_apart
from resnets.data.groups import is_of_dicom
from resnets.data.pictures.dicom.parse import DicomError, blamed, parse
from resnets.data.pictures.dicom.series import files_of
from resnets.data.pictures.dicom.stack import described
from resnets.data.pictures.dicom_volumes import Dicom
from resnets.data.pictures.images import BadPicture
from resnets.data.types import KINDS, Source
from resnets.data.words import worded
from resnets.files import open_regular

# Attributes of the scanner and of how it was set, none of a person.
SCANNER = (
    *("Modality", "Manufacturer", "ManufacturerModelName", "StationName", "InstitutionName", "InstitutionalDepartmentName"),
    *("DeviceSerialNumber", "SoftwareVersions", "DetectorType", "DetectorID", "PhotometricInterpretation", "Rows", "Columns"),
    *("BitsAllocated", "BitsStored", "PixelRepresentation", "PixelSpacing", "ImagerPixelSpacing", "SliceThickness"),
    *("SpacingBetweenSlices", "KVP", "XRayTubeCurrent", "ExposureTime", "Exposure", "ConvolutionKernel", "FilterType"),
    *("MagneticFieldStrength", "RepetitionTime", "EchoTime", "InversionTime", "FlipAngle", "SequenceName", "ProtocolName"),
    *("ScanningSequence", "ReconstructionDiameter", "GantryDetectorTilt", "PatientPosition", "ViewPosition", "Grid"),
    *("BodyPartExamined", "WindowCenter", "WindowWidth", "RescaleSlope", "RescaleIntercept", "ImageType", "SamplesPerPixel"),
    *("LossyImageCompression", "BurnedInAnnotation", "SpecificCharacterSet"),
)
LEAST = 6  # patients of each class, below which nothing is said of what tells the classes
MOST_PIXELS = 400  # images that are looked at for burnt-in text
CELLS = 24  # of the grid along each side
BRIGHT, EDGE = 250, 128  # of a stroke of text, 0 to 255, and its least step to a neighbour


class Case(NamedTuple):
    """An image or series: its split and position there, its path, the hash of its patient and its scanner's attributes."""

    split: str
    position: int
    path: Path
    patient: str
    modality: str
    tags: dict[str, Any]


def check_scans(source: Source, *, progress: Callable[[int, int], None] | None = None, workers: int | None = None) -> Findings:
    """Open every series of a source, and say which are no volume."""
    found: list[Finding] = []
    bad, series, left = [], [], []
    for name, split in source.splits.items():
        for index in range(len(split)):
            try:
                volume = split.images[index]
            except BadPicture as error:
                bad.append({"name": split.images.name(index), "split": name, "label": "", "what": error.reason})
                continue
            finally:
                if progress:
                    progress(index + 1, len(split))
            if isinstance(volume, Dicom):
                facts = described(volume.stack)
                size = " x ".join(map(str, facts["shape"]))
                spacing = " x ".join(f"{step:.4g}" for step in facts["spacing"])
                words = f"{volume.files[0].modality} of {volume.files[0].patient}, {size} slices, rows, columns, {spacing} mm"
                series.append({"name": split.images.name(index), "split": name, "label": "", "what": words} | facts)
                left += [{"label": split.images.name(index), "what": note} for note in volume.notes]
    if bad:
        words = "that cannot be made a volume; get them whole, or move what does not belong to them elsewhere"
        found.append(Finding("error", "no_volume", f"{len(bad):,} series or files {words}", bad))
    if left:
        found.append(
            Finding("warning", "left_out_of_series", f"{many(len(left), 'time')} files of a series were left out", left)
        )
    if series:
        found.append(Finding("note", "series", f"{len(series):,} series that are volumes", series))
    total = sum(map(len, source.splits.values()))
    ranked = sorted(found, key=lambda finding: LEVELS.index(finding.level))
    return Findings(source.name, total, tuple(ranked), worded("picture", KINDS[source.kind].images))


def look(source: Source) -> Iterator[Finding]:
    """What is to be said of a source's DICOM files, if it has some: who and what they are, and what tells their classes."""
    if not all(is_of_dicom(split.images) for split in source.splits.values()):
        return
    cases = list(_cases(source))
    if not cases:
        return
    modalities = ", ".join(f"{name} {num:,}" for name, num in Counter(case.modality for case in cases).most_common())
    num_patients = len({case.patient for case in cases if case.patient})
    words = f"DICOM: {len(cases):,} {KINDS[source.kind].images} of {many(num_patients, 'patient')}; {modalities}"
    yield Finding("note", "dicom", words + _spacings(cases))
    if num := sum(not case.patient for case in cases):
        words = "without PatientID and study, so that nobody knows which are of one patient"
        yield Finding("warning", "no_patient", f"{num:,} {KINDS[source.kind].images} {words}")
    burnt = [case for case in cases if str(case.tags.get("BurnedInAnnotation", "")).upper() == "YES"]
    if burnt:
        items = [{"label": source.splits[case.split].images.name(case.position)} for case in burnt]
        words = "say that text is burnt into their pixels (BurnedInAnnotation), perhaps a name; cut it off, or paint it over"
        yield Finding("warning", "burnt_in", f"{many(len(burnt), 'image')} {words}", items)
    yield from _tells(source, cases)


def _cases(source: Source) -> Iterator[Case]:
    for name, split in source.splits.items():
        files = getattr(split.images, "files", split.images)
        for index in range(len(files)):
            try:
                facts = files_of(files.path(index))[0]
                yield Case(name, index, files.path(index), facts.patient, facts.modality, tags_of(facts.path))
            except (DicomError, OSError):  # said where images are read
                continue


def tags_of(path: Path) -> dict[str, Any]:
    """The attributes `SCANNER` that a file has, as a number or text. Raises `DicomError` and `OSError`."""
    with open_regular(path) as file:
        ds = parse(file, SCANNER)
    with blamed("its attributes cannot be read"):
        return {word: _plain(ds.get(word)) for word in SCANNER if word in ds and ds.get(word) not in (None, "")}


def _plain(value: Any) -> float | str:
    try:
        return float(value)
    except (TypeError, ValueError):
        return str(value)


def _spacings(cases: list[Case]) -> str:
    """The range of slice thickness and pixels, where the files say them."""
    sizes = [(case.tags.get("Rows"), case.tags.get("Columns")) for case in cases]
    few = Counter(
        f"{rows:g} x {columns:g}" for rows, columns in sizes if isinstance(rows, float) and isinstance(columns, float)
    )
    return f"; {', '.join(f'{size}: {num:,}' for size, num in few.most_common(3))}" + " ..." * (len(few) > 3) if few else ""


# --- whether the class can be told without the image ---


def _tells(source: Source, cases: list[Case]) -> Iterator[Finding]:
    codes = {name: split.targets.codes() for name, split in source.splits.items()}
    cases = [case for case in cases if case.split == "train"] or cases
    labels = np.array([codes[case.split][case.position] for case in cases])
    if len(np.unique(labels)) < 2:
        return
    who = np.array([case.patient or f"alone-{n}" for n, case in enumerate(cases)])
    if min(len(np.unique(who[labels == code])) for code in np.unique(labels)) < LEAST:
        words = f"fewer than {LEAST} patients of a class, too few to see whether scanner tags or burnt-in text tell it"
        yield Finding("note", "not_told", words)
        return
    names, values = numbers_of([case.tags for case in cases])
    yield from _told(
        "scanner_tags",
        told_apart(values, labels, who),
        "attributes of the scanner",
        lambda: _alone(names, values, labels, who),
        "the network may learn the scanner instead; take each class from every scanner, and test on another scanner",
    )
    kept, marks = _marks(source, cases)
    if len(kept) and len(np.unique(labels[kept])) > 1:
        yield from _told(
            "burnt_in_text",
            told_apart(marks, labels[kept], who[kept]),
            "bright marks at one place, such as burnt-in text,",
            lambda: _places(marks, labels[kept]),
            "the network may read these instead; cut them off, or paint them over",
        )


def _told(kind: str, found: Told, what: str, items: Callable[[], list[dict[str, str]]], remedy: str) -> Iterator[Finding]:
    figures = f"balanced accuracy {found.accuracy:.0%} across patients, by chance {found.chance:.0%}, p = {found.p:.2g}"
    if found.sure:
        words = f"{what} alone tell the class: {figures}; {remedy}"
        yield Finding("error" if found.accuracy > 0.9 else "warning", kind, words, items())
    else:
        yield Finding("note", kind, f"{what} alone do not tell the class: {figures}")


def numbers_of(tags: list[dict[str, Any]]) -> tuple[list[str], np.ndarray]:
    """A column for each attribute that differs between cases, float32 (N, C): numbers as they are, texts by how frequent they
    are, -1 where there is none; and their names."""
    names, columns = [], []
    for word in SCANNER:
        found = [each.get(word) for each in tags]
        texts = Counter(value for value in found if isinstance(value, str))
        rank = {text: n for n, (text, _) in enumerate(sorted(texts.items(), key=lambda item: (-item[1], item[0])))}
        for name, known in (
            (word, [value if isinstance(value, float) and math.isfinite(value) else -1.0 for value in found]),
            (word, [float(rank[value]) if isinstance(value, str) else -1.0 for value in found]),
        ):
            if len(set(known)) > 1:
                names.append(name)
                columns.append(known)
    return names, np.array(columns, np.float32).reshape(len(columns), len(tags)).T


def _alone(names: list[str], values: np.ndarray, labels: np.ndarray, who: np.ndarray) -> list[dict[str, str]]:
    """How well each attribute tells the class by itself, the best first; its name, not what it holds."""
    found: dict[str, float] = {}
    for n, name in enumerate(names):
        alone = told_apart(values[:, n : n + 1], labels, who, test=False)
        found[name] = max(alone.accuracy * alone.matters, found.get(name, 0.0))
    half = (
        1 / len(np.unique(labels)) + max(found.values(), default=0.0)
    ) / 2  # of the way to the best; what is below may be chance
    best = sorted((name for name in found if found[name] >= half), key=lambda name: -found[name])
    return [{"label": name, "alone": f"{found[name]:.0%}"} for name in best]


def _marks(source: Source, cases: list[Case]) -> tuple[np.ndarray, np.ndarray]:
    """Of up to `MOST_PIXELS` images: their positions among the cases, and where they (of volumes the middle slice) have
    strokes, uint8 (N, CELLS ** 2)."""
    kept, marks = [], []
    chosen = np.unique(np.linspace(0, len(cases) - 1, min(MOST_PIXELS, len(cases))).round().astype(int))
    for n in chosen.tolist():
        try:
            image = source.splits[cases[n].split].images[cases[n].position]
            pixels = image.drawn(image.shape[0] // 2) if hasattr(image, "drawn") else image
        except BadPicture:
            continue
        kept.append(n)
        marks.append(strokes(pixels).ravel())
    return np.array(kept, int), np.array(marks, np.uint8)


def strokes(pixels: np.ndarray) -> np.ndarray:
    """uint8 (CELLS, CELLS): whether a part of a picture (H, W, C) has pixels as text has: nearly white beside much darker."""
    grey = pixels.max(2).astype(np.int16)
    if min(grey.shape) < 2 * CELLS:
        return np.zeros((CELLS, CELLS), np.uint8)
    step = np.zeros_like(grey)
    step[:, 1:] = np.abs(np.diff(grey, axis=1))
    step[1:] = np.maximum(step[1:], np.abs(np.diff(grey, axis=0)))
    sharp = (step >= EDGE) & (np.maximum(grey, np.roll(grey, 1, 1)) >= BRIGHT)
    rows, columns = (np.linspace(0, length, CELLS + 1).astype(int)[:-1] for length in grey.shape)
    return np.maximum.reduceat(np.maximum.reduceat(sharp.astype(np.uint8), rows, 0), columns, 1)


def _places(marks: np.ndarray, labels: np.ndarray) -> list[dict[str, str]]:
    """Where the classes differ most in marks, as fractions of height and width."""
    rates = np.array([marks[labels == code].mean(0) for code in np.unique(labels)])
    best = np.argsort(-(rates.max(0) - rates.min(0)), kind="stable")[:3].tolist()
    return [
        {"label": f"at {(n // CELLS + 0.5) / CELLS:.0%} of the height and {(n % CELLS + 0.5) / CELLS:.0%} of the width",
         "in": f"{rates[:, n].max():.0%} of one class, {rates[:, n].min():.0%} of another"}
        for n in best
    ]  # fmt: skip
