"""Items table4 and table5: saved models under the paper's testing protocols, and ensembles of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from resnets.data.workers import BadImages
from resnets.paper import history
from resnets.paper.published import TABLE2, TABLE3_NETWORKS, TABLE4_NETWORKS, TABLE5
from resnets.paper.result import Cell, Holds, Result, Table, Verdict
from resnets.paper.views import PROTOCOLS, Hits, Opened, judge, open_all, remarks

# Top-1 and top-5 errors on ImageNet's validation split in percent: He et al. 2015, tables 2, 3 and 4.
PUBLISHED: dict[str, Mapping[str, tuple[float | None, float | None]]] = {
    "10-crop": {**{name: (top1, None) for name, top1 in TABLE2.values.items()}, **TABLE3_NETWORKS},
    "multi-scale": TABLE4_NETWORKS,
}
SHORTCUTS = {18: "A", 34: ""}  # options of the residual networks there, by layers: B for others; those of 34 are in the name
NUM_CLASSES = 1000  # of ImageNet, for which these errors are
LEVEL = 0.05  # level of significance
Models = Sequence[str | Path] | Mapping[tuple[str, int], str | Path]
Say = Callable[[str], None]


def measure_table4(
    models: Models,
    data: str,
    out: str | Path,
    *,
    data_dir: str | Path | None = None,
    scale: str = "full",
    views: Sequence[str] = tuple(PROTOCOLS),
    split: str | None = None,
    limit: int | None = None,
    batch_size: int = 64,
    workers: int | None = None,
    device: str = "auto",
    say: Say = lambda _: None,
) -> Result:
    """The item table4: each model under each protocol, beside the paper's errors for it, and whether more views help.

    Args:
        models: saved models, whose headers are the evidence; or run directories by (network, seed), without evidence here.
        data: images to test on.
        out: the item's folder; nothing is drawn.
        scale: the name of the scale.
        views: keys of `PROTOCOLS`; the others are compared with the first.
        split, limit, batch_size, workers, device, say: as `resnets.paper.views.evaluate_views` takes them.
    """
    rows: list[tuple[Cell, ...]] = []
    said: dict[str, None] = {}
    hits: dict[str, list[Hits]] = {view: [] for view in views}
    evidence = []
    for name, model in _named(models).items():
        opened = open_all([model], data, split=split, data_dir=data_dir, device=device)
        evidence.append(history.record(str(model), opened.models[0].header.provenance))
        for view in views:
            say(f"{name}: {view}")
            bad = BadImages.allowing(None, opened.split)
            judged = judge(opened, view, bad=bad, limit=limit, batch_size=batch_size, workers=workers, say=say)
            hits[view].append(judged.together)
            theirs = published(opened.models[0], view)
            rows.append((name, view, *_percent(judged.together), round(judged.seconds, 1), *theirs))
            said |= dict.fromkeys([*remarks(opened.models[0].preprocess, view), *_deviations(opened, bad, limit, view)])
    head = ("model", "testing", "top-1 error, %", "top-5 error, %", "seconds", "paper's top-1, %", "paper's top-5, %")
    first = views[0]
    verdicts = [
        better(
            f"{view} testing has a lower error than {first} (He et al. 2015, section 3.4)",
            list(_named(models)),
            hits[view],
            hits[first],
        )
        for view in views[1:]
    ]
    title = f"Testing protocols on {opened.data}, {opened.split_name} split, {len(hits[first][0].top1):,} images"
    return Result(
        item="table4",
        scale=scale,
        tables=(Table(title=title, head=head, rows=tuple(rows)),),
        verdicts=tuple(verdicts),
        deviations=tuple(said),
        evidence=() if isinstance(models, Mapping) else tuple(evidence),
    )


def measure_table5(
    models: Models,
    data: str,
    out: str | Path,
    *,
    data_dir: str | Path | None = None,
    scale: str = "full",
    views: str = "multi-scale",
    split: str | None = None,
    limit: int | None = None,
    batch_size: int = 64,
    workers: int | None = None,
    device: str = "auto",
    say: Say = lambda _: None,
) -> Result:
    """The item table5: an ensemble (mean of probabilities) and its members, all under the protocol `views`.

    The other arguments are those of `measure_table4`.
    """
    named = _named(models)
    opened = open_all(list(named.values()), data, split=split, data_dir=data_dir, device=device)
    bad = BadImages.allowing(None, opened.split)
    judged = judge(opened, views, bad=bad, limit=limit, batch_size=batch_size, workers=workers, say=say)
    rows: list[tuple[Cell, ...]] = [
        (name, *_percent(member), *published(model, views))
        for name, member, model in zip(named, judged.members, opened.models, strict=True)
    ]
    large = len(opened.models[0].labels) == NUM_CLASSES
    rows.append((f"ensemble of {len(named)}", *_percent(judged.together), None, TABLE5.values["resnet"] if large else None))
    best = max(judged.members, key=lambda member: int(member.top1.sum()))
    claim = "An ensemble has a lower error than its best member (He et al. 2015, table 5)"
    verdict = better(claim, ["the ensemble"], [judged.together], [best])
    if len(named) < 2:
        verdict = Verdict(claim=claim, holds="inconclusive", because="one model is not an ensemble")
    head = ("model", "top-1 error, %", "top-5 error, %", "paper's top-1, %", "paper's top-5, %")
    title = f"Ensemble on {opened.data}, {opened.split_name} split, {views}, {len(judged.together.top1):,} images"
    said = [line for model in opened.models for line in remarks(model.preprocess, views)]
    said += [*_deviations(opened, bad, limit, views), "the best member is chosen on the images on which it is compared"]
    said += ["the paper's ensemble is six models on ImageNet's test split, two of them of 152 layers"] * large
    return Result(
        item="table5",
        scale=scale,
        tables=(Table(title=title, head=head, rows=tuple(rows)),),
        verdicts=(verdict,),
        deviations=tuple(dict.fromkeys(said)),
        evidence=()
        if isinstance(models, Mapping)
        else tuple(history.record(str(model), one.header.provenance) for model, one in zip(models, opened.models, strict=True)),
    )


def mcnemar(one: np.ndarray, other: np.ndarray) -> tuple[int, int, float]:
    """McNemar's exact two-sided test (1947) of two classifiers on the same images.

    Args:
        one, other: (N,) bool, whether each classifier is right.

    Returns:
        The number of images on which only `one` is right, that on which only `other` is, and the p-value.
    """
    from scipy.stats import binomtest

    only_one, only_other = int((one & ~other).sum()), int((other & ~one).sum())
    either = only_one + only_other
    return only_one, only_other, float(binomtest(only_one, either).pvalue) if either else 1.0


def better(claim: str, names: Sequence[str], ours: Sequence[Hits], theirs: Sequence[Hits]) -> Verdict:
    """The verdict on the claim that `ours` has a lower top-1 error than `theirs`, pair by pair.

    A pair is significant by `mcnemar` at the level divided by the number of pairs (Bonferroni). The claim holds if some pairs
    are significant and all of these agree with it, fails if all of these contradict it, and is inconclusive otherwise.
    """
    votes, words = set(), []
    for name, one, other in zip(names, ours, theirs, strict=True):
        more, fewer, chance = mcnemar(one.top1, other.top1)
        if chance < LEVEL / len(names):
            votes.add("holds" if more > fewer else "fails")
        change = 100 * (fewer - more) / len(one.top1)
        words.append(
            f"{name} {change:+.2f} points (only the first is right: {more}, only the second: {fewer}, p = {chance:.2g})"
        )
    holds: Holds = "inconclusive" if len(votes) != 1 else "holds" if "holds" in votes else "fails"
    return Verdict(claim=claim, holds=holds, because="top-1 error: " + "; ".join(words))


def published(model: Any, views: str) -> tuple[float | None, float | None]:
    """The paper's top-1 and top-5 errors in percent of this network under this protocol; None where it gives none."""
    spec, none = model.spec, (None, None)
    ours = getattr(spec, "stem", None) == "imagenet" and (spec.order, spec.groups, spec.group_width, spec.attention)
    if ours != ("post", 1, 64, "none") or spec.width != 64 or len(model.labels) != NUM_CLASSES:
        return none
    if spec.shortcut == "none":
        name = f"plain{spec.num_layers}"
    elif SHORTCUTS.get(spec.num_layers, "B") == spec.shortcut:
        name = f"resnet{spec.num_layers}"
    else:
        name = f"resnet{spec.num_layers},{spec.shortcut}"
    return PUBLISHED.get(views, {}).get(name, none)


def _named(models: Models) -> dict[str, str | Path]:
    if not isinstance(models, Mapping):
        return {str(model): model for model in models}
    return {f"{network}, seed {seed}": model for (network, seed), model in models.items()}


def _percent(hits: Hits) -> tuple[float, float]:
    errors = hits.errors()
    return round(100 * errors["top1_error"], 2), round(100 * errors["top5_error"], 2)


def _deviations(opened: Opened, bad: BadImages, limit: int | None, views: str) -> list[str]:
    found = []
    if any(published(model, views)[0] is not None and model.spec.block == "bottleneck" and model.spec.stride_in != "1x1"
           for model in opened.models):  # fmt: skip
        found.append("bottlenecks have the stride in their 3x3 convolution, the paper's in the first 1x1")
    if limit is not None and limit < len(opened.split.targets):
        found.append(f"{limit:,} images, evenly spaced over the {len(opened.split.targets):,} of the split")
    if bad.reasons:
        found.append(f"{len(bad.reasons)} images could not be read and were left out")
    return found
