"""The table of named networks, one row each. `get` returns the spec of a name, `names` lists the names. No torch.

Sources: He et al. 2015 (arXiv 1512.03385) for ResNet, plain and the CIFAR family; He et al. 2016 (1603.05027) for
pre-activation; Xie et al. 2017 (1611.05431) for ResNeXt; Zagoruyko and Komodakis 2016 (1605.07146) for wide networks;
Hu et al. 2018 (1709.01507) for squeeze-and-excitation; He et al. 2019 (1812.01187) for the D variant; dlib
(dlib_face_recognition_resnet_model_v1) for faces; Wang, Yan and Oates 2017 (1611.06455) for series; Isensee et al. 2024
(2404.09556) for encoders of U-Nets; Page 2018 (myrtle.ai, How to train your ResNet) for ResNet-9; Jordan 2024 (2404.00498) for
ResNet-8.
"""

from __future__ import annotations

import dataclasses
import difflib
import fnmatch
from collections.abc import Callable
from typing import Any

from resnets.errors import InputError
from resnets.models.spec import ResNetSpec, SpecFields

# Number of blocks in each stage, by depth (Table 1 of 1512.03385; 200 from 1603.05027).
BASIC = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3)}
BOTTLENECK = {50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3), 200: (3, 24, 36, 3)}
# A row is a depth (kind and number of blocks) combined with what distinguishes the family.
DEPTHS: dict[int, SpecFields] = {d: {"block": "basic", "depths": n} for d, n in BASIC.items()}
DEPTHS |= {d: {"block": "bottleneck", "depths": n} for d, n in BOTTLENECK.items()}
PRE: SpecFields = {"order": "pre"}
DEEP: SpecFields = {"stem": "deep", "shortcut": "D"}
# Section 4.2 of 1512.03385: a 3x3 stem and three stages of 16, 32 and 64 channels, for 32 x 32 images; shortcut A.
CIFAR: SpecFields = {"stem": "small", "width": 16, "shortcut": "A", "num_classes": 10}
# dlib's network for faces: half of ResNet-34's channels, a fifth stage as wide as the fourth, and no padding where it strides.
DLIB: SpecFields = {"width": 32, "stem": "dlib", "shortcut": "pool", "output_stride": 64, "depth_counts": "convs"}
# Series: three blocks of 64, 128 and 128 filters without strides. Layers have biases beside their norms, as Fawaz et al. 2019
# (1809.04356), who write the network out, count them: 504,258 parameters for one channel and two classes.
SERIES: SpecFields = {"block": "wang", "stem": "none", "stage_stride": "none", "shortcut": "norm", "dims": 1, "in_chans": 1}
# The encoder of nnU-Net's residual U-Nets (Isensee et al. 2024): stages from full resolution on, and more blocks in the deep
# ones; as a network of its own it has a classifier of two classes.
RESENC: SpecFields = {
    "block": "basic", "depths": (1, 3, 4, 6, 6, 6), "width": 32, "most_width": 320, "stem": "small", "shortcut": "D",
    "norm": "instance", "activation": "leaky", "output_stride": 64, "dims": 3, "in_chans": 1, "num_classes": 2,
}  # fmt: skip
# David Page 2018 ("How to train your ResNet"), for CIFAR-10 in little time: of three stages, each halved by pooling after its
# first convolution, the first and the last have a residual block. Here the classifier has a bias and follows average pooling.
# ResNet-8 is after Keller Jordan's airbench (2024, arXiv 2404.00498), for processors: a narrow stem, one convolution in each
# block and norms behind the pooling; here stages double their width, and the second block of each is residual.
PAGE: SpecFields = CIFAR | {"block": "page", "shortcut": "B", "width": 128, "stem_width": 64, "strides": ("22",) * 3}
WIDE: SpecFields = CIFAR | PRE | {"shortcut": "B", "stem_width": 16, "depth_counts": "convs"}


