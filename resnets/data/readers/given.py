"""Pictures as a user gives them to a model: paths, addresses, bytes, arrays, ... side by side. No torch."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from resnets.data.pictures.decoded import DecodedImages
from resnets.data.pictures.images import printable
from resnets.data.readers.download import content

MOST_BYTES = 1 << 26  # of a picture that is fetched
SECONDS = 30.0  # in which it has to come, in each of a few attempts


def is_address(picture: Any) -> bool:
    """Whether it is an http or https address."""
    return isinstance(picture, str) and re.match(r"https?://", picture, re.IGNORECASE) is not None


def fetched(picture: Any) -> Any:
    """The bytes at an address, at most `MOST_BYTES`; anything else as it is. Raises `InputError` where it cannot be fetched."""
    return content(picture, MOST_BYTES, SECONDS) if is_address(picture) else picture


class GivenImages(DecodedImages):
    """Pictures, each read, or fetched, when it is asked for.

    Args:
        items: what `as_image` takes, or an address.
        names: what each is called; default (None): paths and addresses as they are, of others "image 3".
    """

    def __init__(self, items: Sequence[Any], in_chans: int, names: Sequence[str] | None = None) -> None:
        self.items, self.in_chans = items, in_chans
        self.names = [_named(number, item) for number, item in enumerate(items)] if names is None else names

    def __len__(self) -> int:
        return len(self.items)

    def name(self, index: int, /) -> str:
        return self.names[index]

    def path(self, index: int, /) -> Path:
        """Its name as a path; of what is no file there is nothing there."""
        return Path(self.names[index])

    def picture(self, index: int, /) -> Any:
        return fetched(self.items[index])

    def subset(self, indices: Sequence[int] | np.ndarray) -> GivenImages:
        chosen = np.asarray(indices, np.int64).tolist()
        some = GivenImages([self.items[index] for index in chosen], self.in_chans, [self.names[index] for index in chosen])
        return some.at_depth(self.bit_depth).windowed(self.window)

    def digest(self) -> bytes:
        """A SHA-256 of the names."""
        return hashlib.sha256("\0".join(self.names).encode()).digest()

    state = digest


def _named(number: int, item: Any) -> str:
    return printable(item) if isinstance(item, str | os.PathLike) else f"image {number}"
