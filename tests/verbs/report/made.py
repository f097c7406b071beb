"""A model, its data and a run directory of both, without a training: pictures of plain colours, easy to tell apart."""

import json

import numpy as np
import torch
from PIL import Image

import resnets
from resnets.data.preprocess import Preprocess
from resnets.models import weights

LABELS = ("<b>blue<b>", "green", "red")  # which is text that a page has to escape


def plain(random, place, number):
    pixels = random.integers(0, 40, (16, 16, 3))
    pixels[..., 2 - place] += 120 + 5 * number
    return pixels.astype(np.uint8)


def colours(folder, *, train=6, test=10):
    """Folders of classes: each picture has its class's colour, more or less of it; but the first two of each class of the test
    split have the next class's, so that a model that goes by colour is wrong there."""
    random = np.random.default_rng(0)
    for split, num in (("train", train), ("val", 4), ("test", test)):
        for place, label in enumerate(LABELS):
            path = folder / split / label
            path.mkdir(parents=True)
            for number in range(num):
                shown = (place + (split == "test" and number < 2)) % 3
                Image.fromarray(plain(random, shown, number)).save(path / f"{number:02}.png")
    return folder


def model():
    """A network that goes by colour: its classifier is by the nearest mean of the classes' features."""
    torch.manual_seed(0)
    preprocess = Preprocess(size=(16, 16), crop_pct=1.0)
    network = resnets.create_model("resnet20_cifar", depths=(1, 1, 1), width=8, labels=LABELS, preprocess=preprocess).eval()
    random = np.random.default_rng(1)
    shown = np.stack([plain(random, place, number) for place in range(3) for number in range(10)])
    with torch.no_grad():
        means = network.features(network.inputs(shown))["c4"].mean((2, 3)).reshape(3, 10, -1).mean(1)
        centre, scale = means.mean(0), 20 / means.std()
        network.fc.weight.copy_((means - centre) * scale)
        network.fc.bias.copy_(-scale * ((means - centre) * (means + centre)).sum(1) / 2)
    return network


def run_of(folder, data):
    """A run directory as an interrupted training leaves it: recipe, provenance, weights."""
    folder.mkdir(parents=True, exist_ok=True)
    network = model()
    network.metadata["provenance"] = {"recipe": {"data": str(data), "task": "classify"}}
    weights.save(network, folder / "best.safetensors")
    (folder / "recipe.yaml").write_text(f"model: resnet20_cifar\ndata: {data}\n")
    (folder / "provenance.json").write_text(json.dumps({"data": {"name": "colours"}}))
    return folder
