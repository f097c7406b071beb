"""How good a model is on a split: every readable image once, in float32."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from resnets.data.corrections import corrected
from resnets.data.groups import grouped
from resnets.data.loader import Loader
from resnets.data.machine import default_workers
from resnets.data.readers.memory import name_of
from resnets.data.types import Batch, Source
from resnets.data.words import called, worded
from resnets.data.workers import BadImages
from resnets.errors import InputError
from resnets.files import write_json
from resnets.models.header import terms
from resnets.models.model import Model
from resnets.ship.sessions import Session, answering, deciding, open_session
from resnets.ship.several import members, open_one_or_several
from resnets.stores import publishing
from resnets.verbs import predictions
from resnets.verbs.predictions import Judged

SPLITS = ("test", "val", "train")  # the first that the data has is the one to evaluate, unless one is named


@publishing
def evaluate(
    model: str | Path | Model,
    data: Any,
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
    tta: bool = False,
    ignore_index: int | None = None,
    group_by: str | None = None,
    abstain_at: float | str | None = None,
    sets: float | str | None = None,
    unknown: bool = True,
    corrections: str | Path | None = None,
) -> dict[str, Any]:
    """Evaluate a model on a split of some data, whose classes are matched to the model's by name.

    Args:
        model: a file (ours or exported), a run directory, a folder of folds or seeds (as in `predict`), or a model.
        data: a built-in dataset, a path, or arrays as `train` takes them.
        split: "test", "val" or "train"; None: the first of them that the data has. Where data has no validation split, "val" is
            the one that was cut off when the model was trained on the same data.
        out: a folder for evaluation.json, predictions.csv and drawings.
        batch_size: images at once; where inputs differ in size always one.
        max_bad: unreadable images to skip; None: 1 %, at least 10.
        ignore_index: of masks: an index that is ignored; None: as the model was trained.
        group_by: what the interval is by groups of, as in training; None: as the model was trained, where that suits the data.
        runtime, amp: see `resnets.ship.sessions.open_session`.
        tta: see `predict`.
        abstain_at, sets, unknown: of classifiers: see `predict`.
        corrections: a list of other labels, as `train` takes it.

    Returns:
        {"model", "data", "split", "num_images", "loss", "top1", "top5", "per_class", "confusion", ...}; see the task. "weights"
        says whose they are and under which terms, where another program or run made them; "data_notes" what of the data was
        left out or taken for another thing, where something was.

    Raises:
        InputError: where the data has no such split, or classes that the model does not know; of the models of folds, for a
            split that some of them were trained on.
    """
    asked: Any = {
        "ignore_index": ignore_index,
        "group_by": group_by,
        "abstain_at": abstain_at,
        "sets": sets,
        "unknown": unknown,
        "corrections": corrections,
    }
    session, source = opened(model, data, data_dir=data_dir, device=device, runtime=runtime, amp=amp, tta=tta, **asked)
    header, name = session.header, pick(source, split)
    check_unseen(model, source, name)
    result = score(session, source, name, out=out, batch_size=batch_size, workers=workers, max_bad=max_bad)
    named = {"model": str(model) if isinstance(model, str | Path) else header.spec.name, "data": name_of(data)}
    return named | ({"weights": told} if (told := terms(header)) else {}) | result


def opened(
    model: str | Path | Model,
    data: Any,
    *,
    data_dir: str | Path | None = None,
    device: str = "auto",
    runtime: str = "auto",
    amp: bool = False,
    tta: bool = False,
    ignore_index: int | None = None,
    group_by: str | None = None,
    abstain_at: float | str | None = None,
    sets: float | str | None = None,
    unknown: bool = True,
    corrections: str | Path | None = None,
) -> tuple[Session, Source]:
    """The model, running, and the data with its classes. The arguments are those of `evaluate`."""
    session = open_one_or_several(model, runtime=runtime, device=device, amp=amp, tta=tta)
    session = deciding(session, {"abstain_at": abstain_at, "sets": sets, "unknown_at": None if unknown else 0})
    header = session.header
    asked = {"ignore_index": ignore_index, "group_by": group_by}
    source = grouped(answering(header).open_for(header, data, asked, data_dir=data_dir), group_by)
    return session, corrected(source, corrections)


def check_unseen(model: Any, source: Source, split: str) -> None:
    """Raise `InputError` where several models are to be judged together by images that some of them were trained on."""
    if source.cut is not None and split != "test" and members(model):
        raise InputError(
            f"{model}: some of these models were trained on images of {source.name}; what each says of those that it has not "
            f"seen is in {Path(model) / 'predictions.csv'}; give other data, or one of the runs"
        )


def pick(source: Source, split: str | None) -> str:
    """The name of the split to evaluate: `split`, or the first of `SPLITS` that `source` has."""
    name = split or next(name for name in SPLITS if name in source.splits)
    if name not in source.splits:
        raise InputError(f"{source.name} has no {name} split; it has: {', '.join(source.splits)}")
    return name


def score(
    model: Session | Model,
    source: Source,
    split: str,
    *,
    out: str | Path | None = None,
    batch_size: int = 256,
    workers: int | None = None,
    max_bad: int | None = None,
) -> dict[str, Any]:
    """Evaluate on a split of an open source; with `out`, write evaluation.json, predictions.csv and the drawings in plots/.

    Raises:
        InputError: where no image of the split can be used.
    """
    judged = judge(model, source, split, batch_size=batch_size, workers=workers, max_bad=max_bad)
    result = judged.result()
    if out is not None:
        predictions.write(Path(out) / "predictions.csv", [judged])
        keep(judged, result, Path(out))
    return result


def keep(judged: Judged, result: Mapping[str, Any], out: Path) -> None:
    """Write evaluation.json and the drawings."""
    write_json(out / "evaluation.json", result)
    judged.task.draw(judged.meter, judged.part, out / "plots")


def judge(
    model: Session | Model,
    source: Source,
    split: str,
    *,
    batch_size: int = 256,
    workers: int | None = None,
    max_bad: int | None = None,
    watch: Callable[[Batch], None] = lambda batch: None,
) -> Judged:
    """The answers to a split of an open source; `watch` is shown each batch. Raises as `score`."""
    session = model if isinstance(model, Session) else open_session(model)
    header, part = session.header, source.splits[split]
    task, bad = answering(header), BadImages.allowing(max_bad, part)
    samples = task.samples(part, header.preprocess, header.spec.num_classes)
    loader = Loader(
        samples=samples,
        batch_size=1 if task.own_size else batch_size,
        bad=bad,
        workers=default_workers() if workers is None else workers,
    )
    meter, num_images = task.meter(header.labels, header.head), 0
    meter.decision = header.decision
    for batch in loader.epoch(0):
        if len(batch.images):
            meter.add(task.infer(session.run, batch.images.numpy(), batch.sizes, header), batch)
            watch(batch)
            num_images += len(batch.images)
    if not num_images:
        raise InputError(worded("no picture of the split can be read; `resnets data check` says why", called(part.images)))
    return Judged(task, split, samples.split, meter, num_images, bad.reasons, tuple(note.text for note in source.told))


def summary(result: Mapping[str, Any]) -> dict[str, Any]:
    """The figures of an evaluation, without tables."""
    return {key: value for key, value in result.items() if isinstance(value, int | float | str) or key.endswith("_interval")}
