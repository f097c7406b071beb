"""Runs that items look into."""

import numpy as np
import pytest

from resnets.verbs import train as training

TINY = {
    "depths": "1,1,1", "width": 4, "steps": 6, "batch_size": 8, "lr": 0.05, "workers": 0, "device": "cpu", "img_size": 8,
    "precision": "float32", "keep_at": "0,6",
}  # fmt: skip


def arrays(path):
    random = np.random.default_rng(0)
    sizes = {"train": 36, "val": 12, "test": 10}
    found = {f"{name}_images": random.integers(0, 256, (num, 8, 8), dtype=np.uint8) for name, num in sizes.items()}
    np.savez(path, **found, **{f"{name}_labels": np.arange(num) % 3 for name, num in sizes.items()})
    return str(path)


@pytest.fixture(scope="session")
def runs(tmp_path_factory):
    """Two seeds of a plain and a residual network, with the weights of their first and last step; and the data."""
    folder = tmp_path_factory.mktemp("inside")
    data, found = arrays(folder / "d.npz"), {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "finish", lambda job, source, best_epoch: job)
        for name in ("plain20_cifar", "resnet20_cifar"):
            for seed in (0, 1):
                found[name, seed] = folder / f"{name}{seed}"
                training.train(data, model=name, out=found[name, seed], seed=seed, **TINY)
    return found, data
