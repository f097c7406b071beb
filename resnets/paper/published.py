"""The published figures, as data, each with its table or figure. No torch.

The papers are He et al. 2015 (arXiv 1512.03385) and "identity", He et al. 2016 (arXiv 1603.05027). Errors are in percent.
Networks have their names in the zoo, or the labels of `resnets.paper.trainings.Training`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Published:
    """`values` of networks, in `unit`, from the table or figure `where`; `stds`: standard deviations over runs, where they are
    printed; `note`: how the values were measured."""

    where: str
    unit: str
    values: Mapping[str, float]
    stds: Mapping[str, float] = field(default_factory=dict)
    note: str = ""


FLOPS = Published(
    "Table 1", "10^9 multiply-adds",
    {"resnet18": 1.8, "resnet34": 3.6, "resnet50": 3.8, "resnet101": 7.6, "resnet152": 11.3, "vgg16": 15.3, "vgg19": 19.6},
    note="one image of 224 x 224; VGG's from sections 3.3 and 4.1",
)  # fmt: skip
# Table 1: side of the output in pixels by stage, and blocks per stage.
SIZES = {"conv1": 112, "conv2_x": 56, "conv3_x": 28, "conv4_x": 14, "conv5_x": 7, "head": 1}
BLOCKS = {
    "resnet18": (2, 2, 2, 2),
    "resnet34": (3, 4, 6, 3),
    "resnet50": (3, 4, 6, 3),
    "resnet101": (3, 4, 23, 3),
    "resnet152": (3, 8, 36, 3),
}
TABLE2 = Published(
    "Table 2", "% top-1 error", {"plain18": 27.94, "resnet18": 27.88, "plain34": 28.54, "resnet34": 25.03},
    note="ImageNet validation, 10 crops, option A",
)  # fmt: skip
# % top-1 and top-5 error: ImageNet validation, 10 crops.
TABLE3_NETWORKS = {
    "vgg16": (28.07, 9.33), "googlenet": (None, 9.15), "prelu_net": (24.27, 7.38), "plain34": (28.54, 10.02),
    "resnet34,A": (25.03, 7.76), "resnet34,B": (24.52, 7.46), "resnet34,C": (24.19, 7.40),
    "resnet50": (22.85, 6.71), "resnet101": (21.75, 6.05), "resnet152": (21.43, 5.71),
}  # fmt: skip
TABLE3 = Published(
    "Table 3", "% top-1 error", {name: top1 for name, (top1, _) in TABLE3_NETWORKS.items() if top1 is not None},
    note="ImageNet validation, 10 crops",
)  # fmt: skip
# % top-1 and top-5 error: ImageNet validation, one model, fully convolutional at {224, 256, 384, 480, 640}.
TABLE4_NETWORKS = {
    "vgg_v5": (24.4, 7.1), "prelu_net": (21.59, 5.71), "bn_inception": (21.99, 5.81), "resnet34,B": (21.84, 5.71),
    "resnet34,C": (21.53, 5.60), "resnet50": (20.74, 5.25), "resnet101": (19.87, 4.60), "resnet152": (19.38, 4.49),
}  # fmt: skip
TABLE5 = Published(
    "Table 5", "% top-5 error",
    {"resnet": 3.57, "bn_inception": 4.82, "prelu_net": 4.94, "googlenet": 6.66, "vgg": 7.32, "vgg_v5": 6.8},
    note="ImageNet test, ensembles",
)  # fmt: skip
TABLE6 = Published(
    "Table 6", "% test error",
    {
        "resnet20_cifar": 8.75, "resnet32_cifar": 7.51, "resnet44_cifar": 7.17, "resnet56_cifar": 6.97,
        "resnet110_cifar": 6.61, "resnet1202_cifar": 7.93,
    },
    {"resnet110_cifar": 0.16},
    "CIFAR-10, one run; of 110 layers the mean of 5 (best 6.43)",
)  # fmt: skip
# Rounded, in millions; the exact numbers follow from the text of the paper, with option A.
CIFAR_PARAMS = Published(
    "Table 6", "10^6 parameters",
    {
        "resnet20_cifar": 0.27, "resnet32_cifar": 0.46, "resnet44_cifar": 0.66, "resnet56_cifar": 0.85,
        "resnet110_cifar": 1.7, "resnet1202_cifar": 19.4,
    },
)  # fmt: skip
IDENTITY_PARAMS = Published(
    "identity, Table 4", "10^6 parameters",
    {"preresnet110_cifar": 1.7, "preresnet164_cifar": 1.7, "preresnet1001_cifar": 10.2},
)  # fmt: skip
PLAIN_110 = Published(
    "Figure 6, left", "% test error", {"plain110_cifar": 60.0}, note='CIFAR-10; "higher than 60 %", therefore not drawn'
)
# Errors of the original unit and of full pre-activation at the same depths.
IDENTITY = {
    "cifar10": Published(
        "identity, Table 2 and 4", "% test error",
        {
            "resnet110_cifar": 6.61, "preresnet110_cifar": 6.37, "preresnet164_cifar,order=post": 5.93,
            "preresnet164_cifar": 5.46, "preresnet1001_cifar,order=post": 7.61, "preresnet1001_cifar": 4.92,
        },
        note="CIFAR-10, median of 5 runs, all with a warm-up",
    ),
    "cifar100": Published(
        "identity, Table 4", "% test error",
        {
            "preresnet164_cifar,order=post": 25.16, "preresnet164_cifar": 24.33,
            "preresnet1001_cifar,order=post": 27.82, "preresnet1001_cifar": 22.71,
        },
        note="CIFAR-100, median of 5 runs, all with a warm-up",
    ),
}  # fmt: skip
