"""A small segmenter with random weights, and batches by chance."""

import torch

from resnets.data.preprocess import Preprocess
from resnets.data.targets import IGNORE
from resnets.models import zoo
from resnets.ship import hub

LABELS = ("background", "cell", "wall")
SPEC = zoo.get("resnet20_cifar", depths=(1, 1, 1), width=8, num_classes=3)


def batch(seed=0, ignored=0.3, size=(6, 5)):
    """Logits (2, 3, *size), and targets of which a share is to be ignored."""
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(2, 3, *size, generator=generator) * 2
    targets = torch.randint(0, 3, (2, *size), generator=generator)
    targets[torch.rand(targets.shape, generator=generator) < ignored] = IGNORE
    return logits, targets


def model(head_config=None, **changes):
    torch.manual_seed(0)
    preprocess = Preprocess(size=(24, 32), resize="keep", mean=(0.5,) * 3, std=(0.25,) * 3)
    settings = {"labels": LABELS, "head_config": head_config, "preprocess": preprocess}
    return hub.create_model(zoo.change(SPEC, **changes), task="segment", **settings).eval()
