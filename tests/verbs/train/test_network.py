"""The network, its size, statistics and classes follow the data and the settings."""

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from resnets.data.preprocess import IMAGENET_MEAN, IMAGENET_STD
from resnets.models import weights
from resnets.tasks.image_level import pictures as of_pictures
from resnets.verbs.train import train
from tests.engine.made import planned
from tests.verbs.train.made import TINY, arrays, pictures

# --- network, size, statistics ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"size": 8}, ("resnet20_cifar", 8, "pad", 1.0)),
        ({"size": 64}, ("resnet20_cifar", 64, "pad", 1.0)),
        ({"size": 8, "time": "10m"}, ("resnet8_cifar", 8, "pad", 1.0)),
        ({"size": 8, "time": "1m", "model": "resnet20_cifar"}, ("resnet20_cifar", 8, "pad", 1.0)),
        ({"size": 65, "time": "10m"}, ("resnet18", 96, "resized", 0.875)),
        ({"size": 65}, ("resnet18", 96, "resized", 0.875)),
        ({"size": 65, "img_size": 32}, ("resnet20_cifar", 32, "pad", 1.0)),
        ({"size": 8, "img_size": 96}, ("resnet18", 96, "resized", 0.875)),
        ({"size": 8, "model": "resnet18"}, ("resnet18", 8, "pad", 1.0)),
        ({"size": 65, "model": "resnet20_cifar"}, ("resnet20_cifar", 32, "pad", 1.0)),
    ],
    ids=str,
)
def test_network_and_size_follow_the_pictures(given, expected, tmp_path):
    given, (name, size, crop, crop_pct) = dict(given), expected
    data = arrays(tmp_path / "d.npz", size=given.pop("size"), train=6, val=3)
    plan = planned(data=data, **given)
    assert (plan.spec.name, plan.preprocess.size, plan.recipe.model, plan.recipe.img_size) == (name, (size, size), name, size)
    assert (plan.recipe.crop, plan.recipe.crop_pct, plan.preprocess.crop_pct) == (crop, crop_pct, crop_pct)


@pytest.mark.parametrize(
    ("given", "flags", "expected"),
    [
        ({"time": "1m"}, ("avx2",), (32, "the time")),
        ({"time": "20m"}, ("avx2",), (64, "the time")),
        ({"time": "8m"}, ("avx2",), (32, "the time")),
        ({"time": "8m"}, ("avx512_bf16",), (64, "the time")),
        ({"time": "4m"}, ("avx512_bf16",), (32, "the time")),
        ({"time": "4m"}, ("avx512_bf16", "amx_bf16"), (64, "the time")),
        ({"time": "2h", "width": 16}, ("avx2",), (16, "flag")),
        ({"epochs": 1}, ("avx2",), (None, "default")),
        ({"time": "1m", "model": "resnet8_cifar"}, ("avx2",), (None, "default")),
    ],
    ids=str,
)
def test_the_width_is_that_for_which_the_time_is_enough(given, flags, expected, tmp_path, monkeypatch):
    monkeypatch.setattr(of_pictures, "cpu_flags", lambda: set(flags))
    data = arrays(tmp_path / "d.npz", size=8, train=6, val=3)
    plan = planned(data=data, device="cpu", **given)
    assert (plan.recipe.width, plan.origins["width"]) == expected
    again = planned(data=data, device="cpu", model=plan.recipe.model, width=plan.recipe.width)
    assert again.spec == plan.spec  # which is how a run that is taken up finds its network


@pytest.mark.parametrize(("chans", "in_chans", "expected"), [((), None, 3), ((), 1, 1), ((3,), None, 3), ((3,), 1, 1)])
def test_channels(chans, in_chans, expected, tmp_path, undrawn):
    data = arrays(tmp_path / "d.npz", chans=chans)
    job = train(data, out=tmp_path / "run", in_chans=in_chans, **TINY)
    assert (job.model.spec.in_chans, job.model.preprocess.in_chans, job.model.conv1.in_channels) == (expected,) * 3


def test_statistics_are_those_of_the_training_split_alone(tmp_path):
    data = arrays(tmp_path / "d.npz", train=40, test=20)
    plan = planned(data=data, in_chans=1, val_fraction=0.25)
    images = plan.source.splits["train"].images.array / 255
    assert len(images) == 30  # of each class a quarter, rounded
    assert plan.preprocess.mean == pytest.approx((images.mean(),), abs=1e-6)
    assert plan.preprocess.std == pytest.approx((images.std(),), abs=1e-6)


@pytest.mark.parametrize(
    ("settings", "mean", "std"),
    [
        ({"normalise": "imagenet"}, IMAGENET_MEAN, IMAGENET_STD),
        ({"normalise": "pixel"}, 192, (1.0, 1.0, 1.0)),
        ({"recipe": "he2015"}, 192, (1.0, 1.0, 1.0)),
    ],
    ids=str,
)
def test_normalising(settings, mean, std, tmp_path):
    plan = planned(data=arrays(tmp_path / "d.npz"), **settings)
    assert plan.preprocess.std == std
    assert plan.preprocess.mean == mean if isinstance(mean, tuple) else len(plan.preprocess.mean) == mean


# --- classes ---------------------------------------------------------------------------------------------------------


def test_training_fixes_the_labels(tmp_path, undrawn):
    """A class that validation lacks keeps its place."""
    pictures(tmp_path / "f", classes=["cat", "dog", "emu"], num=9)
    for path in (tmp_path / "f/val/cat").iterdir():
        path.unlink()
    job = train(str(tmp_path / "f"), out=tmp_path / "run", img_size=8, **TINY)
    assert job.model.labels == ("cat", "dog", "emu") and set(job.val.samples.split.targets.values) == {1, 2}
    assert weights.read_header(tmp_path / "run/best.safetensors").labels == ("cat", "dog", "emu")


def test_more_classes_than_the_data_has_get_names(tmp_path):
    run = train(arrays(tmp_path / "d.npz"), out=tmp_path / "run", num_classes=5, mixup=0.5, **TINY)
    assert run.model.labels == ("10", "11", "12", "unused_3", "unused_4") and run.model.fc.out_features == 5
    assert np.array(run.result["confusion"]).shape == (5, 5)
    assert np.isfinite(run.result["loss"]) and np.isfinite(run.result["macro_f1"])


@pytest.mark.parametrize("recipe", ["he2015", "rsb-a3", "torchvision-v2"])
def test_published_recipes_take_a_step_on_small_pictures(recipe, tmp_path, undrawn):
    if recipe == "rsb-a3":
        pytest.importorskip("timm")
    data = arrays(tmp_path / "d.npz", chans=(3,), train=12, val=4)
    settings = {name: TINY[name] for name in ("model", "depths", "width", "batch_size", "workers", "device", "precision")}
    job = train(data, out=tmp_path / "run", recipe=recipe, steps=2, img_size=16, train_size=12, **settings)
    assert (job.recipe.steps, job.recipe.epochs, job.model.preprocess.size) == (2, None, (16, 16))
    assert all(torch.isfinite(tensor).all() for tensor in load_file(tmp_path / "run/last.safetensors").values())
