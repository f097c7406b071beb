"""What is of series in tasks with one answer each: network, length of inputs, normalisation, augmentation. See `forms`."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from resnets.data.preprocess import LEAST_STD, Preprocess
from resnets.data.types import Samples, Source, Split
from resnets.engine.recipe import changed_spec, spec_changes
from resnets.engine.settings import fields_of
from resnets.engine.values import Design, Settings
from resnets.errors import InputError
from resnets.models.header import Header
from resnets.models.zoo import Named
from resnets.tasks.image_level.settings import ImageLevelSettings

NETWORK, OF_LONG, LONG = "resnet10_wang", "resnet18", 4096  # the networks of series up to so many values, and of longer ones
LONGEST = 2**16  # of an input that nobody asked for
MOST_TIMES = 4  # the median length; of what keeps its times, longer series are cut
MOST_SAID = 8192  # the greatest `img_size`
NEUTRAL = 0.0, 1.0  # mean and standard deviation that are not known yet
STATISTICS = 20_000  # series that are measured
FLAT = 1e-6  # of the largest value: a standard deviation below is rounding


def design(asked: Settings, source: Source, header: Header | None, named: Named) -> Design:
    if asked.get("resize") not in (None, "pad", "squash"):
        raise InputError(f"resize={asked['resize']}: a series is padded, or brought to one length; use pad or squash")
    changes: dict[str, Any] = {"in_chans": source.in_chans, "dims": 1} | spec_changes(asked)
    images = source.splits["train"].images
    if header is not None and len(header.preprocess.size) == 1:
        own: dict[str, Any] = {"resize": asked["resize"]} if asked.get("resize") else {}
        if asked.get("img_size") is not None:
            own["size"] = (asked["img_size"],)
        if header.preprocess.in_chans != source.in_chans:
            own |= dict(zip(("mean", "std"), ((value,) * source.in_chans for value in NEUTRAL), strict=True))
        return Design(changed_spec(header, asked, changes), dataclasses.replace(header.preprocess, **own))
    rate = getattr(images, "rate", None)
    resize = asked.get("resize") or ("squash" if rate is None else "pad")
    length = asked.get("img_size") or length_of(images.lengths(), resize)
    mean, std = ((value,) * source.in_chans for value in NEUTRAL)
    preprocess = Preprocess(size=(length,), resize=resize, crop_pct=1.0, mean=mean, std=std, rate=rate)
    if header is not None:
        return Design(changed_spec(header, asked, changes), preprocess)
    name = asked.get("model", "auto")
    return Design(named((NETWORK if length <= LONG else OF_LONG) if name == "auto" else name, **changes), preprocess)


def length_of(lengths: np.ndarray, resize: str) -> int:
    """Of the training series, the longest; where times stay as they are, at most four times the median."""
    known = lengths[lengths > 0]
    if not len(known):
        raise InputError("no series of the training split can be read; `resnets data check` says why")
    most = LONGEST if resize == "squash" else min(LONGEST, MOST_TIMES * int(np.median(known)))
    return min(int(known.max()), most)


def settle(recipe: ImageLevelSettings, origins: Mapping[str, str], design: Design, own: str) -> dict[str, tuple[Any, str]]:
    if recipe.normalise not in ("data", "each"):
        raise InputError(f"normalise={recipe.normalise}: is for pictures, and these are series; use data or each")
    by_whom, (length,) = "the weights" if recipe.weights else "the data", design.preprocess.size
    found: dict[str, tuple[Any, str]] = {"resize": (design.preprocess.resize, by_whom), "dims": (1, "the data")}
    if recipe.img_size is None and length <= MOST_SAID:
        found["img_size"] = (length, by_whom)
    return found


def preprocess(recipe: ImageLevelSettings, design: Design, source: Source, bad: Any) -> Preprocess:
    known = design.preprocess
    if known.each or not (set(known.mean) == {NEUTRAL[0]} and set(known.std) == {NEUTRAL[1]}):
        return known
    if recipe.normalise == "each":
        return dataclasses.replace(known, each=True)
    return with_statistics(known, source.splits["train"], bad)


def with_statistics(preprocess: Preprocess, split: Split, bad: Any) -> Preprocess:
    """`preprocess` with the mean and standard deviation of each channel of a split's series, as the network will see them."""
    from resnets.data.pictures.images import BadPicture
    from resnets.data.series.series import fit_series

    total, squares, count = np.zeros(preprocess.in_chans), np.zeros(preprocess.in_chans), 0
    for index in np.unique(np.linspace(0, len(split) - 1, min(len(split), STATISTICS)).round().astype(int)).tolist():
        try:
            series = fit_series(split.images[index], preprocess).astype(np.float64)
        except BadPicture as fault:
            bad.add(split.images.name(index), fault.reason)
            continue
        total, squares, count = total + series.mean(1), squares + (series**2).mean(1), count + 1
    if not count:
        raise InputError("no series of the training split can be read; `resnets data check` says why")
    mean = total / count
    std = np.sqrt(np.maximum(squares / count - mean**2, 0))
    std[std <= FLAT * np.sqrt(squares / count)] = 1.0  # a channel without contrast
    if (std < LEAST_STD).any() or (abs(mean) > 1 / LEAST_STD).any() or (std > 1 / LEAST_STD).any():
        raise InputError(
            f"series with means {mean.min():.3g} to {mean.max():.3g} and standard deviations {std.min():.3g} to {std.max():.3g}"
            f", and those from {LEAST_STD:g} to {1 / LEAST_STD:g} are taken; use --normalise each, or rescale them"
        )
    return dataclasses.replace(preprocess, mean=tuple(np.round(mean, 9).tolist()), std=tuple(np.round(std, 9).tolist()))


