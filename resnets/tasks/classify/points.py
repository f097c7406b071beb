"""Operating points of classification: one class against the rest, positive from a probability on. No torch.

The probability is that which is told: the softmax of the outputs, scaled by the temperature. What is chosen on validation
stands in the model's decision:
"positive", the class by name, and "operating_point", the threshold with what was asked for and what validation says of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from resnets.draw.text import visible
from resnets.errors import InputError
from resnets.measures import curves
from resnets.measures.intervals import of_share
from resnets.tasks.classify.settings import RULES, parse_cost
from resnets.tasks.lines import with_interval

Decision = Mapping[str, Any]
COSTLY = "cost"  # the rule that needs no share
# Figures of `result` that the report shows.
FACTS = {
    "auc": "AUC", "average_precision": "average precision", "sensitivity": "sensitivity", "specificity": "specificity",
    "ppv": "PPV", "npv": "NPV", "ppv_at_prevalence": "PPV at the stated prevalence",
    "npv_at_prevalence": "NPV at the stated prevalence",
}  # fmt: skip


class Point(NamedTuple):
    """The class that is positive, by its index, and the probability from which it is; None: no operating point."""

    positive: int
    threshold: float | None


def point(decision: Decision, labels: Sequence[str]) -> Point | None:
    """What a decision says; of two classes without one, the second is positive. None where no class is.

    Raises:
        InputError: where the decision is damaged.
    """
    if "positive" not in decision:
        return Point(1, None) if len(labels) == 2 else None
    try:
        chosen = decision.get("operating_point")
        return Point(list(labels).index(decision["positive"]), None if chosen is None else float(chosen["threshold"]))
    except (KeyError, TypeError, ValueError):
        raise InputError("the operating point in the file is damaged; evaluate and choose it anew") from None


def probability(logits: np.ndarray, index: int) -> np.ndarray:
    """(N,) float64: that of the class `index`, of logits (N, num_classes)."""
    from scipy.special import softmax

    return softmax(np.asarray(logits, np.float64), axis=1)[:, index]


def answers(logits: np.ndarray, labels: Sequence[str], decision: Decision) -> np.ndarray:
    """(N,) the class that each picture, logits (N, num_classes), is answered with: the positive one, or the likeliest of the
    others; without an operating point the likeliest."""
    chosen = point(decision, labels)
    if chosen is None or chosen.threshold is None:
        return np.asarray(logits).argmax(1)
    others = np.array(logits, np.float64)
    others[:, chosen.positive] = -np.inf
    return np.where(probability(logits, chosen.positive) >= chosen.threshold, chosen.positive, others.argmax(1))


def said(logits: np.ndarray, labels: Sequence[str], decision: Decision) -> list[dict[str, Any]]:
    """Of each picture "positive": whether it is; and "answer", see `answers`. Nothing without an operating point."""
    chosen = point(decision, labels)
    if chosen is None or chosen.threshold is None:
        return [{}] * len(logits)
    found = answers(logits, labels, decision)
    return [{"positive": bool(at == chosen.positive), "answer": labels[at]} for at in found]


# --- choosing ---


def asked_of(asked: Mapping[str, Any], labels: Sequence[str]) -> tuple[int | None, str | None]:
    """The index of the class that is positive, None where nothing is asked for; and the rule of the operating point, or None.

    Raises:
        InputError: for a class that is not there, and a rule for more than two classes none of which is named.
    """
    rule = next((name for name in RULES if asked.get(name) is not None), None)
    named = asked.get("positive")
    if named is None and rule is None:
        return None, None
    few = ", ".join(labels[:8]) + ", ..." * (len(labels) > 8)
    if named is None and len(labels) != 2:
        raise InputError(f"{rule}: which of {len(labels)} classes is to be found? Name it by positive, one of {few}")
    if named is not None and named not in labels:
        raise InputError(f"positive={named!r}: there is no such class; the data has {few}")
    return (1 if named is None else list(labels).index(named)), rule


def check(asked: Mapping[str, Any], labels: Sequence[str], counts: np.ndarray) -> None:
    """Raise `InputError` where validation pictures, so many of each class (C,), cannot support what is asked for."""
    index, rule = asked_of(asked, labels)
    if index is None or rule is None:
        return
    if asked.get("abstain_at"):
        raise InputError(
            f"{rule} and abstain_at exclude each other: what abstaining promises is for the likeliest class, and an operating "
            "point answers otherwise; give one of them"
        )
    num_positive = int(counts[index])
    num_negative = int(counts.sum()) - num_positive
    kinds = {"positive": num_positive, "negative": num_negative}
    more = "make validation larger (val_fraction, or a split of your own)"
    if rule == COSTLY:
        if missing := [kind for kind, num in kinds.items() if not num]:
            raise InputError(f"cost: nothing {missing[0]} in the validation split ({labels[index]} is positive); {more}")
        return
    wanted, kind = asked[rule], "positive" if rule == "sensitivity" else "negative"
    num, needed = kinds[kind], curves.needed(wanted)
    if num < needed:
        less = f"or ask for at most {np.floor(1000 * num / (num + 1)) / 10:g}%" if num else "of both kinds"
        raise InputError(
            f"{rule}={100 * wanted:g}%: {num} {kind} ones in the validation split ({labels[index]} is positive), and it "
            f"takes {needed} at least; {more}, {less}"
        )


def decide(logits: np.ndarray, truth: np.ndarray, labels: Sequence[str], asked: Mapping[str, Any]) -> dict[str, Any]:
    """ "positive" and "operating_point" of a decision, chosen on validation; nothing where nothing is asked for.

    Args:
        logits: (N, num_classes).
        truth: (N,) class indices.
        asked: the settings of the section `ANSWERS`.

    Raises:
        InputError: as `check`.
    """
    index, rule = asked_of(asked, labels)
    if index is None:
        return {}
    if rule is None:
        return {"positive": labels[index]}
    check(asked, labels, np.bincount(truth, minlength=len(labels)))
    curve, prevalence = curves.curve(probability(logits, index), truth == index), asked.get("prevalence")
    share = curve.num_positive / len(truth) if prevalence is None else prevalence
    if rule == COSTLY:
        at: int | None = curves.at_cost(curve, *parse_cost(asked[rule]), share)
    else:
        at = {"sensitivity": curves.at_sensitivity, "specificity": curves.at_specificity}[rule](curve, asked[rule])
    assert at is not None, "refused by check"
    validation: dict[str, Any] = {"num_positive": curve.num_positive, "num_negative": curve.num_negative}
    validation |= {"sensitivity": float(curve.sensitivity[at]), "specificity": float(curve.specificity[at])}
    kept = {"rule": rule, "wanted": asked[rule], "threshold": curve.threshold(at), "prevalence": prevalence}
    return {"positive": labels[index], "operating_point": kept | {"validation": validation}}


# --- judging ---


def result(
    logits: np.ndarray, truth: np.ndarray, labels: Sequence[str], decision: Decision, groups: np.ndarray | None = None
) -> dict[str, Any]:
    """What an evaluation says of the class that is positive: areas and, at the operating point, all shares, as fractions each
    with its 95 % interval; None where there is no picture to tell. Nothing where no class is positive.

    Args:
        logits, truth: (N, num_classes) and (N,) class indices.
        groups: (N,) what each picture belongs to.
    """
    chosen = point(decision, labels)
    if chosen is None:
        return {}
    scores, positive = probability(logits, chosen.positive), truth == chosen.positive
    found: dict[str, Any] = {"positive": labels[chosen.positive]}
    found |= {"num_positive": int(positive.sum()), "num_negative": int((~positive).sum())}
    for name, area in (("auc", curves.auc), ("average_precision", curves.average_precision)):
        one = area(scores, positive, groups)
        found |= {name: one and one.value, f"{name}_interval": one and one.interval}
    if chosen.threshold is None:
        return found
    called = scores >= chosen.threshold
    parts = {
        "sensitivity": (called, positive), "specificity": (~called, ~positive),
        "ppv": (positive, called), "npv": (~positive, ~called),
    }  # fmt: skip
    for name, (right, among) in parts.items():
        own = None if groups is None else groups[among]
        found[name] = float(right[among].mean()) if among.any() else None
        found[f"{name}_interval"] = of_share(right[among], own)
    kept = decision["operating_point"]
    if (prevalence := kept.get("prevalence")) is not None:
        found |= _at_prevalence(called, positive, groups, float(prevalence))
    if kept["rule"] == COSTLY and positive.any() and not positive.all():
        found |= _costs(found, kept)
    return found | {"operating_point": dict(kept) | {"reached": _reached(found, kept)}}


def _at_prevalence(called: np.ndarray, positive: np.ndarray, groups: np.ndarray | None, prevalence: float) -> dict[str, Any]:
    """PPV and NPV where this share is positive. Both rise with sensitivity and specificity, so that their limits follow from
    the 97.5 % intervals of these, which hold together with at least 95 % (Bonferroni)."""
    names = ("ppv_at_prevalence", "npv_at_prevalence")
    if not positive.any() or positive.all():
        return dict.fromkeys([*names, *(f"{name}_interval" for name in names)])
    shares = [(called, positive), (~called, ~positive)]  # whose means are sensitivity and specificity
    wide = [of_share(part[among], None if groups is None else groups[among], 0.975) or [0.0, 1.0] for part, among in shares]
    middle = tuple(float(part[among].mean()) for part, among in shares)
    each = (middle, *zip(*wide, strict=True))  # (sensitivity, specificity): as they are, their low and their high ends
    values, low, high = (curves.predictive(sensitivity, specificity, prevalence) for sensitivity, specificity in each)
    intervals = [None if None in pair else list(pair) for pair in zip(low, high, strict=True)]
    return dict(zip(names, values, strict=True)) | {f"{name}_interval": own for name, own in zip(names, intervals, strict=True)}


def _costs(found: Mapping[str, Any], kept: Mapping[str, Any]) -> dict[str, float]:
    """The expected cost of a picture at the threshold, and where all, or none, were called positive."""
    false_alarm, miss = parse_cost(str(kept["wanted"]))
    share, own = found["num_positive"] / (found["num_positive"] + found["num_negative"]), kept.get("prevalence")
    share = share if own is None else float(own)
    costs = share * (1 - found["sensitivity"]) * miss + (1 - share) * (1 - found["specificity"]) * false_alarm
    return {"expected_cost": costs, "cost_all_positive": (1 - share) * false_alarm, "cost_all_negative": share * miss}


def _reached(found: Mapping[str, Any], kept: Mapping[str, Any]) -> bool | None:
    """Whether the wanted share is within the interval or below it; None where none is wanted, or no picture can tell."""
    interval = found.get(f"{kept['rule']}_interval")
    return None if interval is None else bool(interval[1] >= kept["wanted"])


def told(result: Mapping[str, Any]) -> list[str]:
    """What `result` says, as lines."""
    if "positive" not in result:
        return []
    lines = [
        f"{visible(result['positive'])} against the rest ({result['num_positive']:,} of {result['num_images']:,}): AUC "
        f"{with_interval(result, 'auc')}, average precision {with_interval(result, 'average_precision')}"
    ]
    kept = result.get("operating_point")
    if kept is None:
        return lines
    wanted = kept["wanted"] if kept["rule"] == COSTLY else f"{100 * kept['wanted']:g}%"
    lines += [
        f"operating point: {visible(result['positive'])} from a probability of {kept['threshold']:.4g} on, chosen on "
        f"validation for {kept['rule']} {wanted}",
        f"  sensitivity {with_interval(result, 'sensitivity')}, specificity {with_interval(result, 'specificity')}",
        f"  PPV {with_interval(result, 'ppv')}, NPV {with_interval(result, 'npv')}",
    ]
    if kept.get("prevalence") is not None:
        both = [with_interval(result, f"{name}_at_prevalence") for name in ("ppv", "npv")]
        lines.append(f"  at a prevalence of {100 * kept['prevalence']:g}%: PPV {both[0]}, NPV {both[1]}")
    if "expected_cost" in result:
        lines.append(
            f"  expected cost {result['expected_cost']:.4g} each; {result['cost_all_positive']:.4g} if all were called "
            f"positive, {result['cost_all_negative']:.4g} if none"
        )
    if kept["reached"] is False:
        lines.append(f"  {kept['rule']} is below the {wanted} that was asked for, and so is its whole interval")
    elif kept["reached"] and result[kept["rule"]] < kept["wanted"]:
        lines.append(f"  {kept['rule']} is below the {wanted} that was asked for, which its interval allows")
    if result["split"] == "val":
        lines.append("  the threshold was chosen on these: only a test split can judge it")
    return lines
