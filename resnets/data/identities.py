"""Pictures of identities: people, animals, things, of each of which there are several pictures. Splits have other identities,
for what is measured is whether pictures of someone who was not trained on find together. No torch.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

import numpy as np

from resnets.data import group_splits
from resnets.data.groups import grouped
from resnets.data.readers.layouts import Found, quoted
from resnets.data.readers.walk import normal
from resnets.data.splits import joined
from resnets.data.types import KINDS, Note, Source, Split, Values
from resnets.errors import InputError

LEAST = 2  # identities that a split needs, for there to be pairs of different ones


class Identities(Values):
    """Whom each picture shows: indices (N,) int64 into `names`, those of all splits or, once it is cut, of this one."""

    def __init__(self, values: np.ndarray, names: Sequence[str]) -> None:
        super().__init__(values)
        self.names = tuple(names)

    @property
    def by_name(self) -> np.ndarray:
        """(N,) of text: the name of each picture's identity."""
        return np.array(self.names, dtype=str)[self.values] if len(self) else np.zeros(0, dtype=str)

    def subset(self, indices: np.ndarray) -> Identities:
        return Identities(self.values[indices], self.names)

    def joined(self, other: Values) -> Identities:
        assert isinstance(other, Identities)
        return of_names(np.concatenate([self.by_name, other.by_name]))


def of_names(names: np.ndarray) -> Identities:
    """Of the name of each picture's identity (N,), sorted."""
    known, values = np.unique(names, return_inverse=True)
    return Identities(values.astype(np.int64), known.tolist())


def identified(found: Found, in_chans: int) -> Source:
    """What was found, its classes taken as identities; every split may have its own."""
    if not found.parts:
        raise InputError(f"{found.name}: no pictures found")
    if KINDS[found.kind].dims != 2:
        raise InputError(
            f"{found.name}: {KINDS[found.kind].images}, and identities are of pictures, so far; use --task classify"
        )
    names = sorted({normal(name) for part in found.parts.values() for name in part.classes})
    index_of = {name: index for index, name in enumerate(names)}
    splits = {}
    for split, part in found.parts.items():
        indices = np.array([index_of[normal(name)] for name in part.classes], dtype=np.int64)
        splits[split] = Split(part.images, Identities(indices[part.codes], names), part.columns)
    return Source(
        found.name, tuple(names), splits, in_chans, "identities", size=found.size, hflip=found.hflip, notes=found.notes
    )


def across(source: Source) -> dict[str, list[str]]:
    """The identities with pictures in more than one split: {name: its splits}."""
    where: dict[str, list[str]] = {}
    for split, part in source.splits.items():
        for name in np.unique(part.targets.by_name).tolist():
            where.setdefault(name, []).append(split)
    return {name: splits for name, splits in where.items() if len(splits) > 1}


def across_words(found: Mapping[str, Sequence[str]]) -> str:
    """That identities stand in more than one split, with the remedy."""
    few = "; ".join(f"'{name:.100}' ({', '.join(splits)})" for name, splits in list(found.items())[:3])
    who = f"{len(found):,} {'identity has' if len(found) == 1 else 'identities have'} pictures"
    return (
        f"{who} in more than one split, which makes scores too good: {few}{' ...' * (len(found) > 3)}; put all pictures of "
        "one in one split, or give one folder of identities without splits, which is then cut by identities"
    )


def check_apart(source: Source) -> None:
    """Raise `InputError` where pictures of one identity stand in more than one split."""
    if found := across(source):
        raise InputError(f"{source.name}: {across_words(found)}")


def num_several(targets: Identities) -> int:
    """How many identities have two pictures or more."""
    return int((np.bincount(targets.values, minlength=1) > 1).sum())


# --- cutting ---


def cut(source: Source, fraction: float, seed: int) -> Source:
    """`source` with a validation split where it has none, and where it has no test split either also with that: each has
    `fraction` of the identities, all pictures of theirs, and of groups (`Split.groups`) all identities. The order stays.

    With fewer than six identities of several pictures there is no test split.

    Raises:
        InputError: where there is no training split, or too few identities.
    """
    if "train" not in source.splits:
        raise InputError(f"{source.name}: no training split; it has {', '.join(source.splits)}")
    if "val" in source.splits:
        return source
    train = source.splits["train"]
    num = num_several(train.targets)
    wanted = ["val"] + ["test"] * ("test" not in source.splits and num >= 3 * LEAST)
    if num < 2 * LEAST:
        raise InputError(
            f"{source.name}: {num} {'identity has' if num == 1 else 'identities have'} two training pictures or more, and it "
            f"takes {2 * LEAST}, {LEAST} of them for validation; add pictures of others, or give a val split"
        )
    part = dealt(source, train, fraction, seed, len(wanted))
    splits = {"train": train.subset(np.flatnonzero(part == len(wanted)))}
    splits |= {name: train.subset(np.flatnonzero(part == number)) for number, name in enumerate(wanted)}
    for name in wanted:
        if num_several(splits[name].targets) < LEAST or num_several(splits["train"].targets) < LEAST:
            raise InputError(
                f"{source.name}: the groups leave a split with fewer than {LEAST} identities of several pictures; group by "
                "something else, or give splits"
            )
    recorded = {"fraction": fraction, "seed": seed, "with_test": "test" in wanted, **group_splits.recorded(splits["val"])}
    return dataclasses.replace(
        source, splits=splits | {k: v for k, v in source.splits.items() if k not in splits}, cut=recorded
    )


