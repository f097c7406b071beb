"""A path in any layout of boxes, masks or volumes that is recognised, as a `DenseSource`. No torch."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from resnets.data.pictures.images import printable
from resnets.data.readers import boxes, coco, masks, volume_labels
from resnets.data.readers.names import DenseSource
from resnets.errors import InputError

TASKS = ("detect", "segment")


class DenseLayout(NamedTuple):
    words: str
    task: str  # of TASKS
    recognises: Callable[[Path], bool]
    read: Callable[..., DenseSource]  # (path, in_chans, labels, and of `open_dense`'s other arguments those in `takes`)
    takes: tuple[str, ...]


# The first that recognises a path, for a task that is wanted, reads it.
VOC, PAIRS = "Pascal VOC: JPEGImages", "[{train,val,test}/]images"
LAYOUTS = (
    DenseLayout(f"{VOC}, Annotations, ImageSets/Main", "detect", boxes.is_voc, boxes.read_voc, ("masks",)),
    DenseLayout("COCO: annotations/instances_{train,val}*.json", "detect", coco.is_coco, coco.read_coco, ("masks",)),
    DenseLayout(f"{PAIRS} + labels, .nii[.gz]", "segment", volume_labels.is_volumes, volume_labels.read_volumes, ("ignore",)),
    DenseLayout(f"{PAIRS} + masks", "segment", masks.is_masks, masks.read_masks, ("ignore",)),
    DenseLayout(f"{VOC}, SegmentationClass", "segment", masks.is_voc_masks, masks.read_voc_masks, ("ignore",)),
    DenseLayout(f"{PAIRS} + instances", "detect", masks.is_instances, masks.read_instances, ("masks",)),
    DenseLayout(f"{PAIRS} + instances", "segment", masks.is_instances, masks.read_foreground, ("ignore",)),
)


def is_dense(data: str | os.PathLike[str]) -> bool:
    """Whether `open_dense` would read this path."""
    path = Path(data).expanduser()
    return path.is_dir() and any(layout.recognises(path) for layout in LAYOUTS)


def open_dense(
    data: str | os.PathLike[str],
    task: str | None = None,
    *,
    in_chans: int = 3,
    labels: Sequence[str] | None = None,
    masks: bool = False,
    ignore: int | None = None,
) -> DenseSource:
    """Open a folder by its layout.

    Args:
        task: "detect" for boxes, "segment" for a class at each pixel; None: whichever the folder has, boxes first.
        in_chans: 1, 3 or 4 channels for pictures.
        labels: class names, of a saved model for one; None: those of `classes.txt` in the folder, else of the annotations.
        masks: with boxes, the objects' masks too.
        ignore: a number in masks that says nothing, beside 255.

    Raises:
        InputError: if there is nothing there, nothing that is recognised, or the classes do not fit.
    """
    assert task in (None, *TASKS), task
    path = Path(data).expanduser()
    if not path.is_dir():
        raise InputError(f"{printable(path)}: no such folder")
    given: dict[str, Any] = {"masks": masks, "ignore": ignore}
    for layout in LAYOUTS:
        if task in (None, layout.task) and layout.recognises(path):
            return layout.read(path, in_chans, labels, **{name: given[name] for name in layout.takes})
    forms = "; ".join(dict.fromkeys(layout.words for layout in LAYOUTS if task in (None, layout.task)))
    raise InputError(f"{printable(path)}: not a layout that is known; give one of: {forms}")
