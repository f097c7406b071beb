"""Figures of volumes: their classes over three planes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from resnets.data.pictures.images import BadPicture
from resnets.data.pictures.windowed import automatic, shares
from resnets.data.planes import VIEWS, View, busiest, planes
from resnets.data.targets import IGNORE
from resnets.data.types import Samples, Source
from resnets.draw.paint import paint
from resnets.draw.panels import Panel
from resnets.draw.panels import worst as draw_rows
from resnets.errors import InputError
from resnets.tasks.dense.task import Shown

if TYPE_CHECKING:
    from matplotlib.axes import Axes

NAMES = [view.name for view in VIEWS]
OPACITY = 0.45  # what lies below is to be seen
CORNERS = ((0.015, 0.5), (0.985, 0.5), (0.5, 0.985), (0.5, 0.015))  # of the letters: left, right, top, bottom
ALIGNED = (("left", "center"), ("right", "center"), ("center", "top"), ("center", "bottom"))
LARGE = (3.4, 3.2)  # inches of a panel, where one volume is drawn


def panels(
    pictures: Sequence[np.ndarray],
    classes: Sequence[np.ndarray] | None,
    spacing: Sequence[float],
    background: int | None,
    *,
    upright: bool = True,
) -> list[Panel]:
    """A panel for each of `VIEWS`, in the proportions of the spacing (D, H, W), with letters at the edges.

    Args:
        pictures: uint8 (rows, columns, 1) each, as of `Volume.planes`.
        classes: class indices that they are painted with.
        upright: whether axes run as in the body; of a patch that may be mirrored nobody knows, and there are no letters.
    """
    painted = pictures
    if classes is not None:
        painted = [paint(*both, background=background, opacity=OPACITY) for both in zip(pictures, classes, strict=True)]
    return [
        Panel(picture, lettered(view) if upright else None, (spacing[view.rows], spacing[view.columns]))
        for picture, view in zip(painted, VIEWS, strict=True)
    ]


def lettered(view: View) -> Callable[[Axes], None]:
    """What writes the directions at the edges of a plane."""

    def over(axes: Axes) -> None:
        for letter, (x, y), (across, along) in zip(view.edges, CORNERS, ALIGNED, strict=True):
            text = axes.text(x, y, letter, transform=axes.transAxes, ha=across, va=along, color="white", fontsize=8)
            text.set_bbox({"facecolor": "black", "alpha": 0.5, "pad": 1, "linewidth": 0})

    return over


def worst(several: Sequence[Shown], labels: Sequence[str], background: int | None, path: Path) -> Path:
    """The worst volumes in three planes: above what is there, below what was found."""
    rows, captions = [], []
    for each in several:
        rows += [panels(each.picture, classes, each.spacing, background) for classes in (each.truth, each.found)]
        captions += [f"{each.name}\nmIoU {each.score:.3f}\n\ntruth", "predicted"]
    title = "worst first, where most voxels differ"
    return draw_rows(rows, NAMES, captions, labels, path, title=title, background=background)


def segments(volume: Any, answer: np.ndarray, labels: Sequence[str], background: int | None, path: Path) -> Path:
    """A volume in the planes with most of what was found (D, H, W), and below the same painted with it."""
    at = middle(answer, background)
    pictures = volume.planes(at)
    rows = [panels(pictures, classes, volume.spacing, background) for classes in (None, planes(answer, at))]
    return draw_rows(rows, NAMES, ["volume", "predicted"], labels, path, background=background, cell=LARGE)


def examples(source: Source, samples: Samples, path: Path | str, *, count: int = 4, seed: int = 0) -> Path:
    """Draw up to `count` training volumes, evenly spread, each in three planes with its classes, and below it a patch as
    training sees it.

    Raises:
        InputError: where no volume can be read.
    """
    train, reader, rows, captions = samples.split, samples.reader(1), [], []
    for index in np.unique(np.linspace(0, len(train) - 1, min(count, len(train))).round().astype(int)).tolist():
        try:
            volume, classes = train[index]
        except BadPicture:
            continue
        at = middle(classes, source.background)
        rows.append(panels(volume.planes(at), planes(classes, at), volume.spacing, source.background))
        pixels, classes, _ = reader[0, index, index]
        at = middle(classes, source.background)
        shown = [shares(part, automatic(pixels[0].numpy())) * 255 for part in planes(pixels[0].numpy(), at)]
        pictures = [part.round().astype(np.uint8)[..., None] for part in shown]
        rows.append(panels(pictures, planes(classes, at), volume.spacing, source.background, upright=False))
        captions += [Path(train.images.name(index)).name, "a patch in training"]
    if not rows:
        raise InputError(f"{source.name}: no volume can be read; `resnets data check` says why")
    return draw_rows(rows, NAMES, captions, source.labels, path, title=source.name, background=source.background)


def middle(classes: np.ndarray, background: int | None) -> tuple[int, ...]:
    """Along each axis where most voxels have a class."""
    return busiest((part != (-1 if background is None else background)) & (part != IGNORE) for part in classes)
