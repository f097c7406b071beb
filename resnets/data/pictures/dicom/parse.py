"""Parsing a DICOM file from anyone: only the attributes that are asked for, within limits of bytes and reads. No torch.

Attributes that name a person are never asked for (but by `segmentation`, which the standard obliges to copy them), so that none
of them can reach a message, a log or a drawing. What pydicom says of a broken file may quote it, and is not repeated either.
(DICOM PS3.5 sections 7 and A, PS3.10 section 7.)
"""

from __future__ import annotations

import os
import re
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from io import BytesIO
from types import ModuleType
from typing import Any, BinaryIO, NamedTuple

from resnets.errors import InputError
from resnets.files import open_regular

EXTRA = "pip install 'resnets[dicom]'"
PREAMBLE, MAGIC = 128, b"DICM"
MAX_FILE = 1 << 31  # bytes, also of one that is deflated
MAX_HEADER = 1 << 24  # bytes of attributes that are read before the pixels; of 2,000 frames they are about 4 million
MAX_READS = 1 << 21  # each element takes one to three; together they bound the time
GROUP_OF_META = 2
PIXELS = 0x7FE00010, 0x7FE00008, 0x7FE00009  # PixelData and that of floats, which come last
PIXEL_DATA = PIXELS[0]


class Syntax(NamedTuple):
    """How a file is encoded. `family` names the compression of its pixels, "" where there is none."""

    implicit: bool
    little: bool
    family: str = ""


_JPEG, _LS, _2000 = Syntax(False, True, "JPEG"), Syntax(False, True, "JPEG-LS"), Syntax(False, True, "JPEG 2000")
DEFLATED = "1.2.840.10008.1.2.1.99"
SYNTAXES = {
    "1.2.840.10008.1.2": Syntax(True, True),
    "1.2.840.10008.1.2.1": Syntax(False, True),
    DEFLATED: Syntax(False, True),
    "1.2.840.10008.1.2.2": Syntax(False, False),
    "1.2.840.10008.1.2.4.50": _JPEG,  # baseline
    "1.2.840.10008.1.2.4.51": _JPEG,  # 12 bits
    "1.2.840.10008.1.2.4.57": _JPEG,  # lossless
    "1.2.840.10008.1.2.4.70": _JPEG,  # lossless, first-order prediction
    "1.2.840.10008.1.2.4.80": _LS,
    "1.2.840.10008.1.2.4.81": _LS,
    "1.2.840.10008.1.2.4.90": _2000,
    "1.2.840.10008.1.2.4.91": _2000,
    "1.2.840.10008.1.2.4.201": _2000,  # high throughput
    "1.2.840.10008.1.2.4.202": _2000,
    "1.2.840.10008.1.2.4.203": _2000,
    "1.2.840.10008.1.2.5": Syntax(False, True, "RLE"),
}
STANDARD = "1.2.840.10008."  # how the standard's own identifiers begin


class DicomError(ValueError):
    """What is wrong with a DICOM file or series, without anything of its text."""


@cache
def library() -> ModuleType:
    """pydicom, which does not warn of values: it would quote them. Raises `InputError` if it is not installed."""
    try:
        import pydicom
    except ImportError as error:
        raise InputError(f"DICOM files need a library: {EXTRA}") from error
    pydicom.config.settings.reading_validation_mode = pydicom.config.IGNORE
    return pydicom


@contextmanager
def blamed(what: str) -> Iterator[None]:
    """Inside, whatever pydicom or a decoder raises becomes a `DicomError` that says `what` and the kind of error alone."""
    try:
        yield
    except (DicomError, InputError, MemoryError):
        raise
    except Exception as error:  # a malformed file can raise nearly any exception
        raise DicomError(f"{what} ({type(error).__name__})") from None


# Of a file: .dcm, .dicom or .ima; none, as IM0001; or a number, as the last part of an identifier.
NAMED = re.compile(r"[^.]*|.*\.(?:\d+|dcm|dicom|ima)", re.IGNORECASE | re.DOTALL)
HIDDEN = "dicomdir"  # what a disc has beside the images; it names the patients


def is_named(name: str) -> bool:
    """Whether a file of this name is looked into."""
    return bool(NAMED.fullmatch(name)) and not name.startswith(".") and name.lower() != HIDDEN


