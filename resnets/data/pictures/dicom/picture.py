"""DICOM as a format of Pillow, so that a 2-D scan is read wherever a picture is: grey as mode L, colours as RGB. No torch.

Of several frames the first is read. Only `resnets.data.pictures.images` asks for this format, by its name.
"""

from __future__ import annotations

from typing import Any

from PIL import Image, ImageFile

from resnets.data.pictures.dicom.parse import begins, parse
from resnets.data.pictures.dicom.pixels import FORM, GREY, SCALE, SHOWN, form_of, shown

FORMAT = "DICOM"
SUFFIXES = ".dcm", ".dicom", ".ima"


class DicomImage(ImageFile.ImageFile):
    """An opened file; `window` (level, width) may be set before it is loaded, see `pixels.shown`."""

    format = FORMAT
    format_description = "DICOM PS3.10 files"
    window: tuple[float, float] | None = None

    def _open(self) -> None:
        assert self.fp is not None
        if not begins(self.fp):  # type: ignore[arg-type]
            raise SyntaxError("not a DICOM file")
        form = form_of(parse(self.fp, FORM))  # type: ignore[arg-type]
        self._size, self._mode = (form.columns, form.rows), "L" if form.kind in GREY else "RGB"
        self._loaded = False

    def load(self) -> Any:
        if not self._loaded:
            assert self.fp is not None
            pixels = shown(parse(self.fp, (*FORM, *SCALE, *SHOWN), pixels=True), self.window)  # type: ignore[arg-type]
            self.im = Image.fromarray(pixels).im
            self._loaded = True
        return Image.Image.load(self)


Image.register_open(FORMAT, DicomImage)
