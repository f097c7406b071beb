"""Files of torchvision's detection and segmentation networks to a header and tensors of ours. Nothing is downloaded."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from torch import Tensor

from resnets.data.preprocess import Preprocess
from resnets.errors import InputError
from resnets.models.header import Header
from resnets.models.pretrained import facts
from resnets.models.pretrained.dense import KINDS, Dense, from_torchvision
from resnets.models.pretrained.files import Foreign
from resnets.models.pretrained.folding import EPSILON

if TYPE_CHECKING:
    from torchvision.models import WeightsEnum
from resnets.models.records import Json, Provenance


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
EPSILON_0 = ("FasterRCNN_ResNet50_FPN_Weights.COCO_V1", "MaskRCNN_ResNet50_FPN_Weights.COCO_V1")  # batch norm epsilon 0


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
        labels: class names, or a file with them; default (None): torchvision's if it published the file, else numbers.

    Raises:
        InputError: if it is no such network, or the number of names is not the number of classes.
    """
    digest = facts.sha256(file.path)
    entry = next((entry for start, entry in published().items() if digest.startswith(start)), None)
    dense = from_torchvision(file.tensors, file.path, norm_eps=0.0 if str(entry) in EPSILON_0 else EPSILON)
    use = USES[dense.kind]
    habit = Preprocess(size=use.size, resize="shorter", crop_pct=1.0)
    user = facts.of_user(mean, std, labels, habit)
    named = _names(entry, dense) if user.labels is None else user.labels
    if len(named) != dense.spec.num_classes:
        raise InputError(f"{file.path}: {len(named)} class names for {dense.spec.num_classes} classes; give one per class")
    provenance: Provenance = {"source": source, "family": f"torchvision {dense.kind}", "sha256": digest}
    if entry is not None:
        provenance["weights"] = str(entry)
    preprocess, head = user.preprocess or habit, use.head(dense)
    return Header(dense.spec, use.task, preprocess, named, metrics={}, provenance=provenance, head=head), dense.tensors


def _names(entry: Any, dense: Dense) -> tuple[str, ...]:
    """torchvision's class names, made unique ("N/A 12" for gaps in COCO's list); "0", "1", ... for unknown files."""
    if entry is None:
        return tuple(str(number) for number in range(dense.spec.num_classes))
    names = [name.strip("_") for name in entry.meta["categories"]][KINDS[dense.kind].background :]
    return tuple(name if name != "N/A" else f"N/A {number}" for number, name in enumerate(names, KINDS[dense.kind].background))
