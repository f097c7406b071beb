"""The pixels of a DICOM file: checked against what its attributes say before they are decoded, then as values or 8 bits.

Values are those after the modality's rescaling, such as Hounsfield units. No torch. (DICOM PS3.3 C.7.6.3, C.11; PS3.5 A.4, 8.)
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from resnets.data.pictures.dicom.parse import PIXELS, DicomError, blamed, library, syntax_of
from resnets.data.pictures.windowed import automatic, shares, sigmoid

MAX_FRAMES = 1 << 16
MAX_PIXELS = 1 << 31  # of all frames of a file, with their colours
MAX_FRAME = 1 << 28  # bytes of one frame, decoded
TIMES, MORE = 2, 1 << 16  # a compressed frame has at most so many times its decoded bytes, and so many more
HEAD = 1 << 16  # bytes of a compressed frame in which its size is looked for
FORM = (
    *("SamplesPerPixel", "PhotometricInterpretation", "Rows", "Columns", "NumberOfFrames", "PlanarConfiguration"),
    *("BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation"),
)  # what a decoder needs
SCALE = "RescaleSlope", "RescaleIntercept", "ModalityLUTSequence"
SHOWN = (
    *("WindowCenter", "WindowWidth", "VOILUTFunction", "VOILUTSequence", "PixelPaddingValue", "PixelPaddingRangeLimit"),
    *("PresentationLUTShape", "SharedFunctionalGroupsSequence"),
    *(f"{colour}PaletteColorLookupTable{part}" for colour in ("Red", "Green", "Blue") for part in ("Descriptor", "Data")),
)
GREY = "MONOCHROME1", "MONOCHROME2"
COLOURS = "RGB", "PALETTE COLOR", "YBR_FULL", "YBR_FULL_422", "YBR_RCT", "YBR_ICT"


class Form(NamedTuple):
    """The shape of a file's frames, and of their values."""

    frames: int
    rows: int
    columns: int
    samples: int
    bits: int  # that are allocated for a sample
    kind: str  # the photometric interpretation

    @property
    def num_bytes(self) -> int:
        """Of a decoded frame."""
        return math.ceil(self.rows * self.columns * self.samples * self.bits / 8)


def form_of(ds: Any) -> Form:
    """Raises `DicomError` where there is no image, or one that is not read here."""
    with blamed("its image cannot be described: attributes that are no numbers"):
        known = [ds.get(word) for word in ("Rows", "Columns")]
        if None in known:
            raise DicomError("no image in it (no Rows and Columns)")
        frames, samples = int(ds.get("NumberOfFrames") or 1), int(ds.get("SamplesPerPixel") or 1)
        bits, kind = int(ds.get("BitsAllocated") or 0), str(ds.get("PhotometricInterpretation", ""))
        form = Form(frames, int(known[0]), int(known[1]), samples, bits, kind)
    if form.kind not in (*GREY, *COLOURS):
        raise DicomError(f"a photometric interpretation that is not read; {', '.join((*GREY, *COLOURS))} are")
    if form.bits not in (1, 8, 16, 32, 64) or form.samples not in (1, 3) or min(form.rows, form.columns, form.frames) < 1:
        raise DicomError(f"{form.rows} x {form.columns} pixels of {form.samples} samples and {form.bits} bits; not an image")
    if form.frames > MAX_FRAMES or math.prod(form[:4]) > MAX_PIXELS or form.num_bytes > MAX_FRAME:
        raise DicomError(f"{form.frames:,} frames of {form.rows:,} x {form.columns:,} pixels are more than are read")
    return form


