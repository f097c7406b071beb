"""Validation splits and folds, cut from the training split: stratified, seeded, and the same for ever. No torch.

Where pictures have groups (`data.groups`), no group is cut through.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import warnings
from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import Any

import numpy as np

from resnets.data.groups import grouped
from resnets.data.pictures.images import ArrayImages
from resnets.data.pictures.joined import JoinedImages
from resnets.data.types import Source, Split, Values
from resnets.errors import InputError

MOST_PARTS = 20  # that groups are dealt into, of which some become the validation split


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
    codes = train.targets.codes()
    if train.groups is not None:
        _check_groups(source, train, 2)
        is_val = groups_for_val(codes, train.groups, fraction, seed)
        if not is_val.any():
            raise InputError(
                f"{source.name}: each group has the last pictures of a class, none to spare for validation; add some"
            )
        return _replaced(source, train, is_val, {"fraction": fraction, "seed": seed})
    is_val = chosen_for_val(codes, fraction, seed)
    if not is_val.any():
        raise InputError(f"{source.name}: one image per class, none to spare for validation; add images or a val split")
    return _replaced(source, train, is_val, {"fraction": fraction, "seed": seed})


def cut_fold(source: Source, folds: int, fold: int, seed: int = 0) -> Source:
    """`source` with part number `fold` (from 1) of `folds` to validate on, and the others to train on.

    Training and validation split are put together and dealt out class by class, in an order that the seed draws, so that a
    class is as frequent in every part as it can be, and parts differ by one image at most. The test split stays. With groups,
    groups are dealt out, see `dealt`.

    Raises:
        InputError: if there are fewer images, or groups, than folds.
    """
    whole = _train(source, "folds")
    if "val" in source.splits:
        whole = _joined(whole, source.splits["val"])
    if len(whole) < folds:
        raise InputError(f"folds={folds}, and there are {len(whole)} images; give fewer folds")
    codes = whole.targets.codes()
    if whole.groups is not None:
        _check_groups(source, whole, folds)
        part = dealt(codes, whole.groups, folds, seed)
        if empty := set(range(folds)) - set(part.tolist()):
            raise InputError(f"folds={folds}: the groups leave {len(empty)} of them without a picture; give fewer folds")
        return _replaced(source, whole, part == fold - 1, {"folds": folds, "fold": fold, "seed": seed})
    order = np.random.RandomState(seed).permutation(len(codes))  # for ever the same, as in `cut_val`
    order = order[np.argsort(codes[order], kind="stable")]
    is_val = np.zeros(len(codes), dtype=bool)
    is_val[order[fold - 1 :: folds]] = True
    return _replaced(source, whole, is_val, {"folds": folds, "fold": fold, "seed": seed})


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
    return f"val cut from train: {cut['fraction']:.0%}, seed {cut['seed']}"


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


# --- groups ---


def groups_for_val(codes: np.ndarray, groups: np.ndarray, fraction: float, seed: int) -> np.ndarray:
    """(N,) bool: the pictures of the groups that go to val, as `cut_val` says; none if none can be spared."""
    if not 0 < fraction < 1:
        raise InputError(f"val fraction {fraction}: give a fraction between 0 and 1")
    numbers = _numbers(groups, seed)
    num = min(int(numbers.max()) + 1, MOST_PARTS)
    share = max(Fraction(fraction).limit_denominator(num), Fraction(1, num))
    share = min(share, Fraction(num - 1, num))
    part = dealt(codes, groups, share.denominator, seed)
    wanted = len(codes) / share.denominator
    nearest = np.argsort(abs(np.bincount(part, minlength=share.denominator) - wanted), kind="stable")
    counts = np.zeros((numbers.max() + 1, codes.max() + 1), int)  # of each group, its pictures of each class
    np.add.at(counts, (numbers, codes), 1)
    is_val = np.zeros(len(counts), bool)
    is_val[numbers[np.isin(part, nearest[: share.numerator])]] = True
    _keep_classes(counts > 0, counts.sum(1), is_val)
    return is_val[numbers]


def _keep_classes(there: np.ndarray, sizes: np.ndarray, is_val: np.ndarray) -> None:
    """Move groups between train and val, in place, so that train has each class, and val those with three or more groups.

    Args:
        there: (num_groups, num_classes) bool, whether the group has pictures of the class.
        sizes: (num_groups,) pictures; the smallest group that does it is moved.
    """
    rarest_first = np.argsort(there.sum(0), kind="stable")
    for code in rarest_first:
        own = np.flatnonzero(there[:, code])
        if len(own) and is_val[own].all():
            is_val[own[sizes[own].argmin()]] = False
    for code in rarest_first:
        own = np.flatnonzero(there[:, code])
        if len(own) >= 3 and not is_val[own].any():
            in_train = there[~is_val].sum(0)
            spare = np.array([group for group in own if (in_train[there[group]] > 1).all()], int)
            is_val[spare[sizes[spare].argmin()] if len(spare) else spare] = True


def dealt(codes: np.ndarray, groups: np.ndarray, num: int, seed: int) -> np.ndarray:
    """(N,) the part, 0 to `num` - 1, of each picture: groups stay whole, and classes are as frequent in each part as that
    allows (scikit-learn's StratifiedGroupKFold; where no class has `num` pictures, by the number of pictures alone)."""
    from sklearn.model_selection import StratifiedGroupKFold

    if np.bincount(codes).max() < num:
        codes = np.zeros_like(codes)
    part = np.zeros(len(codes), np.int64)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of classes with fewer pictures than parts
        # Unshuffled: it takes groups in the order of their numbers, which are drawn from a stream that stays as it is.
        folds = StratifiedGroupKFold(num).split(np.zeros((len(codes), 1)), codes, _numbers(groups, seed))
        for number, (_, positions) in enumerate(folds):
            part[positions] = number
    return part


def _numbers(groups: np.ndarray, seed: int) -> np.ndarray:
    """(N,) int64: groups as numbers from 0 on, in an order that the seed draws."""
    numbers = np.unique(groups, return_inverse=True)[1]
    return np.random.RandomState(seed).permutation(int(numbers.max()) + 1)[numbers]


def _check_groups(source: Source, whole: Split, least: int) -> None:
    """Raise `InputError` for fewer groups than `least`, and for classes that one group has all pictures of."""
    assert whole.groups is not None
    names, numbers = np.unique(whole.groups, return_inverse=True)
    if len(names) < least:
        few = ", ".join(f"'{name}'" for name in names)
        what = f"{least} folds" if least > 2 else "training and validation"
        raise InputError(f"{source.name}: {len(names)} groups only ({few}), too few for {what}; add pictures of others")
    if not (isinstance(whole.targets, Values) and whole.targets.values.ndim == 1):
        return  # an image may show several classes, and the rarest of these is not all that it is
    codes = whole.targets.codes()
    owners = {code: np.unique(numbers[codes == code]) for code in np.flatnonzero(np.bincount(codes) >= 3)}
    owned = [(int(code), names[own[0]]) for code, own in owners.items() if len(own) == 1]
    if owned:
        few = "; ".join(f"'{source.labels[code]}' of '{group}'" for code, group in owned[:3])
        raise InputError(
            f"{source.name}: {len(owned)} of {len(source.labels)} classes have all pictures in one group, which cannot be "
            f"in training and validation both: {few}{' ...' * (len(owned) > 3)}; add pictures of other groups, leave the class out, or "
            "group by something else"
        )


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


def _joined(one: Split, other: Split) -> Split:
    in_memory = isinstance(one.images, ArrayImages) and isinstance(other.images, ArrayImages)
    images = one.images.joined(other.images) if in_memory else JoinedImages([one.images, other.images])
    both = one.columns.keys() & other.columns.keys()
    columns = {name: np.concatenate([one.columns[name], other.columns[name]]) for name in one.columns if name in both}
    groups = None if one.groups is None or other.groups is None else np.concatenate([one.groups, other.groups])
    return Split(images, one.targets.joined(other.targets), columns, groups)


def _replaced(source: Source, whole: Split, is_val: np.ndarray, cut: Mapping[str, Any]) -> Source:
    splits = {"train": whole.subset(np.flatnonzero(~is_val)), "val": whole.subset(np.flatnonzero(is_val))}
    rest = {name: split for name, split in source.splits.items() if name not in splits}
    if (groups := splits["val"].groups) is not None:
        named = json.dumps(np.unique(groups).tolist()).encode()
        cut = {**cut, "groups": hashlib.sha256(named).hexdigest()[:16]}
    return dataclasses.replace(source, splits=splits | rest, cut=cut)
