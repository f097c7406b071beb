"""Series that come as bytes, such as in the body of a request, and an example of one. No torch."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np

from resnets.data.pictures.images import BadPicture
from resnets.data.preprocess import Preprocess
from resnets.data.series import files

RIFF = (b"RIFF", b"RIFX")


class SentSeries:
    """WAV or CSV files in memory, a series each; each is read from a file of our own in a temporary folder, until `close`.

    Args:
        preprocess: says how many channels a series has to have, and at which rate a WAV file has to be sampled.
        max_pixels: a series of more values is refused.
    """

    def __init__(self, sent: Sequence[Any], preprocess: Preprocess, max_pixels: int) -> None:
        self.sent, self.in_chans, self.rate, self.max_pixels = sent, preprocess.in_chans, preprocess.rate, max_pixels
        self.folder = tempfile.TemporaryDirectory(prefix="resnets-series-")
        self.paths = []
        for number, file in enumerate(sent):
            self.paths.append(Path(self.folder.name, f"{number}{files.WAV if file.content[:4] in RIFF else files.TABLE}"))
            self.paths[-1].write_bytes(file.content)

    def name(self, index: int, /) -> str:
        return str(self.sent[index].name)

    def __getitem__(self, index: int, /) -> np.ndarray:
        try:
            series = files.read(self.paths[index], self.rate)
        except BadPicture as bad:
            raise BadPicture(self.name(index), bad.reason) from bad
        if len(series) != self.in_chans:
            raise BadPicture(self.name(index), f"{len(series)} channels, and {self.in_chans} are wanted")
        if series.size > self.max_pixels:
            raise BadPicture(self.name(index), f"{series.size:,} values are more than the {self.max_pixels:,} that are read")
        return series

    def close(self) -> None:
        self.folder.cleanup()


def example_series(preprocess: Preprocess) -> bytes:
    """A CSV file of the length and channels that a network takes, of noise: a row for each time."""
    file = StringIO()
    np.savetxt(file, np.random.default_rng(0).normal(size=(preprocess.size[0], preprocess.in_chans)), "%.4f", delimiter=",")
    return file.getvalue().encode()
