"""What docs/export.md tells those who have no resnets gives the same answers as resnets."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import resnets
from resnets.ship.formats import FORMATS

PAGE = Path(__file__).parents[2] / "docs" / "export.md"
PREPARE, *CODE = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.M | re.S)
ORIENTATION = 0x0112


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Pictures of several shapes, one of them stored on its side, with the answers of the saved model."""
    folder, random = tmp_path_factory.mktemp("photos"), np.random.default_rng(0)
    for number, shape in enumerate([(32, 32), (45, 60), (200, 90), (20, 24), (61, 80)]):
        colour = random.integers(0, 256, 3) // 2
        image = Image.fromarray((colour + random.integers(0, 128, (*shape, 3))).astype(np.uint8))
        exif = Image.Exif()
        exif[ORIENTATION] = 6 if number == 1 else 1
        image.save(folder / f"{number}.png", exif=exif)
    image.putalpha(Image.linear_gradient("L").resize(image.size))
    image.save(folder / "transparent.png")
    Image.fromarray(random.integers(0, 65536, (40, 40)).astype(np.uint16)).save(folder / "deep.png")
    return sorted(folder.iterdir())


@pytest.mark.parametrize("form", ["onnx", "openvino", "torch"])
def test_same_answers_without_resnets(form, exported, saved_model, photos, tmp_path):
    code = dict(zip(["onnx", "openvino", "torch"], CODE, strict=True))[form]
    for suffix in (FORMATS[form].suffix, *FORMATS[form].beside):
        shutil.copy(exported[form].with_suffix(suffix), tmp_path / f"best{suffix}")
    wanted = [(row["label"], row["probability"]) for row in resnets.predict(saved_model, photos)]
    assert len({probability for _, probability in wanted}) == len(photos)
    shares = "p = np.exp(np.array(logits)[0]); print((p / p.sum()).max())"
    (tmp_path / "code.py").write_text("\n".join([PREPARE, code, shares]), encoding="utf-8")
    script = (
        "import shutil, sys; sys.modules['resnets'] = None; code = open('code.py', encoding='utf-8').read()\n"
        "for photo in sys.argv[1:]: shutil.copy(photo, 'photo.jpg'); exec(code)"  # Pillow looks at what is in it
    )
    command = [sys.executable, "-X", "utf8", "-c", script, *map(str, photos)]
    done = subprocess.run(command, cwd=tmp_path, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert wanted == [(label, pytest.approx(float(p), abs=1e-4)) for label, p in zip(lines[::2], lines[1::2], strict=True)]
