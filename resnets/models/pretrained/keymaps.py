"""Conversion of tensor names between other libraries' checkpoints and ours: tables of patterns and the functions using them.

Our names are torchvision's, and those of timm's ResNet, D, SE, ResNeXt and wide networks. timm's pre-activation family
(`resnetv2_18` ... `resnetv2_152`, our `preresnet*`) has other names, and a 1x1 convolution where we have a linear layer.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping

from torch import Tensor

from resnets.errors import InputError
from resnets.models.spec import ResNetSpec

Rule = tuple[str, str | Callable[[re.Match[str]], str]]

# Prefixes that programs put before every name, and entries that are not tensors of the network.
WRAPPERS = ("module.", "_orig_mod.", "model.", "net.", "network.", "backbone.", "encoder.", "resnet.")
BESIDE = ("n_averaged",)

CLASSIFIER = "fc.weight"  # (K, C) here, (K, C, 1, 1) in timm's pre-activation networks


def _shifted(before: str, by: int, after: str = "") -> Callable[[re.Match[str]], str]:
    """A replacement for re.sub: the matched number plus `by`, between `before` and `after`."""
    return lambda found: f"{before}{int(found[1]) + by}{after}"


# (pattern, replacement) on the whole name, applied one after another.
TIMM_PRE: tuple[Rule, ...] = (
    (r"^stem\.conv\.", "conv1."),
    (r"^stages\.(\d)\.blocks\.", _shifted("layer", 1, ".")),
    (r"^head\.fc\.", "fc."),
    (r"\.norm(\d)\.", r".bn\1."),
    (r"\.downsample\.conv\.", ".downsample.0."),
)
TO_TIMM_PRE: tuple[Rule, ...] = (
    (r"^conv1\.", "stem.conv."),
    (r"^layer(\d)\.", _shifted("stages.", -1, ".blocks.")),
    (r"^fc\.", "head.fc."),
    (r"\.bn(\d)\.", r".norm\1."),
    (r"\.downsample\.0\.", ".downsample.conv."),
)
TRANSFORMERS: tuple[Rule, ...] = (
    (r"^embedder\.embedder\.convolution\.", "conv1."),
    (r"^embedder\.embedder\.normalization\.", "bn1."),
    (r"^encoder\.stages\.(\d)\.layers\.", _shifted("layer", 1, ".")),
    (r"\.layer\.(\d)\.convolution\.", _shifted(".conv", 1, ".")),
    (r"\.layer\.(\d)\.normalization\.", _shifted(".bn", 1, ".")),
    (r"\.shortcut\.convolution\.", ".downsample.0."),
    (r"\.shortcut\.normalization\.", ".downsample.1."),
    (r"^classifier\.1\.", "fc."),
)
TO_TRANSFORMERS: tuple[Rule, ...] = (
    (r"^fc\.", "classifier.1."),
    (r"^conv1\.", "resnet.embedder.embedder.convolution."),
    (r"^bn1\.", "resnet.embedder.embedder.normalization."),
    (r"^layer(\d)\.(\d+)\.", lambda found: f"resnet.encoder.stages.{int(found[1]) - 1}.layers.{found[2]}."),
    (r"\.conv(\d)\.", _shifted(".layer.", -1, ".convolution.")),
    (r"\.bn(\d)\.", _shifted(".layer.", -1, ".normalization.")),
    (r"\.downsample\.0\.", ".shortcut.convolution."),
    (r"\.downsample\.1\.", ".shortcut.normalization."),
)
SEQUENTIAL: tuple[Rule, ...] = ((r"^0\.", "conv1."), (r"^1\.", "bn1."), (r"^([4-7])\.", _shifted("layer", -3, ".")))
CIFAR: tuple[Rule, ...] = ((r"^linear\.", "fc."), (r"\.shortcut\.", ".downsample."))

# Values of our spec that other libraries' networks can have. With others the names, or only the outputs, would differ.
Held = Mapping[str, tuple[object, ...]]
PLAIN: Held = {
    "block": ("basic", "bottleneck"),
    "stage_stride": ("first",),
    "stem_stride": (None, 2),
    "norm": ("batch",),
    "dims": (2,),
    "output_stride": (32,),
}
TIMM: dict[str, Held] = {
    "post": {
        "stem": ("imagenet", "deep"),
        "shortcut": ("B", "D"),
        "stride_in": ("3x3",),
        "attention": ("none", "se"),
        **PLAIN,
    },
    "pre": {"stem": ("imagenet",), "shortcut": ("B",), "stride_in": ("3x3",), "attention": ("none",), **PLAIN},
}
TORCHVISION: Held = {
    "order": ("post",),
    "stem": ("imagenet",),
    "shortcut": ("B",),
    "stride_in": ("3x3",),
    "attention": ("none",),
    "width": (64,),
    **PLAIN,
}
IN_TRANSFORMERS: Held = {
    "order": ("post",),
    "stem": ("imagenet",),
    "shortcut": ("B",),
    "attention": ("none",),
    "groups": (1,),
    "group_width": (64,),
    **PLAIN,
}


def unwrapped(state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors without prefixes and entries added by `DataParallel`, `torch.compile`, weight averaging or Lightning."""
    tensors = {name: tensor for name, tensor in state_dict.items() if name not in BESIDE}
    while wrapper := next((word for word in WRAPPERS if _wraps(word, tensors)), None):
        tensors = {name.removeprefix(wrapper): tensor for name, tensor in tensors.items()}
    return tensors


