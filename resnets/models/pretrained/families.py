"""The table of libraries and repositories whose residual networks can be read.

A file holds only the names and shapes of its tensors. Each row says how to recognise them, how to convert the names to ours,
what the tensors do not show, and how the authors normalise their inputs. The first row that recognises a file is used.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from resnets.data.preprocess import Preprocess
from resnets.errors import InputError
from resnets.models.pretrained import folding, keras, keymaps, trunks
from resnets.models.pretrained.files import Foreign
from resnets.models.spec import ResNetSpec, SpecFields

Tensors = dict[str, Tensor]

IMAGENET = Preprocess()
IMAGENET_32 = Preprocess(size=(32, 32), crop_pct=1.0)
CIFAR_10 = Preprocess(size=(32, 32), crop_pct=1.0, mean=(0.4914, 0.4822, 0.4465), std=(0.2023, 0.1994, 0.2010))
CIFAR_100 = Preprocess(size=(32, 32), crop_pct=1.0, mean=(0.5070, 0.4865, 0.4409), std=(0.2673, 0.2564, 0.2761))
TRANSFORMERS = Preprocess(interpolation="bicubic")
# V1: Keras' mode "caffe", pixels in [0, 255] minus ImageNet's means, in BGR order; V2: mode "tf", pixels in [-1, 1].
KERAS_V1 = Preprocess(mean=(123.68 / 255, 116.779 / 255, 103.939 / 255), std=(1 / 255,) * 3)
KERAS_V2 = Preprocess(mean=(0.5,) * 3, std=(0.5,) * 3)


def no_hidden(file: Foreign, tensors: Tensors) -> SpecFields:
    return {}


def unchanged(tensors: Tensors) -> Tensors:
    return tensors


@dataclass(frozen=True)
class Family:
    """A library or repository and its conventions for residual networks.

    Args:
        name: the family's name, for messages and provenance.
        known_by: (file, tensors without wrapper prefixes) -> whether they belong to this family.
        ours: tensors -> the same tensors by our names, still with biases that our networks do not have.
        hidden: (file, tensors by our names) -> fields of the spec that names and shapes do not show.
        finish: converts what our networks compute differently (biases, epsilons, channel order), so that outputs are equal.
        takes_bgr: whether the authors' networks in "post" order take BGR input; `preprocess` is in RGB order in any case.
        preprocess: spec -> the authors' preprocessing; None where they do not state it.
        licence: the licence under which the authors publish weights.
        source: where they publish them.
        sets: what their weights are usually trained on, of `data.classes.of_set`; the one with as many classes names them.
    """

    name: str
    known_by: Callable[[Foreign, Tensors], bool]
    ours: Callable[[Tensors], Tensors]
    preprocess: Callable[[ResNetSpec], Preprocess | None]
    licence: str
    source: str
    hidden: Callable[[Foreign, Tensors], SpecFields] = no_hidden
    finish: Callable[[Tensors], Tensors] = unchanged
    takes_bgr: bool = False
    sets: tuple[str, ...] = ("ImageNet-1K",)


def imagenet(rule: Preprocess) -> Callable[[ResNetSpec], Preprocess | None]:
    """`rule` for 2-D networks with three input channels and a large stem, None for all others."""
    return lambda spec: rule if (spec.dims, spec.in_chans) == (2, 3) and spec.stem != "small" else None


def chenyaofo(spec: ResNetSpec) -> Preprocess | None:
    return {10: CIFAR_10, 100: CIFAR_100}.get(spec.num_classes)


def transformers_hidden(file: Foreign, tensors: Tensors) -> SpecFields:
    """Where strides are, from config.json beside the file; without it, the library's defaults."""
    config = file.configs.get("config", {})
    if config.get("downsample_in_first_stage"):
        raise InputError(f"{file.path}: its config.json has downsample_in_first_stage, which is not supported")
    if (act := config.get("hidden_act", "relu")) != "relu":
        raise InputError(f"{file.path}: its config.json says hidden_act {act}; only relu is supported")
    bottleneck = any(".conv3." in name for name in tensors)
    return {"stride_in": "1x1"} if bottleneck and config.get("downsample_in_bottleneck") else {}


def is_small(tensors: Tensors, num_stages: int) -> bool:
    """Whether it is a CIFAR network of He et al.: a 3x3 stem with 16 channels, and `num_stages` stages."""
    stem = tensors.get("conv1.weight")
    own = stem is not None and stem.shape[0] == 16 and tuple(stem.shape[2:]) == (3, 3)
    return own and f"layer{num_stages}.0.conv1.weight" in tensors and f"layer{num_stages + 1}.0.conv1.weight" not in tensors


def keras_hidden(file: Foreign, tensors: Tensors) -> SpecFields:
    return {"stem": "keras", "stage_stride": "last"} if "norm.weight" in tensors else {"stride_in": "1x1"}


def is_monai(file: Foreign, tensors: Tensors) -> bool:
    """Whether tensors have torchvision's names and a 3-D stem, or a bias in shortcut convolutions."""
    stem = tensors.get("conv1.weight")
    biased = "layer2.0.downsample.0.bias" in tensors
    return stem is not None and "layer1.0.conv1.weight" in tensors and (stem.ndim == 5 or biased)


def monai_hidden(file: Foreign, tensors: Tensors) -> SpecFields:
    """The default stride of the stem: 1 for networks with a classifier, 2 for encoders of MedicalNet and MONAI."""
    kernel = set(tensors["conv1.weight"].shape[2:])  # one of several lengths is for `infer` to refuse
    if len(kernel) == 1 and 7 not in kernel:
        raise InputError(f"{file.path}: a stem of MONAI that is not 7 wide; no tensor shows whether a max-pool follows")
    return {"stem_stride": 1 if "fc.weight" in tensors else None}