def dealt(source: Source, train: Split, fraction: float, seed: int, num: int) -> np.ndarray:
    """(N,) the part of each picture: 0 to `num` - 1 with `fraction` of the identities each, `num` the rest."""
    if not 0 < fraction * num < 1:
        raise InputError(f"val fraction {fraction}: give a fraction between 0 and {1 / num:.2g}, of the identities")
    unit = units(train)
    several = np.zeros(unit.max() + 1, bool)
    counts = np.bincount(train.targets.values)
    several[unit[counts[train.targets.values] > 1]] = True
    random = np.random.RandomState(seed)  # NumPy keeps this stream as it is for ever
    part = np.full(len(several), num)
    for mask, least in ((several, LEAST), (~several, 0)):
        order = random.permutation(np.flatnonzero(mask))
        each = min(max(least, round(len(order) * fraction)), max(0, len(order) - least) // num)
        for number in range(num):
            part[order[number * each : (number + 1) * each]] = number
    return part[unit]


def units(split: Split) -> np.ndarray:
    """(N,) what stays together: the identity of each picture, and with groups all identities that share one."""
    values = split.targets.values
    if split.groups is None:
        return np.unique(values, return_inverse=True)[1]
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    groups = np.unique(split.groups, return_inverse=True)[1] + values.max() + 1
    size = int(groups.max()) + 1
    labels = connected_components(coo_array((np.ones(len(values)), (values, groups)), (size, size)), directed=False)[1]
    return np.unique(labels[values], return_inverse=True)[1]


def cut_fold(source: Source, folds: int, fold: int, seed: int) -> Source:
    """Part number `fold` (from 1) of `folds` to validate on: identities of the training and validation splits, dealt out."""
    whole = source.splits.get("train")
    if whole is None:
        raise InputError(f"{source.name}: no training split; it has {', '.join(source.splits)}")
    if "val" in source.splits:
        whole = joined(whole, source.splits["val"])
    unit = units(whole)
    if int(unit.max()) + 1 < LEAST * folds:
        raise InputError(
            f"folds={folds} take {LEAST * folds} identities, and there are {int(unit.max()) + 1}; give fewer folds"
        )
    is_val = np.random.RandomState(seed).permutation(int(unit.max()) + 1)[unit] % folds == fold - 1
    splits = {"train": whole.subset(np.flatnonzero(~is_val)), "val": whole.subset(np.flatnonzero(is_val))}
    recorded = {"folds": folds, "fold": fold, "seed": seed, **group_splits.recorded(splits["val"])}
    rest = {name: split for name, split in source.splits.items() if name not in splits}
    return dataclasses.replace(source, splits=splits | rest, cut=recorded)


def cut_as_trained(source: Source, trained: Mapping[str, Any], labels: Sequence[str]) -> Source:
    """`source` with the splits that a training cut off, where the same data trained it; else as it is, with a note where it has
    identities of the training, `labels`."""
    made, data = trained.get("cut"), source
    with suppress(InputError):
        data = grouped(source, trained.get("group_by"))
    if trained.get("fingerprint") == data.fingerprint():
        if made and "folds" in made:
            return cut_fold(data, made["folds"], made["fold"], made["seed"])
        return cut(data, made["fraction"], made["seed"]) if made else data
    there = {name for split in source.splits.values() for name in split.targets.by_name.tolist()}
    if seen := sorted(there & {normal(label) for label in labels}):
        words = f"identities by the name of ones that the model was trained on, for whom scores are too good: {quoted(seen)}"
        return dataclasses.replace(source, notes=(*source.notes, Note("trained_on", f"{len(seen)} {words}")))
    return source


def compact(split: Split) -> Split:
    """With the names of its own identities alone, so that indices go from 0 on."""
    return dataclasses.replace(split, targets=of_names(split.targets.by_name))


def check_trainable(source: Source) -> None:
    """Raise `InputError` where a split cannot be trained or validated on."""
    for name, needs in (("train", "to train"), ("val", "to validate")):
        part = source.splits[name]
        names, num = np.unique(part.targets.by_name).tolist(), num_several(part.targets)
        if len(names) < LEAST or not num:
            words = f"{len(names)} {'identity' if len(names) == 1 else 'identities'} ({quoted(names)})"
            raise InputError(
                f"{source.name}: {name} has {words}, {num} of them with two pictures or more; {needs} it takes {LEAST}, and "
                "one with two pictures; add some"
            )


def of_training(source: Source) -> Source:
    """`source` with the identities of its training split as its classes, to which the targets of that split are indices."""
    check_trainable(source)
    train = compact(source.splits["train"])
    return dataclasses.replace(source, labels=train.targets.names, splits={**source.splits, "train": train})