def _wraps(word: str, tensors: Mapping[str, Tensor]) -> bool:
    """Whether every name begins with `word`, or, as in transformers, every name except the classifier's."""
    return (
        bool(tensors)
        and all(name.startswith((word, "classifier.")) for name in tensors)
        and any(name.startswith(word) for name in tensors)
    )


def renamed(tensors: Mapping[str, Tensor], rules: Iterable[Rule]) -> dict[str, Tensor]:
    """The tensors with `rules` applied to their names."""
    found = {}
    for name, tensor in tensors.items():
        for pattern, replacement in rules:
            name = re.sub(pattern, replacement, name)
        found[name] = tensor
    return found


def from_timm(state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """timm's or torchvision's tensors by our names, without wrapper prefixes."""
    tensors = unwrapped(state_dict)
    if "stem.conv.weight" not in tensors:
        return tensors
    found = renamed(tensors, TIMM_PRE)
    if CLASSIFIER in found:
        found[CLASSIFIER] = found[CLASSIFIER].flatten(1)
    return found


def to_timm(state_dict: Mapping[str, Tensor], spec: ResNetSpec) -> dict[str, Tensor]:
    """Our tensors of a network of `spec` by timm's names. Raises `InputError` if timm has no such network."""
    check_held("timm", TIMM[spec.order], spec)
    if spec.order == "post":
        return dict(state_dict)
    classifier = {CLASSIFIER: state_dict[CLASSIFIER][:, :, None, None]} if CLASSIFIER in state_dict else {}
    found = renamed(dict(state_dict) | classifier, TO_TIMM_PRE)
    return found


def to_torchvision(state_dict: Mapping[str, Tensor], spec: ResNetSpec) -> dict[str, Tensor]:
    """Our tensors of `spec` by torchvision's names, which are the same. Raises `InputError` if it has no such network."""
    check_held("torchvision", TORCHVISION, spec)
    return dict(state_dict)


def to_transformers(state_dict: Mapping[str, Tensor], spec: ResNetSpec) -> dict[str, Tensor]:
    """Our tensors of `spec` by the names of transformers' `ResNetForImageClassification`. Raises as `to_timm`."""
    check_held("transformers", IN_TRANSFORMERS, spec)
    return renamed(state_dict, TO_TRANSFORMERS)


BACK = {"torchvision": to_torchvision, "timm": to_timm, "transformers": to_transformers}


def check_held(library: str, held: Held, spec: ResNetSpec) -> None:
    """Raise `InputError` if `library` has no network like `spec`; `held` are the values that its networks can have."""
    for field, values in held.items():
        if (value := getattr(spec, field)) not in values:
            raise InputError(
                f"{library} has no network like {spec.name}: its {field} is {value}, and {library}'s "
                f"{' or '.join(map(str, values))}"
            )
    if len(spec.depths) != 4:
        raise InputError(f"{library} has no network like {spec.name}: it has {len(spec.depths)} stages, and {library}'s have 4")
