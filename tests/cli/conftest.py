"""A folder to work in."""

from pathlib import Path

import pytest
import torch
from PIL import Image

from resnets.data.preprocess import Preprocess
from resnets.models import zoo
from resnets.ship import hub
from tests.cli.made import SPEC


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder with a model of three colours and pictures of them."""
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    model = hub.create_model(
        zoo.change(SPEC, num_classes=3), labels=("blue", "green", "red"), preprocess=Preprocess(size=(8, 8), crop_pct=1.0)
    )
    hub.save(model, "model.safetensors")
    for name, colour in (("blue", (0, 0, 250)), ("green", (0, 250, 0)), ("red", (250, 0, 0))):
        for n in range(3):
            path = Path("colours", name, f"{n}.png")
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (9, 7), tuple(max(0, value - 20 * n) for value in colour)).save(path)
    return tmp_path
