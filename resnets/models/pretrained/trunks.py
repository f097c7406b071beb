"""A residual network among other tensors: under a prefix such as "encoder.", or beside heads that are none of ours."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping

from torch import Tensor

from resnets.errors import InputError
from resnets.models.pretrained.files import Foreign

# A tensor that each trunk has, in every spelling of `families`.
MARKS = (
    "layer1.0.conv1.weight",
    "4.0.conv1.weight",
    "stages.0.blocks.0.conv1.weight",
    "encoder.stages.0.layers.0.layer.0.convolution.weight",
)
BODY = "backbone.body."  # torchvision's detectors' trunk
# Networks that others call ResNet and that do not exist here, and the end of the name of a tensor that they alone have.
OTHERS = (
    ("torchvision's fasterrcnn_resnet50_fpn_v2 or maskrcnn_resnet50_fpn_v2", "rpn.head.conv.1.0.weight"),
    ("torchvision's Keypoint R-CNN", "roi_heads.keypoint_predictor.kps_score_lowres.weight"),
    ("torchvision's FCOS", "head.regression_head.bbox_ctrness.weight"),
    ("torchvision's RetinaNet", "head.classification_head.cls_logits.weight"),
    ("one of torchvision's networks for videos (r3d_18, mc3_18, r2plus1d_18)", "layer1.0.conv1.0.weight"),
    ("CLIP's ResNet, which pools by attention", "attnpool.q_proj.weight"),
)
MANY = 6  # groups of tensors that a message names


def prefixes(names: Iterable[str]) -> tuple[str, ...]:
    """The prefixes ("", "encoder.", ...) under which there is a residual network."""
    ends = (name.removesuffix(mark) for name in names for mark in MARKS if name.endswith(mark))
    return tuple(dict.fromkeys(end for end in ends if not end or end.endswith(".")))


def below(tensors: Mapping[str, Tensor], prefix: str, path: object) -> tuple[dict[str, Tensor], str]:
    """The tensors of the network below `prefix`, without it, and the prefix itself, "" or with a dot at its end: that of the
    network, if it is the only one below `prefix`.

    Raises:
        InputError: if no tensor has that prefix.
    """
    start = f"{prefix.rstrip('.')}." if prefix else ""
    if not any(name.startswith(start) for name in tensors):
        here = ", ".join(end.rstrip(".") or "''" for end in prefixes(tensors)) or "none"
        raise InputError(f"{path}: no tensor below {prefix!r}; networks that can be taken out: {here}; all: {listed(tensors)}")
    inside = [end for end in prefixes(tensors) if end.startswith(start)]
    start = inside[0] if len(inside) == 1 else start
    return {name.removeprefix(start): tensor for name, tensor in tensors.items() if name.startswith(start)}, start


def check_alone(tensors: Mapping[str, Tensor], file: Foreign) -> None:
    """Raise `InputError` if `tensors`, without what all names begin with, have their networks under prefixes, and none by
    itself."""
    here = prefixes(tensors)
    if here and "" not in here:
        under = ", ".join(repr(end.rstrip(".")) for end in prefixes(file.tensors))
        raise _asking(file, f"holds {'a network' if len(here) == 1 else 'networks'} under {under}", file.tensors)


def refusing(file: Foreign, spec_name: str, beside: Collection[str]) -> InputError:
    """The error for a file with tensors beside its network, which would be left out without a word."""
    return _asking(file, f"a {spec_name} and tensors that are not part of the network", beside)


def _asking(file: Foreign, words: str, names: Iterable[str]) -> InputError:
    found = prefixes(file.tensors)
    way = f"`resnets convert {file.path} -o FILE.safetensors --prefix {found[0].rstrip('.') or repr('')}`" if found else ""
    return InputError(
        f"{file.path}: {words} ({listed(names, found[0] if found else '')})" + (f"; take one out by {way}" if way else "")
    )


def check_other(tensors: Iterable[str], path: object) -> None:
    """Raise `InputError` that names the network if its tensors are those of a known one that does not exist here."""
    names = list(tensors)
    for other, mark in OTHERS:
        if found := next((name for name in names if name.endswith(mark)), None):
            start = found.removesuffix(mark) + BODY
            trunk = any(name.startswith(start) for name in names)
            remedy = f"; its trunk can be taken out by `resnets convert --prefix {start.rstrip('.')}`" if trunk else ""
            raise InputError(f"{path}: {other}, which does not exist here{remedy}")


def listed(names: Iterable[str], start: str = "") -> str:
    """Names of tensors in few words, by what they begin with: "decoder (40 tensors), projector (6)".

    Args:
        start: a prefix with a dot at its end, whose parts are told apart further than others.
    """
    groups: Counter[str] = Counter()
    for name in names:
        parts, known = name.split("."), start.split(".")[:-1]
        same = next((index for index, pair in enumerate(zip(parts, known, strict=False)) if pair[0] != pair[1]), len(known))
        groups[".".join(parts[: same + 1])] += 1
    words = [f"{group:.80} ({num})" for group, num in groups.items()]
    return ", ".join(words[:MANY]) + (f" and {len(words) - MANY} more" if len(words) > MANY else "")
