"""How good a saved model is on a split: every readable picture once, in float32."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from resnets import hub
from resnets.contracts import Split
from resnets.data import sources
from resnets.data.loaders import BadImages, Loader, default_workers
from resnets.data.sources import Source
from resnets.engine.device import find
from resnets.files import write_json
from resnets.model import Model
from resnets.spec import InputError

SPLITS = ("test", "val", "train")  # the first that the data has is the one to evaluate, unless one is named


def evaluate(
    model: str | Path | Model,
    data: str,
    *,
    split: str | None = None,
    out: str | Path | None = None,
    data_dir: str | Path | None = None,
    batch_size: int = 256,
    workers: int | None = None,
    max_bad: int | None = None,
    device: str = "auto",
) -> dict[str, Any]:
    """Evaluate a model on a split of some data, whose classes are matched to the model's by name.

    Args:
        model: a file, a run directory or a model.
        data: a known set or a path.
        split: "test", "val" or "train"; None: the first of them that the data has. Where data has no validation split, "val" is
            the one that was cut off when the model was trained on the same data.
        out: a folder for evaluation.json and drawings.
        max_bad: unreadable pictures to skip; None: 1 %, at least 10.

    Returns:
        {"model", "data", "split", "num_images", "loss", "top1", "top5", "per_class", "confusion", ...}; see the task.

    Raises:
        InputError: where the data has no such split, or classes that the model does not know.
    """
    loaded = hub.for_pictures(model if isinstance(model, Model) else hub.load(model))
    source = sources.open_source(data, data_dir=data_dir, in_chans=loaded.spec.in_chans, labels=loaded.labels)
    name, source = pick(source, split, loaded)
    loaded.to(find(device))
    result = score(loaded, source, name, out=out, batch_size=batch_size, workers=workers, max_bad=max_bad)
    return {"model": str(model) if isinstance(model, str | Path) else loaded.spec.name, "data": data} | result


def pick(source: Source, split: str | None, model: Model) -> tuple[str, Source]:
    """The name of the split to evaluate, and the source that has it.

    Data that the model was trained on is cut as it was then: its validation pictures are the same.
    """
    trained = model.metadata.get("provenance", {}).get("data", {})
    labels = tuple(trained.get("labels", source.labels))  # of the data: the model's may go on, with classes without pictures
    same = trained.get("fingerprint") == dataclasses.replace(source, labels=labels).fingerprint()
    if trained.get("cut") and "train" in source.splits and same:
        source = sources.cut_val(source, trained["cut"]["fraction"], trained["cut"]["seed"])
    name = split or next(name for name in SPLITS if name in source.splits)
    if name not in source.splits:
        raise InputError(f"{source.name} has no {name} split; it has: {', '.join(source.splits)}")
    return name, source


def score(
    model: Model,
    source: Source,
    split: str,
    *,
    out: str | Path | None = None,
    batch_size: int = 256,
    workers: int | None = None,
    max_bad: int | None = None,
) -> dict[str, Any]:
    """Evaluate on a split of an open source; with `out`, write evaluation.json and the drawings in plots/."""
    part = source.splits[split]
    bad = BadImages.allowing(max_bad, part)
    workers = default_workers() if workers is None else workers
    loader = Loader(
        split=part,
        preprocess=model.preprocess,
        batch_size=batch_size,
        num_classes=model.spec.num_classes,
        bad=bad,
        workers=workers,
    )
    outputs, targets, indices = answers(model, loader)
    result = {"split": split, "bad_images": bad.reasons} | model.task.evaluate(outputs, targets, model.labels)
    if out is not None:
        write_json(Path(out) / "evaluation.json", result)
        model.task.draw(outputs, targets, model.labels, Reordered(part, indices), Path(out) / "plots")
    return result


@torch.inference_mode()
def answers(model: Model, loader: Loader) -> tuple[Tensor, Tensor, np.ndarray]:
    """Outputs (N, ...), targets (N,) and positions (N,) of the readable pictures of a split, on the CPU."""
    model.eval()
    device = next(model.parameters()).device
    outputs, targets, positions = [], [], []
    for batch in loader.epoch(0):
        if len(batch.images):
            outputs.append(model(batch.images.to(device)).float().cpu())
            targets.append(batch.targets)
            positions.append(batch.indices)
    if not outputs:
        raise InputError("no picture of the split can be read; `resnets data check` says why")
    return torch.cat(outputs), torch.cat(targets), torch.cat(positions).numpy()


class Reordered:
    """The pictures of a split at some positions."""

    def __init__(self, split: Split, positions: np.ndarray) -> None:
        self.images, self.positions = split.images, positions

    def __len__(self) -> int:
        return len(self.positions)

    def __getitem__(self, index: int, /) -> np.ndarray:
        return self.images[int(self.positions[index])]

    def name(self, index: int, /) -> str:
        return self.images.name(int(self.positions[index]))


def summary(result: Mapping[str, Any]) -> dict[str, Any]:
    """The figures of an evaluation, without tables."""
    return {key: value for key, value in result.items() if isinstance(value, int | float | str) or key == "top1_interval"}
