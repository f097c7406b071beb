"""Runs of each kind of head that take seconds."""

import csv

from resnets.verbs import train as training
from tests.data.made_dense import boxed, objects, segments

# 6 pictures in batches of 2: 3 steps an epoch.
TINY = {
    "model": "resnet20_cifar", "depths": "1,1,1", "width": 8, "epochs": 2, "batch_size": 2, "workers": 0, "device": "cpu",
    "precision": "float32", "save_every": 1e9,
}  # fmt: skip
KINDS = {
    "unet": ("segment", segments, {}),
    "fcn": ("segment", segments, {"head": "fcn", "loss": "focal"}),
    "deeplabv3": ("segment", segments, {"head": "deeplabv3", "balance": "loss", "train_size": 32}),
    "pyramid": ("detect", boxed, {}),
    "c4": ("detect", boxed, {"head": "c4", "train_size": 32}),
    "masks": ("detect", objects, {"masks": True}),
}


def train(data, out, task, **settings):
    return training.train(None if data is None else str(data), out=out, **({"task": task} | TINY if data else {}) | settings)


def rows(run):
    with (run / "metrics.csv").open() as file:
        return list(csv.DictReader(file))