def stored(ds: Any, *, first: int = 0, num: int | None = None, rgb: bool = False) -> Iterator[np.ndarray]:
    """Frame by frame the stored values, (H, W) or (H, W, 3), without rescaling; bits that are not used are taken away.

    Args:
        ds: of `parse` with pixels and `FORM`.
        rgb: colours as RGB, whatever they are stored as.

    Raises:
        DicomError: where the pixels are fewer than the attributes say, or cannot be decoded.
    """
    form, uid = form_of(ds), str(ds.file_meta.TransferSyntaxUID)
    family, word = syntax_of(uid).family, next((tag for tag in PIXELS if tag in ds), None)
    if word is None:
        raise DicomError("no pixels in it")
    last = form.frames if num is None else min(form.frames, first + num)
    with blamed("truncated, or its pixels cannot be decoded"):
        data = ds[word].value or b""
        expected = math.ceil(math.prod(form[:5]) * _subsampled(form) / 8)  # frames of 1 bit follow each other within a byte
        if not family and len(data) < expected:
            raise DicomError(f"truncated: {len(data):,} bytes of pixels, where {expected:,} are expected")
        if family:
            _check_frames(data, family, form, ds)
        decoder = library().pixels.get_decoder(uid)
        if not decoder.is_available:
            raise DicomError(f"no decoder for {decoder.UID.name} is installed")
        for index in range(first, last):
            if form.bits == 1 and not family:
                yield _of_bits(data, index, form)
                continue
            frame, _ = decoder.as_array(ds, index=index, raw=not rgb)
            if frame.shape[:2] != (form.rows, form.columns):
                raise DicomError(f"its pixels are {frame.shape[0]} x {frame.shape[1]}, not {form.rows} x {form.columns}")
            yield frame


