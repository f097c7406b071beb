"""Detection and segmentation, interrupted and resumed, are uninterrupted, bit for bit."""

import pytest
from safetensors.torch import load_file

from tests.engine.running import assert_same, stopping
from tests.tasks.dense.made import KINDS, train

WAYS = {
    **{name: (name, {}, {"step": 4}) for name in KINDS},
    "in the middle of an epoch": ("unet", {}, {"step": 2}),
    "in validation": ("pyramid", {}, {"validation": 1}),
    "ema": ("pyramid", {"ema": 0.9}, {"step": 2}),
    "ema of regions": ("c4", {"ema": 0.9}, {"step": 4}),
    "accumulated": ("unet", {"accumulate": 2, "batch_size": 2}, {"step": 1}),
    "accumulated, detected": ("masks", {"accumulate": 2}, {"step": 3}),
    "checkpointed": ("c4", {"checkpoint_activations": True, "depths": "2,1,1"}, {"step": 2}),
    "repeated, in workers": ("fcn", {"repeats": 2, "workers": 1, "epochs": 1}, {"step": 4}),
    "shrunk": ("unet", {"img_size": 16, "hflip": 1.0, "class_names": "background,cell,wall"}, {"step": 5}),
    "bfloat16": ("pyramid", {"precision": "bfloat16"}, {"step": 4}),
}


# Between them the quick ones have every head, mask and batch, half a step, validation, an average and workers.
QUICK = {"unet", "c4", "in validation", "ema of regions", "accumulated", "repeated, in workers", "shrunk", "deeplabv3", "masks"}


@pytest.mark.parametrize("way", [pytest.param(way, marks=[pytest.mark.slow] * (way not in QUICK)) for way in WAYS])
def test_interrupted_and_resumed_is_uninterrupted(way, tmp_path, undrawn):
    name, more, stop = WAYS[way]
    task, make, settings = KINDS[name]
    data = make(tmp_path / "data", train=6, val=2)
    job = train(data, tmp_path / "whole", task, **settings | more)
    assert all(tensor.isfinite().all() for tensor in load_file(tmp_path / "whole/last.safetensors").values())
    with stopping(**stop):
        train(data, tmp_path / "parts", task, **settings | more)
    train(None, tmp_path / "parts", task, resume=True)
    assert_same(tmp_path / "whole", tmp_path / "parts")
    assert job.recipe.ema == more.get("ema")
