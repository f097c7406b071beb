"""Pictures that others hand over one by one, decoded or not, as a sequence of images. No torch."""

from __future__ import annotations

import io
from abc import abstractmethod
from typing import Any, BinaryIO

import numpy as np
from PIL import Image

from resnets.data.pictures.images import BadPicture, blame, pixels_of
from resnets.data.pictures.resize import as_image
from resnets.data.pictures.stored import StoredImages
from resnets.errors import InputError


class DecodedImages(StoredImages):
    """Images made of whatever `as_image` takes (abstract); each is asked for when it is needed."""

    @abstractmethod
    def picture(self, index: int, /) -> Any:
        """A path, bytes, a `PIL.Image`, an array, a tensor. May raise anything."""

    def relative(self, index: int, /) -> str:
        return self.name(index)

    def __getitem__(self, index: int, /) -> np.ndarray:
        name = self.name(index)
        with blame(name):
            try:
                return pixels_of(as_image(self.picture(index), self.in_chans, self.bit_depth, self.window))
            except BadPicture as bad:
                raise BadPicture(name, bad.reason) from bad
            except InputError as error:
                raise BadPicture(name, str(error)) from error

    def open(self, index: int, /) -> BinaryIO:
        file, pixels = io.BytesIO(), self[index]
        Image.fromarray(pixels[:, :, 0] if self.in_chans == 1 else pixels).save(file, "png", compress_level=0)
        file.seek(0)
        return file