def is_dicom(path: str | os.PathLike[str]) -> bool:
    """Whether a file begins as DICOM files do, whatever its name."""
    try:
        with open_regular(path) as file:
            return begins(file)
    except (OSError, ValueError):
        return False


def begins(file: BinaryIO) -> bool:
    """Whether an open file is DICOM; it stays where it stands."""
    at = file.tell()
    file.seek(0)
    start = file.read(PREAMBLE + len(MAGIC))
    file.seek(at)
    return start[PREAMBLE:] == MAGIC


class _Limited:
    """A file that may be read a limited number of times, and a limited number of bytes, but for skipping."""

    def __init__(self, file: BinaryIO, most: int) -> None:
        self.file, self.room, self.reads = file, most, 0
        self.seek, self.tell, self.close = file.seek, file.tell, file.close
        at = file.tell()
        self.end = file.seek(0, os.SEEK_END)
        file.seek(at)

    def read(self, size: int = -1) -> bytes:
        self.reads += 1
        if self.reads > MAX_READS:
            raise DicomError(f"more than the {MAX_READS // 2:,} elements that are read")
        if not 0 <= size <= self.room:
            raise DicomError(f"attributes of more than the {MAX_HEADER:,} bytes that are read")
        # A part that claims to have gigabytes would be given memory for these.
        found = self.file.read(max(0, min(size, self.end - self.file.tell())))
        self.room -= len(found)
        return found


def parse(file: BinaryIO, keywords: Sequence[str], *, pixels: bool = False) -> Any:
    """The attributes with these keywords as a pydicom `Dataset`, with its `file_meta`.

    Args:
        keywords: names of attributes, as in PS3.6.
        pixels: with the pixels, if there are some.

    Raises:
        DicomError: for what is no DICOM, or is not read here; with a reason.
        InputError: without pydicom.
    """
    pydicom = library()
    if not begins(file):
        raise DicomError("not a DICOM file: no 'DICM' after the first 128 bytes")
    with blamed("its attributes cannot be parsed: truncated, damaged, or in another byte order than it says"):
        file.seek(PREAMBLE + len(MAGIC))
        meta = pydicom.filereader.read_dataset(
            _Limited(file, MAX_HEADER), False, True, stop_when=lambda tag, vr, length: tag >> 16 != GROUP_OF_META
        )
        uid = str(meta.get("TransferSyntaxUID", ""))
        syntax = syntax_of(uid)
        body = inflated(file) if uid == DEFLATED else file
        wanted = [pydicom.datadict.tag_for_keyword(word) for word in keywords]
        found = pydicom.filereader.read_dataset(
            _Limited(body, MAX_FILE if pixels else MAX_HEADER),
            syntax.implicit,
            syntax.little,
            stop_when=lambda tag, vr, length: tag > PIXEL_DATA or (not pixels and tag in PIXELS),
            specific_tags=[*wanted, *PIXELS] if pixels else wanted,
        )
        found.file_meta = pydicom.dataset.FileMetaDataset(meta)
        found.set_original_encoding(syntax.implicit, syntax.little)
    return found


def syntax_of(uid: str) -> Syntax:
    """Raises `DicomError` where no decoder is known, with the name of the transfer syntax, which names no person."""
    if uid in SYNTAXES:
        return SYNTAXES[uid]
    if not uid.startswith(STANDARD):
        raise DicomError(f"a private transfer syntax ({uid:.64}), which is not decoded" if uid else "no transfer syntax")
    name = library().uid.UID(uid).name
    raise DicomError(f"the transfer syntax {name} ({uid:.64}), which is not decoded; save it uncompressed")


def inflated(file: BinaryIO) -> BytesIO:
    """The rest of a deflated file, of at most `MAX_FILE` bytes."""
    stream, pieces, size = zlib.decompressobj(-zlib.MAX_WBITS), [], 0
    while data := file.read(1 << 20):
        while data:
            piece = stream.decompress(data, 1 << 24)
            size += len(piece)
            if size > MAX_FILE:
                raise DicomError(f"it unpacks to more than the {MAX_FILE:,} bytes that are read")
            pieces.append(piece)
            data = stream.unconsumed_tail
    return BytesIO(b"".join(pieces))
