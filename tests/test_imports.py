"""Commands import what they need: where no network is compiled, not torch's compiler, which is 900 modules."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from resnets.data.preprocess import Preprocess
from resnets.models.zoo import get
from resnets.ship.hub import create_model, save

COMPILER = ("torch._dynamo", "torch._inductor", "sympy")
STATISTICS = ("sklearn", "scipy.stats", "pandas", "matplotlib", "torchvision")
TRAIN = "train data.npz --model resnet20_cifar --depths 1,1,1 --width 4 --epochs 1 --device cpu --precision float32 --out run"


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A small model, and a file of data."""
    folder = tmp_path_factory.mktemp("place")
    torch.manual_seed(0)
    spec = get("resnet20_cifar", depths=(1, 1, 1), width=4)
    model = create_model(spec, labels=("0", "1", "2"), preprocess=Preprocess(size=(8, 8), crop_pct=1.0))
    save(model, folder / "model.safetensors")
    images = np.random.default_rng(0).integers(256, size=(12, 8, 8, 3), dtype=np.uint8)
    np.savez(folder / "data.npz", **{f"{split}_images": images for split in ("train", "test")},
             **{f"{split}_labels": np.arange(12) % 3 for split in ("train", "test")})  # fmt: skip
    Image.fromarray(images[0]).save(folder / "one.png")
    return folder


# One after the other in a process: each needs no less than the one before.
COMMANDS = {
    "predict model.safetensors one.png --device cpu": (*COMPILER, *STATISTICS, "rich"),
    "eval model.safetensors data.npz --device cpu": (*COMPILER, *STATISTICS),
    TRAIN: COMPILER,
}


def test_what_is_not_needed_is_not_imported(place):
    code = f"""
import sys, torch
before = set(sys.modules)
from resnets.cli.main import main
for words, unneeded in {COMMANDS!r}.items():
    try:
        main(words.split())
    except SystemExit as stopped:
        assert not stopped.code
    print("unneeded", [name for name in unneeded if name in {{*sys.modules}} - before])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=place)
    found = [line for line in done.stdout.splitlines() if line.startswith("unneeded ")]
    assert found == ["unneeded []"] * len(COMMANDS), done.stdout + done.stderr
