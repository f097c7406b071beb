"""Pictures of colours with some labels exchanged, and a tiny network whose features tell colours."""

import numpy as np
import torch
from PIL import Image

from resnets import create_model, save
from resnets.data.preprocess import Preprocess

COLOURS = {"blue": (30, 60, 220), "green": (40, 200, 60), "red": (220, 40, 40)}


def model_file(path):
    torch.manual_seed(0)
    rule = Preprocess(size=(32, 32), crop_pct=1.0, mean=(0.5,) * 3, std=(0.25,) * 3)
    model = create_model("resnet20_cifar", depths=(1, 1, 1), width=16, num_classes=2, preprocess=rule)
    save(model, path)
    return path


def pixels(label, seed, side=32):
    """Smooth noise around a colour: of different seeds no picture looks like another."""
    random = np.random.default_rng([seed, len(label)])
    coarse = random.integers(-60, 60, (4, 4, 1)).astype(np.uint8).astype(np.int8)
    noise = np.kron(coarse, np.ones((side // 4, side // 4, 1))) + random.integers(-8, 8, (side, side, 3))
    return (np.array(COLOURS[label]) + noise).clip(0, 255).astype(np.uint8)


def put(root, split, folder, label, seed):
    path = root / split / folder / f"{label}{seed}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels(label, seed)).save(path)
    return f"{split}/{folder}/{label}{seed}.png"


def colours(root, num=14):
    """train/ and test/ of three colours; what is wrong with them: {path: right colour}, a copy in another split, and one with
    another label."""
    for label in COLOURS:
        for seed in range(num):
            put(root, "train", label, label, seed)
        for seed in range(100, 104):
            put(root, "test", label, label, seed)
    wrong = {
        put(root, "train", "red", "blue", 50): "blue",
        put(root, "train", "green", "red", 51): "red",
        put(root, "test", "blue", "green", 52): "green",
    }
    same = put(root, "train", "red", "red", 100)
    disputed = put(root, "train", "blue", "green", 3)
    return wrong, same, disputed
