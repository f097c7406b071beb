"""Inside a residual network, drawn: what its blocks add, the filters of its first layer, and its feature maps."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from resnets.draw.style import FAINT, INK, TRAIN, VAL, blank, styled, write

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST = 64  # filters that are drawn
CHANNELS = 8  # of a level


def blocks(result: Mapping[str, Any], path: Path | str) -> Path:
    """Save what the blocks add as PNG. See `draw_blocks`."""
    return write(draw_blocks(result), path)


@styled
def draw_blocks(result: Mapping[str, Any]) -> Figure:
    """The norm of F(x) beside that of x, block by block, and the score without each block and with each two exchanged.

    Args:
        result: as `verbs.residual.measure` returns it.
    """
    rows = result["blocks"]
    names, places = [row["block"].removeprefix("layer") for row in rows], np.arange(len(rows))
    colours = [VAL if row["changes_shape"] else TRAIN for row in rows]
    figure = blank(min(11.0, max(5.5, 1.6 + 0.3 * len(rows))), 5.2)
    added, score = figure.subplots(2, 1, sharex=True)
    added.bar(places, [row["added"] for row in rows], color=colours, width=0.7)
    added.set_title("what blocks add (orange: they change the shape)")
    added.set_ylabel("|F(x)| / |x|")
    score.axhline(result["score"], color=FAINT, linewidth=1, linestyle="--")
    score.scatter(places, [row["without"] for row in rows], color=colours, s=28, label="without it", zorder=3)
    at = {row["block"]: place for place, row in zip(places, rows, strict=True)}
    pairs = [(np.mean([at[name] for name in pair["blocks"]]), pair["score"]) for pair in result["exchanged"]]
    if pairs:
        score.scatter(*zip(*pairs, strict=True), marker="x", color=INK, s=22, label="two neighbours exchanged", zorder=3)
    score.set_title(f"{result['name']} of {result['num_images']} images; whole network {result['score']:.3f} (dashed)")
    score.set_xticks(places, names, rotation=90 if len(rows) > 16 else 0, fontsize=7.5)
    least = min([0.0, result["score"], *(row["without"] for row in rows), *(value for _, value in pairs)])
    score.set(ylim=(1.05 * least, 1.02), xlabel="block (stage.position)", ylabel=result["name"])
    score.legend(loc="lower right", frameon=False, fontsize=8)
    return figure


def filters(weight: np.ndarray, responses: np.ndarray, path: Path | str) -> Path:
    """Save the filters of the first layer as PNG. See `draw_filters`."""
    return write(draw_filters(weight, responses), path)


@styled
def draw_filters(weight: np.ndarray, responses: np.ndarray) -> Figure:
    """The filters, sorted by the angle of the edge that they respond to most, and their responses to edges.

    Args:
        weight: (K, C, h, w); of three channels in colour, else the mean over channels.
        responses: (K, 8), to edges at multiples of 22.5 degrees.
    """
    order = np.lexsort((-responses.max(1), responses.argmax(1)))[:MOST]
    weight, responses = weight[order], responses[order]
    shown = weight if weight.shape[1] == 3 else weight.mean(1, keepdims=True).repeat(3, 1)
    scale = np.abs(shown).max((1, 2, 3), keepdims=True).clip(1e-12)
    tiles = (0.5 + 0.5 * shown / scale).transpose(0, 2, 3, 1)
    columns = min(16, len(tiles))
    rows = -(-len(tiles) // columns)
    high, wide = tiles.shape[1] + 1, tiles.shape[2] + 1
    sheet = np.ones((rows * high, columns * wide, 3))
    for number, tile in enumerate(tiles):
        row, column = divmod(number, columns)
        sheet[row * high : row * high + high - 1, column * wide : column * wide + wide - 1] = tile
    figure = blank(8.2, 1.2 + 0.5 * rows + 1.7)
    above, below = figure.subplots(2, 1, height_ratios=(0.5 * rows + 0.3, 1.6))
    above.imshow(sheet, interpolation="nearest")
    above.set_axis_off()
    above.set_title(f"{len(tiles)} filters of the first layer, by the edge that they respond to most")
    image = below.imshow((responses / responses.max().clip(1e-12)).T, aspect="auto", cmap="viridis", vmin=0)
    below.set_yticks(range(0, 8, 2), ["0°", "45°", "90°", "135°"])
    below.set(ylabel="angle of the edge", xlabel="filter, in the same order")
    figure.colorbar(image, ax=below, label="response")
    return figure


def stages(picture: np.ndarray, levels: Mapping[str, np.ndarray], path: Path | str) -> Path:
    """Save feature maps as PNG. See `draw_stages`."""
    return write(draw_stages(picture, levels), path)


@styled
def draw_stages(picture: np.ndarray, levels: Mapping[str, np.ndarray]) -> Figure:
    """The image, and of each level the mean over its channels and those channels that vary most.

    Args:
        picture: uint8 (H, W, C).
        levels: (channels, H, W) by name.
    """
    from resnets.draw.paint import three

    figure = blank(1.05 * (CHANNELS + 2), 1.15 * len(levels) + 0.3)
    grid = figure.subplots(len(levels), CHANNELS + 2, squeeze=False)
    for row, (name, maps) in zip(grid, levels.items(), strict=True):
        busiest = np.argsort(-maps.std((1, 2)), kind="stable")[:CHANNELS]
        for axes in row:
            axes.set_axis_off()
        row[0].imshow(three(picture))
        row[1].imshow(maps.mean(0), cmap="viridis")
        row[1].set_title(f"{name}: mean of {len(maps)}", fontsize=6.5, pad=2)
        for axes, channel in zip(row[2:], busiest.tolist(), strict=False):
            axes.imshow(maps[channel], cmap="viridis")
            axes.set_title(f"{channel}, {maps.shape[1]} x {maps.shape[2]}", fontsize=6, pad=2)
    return figure