def monai_finish(tensors: Tensors) -> Tensors:
    projected = any(".downsample." in name for name in tensors)
    return folding.biases_into_norms(tensors) if projected else folding.zeros_at_end_to_both_ends(tensors)


FAMILIES = (
    Family(
        name="Keras Applications (of 2015)",
        known_by=lambda file, tensors: file.kind == "hdf5" and keras.is_of_2015(tensors),
        ours=keras.ours,
        hidden=keras_hidden,
        finish=lambda tensors: keras.finish(tensors, keras.EPSILON_2015),
        preprocess=lambda spec: KERAS_V1 if spec.in_chans == 3 else None,
        takes_bgr=True,
        licence="MIT, as He et al.'s, which they were ported from",
        source="Keras, before its version 2.2.5",
    ),
    Family(
        name="Keras Applications",
        known_by=lambda file, tensors: file.kind == "hdf5",
        ours=keras.ours,
        hidden=keras_hidden,
        finish=keras.finish,
        preprocess=lambda spec: None if spec.in_chans != 3 else KERAS_V2 if spec.order == "pre" else KERAS_V1,
        takes_bgr=True,
        licence="Apache-2.0 (V1: ported from He et al.'s, MIT)",
        source="Keras Applications",
    ),
    Family(
        name="MONAI or MedicalNet",
        known_by=is_monai,
        ours=unchanged,
        hidden=monai_hidden,
        finish=monai_finish,
        preprocess=lambda spec: None,
        licence="Apache-2.0 (MONAI), MIT (MedicalNet)",
        source="MONAI, github.com/Tencent/MedicalNet",
        sets=(),
    ),
    Family(
        name="transformers",
        known_by=lambda file, tensors: "embedder.embedder.convolution.weight" in tensors,
        ours=lambda tensors: keymaps.renamed(tensors, keymaps.TRANSFORMERS),
        hidden=transformers_hidden,
        preprocess=imagenet(TRANSFORMERS),
        licence="Apache-2.0",
        source="Hugging Face transformers",
    ),
    Family(
        name="akamaster/pytorch_resnet_cifar10",
        known_by=lambda file, tensors: "linear.weight" in tensors and is_small(tensors, 3),
        ours=lambda tensors: keymaps.renamed(tensors, keymaps.CIFAR),
        preprocess=lambda spec: IMAGENET_32,
        licence="BSD-2-Clause",
        source="github.com/akamaster/pytorch_resnet_cifar10",
        sets=("CIFAR-10",),
    ),
    Family(
        name="kuangliu/pytorch-cifar",
        known_by=lambda file, tensors: "linear.weight" in tensors,
        ours=lambda tensors: keymaps.renamed(tensors, keymaps.CIFAR),
        preprocess=lambda spec: CIFAR_10,
        licence="MIT",
        source="github.com/kuangliu/pytorch-cifar",
        sets=("CIFAR-10",),
    ),
    Family(
        name="chenyaofo/pytorch-cifar-models",
        known_by=lambda file, tensors: is_small(tensors, 3) and "layer2.0.downsample.1.running_mean" in tensors,
        ours=unchanged,
        preprocess=chenyaofo,
        licence="BSD-3-Clause",
        source="github.com/chenyaofo/pytorch-cifar-models",
        sets=("CIFAR-10", "CIFAR-100"),
    ),
    Family(
        name="timm (pre-activation)",
        known_by=lambda file, tensors: "stem.conv.weight" in tensors and "norm.weight" in tensors,
        ours=keymaps.from_timm,
        preprocess=imagenet(Preprocess(interpolation="bicubic")),
        licence="Apache-2.0",
        source="timm",
    ),
    Family(
        name="timm",
        known_by=lambda file, tensors: "conv1.0.weight" in tensors or "layer1.0.se.fc1.weight" in tensors,
        ours=unchanged,
        preprocess=imagenet(Preprocess(interpolation="bicubic")),
        licence="Apache-2.0",
        source="timm",
    ),
    Family(
        name="torchvision (modules in an nn.Sequential)",
        known_by=lambda file, tensors: "0.weight" in tensors and "4.0.conv1.weight" in tensors,
        ours=lambda tensors: keymaps.renamed(tensors, keymaps.SEQUENTIAL),
        preprocess=imagenet(IMAGENET),
        licence="BSD-3-Clause",
        source="nn.Sequential(*list(torchvision's network.children())[:-1]), as in lightly and fastai",
    ),
    Family(
        name="torchvision",
        known_by=lambda file, tensors: "conv1.weight" in tensors and "layer1.0.conv1.weight" in tensors,
        ours=unchanged,
        preprocess=imagenet(IMAGENET),
        licence="BSD-3-Clause",
        source="torchvision, or a program that takes its names",
    ),
)


def recognise(file: Foreign) -> tuple[Family, Tensors]:
    """The family of a file, and its tensors without wrapper prefixes.

    Raises:
        InputError: if no row of `FAMILIES` recognises it, or its network is under a prefix; the message names a few tensors.
    """
    try:
        tensors = keras.layers(file) if file.kind == "hdf5" else keymaps.unwrapped(file.tensors)
    except (KeyError, IndexError) as error:
        raise InputError(f"{file.path}: layers of Keras, but not those of a ResNet ({error} is missing)") from None
    if file.kind != "hdf5":
        trunks.check_alone(tensors, file)
    for family in FAMILIES:
        if family.known_by(file, tensors):
            return family, tensors
    few = ", ".join(sorted(tensors)[:4])
    names = ", ".join(dict.fromkeys(family.name for family in FAMILIES))
    raise InputError(f"{file.path}: not the tensors of a supported library ({few}, ...); supported: {names}")
