"""Whether one network is better than another, over their seeds; and how figures are written. No torch.

Of two means the difference counts where it is more than two standard errors of it; below that the question is open, as it is
with a single seed of either.
"""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Mapping, Sequence

from resnets.paper.published import Published
from resnets.paper.result import Holds, Verdict
from resnets.paper.scales import Scale

ERRORS = 2.0  # standard errors of the difference that decide
TOLERANCE = 0.5  # percentage points: within these a whole training is said to have the paper's error
MIN_SEEDS = 2


def mean_of(values: Sequence[float]) -> str:
    """ "8.75 ± 0.16", or "8.75" of one run."""
    if len(values) == 1:
        return f"{values[0]:.2f}"
    return f"{statistics.fmean(values):.2f} ± {statistics.stdev(values):.2f}"


def standard_error(one: Sequence[float], other: Sequence[float]) -> float | None:
    """Of the difference of the means; None with one value of either, which says nothing of chance."""
    if min(len(one), len(other)) < MIN_SEEDS:
        return None
    return (statistics.variance(one) / len(one) + statistics.variance(other) / len(other)) ** 0.5


def is_below(low: Sequence[float], high: Sequence[float]) -> Holds:
    """Whether the mean of `low` is the lower one."""
    error = standard_error(low, high)
    gap = statistics.fmean(high) - statistics.fmean(low)
    if error is None or abs(gap) <= ERRORS * error:
        return "open"
    return "holds" if gap > 0 else "fails"


def gap_words(low: str, high: str, values: Mapping[str, Sequence[float]]) -> str:
    error = standard_error(values[low], values[high])
    gap = statistics.fmean(values[high]) - statistics.fmean(values[low])
    chance = "" if error is None else f" (± {error:.2f})"
    return f"{short(low)} {mean_of(values[low])}, {short(high)} {mean_of(values[high])}: {gap:+.2f}{chance}"


def ordering(claim: str, names: Sequence[str], values: Mapping[str, Sequence[float]]) -> Verdict:
    """The claim that the mean error rises from each of `names` to the next."""
    return pairwise(claim, list(itertools.pairwise(names)), values)


def pairwise(claim: str, pairs: Sequence[tuple[str, str]], values: Mapping[str, Sequence[float]]) -> Verdict:
    """The claim that of each pair the first has the lower mean error: it holds if all do, fails if one clearly does not, and is
    open else."""
    found = [is_below(values[low], values[high]) for low, high in pairs]
    holds: Holds = "fails" if "fails" in found else "holds" if found and set(found) == {"holds"} else "open"
    words = [
        f"{gap_words(low, high, values)}{'' if one == holds else f' [{one}]'}"
        for (low, high), one in zip(pairs, found, strict=True)
    ]
    because = f"Errors in %: {'; '.join(words)}." if pairs else "There are no two networks to compare."
    if any(len(values[name]) < MIN_SEEDS for pair in pairs for name in pair):
        because += " One seed says nothing of chance."
    return Verdict(claim=claim, holds=holds, because=because)


def beside_paper(
    name: str, values: Sequence[float], published: Published, scale: Scale, *, whole: bool, tolerance: float = TOLERANCE
) -> Verdict:
    """Whether a network has the error that the paper prints, to within `tolerance` points. Only a whole training can tell."""
    paper, mean = published.values[name], statistics.fmean(values)
    claim = f"{short(name)} has an error of {paper:.2f} % ({published.where})."
    words = f"{mean_of(values)} % of {len(values)} run{'s' * (len(values) > 1)}"
    if not whole:
        return Verdict(claim=claim, holds="open", because=f"{words}, at scale {scale.name}: not to be compared.")
    holds: Holds = "holds" if abs(mean - paper) <= tolerance else "fails"
    side = "" if holds == "holds" else f", {'higher' if mean > paper else 'lower'} than the paper"
    return Verdict(claim=claim, holds=holds, because=f"{words}: {mean - paper:+.2f} points; {tolerance} are allowed{side}.")


FAMILIES = {"preresnet": "pre-ResNet-", "resnet": "ResNet-", "plain": "plain-"}


def short(name: str) -> str:
    """A label as the papers write it: "ResNet-20", "ResNet-34 B", "pre-ResNet-56"; other changes as they are."""
    network, *changes = name.split(",")
    family = next((family for family in FAMILIES if network.startswith(family)), "")
    rest = network.removeprefix(family).removesuffix("_cifar")
    orders = {"order=pre": "preresnet", "order=post": "resnet"}
    family = next((orders[change] for change in changes if change in orders), family)
    others = [change.removeprefix("shortcut=") for change in changes if change not in orders]
    return " ".join((FAMILIES.get(family, "") + rest, *others))