def inputs(recipe: ImageLevelSettings, preprocess: Preprocess) -> str:
    how = {"squash": "others resampled to that", "pad": "others cut to their middle, or filled with the mean"}[
        preprocess.resize
    ]
    rate = "" if preprocess.rate is None else f" at {preprocess.rate:,} Hz"
    if preprocess.each:
        return f"{preprocess.size[0]:,} values{rate}, {how}; each channel by its own mean and standard deviation"
    mean, std = (",".join(f"{value:.4g}" for value in values[:8]) for values in (preprocess.mean, preprocess.std))
    more = ",..." * (preprocess.in_chans > 8)
    origin = f"those of the weights ({recipe.weights})" if recipe.weights else "of the training split"
    return f"{preprocess.size[0]:,} values{rate}, {how}; mean {mean}{more}, standard deviation {std}{more}: {origin}"


def samples(
    split: Split, preprocess: Preprocess, num_classes: int, recipe: ImageLevelSettings | None, device: Any, balance: bool
) -> Samples:
    from resnets.data.batches.image_level import CPU
    from resnets.data.batches.series import SeriesAugment, SeriesSamples

    device = device or CPU
    if recipe is None:
        return SeriesSamples(split=split, preprocess=preprocess, num_classes=num_classes, device=device)
    mixup = recipe.mixup if "mixup" in fields_of(type(recipe)) else 0.0  # type: ignore[attr-defined]
    augment = SeriesAugment(
        jitter=recipe.jitter, scaling=recipe.scaling, window_warp=recipe.window_warp, hflip=recipe.hflip, mixup=mixup
    )
    return SeriesSamples(
        split=split,
        preprocess=preprocess,
        num_classes=num_classes,
        augment=augment,
        seed=recipe.seed,
        balance=balance,
        repeats=recipe.repeats,
        device=device,
    )


def preview(source: Source, samples: Any, captions: Sequence[str], out: str | Path, seed: int) -> Path:
    from resnets.draw.lines import SHOWN
    from resnets.tasks.image_level import fitted_preview

    (length,), num = samples.preprocess.size, samples.preprocess.in_chans
    channels = f"{num} channels" + f", of which {SHOWN} are drawn" * (num > SHOWN) if num > 1 else "a channel"
    return fitted_preview.preview(source, samples, captions, out, f"{length:,} values in {channels}", seed=seed)
