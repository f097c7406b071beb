"""Weights from other libraries and back, as a table: python benchmarks/conversion.py [--out FILE.md] [--rows TEXT]

Each row is a library's network with random weights and statistics, saved as that library saves it and opened by
`open_weights`. The figure is the largest difference of the outputs, relative where outputs exceed 1; "back" is after `--to`,
with the weights of ours in a fresh network of theirs.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import os
import sys
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("KERAS_BACKEND", "torch")
sys.path.append(str(Path(__file__).parent.parent))

import numpy as np
import torch
from safetensors.torch import save_file

from resnets.models.pretrained import keymaps
from resnets.models.pretrained.opening import open_weights
from resnets.ship import hub
from tests.models.pretrained.theirs import CifarNet, difference, randomise

warnings.filterwarnings("ignore")
Row = tuple[str, str, Callable[[str, Path], tuple[Any, Path, dict[str, Any]]]]


def of_torchvision(name: str, folder: Path) -> tuple[Any, Path, dict[str, Any]]:
    import torchvision

    make = getattr(torchvision.models, name)
    net = randomise(make())
    torch.save(net.state_dict(), folder / "x.pth")
    return net, folder / "x.pth", {"to": "torchvision", "make": make}


def of_timm(name: str, folder: Path) -> tuple[Any, Path, dict[str, Any]]:
    import timm

    net = randomise(timm.create_model(name))
    save_file(net.state_dict(), folder / "x.safetensors", {"format": "pt"})
    return net, folder / "x.safetensors", {"to": "timm", "make": lambda: timm.create_model(name)}


def of_transformers(name: str, folder: Path) -> tuple[Any, Path, dict[str, Any]]:
    from transformers import ResNetConfig, ResNetForImageClassification

    basic = {"layer_type": "basic", "hidden_sizes": [64, 128, 256, 512]}
    kinds = {"18": basic | {"depths": [2, 2, 2, 2]}, "50": {}, "50, stride in the 1x1": {"downsample_in_bottleneck": True}}
    net = randomise(ResNetForImageClassification(ResNetConfig(**kinds[name])))
    net.save_pretrained(folder)
    return (lambda x: net(x).logits), folder, {}


def of_keras(name: str, folder: Path) -> tuple[Any, Path, dict[str, Any]]:
    import keras

    form = name.rsplit(" ", 1)[1]
    net = getattr(keras.applications, name.split(maxsplit=1)[0])(
        weights=None, include_top=False, pooling="avg", input_shape=(None, None, 3)
    )
    rng = np.random.default_rng(0)
    for value in net.weights:
        kind = value.path.rsplit("/", 1)[1]
        bound = (3 / np.prod(value.shape[:-1])) ** 0.5 if kind == "kernel" else 0.5
        low = 0.5 if kind in ("gamma", "moving_variance") else -bound
        value.assign(rng.uniform(low, 1.5 if low > 0 else bound, value.shape))
    path = folder / f"x{form}"
    net.save_weights(path) if form == ".weights.h5" else net.save(path)

    def run(x: torch.Tensor) -> Any:
        pixels = 255 * x.permute(0, 2, 3, 1)
        if "V2" in name:
            return net(pixels / 127.5 - 1)
        return net(pixels.flip(-1) - torch.tensor([103.939, 116.779, 123.68]))

    return run, path, {"normalise": True}


def of_monai(name: str, folder: Path) -> tuple[Any, Path, dict[str, Any]]:
    from monai.networks.nets import resnet

    kind, _, shortcut = name.partition(", ")
    settings = {"shortcut_type": shortcut.removeprefix("option ") or "B"}
    medical = {"feed_forward": False, "conv1_t_stride": 2, "bias_downsample": False} if "MedicalNet" in kind else {}
    net = randomise(getattr(resnet, kind.split()[0])(n_input_channels=1, **medical, **settings))
    torch.save(net.state_dict(), folder / "x.pth")
    if medical and shortcut:  # option A: the same features in another order
        run = lambda x: net(x).sort(1).values  # noqa: E731
    else:
        run = net
    return run, folder / "x.pth", {"chans": 1, "dims": 3, "sort": run is not net, "given": {"mean": [0.5], "std": [1.0]}}


def of_cifar(name: str, folder: Path) -> tuple[Any, Path, dict[str, Any]]:
    kinds = {
        "akamaster resnet20": (3, "A", "linear"),
        "akamaster resnet56": (9, "A", "linear"),
        "chenyaofo resnet20": (3, "downsample", "fc"),
        "chenyaofo resnet44": (7, "downsample", "fc"),
        "kuangliu resnet18": (2, "shortcut", "linear", 10, (64, 128, 256, 512)),
    }
    net = randomise(CifarNet(*kinds[name]))
    torch.save({"state_dict": {f"module.{key}": value for key, value in net.state_dict().items()}}, folder / "x.th")
    return net, folder / "x.th", {"sizes": (32, 33)}


TORCHVISION = [
    "resnet18",
    "resnet34",
    "resnet50",
    "resnet101",
    "resnet152",
    "resnext50_32x4d",
    "resnext101_32x8d",
    "wide_resnet50_2",
]
TIMM = [
    "resnet18",
    "resnet50",
    "resnet50c",
    "resnet18d",
    "resnet50d",
    "seresnet50",
    "seresnext50_32x4d",
    "wide_resnet50_2",
    "resnetv2_18",
    "resnetv2_50",
]
KERAS = [f"{name} .weights.h5" for name in ["ResNet50", "ResNet101", "ResNet152", "ResNet50V2", "ResNet101V2", "ResNet152V2"]]
KERAS += ["ResNet50 .h5", "ResNet50 .keras", "ResNet50V2 .h5", "ResNet50V2 .keras"]
MONAI = ["resnet10", "resnet18", "resnet18, option A", "resnet34, option A", "resnet50", "resnet18 (MedicalNet), option A"]
MONAI += ["resnet50 (MedicalNet)"]
CIFAR = ["akamaster resnet20", "akamaster resnet56", "chenyaofo resnet20", "chenyaofo resnet44", "kuangliu resnet18"]
ROWS: list[Row] = [
    (library, name, make)
    for library, names, make in (
        ("torchvision", TORCHVISION, of_torchvision),
        ("timm", TIMM, of_timm),
        ("transformers", ["18", "50", "50, stride in the 1x1"], of_transformers),
        ("Keras Applications", KERAS, of_keras),
        ("MONAI", MONAI, of_monai),
        ("CIFAR repositories", CIFAR, of_cifar),
    )
    for name in names
]


def measure(name: str, make: Callable[[str, Path], tuple[Any, Path, dict[str, Any]]]) -> list[str]:
    """Differences at an even and an odd size, and after the way back."""
    with tempfile.TemporaryDirectory() as place:
        net, path, how = make(name, Path(place))
        model = hub.built(open_weights(path, **how.get("given", {})))
        rule = model.preprocess
        mean, std = (torch.tensor(values)[:, None, None] for values in (rule.mean, rule.std))
        ours = (lambda x: model((x - mean) / std)) if how.get("normalise") else model
        if how.get("sort"):
            ours = lambda x: model(x).sort(1).values  # noqa: E731
        where = {"chans": how.get("chans", 3), "dims": how.get("dims", 2)}
        sizes = how.get("sizes", (32, 33) if where["dims"] == 3 else (96, 129))
        cells = [f"{difference(net, ours, size, **where):.1e}" for size in sizes]
        if "to" not in how:
            return [*cells, ""]
        again = randomise(how["make"](), seed=1)
        again.load_state_dict(keymaps.BACK[how["to"]](model.state_dict(), model.spec))
        return [*cells, f"{difference(net, again, sizes[1], **where):.1e}"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--rows", default="", help="only rows that hold this word")
    asked = parser.parse_args()
    packages = ("torch", "torchvision", "timm", "transformers", "keras", "monai")
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in packages)
    lines = [
        "# Other libraries' weights, in and back",
        "",
        "`python benchmarks/conversion.py --out benchmarks/conversion.md`",
        "",
    ]
    lines += [f"{versions}; float32 on a CPU. Random weights and statistics; the largest difference of the outputs, relative"]
    lines += ["where they exceed 1, at an even and an odd size (96 and 129 pixels, 32 and 33 for CIFAR and volumes).", ""]
    lines += ["| from | network | even | odd | back |", "|--|--|--|--|--|"]
    for library, name, make in ROWS:
        if asked.rows in f"{library} {name}":
            lines.append(f"| {library} | {name} | {' | '.join(measure(name, make))} |")
            print(lines[-1], flush=True)
            if asked.out:
                asked.out.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
