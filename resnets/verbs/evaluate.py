"""How good a saved model is on a split: every readable picture once, in float32."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from resnets import tasks
from resnets.data import sources
from resnets.data.loaders import BadImages, Loader
from resnets.data.pictures.images import default_workers
from resnets.data.readers.names import DenseSource
from resnets.data.sources import Source
from resnets.data.types import Split
from resnets.engine import device as devices
from resnets.engine.contract import PictureTask
from resnets.errors import InputError
from resnets.files import write_json
from resnets.models.header import Header, terms
from resnets.models.model import Model
from resnets.ship import hub
from resnets.ship.sessions import Session, dense_header, for_pictures, open_session
from resnets.verbs import evaluate_dense as evaluation_dense

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
    runtime: str = "auto",
    amp: bool = False,
    ignore_index: int | None = None,
) -> dict[str, Any]:
    """Evaluate a model on a split of some data, whose classes are matched to the model's by name.

    Args:
        model: a file (ours or exported), a run directory or a model.
        data: a known set or a path.
        split: "test", "val" or "train"; None: the first of them that the data has. Where data has no validation split, "val" is
            the one that was cut off when the model was trained on the same data.
        out: a folder for evaluation.json and drawings.
        max_bad: unreadable pictures to skip; None: 1 %, at least 10.
        ignore_index: of masks: an index that says nothing; None: as the model was trained.
        runtime, amp: see `resnets.ship.sessions.open_session`.

    Returns:
        {"model", "data", "split", "num_images", "loss", "top1", "top5", "per_class", "confusion", ...}; see the task. "weights"
        says whose they are and under which terms, where another program or run made them.

    Raises:
        InputError: where the data has no such split, or classes that the model does not know.
    """
    dense = dense_header(model) if isinstance(model, str | Path) else model.header
    if dense is not None and tasks.get(dense.task).dense:
        if runtime not in ("auto", "torch"):
            raise InputError(f"the task {dense.task} runs in torch only, so far; leave out --runtime {runtime}")
        return _dense(
            model, dense, data, split, ignore_index, device=device, out=out, workers=workers, max_bad=max_bad, amp=amp
        )
    session = open_session(model, runtime=runtime, device=device, amp=amp)
    header = for_pictures(session.header)
    source = sources.open_source(data, data_dir=data_dir, in_chans=header.spec.in_chans, labels=header.labels)
    name, source = pick(as_trained(source, header), split)
    result = score(session, source, name, out=out, batch_size=batch_size, workers=workers, max_bad=max_bad)
    named = {"model": str(model) if isinstance(model, str | Path) else header.spec.name, "data": data}
    return named | ({"weights": told} if (told := terms(header)) else {}) | result


def _dense(
    model: str | Path | Model,
    header: Header,
    data: str,
    split: str | None,
    ignore_index: int | None,
    *,
    device: str,
    **options: Any,
) -> dict[str, Any]:
    loaded = placed(model, device)
    name, source = pick(evaluation_dense.open_for(header, data, ignore_index), split)
    result = evaluation_dense.score(loaded, source, name, **options)
    named = {"model": str(model) if isinstance(model, str | Path) else header.spec.name, "data": data}
    return named | ({"weights": told} if (told := terms(header)) else {}) | result


def placed(model: str | Path | Model, device: str) -> Model:
    """The model on the device that is asked for; one that is in memory stays where it is with "auto"."""
    if not isinstance(model, str | Path):
        return model if device == "auto" else model.to(devices.find(device))
    return hub.load(model).to(devices.find(device))


def as_trained(source: Source, header: Header) -> Source:
    """`source`, its validation split cut as it was if the model was trained on it: its validation pictures are the same."""
    trained = header.provenance.get("data", {})
    labels = tuple(trained.get("labels", source.labels))  # of the data: the model's may go on, with classes without pictures
    same = trained.get("fingerprint") == dataclasses.replace(source, labels=labels).fingerprint()
    if trained.get("cut") and "train" in source.splits and same:
        return sources.cut_again(source, trained["cut"])
    return source


def pick(source: Any, split: str | None) -> tuple[str, Any]:
    """The name of the split to evaluate, `split` or the first of `SPLITS`, and the source that has it."""
    name = split or next(name for name in SPLITS if name in source.splits)
    if name not in source.splits:
        raise InputError(f"{source.name} has no {name} split; it has: {', '.join(source.splits)}")
    return name, source


def score(
    model: Session | Model,
    source: Source | DenseSource,
    split: str,
    *,
    out: str | Path | None = None,
    batch_size: int = 256,
    workers: int | None = None,
    max_bad: int | None = None,
) -> dict[str, Any]:
    """Evaluate on a split of an open source; with `out`, write evaluation.json and the drawings in plots/."""
    if isinstance(source, DenseSource):
        assert isinstance(model, Model)
        return evaluation_dense.score(model, source, split, out=out, workers=workers, max_bad=max_bad)
    session = model if isinstance(model, Session) else open_session(model)
    part = source.splits[split]
    bad = BadImages.allowing(max_bad, part)
    workers = default_workers() if workers is None else workers
    header = session.header
    task: PictureTask = tasks.get(header.task)  # type: ignore[assignment]
    loader = Loader(
        split=part,
        preprocess=header.preprocess,
        batch_size=batch_size,
        num_classes=header.spec.num_classes,
        bad=bad,
        workers=workers,
        raw=True,
    )
    outputs, targets, indices = answers(session, loader)
    result = {"split": split, "bad_images": bad.reasons} | task.evaluate(outputs, targets, header.labels)
    if out is not None:
        write_json(Path(out) / "evaluation.json", result)
        task.draw(outputs, targets, header.labels, Reordered(part, indices), Path(out) / "plots")
    return result


def answers(session: Session, loader: Loader) -> tuple[Tensor, Tensor, np.ndarray]:
    """Outputs (N, ...), targets (N,) and positions (N,) of the readable pictures of a split, on the CPU."""
    outputs, targets, positions = [], [], []
    for batch in loader.epoch(0):
        if len(batch.images):
            outputs.append(torch.from_numpy(session.run(batch.images.numpy())))
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
