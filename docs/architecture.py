"""Draw docs/architecture.png: the way of the data through the rooms of the package, as a real training takes it.

    python docs/architecture.py

A short training on `digits` is watched; each milestone below must be reached, in whatever order the code has them, or this
stops: the picture cannot show a way that the code does not take.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from types import FrameType
from typing import Any

from resnets.cli.main import main
from resnets.draw.style import FAINT, INK, TRAIN, VAL, blank, styled, write

# The rooms, upper ones import lower ones; as in pyproject.toml.
ROOMS = ("cli", "verbs", "ship", "tasks", "engine", "models", "draw", "data")
# Module and function, and what it hands on.
MILESTONES = {
    ("cli.train", "train"): "flags",
    ("verbs.train", "layers_of"): "settings,\ntask",
    ("engine.plan", "settle"): "Plan",
    ("tasks.image_level.task", "open"): "",
    ("data.sources", "open_source"): "Source",
    ("tasks.image_level.task", "design"): "spec,\nPreprocess",
    ("engine.recipe", "resolve"): "Recipe",
    ("data.splits", "cut_val"): "splits",
    ("ship.hub", "create_model"): "",
    ("models.model", "_set_head"): "trunk\nand head",
    ("tasks.image_level.task", "samples"): "Samples",
    ("engine.loop", "fit"): "",
    ("data.loader", "epoch"): "Batch",
    ("engine.loop", "take_step"): "",
    ("models.nn.trunk", "features"): "c1 ... c5",
    ("tasks.image_level.task", "forward"): "outputs",
    ("tasks.classify.losses", "cross_entropy"): "loss,\nbackward",
    ("tasks.classify.meter", "learn"): "Meter",
    ("engine.loop", "validate"): "",
    ("tasks.image_level.task", "infer"): "answers",
    ("models.weights", "save"): "best\n.safetensors",
    ("verbs.evaluate", "score"): "evaluation\n.json",
    ("draw.confusion", "confusion"): "plots/",
    ("verbs.report.run", "write"): "report\n.html",
}


def watched() -> list[tuple[str, str]]:
    """The milestones in the order in which a training first reaches them."""
    reached: dict[tuple[str, str], None] = {}

    def look(frame: FrameType, event: str, _: Any) -> None:
        if event == "call" and (name := frame.f_globals.get("__name__", "")).startswith("resnets."):
            key = (name.removeprefix("resnets."), frame.f_code.co_name)
            if key in MILESTONES:
                reached.setdefault(key)

    with tempfile.TemporaryDirectory() as folder:
        sys.setprofile(look)
        try:
            main(["train", "digits", "--epochs", "1", "--workers", "0", "--out", f"{folder}/run"])
        except SystemExit as end:
            assert not end.code, end.code
        finally:
            sys.setprofile(None)
    if missing := MILESTONES.keys() - reached.keys():
        raise SystemExit(f"a training does not come by {sorted(missing)}; mend MILESTONES")
    return list(reached)


@styled
def drawn(way: list[tuple[str, str]]) -> Any:
    """A lane per room, a point per milestone, in order from left to right."""
    figure = blank(15, 5.2, "The way of the data: resnets train digits")
    axes = figure.subplots()
    lanes = {room: len(ROOMS) - number for number, room in enumerate(ROOMS)}
    for room, lane in lanes.items():
        axes.axhspan(lane - 0.46, lane + 0.46, color="#F4F4F4" if lane % 2 else "#FAFAFA", zorder=0)
        axes.text(-1.4, lane, f"{room}/", va="center", ha="left", fontsize=11, fontweight="bold", color=INK)
    points = [(number, lanes[module.partition(".")[0]]) for number, (module, _) in enumerate(way)]
    axes.plot(*zip(*points, strict=True), color=TRAIN, linewidth=1.2, marker="o", markersize=5, zorder=2)
    box = {"facecolor": "white", "edgecolor": "none", "pad": 0.6, "alpha": 0.8}
    for (number, lane), key in zip(points, way, strict=True):
        module, function = key
        words = f"{module.partition('.')[2]}\n{function}"
        axes.text(number, lane + 0.13, words, ha="center", va="bottom", fontsize=6.2, color=FAINT, zorder=3, bbox=box)
        if MILESTONES[key]:
            axes.text(number, lane - 0.12, MILESTONES[key], ha="center", va="top", fontsize=7, color=VAL, zorder=3, bbox=box)
    axes.set_xlim(-1.5, len(way) - 0.4)
    axes.set_ylim(0.5, len(ROOMS) + 0.5)
    axes.axis("off")
    return figure


if __name__ == "__main__":
    print(write(drawn(watched()), Path(__file__).with_suffix(".png")))