def _of_bits(data: bytes, index: int, form: Form) -> np.ndarray:
    """A frame of single bits, the lowest of a byte first. They may begin within a byte, where pydicom cannot take one alone."""
    num = form.rows * form.columns
    first, last = index * num, (index + 1) * num
    bits = np.unpackbits(np.frombuffer(data[first // 8 : -(-last // 8)], np.uint8), bitorder="little")
    return bits[first % 8 :][:num].reshape(form.rows, form.columns)


def _subsampled(form: Form) -> float:
    return 2 / 3 if form.kind == "YBR_FULL_422" else 1


def _check_frames(data: bytes, family: str, form: Form, ds: Any) -> None:
    """Look into each compressed frame before it is decoded: a codestream states a size of its own, and gets memory for that."""
    pydicom = library()
    num = 0
    for frame in pydicom.encaps.generate_frames(data, number_of_frames=form.frames):
        num += 1
        if len(frame) > TIMES * form.num_bytes + MORE:
            raise DicomError(f"a compressed frame of {len(frame):,} bytes, for {form.num_bytes:,} when decoded")
        size = SIZES[family](frame[:HEAD]) if family in SIZES else (form.rows, form.columns)
        if size != (form.rows, form.columns):
            words = "without a size" if size is None else f"of {size[0]:,} x {size[1]:,} pixels"
            raise DicomError(f"a compressed frame {words}, where the file says {form.rows:,} x {form.columns:,}")
    if num < form.frames:
        raise DicomError(f"truncated: {num:,} of {form.frames:,} frames")


def size_in_jpeg(data: bytes) -> tuple[int, int] | None:
    """(rows, columns) of a JPEG or JPEG-LS codestream by its start of frame (ITU-T T.81, B.2.2); None where there is none."""
    at = 2
    while at + 9 <= len(data) and data[at] == 0xFF:
        marker, (length,) = data[at + 1], struct.unpack_from(">H", data, at + 2)
        if marker == 0xF7 or (0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC)):
            rows, columns = struct.unpack_from(">HH", data, at + 5)
            return rows, columns
        at += 1 if marker == 0xFF else 2 + length
    return None


def size_in_2000(data: bytes) -> tuple[int, int] | None:
    """(rows, columns) of a JPEG 2000 codestream by its SIZ (ITU-T T.800, A.5.1), also within the boxes of a file."""
    at = data.find(b"\xff\x4f\xff\x51")
    if at < 0 or at + 24 > len(data):
        return None
    x, y, x0, y0 = struct.unpack_from(">IIII", data, at + 8)
    return y - y0, x - x0


SIZES = {"JPEG": size_in_jpeg, "JPEG-LS": size_in_jpeg, "JPEG 2000": size_in_2000}


def rescaled(frame: np.ndarray, ds: Any) -> np.ndarray:
    """Stored values as the modality's: by its table, or float32 by slope and intercept; as they are where it has neither."""
    with blamed("its rescaling cannot be read"):
        if ds.get("ModalityLUTSequence"):
            return library().pixels.apply_modality_lut(frame, ds)
        slope, offset = scale_of(ds)
        return frame if (slope, offset) == (1, 0) else frame.astype(np.float32) * np.float32(slope) + np.float32(offset)


def scale_of(ds: Any) -> tuple[float, float]:
    """Slope and intercept; (1, 0) where there are none."""
    with blamed("its rescaling cannot be read"):
        slope, offset = ds.get("RescaleSlope"), ds.get("RescaleIntercept")
        found = (1.0 if slope is None else float(slope), 0.0 if offset is None else float(offset))
    if not np.isfinite(found).all() or not found[0]:
        raise DicomError("a rescale slope or intercept that is no number, or 0")
    return found


def shown(ds: Any, window: tuple[float, float] | None = None) -> np.ndarray:
    """The first frame as a picture, uint8 (H, W) or (H, W, 3), dark to bright.

    Grey values are rescaled, then windowed: by `window` (level, width), or as the file says (its table, or its first window),
    or else the middle 99 % of them; MONOCHROME1 is inverted.
    """
    kind = form_of(ds).kind
    frame = next(stored(ds, num=1, rgb=True))
    if kind == "PALETTE COLOR":
        with blamed("its palette cannot be read"):
            return _in_8(library().pixels.apply_color_lut(frame, ds))
    if frame.ndim == 3:
        return _in_8(frame, int(ds.get("BitsStored") or 8))
    values = rescaled(frame, ds)
    found = _windowed(values, ds) if window is None else shares(values, window)
    if kind == GREY[0] or str(ds.get("PresentationLUTShape", "")) == "INVERSE":
        found = 1 - found
    return np.rint(found * 255).astype(np.uint8)


def _in_8(frame: np.ndarray, bits: int = 16) -> np.ndarray:
    if frame.dtype == np.uint8:
        return frame
    return np.rint(frame.clip(0) * (255 / (2 ** min(bits, 8 * frame.dtype.itemsize) - 1))).clip(0, 255).astype(np.uint8)


def _windowed(values: np.ndarray, ds: Any) -> np.ndarray:
    """Values as fractions of the file's own window."""
    with blamed("its window cannot be read"):
        if table := ds.get("VOILUTSequence"):
            bits = int(table[0].LUTDescriptor[2])
            return shares(library().pixels.apply_voi(values.astype(np.int64), ds), ((2**bits - 1) / 2, 2**bits - 1))
        level, width = (_first(ds.get(word)) for word in ("WindowCenter", "WindowWidth"))
        form = str(ds.get("VOILUTFunction") or "LINEAR")
        if level is None or width is None or width < (1 if form == "LINEAR" else 1e-9):
            padding = ds.get("PixelPaddingValue")
            known = values if padding is None else values[values != rescaled(np.array([int(padding)]), ds)[0]]
            return shares(values, automatic(known))
        if form == "SIGMOID":
            return sigmoid(values, (level, width))
        # PS3.3 C.11.2.1.2: LINEAR is shifted by half a value, and a width of 1 is a threshold.
        return shares(values, (level - 0.5, max(width - 1, 1e-6)) if form == "LINEAR" else (level, width))


def _first(value: Any) -> float | None:
    """The first of several values."""
    several = isinstance(value, list | tuple) or type(value).__name__ == "MultiValue"
    one = (value[0] if len(value) else None) if several else value
    return None if one is None or one == "" else float(one)
