"""A small set of arrays and settings of a run that takes seconds."""

import csv

import numpy as np

from resnets.engine.plan import settle
from resnets.verbs.train import layers_of

TINY = {
    "model": "resnet20_cifar", "depths": "1,1,1", "width": 4, "epochs": 3, "batch_size": 8, "lr": 0.05, "workers": 0,
    "device": "cpu", "precision": "float32", "save_every": 1e9,
}  # fmt: skip


def arrays(path, num=36, **more):
    random = np.random.default_rng(0)
    sizes = {"train": num, "val": 12} | more
    found = {f"{split}_images": random.integers(0, 256, (size, 8, 8), dtype=np.uint8) for split, size in sizes.items()}
    np.savez(path, **found, **{f"{split}_labels": np.arange(size) % 3 for split, size in sizes.items()})
    return path


def planned(**settings):
    """What a run with these settings would be."""
    _, layers, task = layers_of(None, settings)
    return settle(task, layers, None)


def rows(run):
    with (run / "metrics.csv").open() as file:
        return list(csv.DictReader(file))
