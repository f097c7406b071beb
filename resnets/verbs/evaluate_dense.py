"""How good a detector or a segmenter is on a split: picture by picture, in float32, with memory for the worst of them only."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from resnets import tasks
from resnets.data import dense
from resnets.data.dense_loader import DenseLoader
from resnets.data.loaders import BadImages
from resnets.data.pictures.images import default_workers
from resnets.data.pictures.volumes import Volume
from resnets.data.readers import names as labelled
from resnets.data.readers import volume_labels
from resnets.data.readers.names import DenseSource
from resnets.engine.contract import DenseTask, Shown
from resnets.errors import InputError
from resnets.files import write_json
from resnets.models.header import Header
from resnets.models.model import Model

WORST = 6  # pictures that are drawn


def open_for(header: Header, data: str, ignore_index: int | None = None) -> DenseSource:
    """The data as the model of `header` needs it: its classes by name and, if it was trained on the same data, its splits."""
    recipe = header.provenance.get("recipe", {})
    if dense.is_dense(data) and (header.spec.dims == 3) != volume_labels.is_volumes(Path(data).expanduser()):
        theirs, ours = ("pictures", "volumes")[:: 1 if header.spec.dims == 3 else -1]
        raise InputError(f"{data}: {theirs} here, and the model takes {ours}; give data like those of its training")
    trained = header.provenance.get("data", {})

    def opened(labels: Sequence[str]) -> DenseSource:
        return dense.open_dense(
            data,
            header.task,
            in_chans=header.spec.in_chans,
            labels=labels,
            masks=bool(header.head.get("masks")),
            ignore=recipe.get("ignore_index") if ignore_index is None else ignore_index,
        )

    source = opened(header.labels)
    if source.in_chans != header.spec.in_chans:
        raise InputError(f"{data}: volumes of {source.in_chans} channels, and the model takes {header.spec.in_chans}")
    if trained.get("cut") and "train" in source.splits:
        # The fingerprint is of the data's own classes: the model's may go on, with some that no picture has.
        own = tuple(trained.get("labels", header.labels))
        if trained.get("fingerprint") == (source if own == header.labels else opened(own)).fingerprint():
            return labelled.cut_val(source, **trained["cut"])
    return source


def score(
    model: Model,
    source: DenseSource,
    split: str,
    *,
    out: str | Path | None = None,
    workers: int | None = None,
    max_bad: int | None = None,
    amp: bool = False,
) -> dict[str, Any]:
    """Evaluate on a split of an open source; with `out`, write evaluation.json and the drawings in plots/.

    Returns:
        {"task", "split", "bad_images", ...}, and what the task's meter says: see docs/dense_metrics.md.

    Raises:
        InputError: where no picture of the split can be used.
    """
    task: DenseTask = tasks.get(model.task.name)  # type: ignore[assignment]
    part = source.splits[split]
    bad = BadImages.allowing(max_bad, part)  # type: ignore[arg-type]
    workers = default_workers() if workers is None else workers
    loader = DenseLoader(split=part, preprocess=model.preprocess, batch_size=1, bad=bad, workers=workers)
    meter = task.meter(model.labels, model.form)
    place = next(model.parameters()).device
    worst: list[tuple[float, int, int, Any, Any]] = []
    training = model.training
    model.eval()
    with torch.inference_mode(), torch.autocast(place.type, torch.bfloat16, enabled=amp):
        for batch in loader.epoch(0):
            if len(batch.images):
                (truth,) = batch.targets
                found = task.infer(model, batch.images, truth.whole)
                own = task.judge(meter, truth, found)
                row, there = 0, truth.target
                if len(truth.whole) == 3:
                    row, there, found = volume_labels.worst_slice(there, found)
                worst = sorted([*worst, (own, truth.index, row, there, found)], key=lambda kept: kept[:2])[:WORST]
    model.train(training)
    if not worst:
        raise InputError("no picture of the split can be read; `resnets data check` says why")
    result = {"task": task.name, "split": split, "bad_images": bad.reasons} | meter.result()
    if out is not None:
        write_json(Path(out) / "evaluation.json", result)
        shown = [Shown(own, *seen(part.images, index, row), truth, found) for own, index, row, truth, found in worst]
        task.draw(meter, shown, model.labels, Path(out) / "plots")
    return result


def seen(images: Any, index: int, row: int) -> tuple[str, np.ndarray]:
    """The name of a picture and itself, of a volume its slice at `row`."""
    name, picture = Path(images.name(index)).name, images[index]
    return (f"{name}, slice {row}", picture.drawn(row)) if isinstance(picture, Volume) else (name, picture)
