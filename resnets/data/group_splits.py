"""Whole groups for validation splits and folds: stratified, seeded. See `data.splits`. No torch."""

from __future__ import annotations

import hashlib
import json
import warnings
from fractions import Fraction

import numpy as np

from resnets.data.types import Source, Split, Values
from resnets.errors import InputError

MOST_PARTS = 20  # that groups are dealt into, of which some become the validation split


def for_val(source: Source, train: Split, fraction: float, seed: int) -> np.ndarray:
    """(N,) bool: the pictures of the groups that go to val, as `splits.cut_val` says. Raises as it does."""
    if not 0 < fraction < 1:
        raise InputError(f"val fraction {fraction}: give a fraction between 0 and 1")
    is_val = chosen_for_val(train.targets.codes(), checked(source, train, 2), fraction, seed)
    if not is_val.any():
        raise InputError(f"{source.name}: each group has the last pictures of a class, none to spare for validation; add some")
    return is_val


def for_fold(source: Source, whole: Split, folds: int, fold: int, seed: int) -> np.ndarray:
    """(N,) bool: the pictures of the groups that are part number `fold` (from 1) of `folds`. Raises as `splits.cut_fold`."""
    part = dealt(whole.targets.codes(), checked(source, whole, folds), folds, seed)
    if empty := set(range(folds)) - set(part.tolist()):
        raise InputError(f"folds={folds}: the groups leave {len(empty)} of them without a picture; give fewer folds")
    return part == fold - 1


def recorded(val: Split) -> dict[str, str]:
    """What `Source.cut` keeps of the groups in the validation split: a digest, for their names may be those of people."""
    if val.groups is None:
        return {}
    return {"groups": hashlib.sha256(json.dumps(np.unique(val.groups).tolist()).encode()).hexdigest()[:16]}


def chosen_for_val(codes: np.ndarray, groups: np.ndarray, fraction: float, seed: int) -> np.ndarray:
    """(N,) bool: which pictures of classes `codes` go to val, in whole groups; none if none can be spared."""
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


def checked(source: Source, whole: Split, least: int) -> np.ndarray:
    """The groups of `whole`. Raises `InputError` for fewer than `least`, and for a class that one group has all pictures of."""
    assert whole.groups is not None
    names, numbers = np.unique(whole.groups, return_inverse=True)
    if len(names) < least:
        few = ", ".join(f"'{name}'" for name in names)
        what = f"{least} folds" if least > 2 else "training and validation"
        raise InputError(f"{source.name}: {len(names)} groups only ({few}), too few for {what}; add pictures of others")
    # Where images show several classes, the rarest of these, which they are stratified by, is not all that they are.
    if isinstance(whole.targets, Values) and whole.targets.values.ndim == 1:
        codes = whole.targets.codes()
        owners = {code: np.unique(numbers[codes == code]) for code in np.flatnonzero(np.bincount(codes) >= 3)}
        owned = [(int(code), names[own[0]]) for code, own in owners.items() if len(own) == 1]
        if owned:
            few = "; ".join(f"'{source.labels[code]}' of '{group}'" for code, group in owned[:3]) + " ..." * (len(owned) > 3)
            raise InputError(
                f"{source.name}: {len(owned)} of {len(source.labels)} classes have all pictures in one group, which cannot be "
                f"in training and validation both: {few}; add pictures of other groups, leave the class out, or group by "
                "something else"
            )
    return whole.groups