def _cifar(depth: int) -> SpecFields:
    """The blocks of a network of 6n + 2 layers: n basic blocks in each of three stages."""
    return {"block": "basic", "depths": ((depth - 2) // 6,) * 3}


def _cifar_bottleneck(depth: int) -> SpecFields:
    """The blocks of a network of 9n + 2 layers: n bottlenecks in each of three stages."""
    return {"block": "bottleneck", "depths": ((depth - 2) // 9,) * 3}


ROWS: dict[str, SpecFields] = {
    **{f"resnet{d}": DEPTHS[d] for d in (18, 34, 50, 101, 152, 200)},
    **{f"resnet{d}_v1": DEPTHS[d] | {"stride_in": "1x1"} for d in (50, 101, 152)},
    **{f"plain{d}": DEPTHS[d] | {"shortcut": "none"} for d in (18, 34)},
    **{f"resnet{d}_cifar": CIFAR | _cifar(d) for d in (20, 32, 44, 56, 110, 1202)},
    **{f"plain{d}_cifar": CIFAR | _cifar(d) | {"shortcut": "none"} for d in (20, 32, 44, 56, 110)},
    **{f"preresnet{d}": DEPTHS[d] | PRE for d in (18, 34, 50, 101, 152, 200)},
    "preresnet110_cifar": CIFAR | PRE | _cifar(110),
    **{f"preresnet{d}_cifar": CIFAR | PRE | _cifar_bottleneck(d) | {"shortcut": "B", "stride_in": "1x1"} for d in (164, 1001)},
    "resnext50_32x4d": DEPTHS[50] | {"groups": 32, "group_width": 4},
    "resnext101_32x8d": DEPTHS[101] | {"groups": 32, "group_width": 8},
    "resnext101_64x4d": DEPTHS[101] | {"groups": 64, "group_width": 4},
    "resnext29_8x64d_cifar": CIFAR | _cifar_bottleneck(29) | {"width": 64, "shortcut": "B", "groups": 8, "group_width": 64},
    "wide_resnet50_2": DEPTHS[50] | {"group_width": 128},
    "wide_resnet101_2": DEPTHS[101] | {"group_width": 128},
    "wrn16_8_cifar": WIDE | {"depths": (2, 2, 2), "width": 16 * 8},
    "wrn28_10_cifar": WIDE | {"depths": (4, 4, 4), "width": 16 * 10},
    "wrn40_4_cifar": WIDE | {"depths": (6, 6, 6), "width": 16 * 4},
    **{f"seresnet{d}": DEPTHS[d] | {"attention": "se"} for d in (18, 34, 50, 101, 152)},
    **{f"resnet{d}d": DEPTHS[d] | DEEP for d in (18, 34, 50, 101, 152)},
    "resnet8_cifar": PAGE | {"block": "airbench", "depths": (2, 2, 2), "width": 64, "stem_width": 24},
    "resnet9_cifar": PAGE | {"depths": (2, 1, 2)},
    "resnet10_wang": SERIES | {"depths": (1, 1, 1), "num_classes": 2},
    "resenc54": RESENC,
    "resnet29_dlib": DLIB | {"block": "basic", "depths": (3, 4, 3, 3, 1)},
}


def names(pattern: str = "*") -> list[str]:
    """The names that match a shell pattern ("*cifar*"), in the table's order; without wildcards, that contain `pattern`."""
    return [name for name in ROWS if matches(name, pattern)]


def matches(name: str, pattern: str) -> bool:
    """Whether `name` matches `pattern`, in the sense of `names`."""
    if not any(sign in pattern for sign in "*?["):
        pattern = f"*{pattern}*"
    return fnmatch.fnmatchcase(name, pattern.lower())


def get(name: str, **changes: Any) -> ResNetSpec:
    """The spec of the network called `name`, with `changes` to its fields.

    Raises:
        InputError: for an unknown name (the message suggests similar ones), an unknown field, or a value out of range.
    """
    if name not in ROWS:
        near = difflib.get_close_matches(name.lower(), ROWS, n=3, cutoff=0.5)
        hint = f"did you mean {', '.join(near)}? " if near else ""
        raise InputError(f"no network is called {name!r}; {hint}`resnets models` lists them all")
    return change(ResNetSpec(name=name, **ROWS[name]), **changes)


def change(spec: ResNetSpec, **changes: Any) -> ResNetSpec:
    """A copy of `spec` with `changes` to its fields. Raises `InputError` for an unknown field or a value out of range."""
    fields = {field.name for field in dataclasses.fields(ResNetSpec)} - {"name"}
    for field in changes:
        if field not in fields:
            raise InputError(f"a network has no setting {field!r}; it has: {', '.join(sorted(fields))}")
    return dataclasses.replace(spec, **changes)


Named = Callable[..., ResNetSpec]  # the type of `get`: (name, **changes) -> spec
