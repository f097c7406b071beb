"""Validation splits and folds, cut from the training split: stratified, seeded, and the same for ever. No torch.

Where pictures have groups (`data.groups`), no group is cut through.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from resnets.data import group_splits
from resnets.data.groups import grouped
from resnets.data.pictures.joined import JoinedImages
from resnets.data.types import Source, Split
from resnets.errors import InputError


def cut(source: Source, fraction: float, folds: int | None, fold: int | None, seed: int) -> Source:
    """`source` with the validation split of one run: of `cut_fold` where there are folds, else of `cut_val`; raises as they."""
    if folds is None and fold is None:
        return cut_val(source, fraction, seed)
    if folds is None or fold is None or fold > folds:
        raise InputError(f"folds={folds}, fold={fold}: a single run is one fold, such as fold=1 of folds=5")
    return cut_fold(source, folds, fold, seed)


def cut_val(source: Source, fraction: float = 0.1, seed: int = 0) -> Source:
    """`source` with a validation split, cut from train and stratified by `Targets.codes`; unchanged if it has one.

    Of a class with n training images round(n * fraction) go to val, but at least one of three or more, and never the
    last one. If that leaves val empty, one image goes of each class that has two. The order of the data is kept.

    With groups, whole groups go, such that val comes as near to the fraction, overall and of each class, as groups allow; of
    a class with three or more groups at least one, and never the last one.

    Raises:
        InputError: if there is no training split, every class of it has one image only, or no group can be spared.
    """
    if "val" in source.splits:
        return source
    train = _train(source, "a validation split")
    if train.groups is not None:
        is_val = group_splits.for_val(source, train, fraction, seed)
    else:
        is_val = chosen_for_val(train.targets.codes(), fraction, seed)
    if not is_val.any():
        raise InputError(
            f"{source.name}: none of {len(train)} training images can be spared for validation, for each is the only one of "
            "its kind; add images or a val split"
        )
    return _replaced(source, train, is_val, {"fraction": fraction, "seed": seed})


def cut_fold(source: Source, folds: int, fold: int, seed: int = 0) -> Source:
    """`source` with part number `fold` (from 1) of `folds` to validate on, and the others to train on.

    Training and validation split are put together and dealt out class by class, in an order that the seed draws, so that a
    class is as frequent in every part as it can be, and parts differ by one image at most. The test split stays. With groups,
    groups are dealt out, see `group_splits.dealt`.

    Raises:
        InputError: if there are fewer images, or groups, than folds.
    """
    whole = _train(source, "folds")
    if "val" in source.splits:
        whole = joined(whole, source.splits["val"])
    if len(whole) < folds:
        raise InputError(f"folds={folds}, and there are {len(whole)} images; give fewer folds")
    cut = {"folds": folds, "fold": fold, "seed": seed}
    if whole.groups is not None:
        return _replaced(source, whole, group_splits.for_fold(source, whole, **cut), cut)
    codes = whole.targets.codes()
    order = np.random.RandomState(seed).permutation(len(codes))  # for ever the same, as in `cut_val`
    order = order[np.argsort(codes[order], kind="stable")]
    is_val = np.zeros(len(codes), dtype=bool)
    is_val[order[fold - 1 :: folds]] = True
    return _replaced(source, whole, is_val, cut)


def cut_again(source: Source, cut: Mapping[str, Any]) -> Source:
    """`source` cut as it was when its `Source.cut` was `cut`.

    Raises:
        InputError: where groups come out otherwise.
    """
    own = {name: value for name, value in cut.items() if name != "groups"}
    found = (cut_fold if "folds" in cut else cut_val)(source, **own)
    if found.cut is not None and found.cut.get("groups") != cut.get("groups"):
        raise InputError(
            f"{source.name}: this version of scikit-learn deals groups out otherwise than the one of the training, so that its "
            "validation split cannot be cut again; the model's provenance names that version, or give the data a val split"
        )
    return found


def cut_as_trained(
    source: Source, trained: Mapping[str, Any], relabelled: Callable[[tuple[str, ...]], Source] | None = None
) -> Source:
    """`source` with the validation split that a training cut off, where the same data trained it; else as it is.

    Args:
        trained: what the training recorded of its data: "labels", "fingerprint", "cut", "group_by". Images have groups where
            the last one means something for them.
        relabelled: the source with other class names, where that is more than to exchange these; the model's may go on, with
            classes that no image has.
    """
    source = _with_groups(source, trained)
    if not trained.get("cut") or "train" not in source.splits:
        return source
    labels = tuple(trained.get("labels", source.labels))
    own = dataclasses.replace(source, labels=labels)
    if relabelled is not None and labels != source.labels:
        own = _with_groups(relabelled(labels), trained)
    return cut_again(source, trained["cut"]) if trained.get("fingerprint") == own.fingerprint() else source


def words_of(cut: Mapping[str, Any]) -> str:
    """A `Source.cut` for people."""
    if "folds" in cut:
        return f"val is fold {cut['fold']} of {cut['folds']}, seed {cut['seed']}"
    names = "val and test" if cut.get("with_test") else "val"
    return f"{names} cut from train: {cut['fraction']:.0%}{' each' * (' ' in names)}, seed {cut['seed']}"


def chosen_for_val(codes: np.ndarray, fraction: float, seed: int) -> np.ndarray:
    """(N,) bool: which images of the classes `codes` (N,) go to val, as `cut_val` says; none if none can be spared."""
    if not 0 < fraction < 1:
        raise InputError(f"val fraction {fraction}: give a fraction between 0 and 1")
    counts = np.bincount(codes)
    take = np.rint(counts * fraction).astype(int)
    take = np.minimum(np.where(counts >= 3, np.maximum(take, 1), take), np.maximum(counts - 1, 0))
    if not take.any():
        take = (counts == 2).astype(int)
    random = np.random.RandomState(seed)  # NumPy keeps this stream as it is for ever; it promises that of no other
    order = random.permutation(len(codes))
    is_val = np.zeros(len(codes), dtype=bool)
    for index, num in enumerate(take):
        is_val[order[codes[order] == index][:num]] = True
    return is_val


def _with_groups(source: Source, trained: Mapping[str, Any]) -> Source:
    """`source` with the groups that the training had; as it is where that says nothing of this data."""
    try:
        return grouped(source, trained.get("group_by"))
    except InputError:
        return source


def _train(source: Source, what: str) -> Split:
    if "train" not in source.splits:
        raise InputError(f"{source.name}: no training split to cut {what} from; it has {', '.join(source.splits)}")
    return source.splits["train"]


def joined(one: Split, other: Split) -> Split:
    """Two splits as one."""
    joins = [hasattr(split.images, "joined") for split in (one, other)]  # arrays of images, and series
    if len(set(joins)) > 1:
        raise InputError("one split is arrays and another is not, and here they become one; give both in the same form")
    images = one.images.joined(other.images) if all(joins) else JoinedImages([one.images, other.images])
    both = one.columns.keys() & other.columns.keys()
    columns = {name: np.concatenate([one.columns[name], other.columns[name]]) for name in one.columns if name in both}
    groups = None if one.groups is None or other.groups is None else np.concatenate([one.groups, other.groups])
    return Split(images, one.targets.joined(other.targets), columns, groups)


def _replaced(source: Source, whole: Split, is_val: np.ndarray, cut: Mapping[str, Any]) -> Source:
    splits = {"train": whole.subset(np.flatnonzero(~is_val)), "val": whole.subset(np.flatnonzero(is_val))}
    rest = {name: split for name, split in source.splits.items() if name not in splits}
    return dataclasses.replace(source, splits=splits | rest, cut={**cut, **group_splits.recorded(splits["val"])})
