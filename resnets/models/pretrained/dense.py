"""torchvision's Faster R-CNN, Mask R-CNN, FCN and DeepLabV3: their state dicts to ours and back by tables of name
prefixes, and their files to a header and tensors of ours. Nothing is downloaded.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from resnets.data.preprocess import Preprocess
from resnets.errors import InputError
from resnets.models.header import Header
from resnets.models.pretrained import facts
from resnets.models.pretrained.files import Foreign
from resnets.models.pretrained.folding import EPSILON
from resnets.models.pretrained.infer import infer
from resnets.models.pretrained.keymaps import BESIDE, TORCHVISION, Rule, check_held, renamed
from resnets.models.records import Json, Provenance
from resnets.models.spec import ResNetSpec, SpecFields

if TYPE_CHECKING:
    from torchvision.models import WeightsEnum

Prefixes = tuple[tuple[str, str], ...]  # (torchvision's, ours)

WRAPPERS = ("module.", "_orig_mod.", "model.")  # not "backbone.", which is one of torchvision's submodules here

# Names in older torchvision files (COCO_V1 among them), from before convolutions, norms and activations were one submodule.
OLD: tuple[Rule, ...] = (
    (r"\.(inner_blocks|layer_blocks)\.(\d+)\.(weight|bias)$", r".\1.\2.0.\3"),
    (r"^rpn\.head\.conv\.(weight|bias)$", r"rpn.head.conv.0.0.\1"),
    (r"\.mask_head\.mask_fcn(\d)\.", lambda found: f".mask_head.{int(found[1]) - 1}.0."),
)
AUXILIARY: Prefixes = (
    *((f"aux_classifier.{n}.", f"aux.inner.{n}.") for n in range(2)),
    ("aux_classifier.4.", "aux.logits."),
)
RCNN: Prefixes = (
    ("backbone.body.", ""),
    ("backbone.fpn.", "head.pyramid.layers."),
    ("rpn.", "head.rpn."),
    ("roi_heads.", "head.roi_heads."),
)


@dataclass(frozen=True)
class Kind:
    """One of torchvision's detection or segmentation networks.

    Args:
        known_by: tensors (our names) by which it is recognised; no later kind in `KINDS` has all of them.
        prefixes: (torchvision's, our) prefixes of tensor names.
        logits: the tensor (our name) with one row per class.
        background: whether its first row is a background class, which is not a class here.
        spec: fields of the trunk's spec that tensors do not show.
    """

    known_by: tuple[str, ...]
    prefixes: Prefixes
    logits: str
    background: bool = False
    spec: SpecFields = field(default_factory=SpecFields)


CLASSES, REGIONS, MASKS = (
    f"head.roi_heads.{name}.weight" for name in ("box_predictor.cls_score", "box_head.fc6", "mask_predictor.conv5_mask")
)
# The first kind whose tensors are all present is taken: a Mask R-CNN has all tensors of a Faster R-CNN.
KINDS: dict[str, Kind] = {
    "maskrcnn": Kind((CLASSES, REGIONS, MASKS), RCNN, CLASSES, background=True),
    "fasterrcnn": Kind((CLASSES, REGIONS), RCNN, CLASSES, background=True),
    "deeplabv3": Kind(
        ("head.join.0.weight", "head.logits.weight"),
        (
            ("backbone.", ""),
            *((f"classifier.0.convs.{n}.", f"head.branches.{n}.") for n in range(4)),
            *((f"classifier.0.convs.4.{n + 1}.", f"head.pooled.{n}.") for n in range(2)),
            ("classifier.0.project.", "head.join."),
            *((f"classifier.{n + 1}.", f"head.last.{n}.") for n in range(2)),
            ("classifier.4.", "head.logits."),
            *AUXILIARY,
        ),
        "head.logits.weight",
        spec={"output_stride": 8},
    ),
    "fcn": Kind(
        ("head.inner.0.weight", "head.logits.weight"),
        (
            ("backbone.", ""),
            *((f"classifier.{n}.", f"head.inner.{n}.") for n in range(2)),
            ("classifier.4.", "head.logits."),
            *AUXILIARY,
        ),
        "head.logits.weight",
        spec={"output_stride": 8},
    ),
}


@dataclass(frozen=True)
class Dense:
    """A detection or segmentation network of torchvision: its key in `KINDS`, its trunk's spec, its tensors by our names."""

    kind: str
    spec: ResNetSpec
    tensors: dict[str, Tensor]

    @property
    def auxiliary(self) -> bool:
        return any(name.startswith("aux.") for name in self.tensors)


def from_torchvision(state_dict: Mapping[str, Tensor], path: Path, norm_eps: float = EPSILON) -> Dense:
    """Recognise and convert a state dict of torchvision.

    Args:
        state_dict: of `fasterrcnn_resnet50_fpn`, `maskrcnn_resnet50_fpn`, `fcn_resnet50`, `deeplabv3_resnet50`, or of these
            with another of torchvision's residual networks as trunk.
        path: the file, for messages.
        norm_eps: epsilon of its batch norms, which no tensor shows: 0.0 for torchvision's own COCO_V1 detectors.

    Raises:
        InputError: if it is none of these.
    """
    theirs = {name: tensor for name, tensor in state_dict.items() if name not in BESIDE}
    while theirs and (wrapper := next((word for word in WRAPPERS if all(name.startswith(word) for name in theirs)), None)):
        theirs = {name.removeprefix(wrapper): tensor for name, tensor in theirs.items()}
    theirs = renamed(theirs, OLD)
    for kind, row in KINDS.items():
        found = moved(theirs, row.prefixes)
        if found is not None and found.keys() >= set(row.known_by):
            trunk = {name: tensor for name, tensor in found.items() if not name.startswith(("head.", "aux."))}
            spec = infer(trunk, {**row.spec, "num_classes": len(found[row.logits]) - row.background}, path)
            return Dense(kind, spec, _with_counters(with_epsilon(found, norm_eps)))
    few, known = ", ".join(sorted(theirs)[:4]), ", ".join(KINDS)
    raise InputError(
        f"{path}: not a detection or segmentation network of torchvision that can be read ({few}, ...); these are: {known}"
    )


def to_torchvision(dense: Dense) -> dict[str, Tensor]:
    """The tensors by torchvision's names. Raises `InputError` if torchvision has no such network."""
    row = KINDS[dense.kind]
    check_held("torchvision", {**TORCHVISION, "output_stride": (row.spec.get("output_stride", 32),)}, dense.spec)
    heads = {name: tensor for name, tensor in dense.tensors.items() if name.startswith(("head.", "aux."))}
    back = tuple((ours, theirs) for theirs, ours in reversed(row.prefixes))  # the trunk's prefix, "", comes last
    if moved(heads, back[:-1]) is None or not heads.keys() >= set(row.known_by):
        raise InputError(f"these tensors are not a {dense.kind}; torchvision has no network with such a head")
    return moved(dense.tensors, back) or {}


def moved(tensors: Mapping[str, Tensor], prefixes: Prefixes) -> dict[str, Tensor] | None:
    """The tensors, in each name the first matching (old, new) prefix replaced; None if a name has no matching prefix."""
    found = {}
    for name, tensor in tensors.items():
        row = next((row for row in prefixes if name.startswith(row[0])), None)
        if row is None:
            return None
        found[row[1] + name.removeprefix(row[0])] = tensor
    return found


def with_epsilon(tensors: dict[str, Tensor], theirs: float) -> dict[str, Tensor]:
    """Tensors of batch norms with epsilon `theirs`, changed to give the same outputs with our `EPSILON`.

    The scales are changed, not the variances, because a variance may be close to 0.
    """
    found = dict(tensors)
    for name, var in tensors.items():
        if theirs != EPSILON and name.endswith("running_var"):
            scale, exact = name.removesuffix("running_var") + "weight", var.double()
            found[scale] = (tensors[scale].double() * ((exact + EPSILON) / (exact + theirs)).sqrt()).float()
    return found


def _with_counters(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The tensors with `num_batches_tracked` added where it is missing: torchvision's frozen norms have none."""
    counters = {name.removesuffix("running_mean") + "num_batches_tracked" for name in tensors if name.endswith("running_mean")}
    return {name: torch.zeros((), dtype=torch.long) for name in sorted(counters - tensors.keys())} | tensors


# --- files ---


class Use(NamedTuple):
    """What a kind of network is for.

    Args:
        task: the name of the task.
        size: torchvision's input size in pixels: (shorter side, limit of the longer side).
        head: the settings of the head.
    """

    task: str
    size: tuple[int, int]
    head: Callable[[Dense], dict[str, Json]]


def _segmenting(dense: Dense) -> dict[str, Json]:
    return {"head": dense.kind, "auxiliary": dense.auxiliary}


USES = {
    "fasterrcnn": Use("detect", (800, 1333), lambda dense: {"form": "pyramid", "masks": False}),
    "maskrcnn": Use("detect", (800, 1333), lambda dense: {"form": "pyramid", "masks": True}),
    "fcn": Use("segment", (520, 8192), _segmenting),
    "deeplabv3": Use("segment", (520, 8192), _segmenting),
}
EPSILON_0 = tuple(  # batch norm epsilon 0
    f"{name}_ResNet50_FPN_Weights.{entry}"
    for name, entry in (
        *((name, "COCO_V1") for name in ("FasterRCNN", "MaskRCNN", "KeypointRCNN", "RetinaNet")),
        ("KeypointRCNN", "COCO_LEGACY"),
    )
)


def is_dense(tensors: Mapping[str, Tensor]) -> bool:
    """Whether the tensor names are those of a detection or segmentation network of torchvision."""
    return any("backbone." in name for name in tensors) and any(
        name.startswith(("rpn.", "classifier.", "module.rpn.", "module.classifier.")) for name in tensors
    )


@cache
def published() -> dict[str, WeightsEnum]:
    """torchvision's published weights: the first characters of the file's SHA-256 -> the entry of its weights table."""
    from torchvision import models

    names = [*models.list_models(module=models.detection), *models.list_models(module=models.segmentation)]
    entries = [entry for name in names if "resnet" in name for entry in models.get_model_weights(name)]
    return {entry.url.rsplit("-", 1)[1].split(".")[0]: entry for entry in entries}


def published_epsilon(digest: str) -> float:
    """The epsilon of the batch norms of the file with this SHA-256: 0 for torchvision's first detectors."""
    entry = next((entry for start, entry in published().items() if digest.startswith(start)), None)
    return 0.0 if str(entry) in EPSILON_0 else EPSILON


def opened(
    file: Foreign,
    source: str,
    mean: Sequence[float] | None,
    std: Sequence[float] | None,
    labels: str | Path | Sequence[str] | None,
) -> tuple[Header, dict[str, Tensor]]:
    """The header and the tensors of the file.

    Args:
        source: name of the file or weights, for the provenance.
        mean, std: normalisation of images in [0, 1], one value per channel; default (None): ImageNet's.
        labels: class names, or a file with them; default (None): torchvision's if it published the file, else see `_names`.

    Raises:
        InputError: if it is no such network, or the number of names is not the number of classes.
    """
    digest = facts.sha256(file.path)
    entry = next((entry for start, entry in published().items() if digest.startswith(start)), None)
    dense = from_torchvision(file.tensors, file.path, norm_eps=published_epsilon(digest))
    use = USES[dense.kind]
    habit = Preprocess(size=use.size, resize="shorter", crop_pct=1.0)
    user = facts.of_user(mean, std, labels, habit)
    named, named_by = _names(entry, dense) if user.labels is None else (user.labels, facts.USER)
    if len(named) != dense.spec.num_classes:
        raise InputError(f"{file.path}: {len(named)} class names for {dense.spec.num_classes} classes; give one per class")
    provenance: Provenance = {"source": source, "family": f"torchvision {dense.kind}", "sha256": digest, "labels": named_by}
    if entry is not None:
        provenance["weights"] = str(entry)
    preprocess, head = user.preprocess or habit, use.head(dense)
    return Header(dense.spec, use.task, preprocess, named, metrics={}, provenance=provenance, head=head), dense.tensors


# What unknown files of a kind are likely trained on: torchvision's own weights of a network, if they have as many classes.
USUAL = {"detect": "fasterrcnn_resnet50_fpn", "segment": "fcn_resnet50"}


def _names(entry: Any, dense: Dense) -> tuple[tuple[str, ...], str]:
    """torchvision's class names, made unique ("N/A 12" for gaps in COCO's list), and where they are stated. For files that
    it did not publish, those of its own weights with as many classes; or "0", "1", ...
    """
    from torchvision import models

    by = f"torchvision's table ({entry})"
    if entry is None:
        entry = models.get_model_weights(USUAL[USES[dense.kind].task]).DEFAULT
        by = f"the defaults of torchvision ({entry})"
    background = KINDS[dense.kind].background
    names = [name.strip("_") for name in entry.meta["categories"]][background:]
    if len(names) != dense.spec.num_classes:
        return tuple(str(number) for number in range(dense.spec.num_classes)), facts.NUMBERS
    return tuple(name if name != "N/A" else f"N/A {number}" for number, name in enumerate(names, background)), by
