"""Verdicts from comparing networks over their seeds; and how figures are written. No torch.

The difference of two means decides if it is more than two of its standard errors. If it is less, or either network has a single
seed, the comparison is inconclusive.
"""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Mapping, Sequence

from resnets.paper.published import Published
from resnets.paper.result import Holds, Verdict
from resnets.paper.scales import Scale

ERRORS = 2.0  # a difference of more than so many standard errors decides
TOLERANCE = 0.5  # percentage points by which the error of a full training may differ from the paper's
MIN_SEEDS = 2


def mean_of(values: Sequence[float]) -> str:
    """Mean and standard deviation, "8.75 ± 0.16"; of one value "8.75"."""
    if len(values) == 1:
        return f"{values[0]:.2f}"
    return f"{statistics.fmean(values):.2f} ± {statistics.stdev(values):.2f}"


def standard_error(one: Sequence[float], other: Sequence[float]) -> float | None:
    """The standard error of the difference of the means; None if either has one value only."""
    if min(len(one), len(other)) < MIN_SEEDS:
        return None
    return (statistics.variance(one) / len(one) + statistics.variance(other) / len(other)) ** 0.5


def is_below(low: Sequence[float], high: Sequence[float]) -> Holds:
    """Whether the mean of `low` is lower than that of `high`."""
    error = standard_error(low, high)
    gap = statistics.fmean(high) - statistics.fmean(low)
    if error is None or abs(gap) <= ERRORS * error:
        return "inconclusive"
    return "holds" if gap > 0 else "fails"


def gap_words(low: str, high: str, values: Mapping[str, Sequence[float]]) -> str:
    """Both means, their difference and its standard error, in words."""
    error = standard_error(values[low], values[high])
    gap = statistics.fmean(values[high]) - statistics.fmean(values[low])
    chance = "" if error is None else f" (± {error:.2f})"
    return f"{short(low)} {mean_of(values[low])}, {short(high)} {mean_of(values[high])}: {gap:+.2f}{chance}"


def ordering(claim: str, names: Sequence[str], values: Mapping[str, Sequence[float]]) -> Verdict:
    """The verdict on the claim that the mean error rises from each of `names` to the next."""
    return pairwise(claim, list(itertools.pairwise(names)), values)


def pairwise(claim: str, pairs: Sequence[tuple[str, str]], values: Mapping[str, Sequence[float]]) -> Verdict:
    """The verdict on the claim that the first of each pair has the lower mean error.

    It holds if every pair does, fails if one of them fails, and is inconclusive otherwise.

    Args:
        values: errors in percent by network, one per seed.
    """
    found = [is_below(values[low], values[high]) for low, high in pairs]
    holds: Holds = "fails" if "fails" in found else "holds" if found and set(found) == {"holds"} else "inconclusive"
    words = [
        f"{gap_words(low, high, values)}{'' if one == holds else f' [{one}]'}"
        for (low, high), one in zip(pairs, found, strict=True)
    ]
    because = f"Errors in %: {'; '.join(words)}." if pairs else "There are no two networks to compare."
    if any(len(values[name]) < MIN_SEEDS for pair in pairs for name in pair):
        because += " With one seed, chance cannot be estimated."
    return Verdict(claim=claim, holds=holds, because=because)


def beside_paper(
    name: str, values: Sequence[float], published: Published, scale: Scale, *, whole: bool, tolerance: float = TOLERANCE
) -> Verdict:
    """The verdict on the error that the paper prints.

    Args:
        values: errors in percent, one per seed.
        whole: whether the training was the paper's, at full length and size; otherwise the verdict is inconclusive.
        tolerance: percentage points by which the mean may differ.
    """
    paper, mean = published.values[name], statistics.fmean(values)
    claim = f"{short(name)} has an error of {paper:.2f} % ({published.where})."
    words = f"{mean_of(values)} % of {len(values)} run{'s' * (len(values) > 1)}"
    if not whole:
        return Verdict(claim=claim, holds="inconclusive", because=f"{words}, at scale {scale.name}: not comparable.")
    holds: Holds = "holds" if abs(mean - paper) <= tolerance else "fails"
    side = "" if holds == "holds" else f", {'higher' if mean > paper else 'lower'} than the paper"
    return Verdict(claim=claim, holds=holds, because=f"{words}: {mean - paper:+.2f} points; {tolerance} are allowed{side}.")


FAMILIES = {"preresnet": "pre-ResNet-", "resnet": "ResNet-", "plain": "plain-"}


def short(name: str) -> str:
    """A network's label as the papers write it: "ResNet-20", "ResNet-34 B", "pre-ResNet-56"; other changes stay as they are."""
    network, *changes = name.split(",")
    family = next((family for family in FAMILIES if network.startswith(family)), "")
    rest = network.removeprefix(family).removesuffix("_cifar")
    orders = {"order=pre": "preresnet", "order=post": "resnet"}
    family = next((orders[change] for change in changes if change in orders), family)
    others = [change.removeprefix("shortcut=") for change in changes if change not in orders]
    return " ".join((FAMILIES.get(family, "") + rest, *others))
