"""Two models on the same pictures: is the difference more than chance?"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from resnets import tasks
from resnets.data.words import called
from resnets.draw.text import visible
from resnets.engine.values import Sample
from resnets.errors import InputError
from resnets.files import write_json
from resnets.measures.paired import paired_bootstrap, right_together
from resnets.models.model import Model
from resnets.ship.several import header_of
from resnets.verbs import evaluate, predictions
from resnets.verbs.predictions import Judged


def compare(
    first: str | Path | Model,
    second: str | Path | Model,
    data: str,
    *,
    split: str | None = None,
    out: str | Path | None = None,
    **options: Any,
) -> dict[str, Any]:
    """Evaluate two models of one task on the same split, and test whether they differ.

    Args:
        first, second: as `evaluate`'s `model`.
        data, split, options: as for `evaluate`; the split must be the same pictures for both.
        out: a folder for comparison.json and, in `first` and `second`, what `evaluate` writes of each model.

    Returns:
        {"task", "split", "num_images", "first", "second": evaluations, "score", "difference" (first minus second), "interval",
        "p_value"}; of classes also "mcnemar": {"only_first", "only_second", "both", "neither", "p_value"}. The interval is at
        95 %, by paired bootstrap, by groups where the data has some.

    Raises:
        InputError: as `evaluate`, where the tasks differ, or the pictures.
    """
    check_task(*(header_of(model).task if isinstance(model, str | Path) else model.header.task for model in (first, second)))
    judged = [judge(model, data, split, **options) for model in (first, second)]
    check_same(*judged)
    results = [each.result() for each in judged]
    samples = [each.meter.sample() for each in judged]
    one = judged[0]
    groups = samples[0].groups if one.part.groups is None else one.part.groups[samples[0].positions]
    difference = paired_bootstrap(samples[0].figure, samples[1].figure, len(samples[0].positions), groups)
    found: dict[str, Any] = {
        "task": one.task.name,
        "split": one.split,
        "num_images": one.num_images,
        "num_groups": None if groups is None else len(np.unique(groups)),
        "score": samples[0].name,
        "difference": difference.value,
        "interval": difference.interval,
        "p_value": difference.p_value,
    } | counted(*samples)
    for name, model, result in zip(("first", "second"), (first, second), results, strict=True):
        found[name] = {"model": str(model) if isinstance(model, str | Path) else model.spec.name, "data": data} | result
    if out is not None:
        for name, each, result in zip(("first", "second"), judged, results, strict=True):
            predictions.write(Path(out) / name / "predictions.csv", [each])
            evaluate.keep(each, result, Path(out) / name)
        write_json(Path(out) / "comparison.json", found)
    return found


def judge(
    model: str | Path | Model,
    data: str,
    split: str | None,
    *,
    batch_size: int = 256,
    workers: int | None = None,
    max_bad: int | None = None,
    **opening: Any,
) -> Judged:
    """The answers of one model. The arguments are those of `evaluate`."""
    session, source = evaluate.opened(model, data, **opening)
    name = evaluate.pick(source, split)
    evaluate.check_unseen(model, source, name)
    return evaluate.judge(session, source, name, batch_size=batch_size, workers=workers, max_bad=max_bad)


def check_task(first: str, second: str) -> None:
    """Raise `InputError` where two models are not for the same task."""
    if first != second:
        raise InputError(f"one model is for the task {first}, the other for {second}; compare two of one task")


def check_same(first: Judged, second: Judged) -> None:
    """Raise `InputError` where two evaluations are not of the same pictures."""
    names = [{each.part.images.name(at) for at in each.meter.sample().positions} for each in (first, second)]
    if names[0] != names[1]:
        images = called(first.part.images)
        raise InputError(
            f"the {first.split} splits of the two models differ: {len(names[0] - names[1])} {images} are only in the first's, "
            f"{len(names[1] - names[0])} only in the second's; give --split test, or other data"
        )


def counted(first: Sample, second: Sample) -> dict[str, Any]:
    """Of answers that are right or wrong, how often which model is right, and McNemar's test."""
    if first.right is None or second.right is None:
        return {}
    return {"mcnemar": right_together(first.right, second.right)}


def told(found: dict[str, Any]) -> str:
    """A comparison as text."""
    rows = tasks.get(found["task"]).rows
    low, high = found["interval"]
    by = f"; by {found['num_groups']} groups" if found["num_groups"] else ""
    heads = {name: rows.told(found[name], False).splitlines()[0] for name in ("first", "second")}
    lines = [f"{name:<6} {visible(found[name]['model'])}: {head}" for name, head in heads.items()]
    lines += [
        f"{found['score']}, first minus second: {found['difference']:+.2%} (95 % interval {low:+.2%} to {high:+.2%}{by}; p "
        f"{found['p_value']:.3g}, paired bootstrap)"
    ]
    if test := found.get("mcnemar"):
        lines += [
            f"right: both {test['both']:,}, only the first {test['only_first']:,}, only the second {test['only_second']:,}, "
            f"neither {test['neither']:,}; McNemar's exact p {test['p_value']:.3g}"
        ]
    certain = low > 0 or high < 0
    lines += [f"the {'first' if low > 0 else 'second'} is better" if certain else "the difference may be chance"]
    return "\n".join(lines)
