"""Figures of segmentation: the classes of pixels over an image.

As everywhere in `resnets.draw`, `draw_x(...)` returns a matplotlib `Figure`, and `x(..., path)` saves it as PNG.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from resnets.data.targets import IGNORE
from resnets.data.types import Split
from resnets.data.words import called, worded
from resnets.draw.agreement import agreement
from resnets.draw.confusion import confusion
from resnets.draw.paint import hex_colours, paint
from resnets.draw.panels import Panel, cells, legend, show
from resnets.draw.panels import worst as draw_rows
from resnets.draw.style import FAINT, styled, write
from resnets.tasks.dense.task import shown
from resnets.tasks.segment import draw_volumes
from resnets.tasks.segment.meter import SegmentMeter

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def evaluation(meter: SegmentMeter, split: Split, folder: Path) -> list[Path]:
    """Draw the confusion of pixels, the worst images and, of volumes, millilitres beside the truth."""
    labels, background, worst = meter.labels, meter.background, shown(meter.worst, split)
    drawings = [
        confusion(meter.counted.sums["confusion"], labels, folder / "confusion.png", of=worded("pixels", called(split.images)))
    ]
    path = folder / "worst.png"
    if worst and worst[0].spacing:
        drawings.append(draw_volumes.worst(worst, labels, background, path))
    elif worst:
        rows = [
            [Panel(each.picture), *(panel(each.picture, classes, background) for classes in (each.truth, each.found))]
            for each in worst
        ]
        captions = [f"{each.name}\nmIoU {each.score:.3f}" for each in worst]
        names = ("picture", "truth", "predicted")
        drawings.append(draw_rows(rows, names, captions, labels, path, title="worst first", background=background))
    if agreed := meter.agreements(split.groups):
        drawings.append(agreement(agreed, folder / "agreement.png", unit="ml"))
    return drawings


def panel(picture: np.ndarray, classes: np.ndarray, background: int | None) -> Panel:
    """The picture painted with class indices (H, W)."""
    return Panel(paint(picture, classes, background=background))


def segments(picture: np.ndarray, predicted: np.ndarray, labels: Sequence[str], path: Path | str, **settings: Any) -> Path:
    """Save the classes of pixels over an image as PNG. See `draw_segments`."""
    return write(draw_segments(picture, predicted, labels, **settings), path)


@styled
def draw_segments(
    picture: np.ndarray,
    predicted: np.ndarray,
    labels: Sequence[str],
    *,
    truth: np.ndarray | None = None,
    background: int | None = None,
    title: str = "",
) -> Figure:
    """The image, and beside it the image painted with the predicted classes and, where given, the true ones.

    The legend has the classes that occur. Pixels with `IGNORE` are dark and striped.

    Args:
        picture: uint8 (H, W), (H, W, 1), (H, W, 3) or (H, W, 4).
        predicted: class indices (H, W).
        labels: the class names.
        truth: class indices (H, W), drawn in a third panel.
        background: the class that is not painted.
    """
    panels = [("picture", picture), ("predicted", paint(picture, predicted, background=background))]
    if truth is not None:
        panels.append(("truth", paint(picture, truth, background=background)))
    figure, several = cells(picture, len(panels), title, with_legend=True)
    for axes, (name, painted) in zip(several, panels, strict=True):
        show(axes, painted, name)
    occur = np.union1d(predicted, predicted if truth is None else truth)
    palette = hex_colours(len(labels))
    entries = [(palette[i], labels[i]) for i in occur.tolist() if i not in (background, IGNORE)]
    legend(figure, entries + ([(FAINT, "ignored")] if IGNORE in occur else []))
    return figure
