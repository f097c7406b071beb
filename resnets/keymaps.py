"""Names of tensors in other libraries' checkpoints, to ours and back. State dict in, state dict out.

torchvision's names are ours, and so are timm's for the plain, D, SE, ResNeXt and wide networks. timm's pre-activation family
(`resnetv2_18` ... `resnetv2_152`, our `preresnet*`) has names of its own, and a 1x1 convolution where we have a linear layer.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from torch import Tensor

from resnets.spec import InputError, ResNetSpec

# (ours, timm's) of the pre-activation family: how a name starts, of which at most one applies, and what it holds further on.
STARTS = (
    ("conv1.", "stem.conv."),
    *((f"layer{number}.", f"stages.{number - 1}.blocks.") for number in range(1, 5)),
    ("fc.", "head.fc."),
)
INSIDE = ((".bn", ".norm"), (".downsample.0.", ".downsample.conv."))
CLASSIFIER = "fc.weight"  # ours (K, C), timm's (K, C, 1, 1)

# What timm's networks can be, by order. With other settings the names, or worse only the outputs, would not agree.
TIMM: dict[str, dict[str, tuple[object, ...]]] = {
    "post": {"stem": ("imagenet", "deep"), "shortcut": ("B", "D"), "stride_in": ("3x3",), "dims": (2,)},
    "pre": {"stem": ("imagenet",), "shortcut": ("B",), "stride_in": ("3x3",), "dims": (2,), "attention": ("none",)},
}


def from_timm(state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """timm's or torchvision's tensors under our names, without what `DataParallel` and `torch.compile` put before them."""
    tensors = {name.removeprefix("module.").removeprefix("_orig_mod."): tensor for name, tensor in state_dict.items()}
    if "stem.conv.weight" not in tensors:
        return tensors
    table = [(theirs, ours) for ours, theirs in STARTS], [(theirs, ours) for ours, theirs in INSIDE]
    renamed = {_rename(name, *table): tensor for name, tensor in tensors.items()}
    if CLASSIFIER in renamed:
        renamed[CLASSIFIER] = renamed[CLASSIFIER].flatten(1)
    return renamed


def to_timm(state_dict: Mapping[str, Tensor], spec: ResNetSpec) -> dict[str, Tensor]:
    """Our tensors of `spec` under timm's names. `InputError` where timm has no such network."""
    for field, held in TIMM[spec.order].items():
        if (value := getattr(spec, field)) not in held:
            raise InputError(
                f"timm has no network like {spec.name}: its {field} is {value}, and timm's {' or '.join(map(str, held))}"
            )
    if spec.order == "post":
        return dict(state_dict)
    renamed = {_rename(name, STARTS, INSIDE): tensor for name, tensor in state_dict.items()}
    head = _rename(CLASSIFIER, STARTS, INSIDE)
    if head in renamed:
        renamed[head] = renamed[head][:, :, None, None]
    return renamed


def _rename(name: str, starts: Iterable[tuple[str, str]], inside: Iterable[tuple[str, str]]) -> str:
    for old, new in starts:
        if name.startswith(old):
            name = new + name.removeprefix(old)
            break
    for old, new in inside:
        name = name.replace(old, new)
    return name
