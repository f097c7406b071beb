"""The function of docs/export.md that prepares an image for an exported file."""

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from resnets.data.pictures.resize import fit_picture
from resnets.data.preprocess import Preprocess

DOCS = Path(__file__).parents[2] / "docs" / "export.md"
RGB = np.random.default_rng(0).integers(0, 256, (60, 90, 3), dtype=np.uint8)


def made(kind):
    if kind == "transparent":
        return Image.fromarray(np.dstack([RGB, np.where(np.arange(90) < 45, 255, 90)[None].repeat(60, 0).astype(np.uint8)]))
    if kind == "16 bits":
        return Image.fromarray(RGB[..., 0].astype(np.uint16) * 256 + RGB[..., 1])
    return Image.fromarray(RGB) if kind == "plain" else Image.fromarray(RGB).quantize(16)


@pytest.mark.parametrize("kind", ["plain", "palette", "transparent palette", "transparent", "16 bits"])
@pytest.mark.parametrize("chans", [1, 3])
def test_it_makes_what_the_model_was_trained_on(kind, chans, tmp_path):
    code = next(block for block in re.findall(r"```python\n(.*?)```", DOCS.read_text(), re.DOTALL) if "def pixels" in block)
    own = {}
    exec(code, own)
    made(kind).save(tmp_path / "x.png", **{"transparency": 3} if kind.startswith("transparent p") else {})
    preprocess = Preprocess(size=(24, 20), crop_pct=0.9, mean=(0.5,) * chans, std=(0.5,) * chans)
    fields = {name: getattr(preprocess, name) for name in ("size", "crop_pct", "std", "interpolation")}
    expected = fit_picture(tmp_path / "x.png", preprocess).transpose(1, 2, 0)
    assert np.array_equal(own["pixels"](tmp_path / "x.png", fields)[0], expected)
