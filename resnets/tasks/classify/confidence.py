"""Confidence, and saying no: what is decided on validation, and how it makes answers of logits, in any runtime. No torch.

    temperature   probabilities that agree with how often answers are right; it changes no answer
    abstain       "unsure" where the answer may be wrong, so that few of the answers given are
    sets          all classes that the picture may be of, so that the truth is among them as often as wanted
    unknown       "unknown" for a picture unlike the training data

Of the three rules the decision keeps what validation says (a table), what was asked for (`at`) and the limit that follows; so
another risk or coverage can be asked for later, without the data (`revise`). They work on the probabilities of the outputs as
they are: a temperature was fitted to the same truth, and what their theorems promise is for scores that the truth had no part
in.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from resnets.errors import InputError
from resnets.measures import calibration, conformal, ood, selective
from resnets.measures.intervals import LEVEL, bootstrap, clopper_pearson

UNSURE, UNKNOWN = "unsure", "unknown"
LEAST_HALF = 200  # validation pictures in each half, where one is for the reference and one for the limit
Decision = Mapping[str, Any]
AGAIN = "choose it anew by `resnets calibrate`"


class Rule(NamedTuple):
    """What a decision comes to; where it has no such rule, what changes nothing."""

    temperature: float = 1.0
    doubt: float = math.inf  # the largest with which an answer is given
    probability: float | None = None  # what a class of a prediction set must have at least; None: no sets
    unlike: float = math.inf  # the largest score of a picture that is known
    reference: ood.Reference | None = None  # what that score compares with


class Answers(NamedTuple):
    """What a rule makes of N pictures."""

    probabilities: np.ndarray  # (N, num_classes), by the temperature
    labels: np.ndarray  # (N,) the index of the likeliest class
    unsure: np.ndarray  # (N,) bool; False where unknown
    unknown: np.ndarray  # (N,) bool
    scores: np.ndarray  # (N,) `ood.unlikeness`: greater is less like the training data
    sets: np.ndarray | None  # (N, num_classes) bool

    def word(self, position: int, labels: Sequence[str], said: Mapping[str, Any]) -> str:
        """The answer to a picture: "unknown", "unsure", or a label; `said` is what an operating point says, if there is one."""
        if self.unknown[position]:
            return UNKNOWN
        return UNSURE if self.unsure[position] else said.get("answer", labels[int(self.labels[position])])


def rule(decision: Decision) -> Rule:
    """The rule of a decision. Raises `InputError` where that is damaged."""
    try:
        doubt, probability, unlike = (
            None if (limit := (decision.get(name) or {}).get("limit")) is None else float(limit)
            for name in ("abstain", "sets", "unknown")
        )
        found = Rule(
            float(decision.get("temperature", 1.0)),
            math.inf if doubt is None else doubt,
            probability,
            math.inf if unlike is None else unlike,
            None if (reference := (decision.get("unknown") or {}).get("reference")) is None else ood.Reference.parse(reference),
        )
    except (TypeError, ValueError, AttributeError, OverflowError, KeyError, IndexError):
        raise damaged() from None
    if not 0 < found.temperature < math.inf or any(math.isnan(limit or 0) for limit in found[:4]):
        raise damaged()
    return found


def damaged() -> InputError:
    return InputError(f"the model's rule for answers cannot be read, the header is damaged; {AGAIN}")


def apply(logits: np.ndarray, rule: Rule) -> Answers:
    """The answers to N pictures by their logits (N, num_classes)."""
    logits = np.asarray(logits, np.float32)
    scaled = logits / np.float32(rule.temperature)
    probabilities = np.exp(scaled - scaled.max(1, keepdims=True))
    probabilities /= probabilities.sum(1, keepdims=True)
    try:
        scores = ood.unlikeness(logits, rule.reference)
    except ValueError:
        raise damaged() from None
    unknown = scores > rule.unlike
    unsure = (selective.doubts(logits) > rule.doubt) & ~unknown
    sets = None if rule.probability is None else conformal.sets(softmax(logits), rule.probability)
    return Answers(probabilities, logits.argmax(1), unsure, unknown, scores, sets)


def softmax(logits: np.ndarray) -> np.ndarray:
    """(N, num_classes) float64, without a temperature."""
    weights = np.exp(np.asarray(logits, np.float64) - logits.max(1, keepdims=True))
    return weights / weights.sum(1, keepdims=True)


def scaled(logits: np.ndarray, decision: Decision) -> np.ndarray:
    """(N, num_classes) float64: logits whose softmax is by the temperature of a decision."""
    return np.asarray(logits, np.float64) / rule(decision).temperature


# --- what is decided ---


def decide(logits: np.ndarray, truth: np.ndarray, asked: Mapping[str, Any]) -> dict[str, Any]:
    """What the validation split says, and the limits for what is asked for.

    Args:
        logits: (N, num_classes).
        truth: (N,) class indices.
        asked: "temperature" (bool), "abstain_at", "sets" and "unknown_at", as in the settings; None: not asked for.

    Raises:
        InputError: where the split does not support a risk or coverage that is asked for.
    """
    logits = np.asarray(logits, np.float32)
    wrong, doubt = logits.argmax(1) != truth, selective.doubts(logits)
    decision: dict[str, Any] = {"validation": {"num_images": len(truth), "num_errors": int(wrong.sum())}}
    if asked.get("temperature", True):
        decision["temperature"] = calibration.fit_temperature(logits, truth)
    rate = asked.get("unknown_at")
    reference, scores = compared(logits, rate or 1.0)
    limit = ood.threshold(scores[1::2] if reference else scores, rate) if rate else None
    decision["unknown"] = {"at": rate or None, "limit": limit, "reference": reference}
    # Given the limit, the pictures within it are as independent as all were: it is one of their scores, whatever the truth.
    known = scores < (math.inf if limit is None else limit)
    of_all = selective.tabulate(doubt, wrong)
    decision["abstain"] = {"all": of_all, "known": of_all if limit is None else selective.tabulate(doubt[known], wrong[known])}
    decision["sets"] = conformal.tabulate(softmax(logits)[np.arange(len(truth)), truth])
    return {**decision, **revise(decision, {name: asked.get(name) for name in ("abstain_at", "sets")})}


def compared(logits: np.ndarray, rate: float) -> tuple[dict[str, Any] | None, np.ndarray]:
    """What new pictures are compared with, fitted to every second one, so that the others can say how far new ones lie; and the
    scores (N,) of all. None, and the energy, where a half has too few for the limit of a `rate`, or for the fit, or classes are
    too many."""
    enough = len(logits) >= 2 * max(LEAST_HALF, ood.num_needed(rate))
    fitted = ood.Reference.fit(logits[::2]) if enough else None
    kept = None if fitted is None else fitted.to_json()
    return kept, ood.unlikeness(logits, None if kept is None else ood.Reference.parse(kept))


def revise(decision: Decision, asked: Mapping[str, Any]) -> dict[str, Any]:
    """The decision with other wishes, of which None leaves what it has; no data is needed.

    Args:
        asked: "abstain_at", "sets", and "unknown_at", which may only be 0: no picture is called unknown.

    Raises:
        InputError: where the model keeps no table, or the table does not support what is asked for.
    """
    found, num = dict(decision), num_images(decision)
    unknown = dict(found.get("unknown") or {})
    if asked.get("unknown_at") == 0:
        unknown |= {"at": None, "limit": None}
        found["unknown"] = unknown
    risk, coverage = asked.get("abstain_at"), asked.get("sets")
    if (risk or coverage) and not decision.get("validation"):
        raise InputError(f"the model keeps no rule for --abstain-at or --sets; {AGAIN}, with labelled data")
    if risk and decision.get("operating_point"):
        raise InputError(
            "--abstain-at: the model answers by an operating point, and what abstaining promises is for the likeliest class; "
            "leave it out"
        )
    try:
        abstain, sets = dict(found.get("abstain") or {}), dict(found.get("sets") or {})
        if risk := risk or abstain.get("at"):
            table = abstain["all" if unknown.get("limit") is None else "known"]
            if (limit := selective.limit(table, risk)) is None:
                raise unsupported(table, risk, num)
            found["abstain"] = abstain | {"at": risk, "limit": limit}
        elif abstain:
            found["abstain"] = abstain | {"at": None, "limit": None}
        if coverage := coverage or sets.get("at"):
            if (least := conformal.threshold(sets, coverage)) is None:
                needed = conformal.num_needed(coverage)
                raise InputError(
                    f"sets={coverage:g}: takes a validation split of {needed:,} at least, and it had {num:,}; ask for less, or "
                    "calibrate on more"
                )
            found["sets"] = sets | {"at": coverage, "limit": least}
        elif sets:
            found["sets"] = sets | {"at": None, "limit": None}
    except (TypeError, ValueError, KeyError, AttributeError, IndexError) as error:
        if isinstance(error, InputError):
            raise
        raise damaged() from None
    return found


def unsupported(table: Mapping[str, Any], risk: float, num: int) -> InputError:
    """Why no limit keeps a risk, and what to do."""
    words = f"abstain_at={risk:g}: a validation split of {num:,} supports no such rule"
    if num < (least := selective.least_needed(risk)):
        return InputError(f"{words}; it takes at least {least:,}, and more where some answers are wrong: calibrate on more")
    needed = selective.num_needed(table, risk)
    if needed is None:
        return InputError(f"{words}: even of the surest answers too many are wrong; allow more, or train a better model")
    return InputError(f"{words}; with errors as here it takes about {needed:,}: calibrate on more, or allow a larger part")


def check_size(num: int, asked: Mapping[str, Any]) -> None:
    """Raise `InputError` where a validation split of `num` pictures cannot support what is asked for, however it comes out."""
    for name, needed in (("abstain_at", selective.least_needed), ("sets", conformal.num_needed)):
        if asked.get(name) and num < needed(asked[name]):
            raise InputError(
                f"{name}={asked[name]:g}: takes a validation split of at least {needed(asked[name]):,}, and it has {num:,}; "
                "raise val_fraction, ask for less, or calibrate on more by `resnets calibrate`"
            )


def num_images(decision: Decision) -> int:
    """Of the validation split; 0 where there was none."""
    try:
        return int(decision["validation"]["num_images"])
    except (TypeError, ValueError, KeyError, OverflowError):
        return 0


def notes(decision: Decision) -> list[str]:
    """What could not be decided, in words."""
    unknown = decision.get("unknown") or {}
    at = unknown.get("at") if unknown.get("limit") is None else None
    num = num_images(decision)
    return too_few(num, {"temperature": "temperature" in decision, "unknown_at": at}) if num else []


def too_few(num: int, asked: Mapping[str, Any]) -> list[str]:
    """What of "temperature" and "unknown_at", where asked for, a validation split of `num` pictures cannot decide, in words."""
    found, at = [], asked.get("unknown_at")
    if asked.get("temperature") and num < (least := calibration.LEAST_IMAGES):
        found.append(f"the temperature stays 1: validation has only {num}, and to fit it takes {least}")
    if at and num < (needed := ood.num_needed(at)):
        found.append(f"nothing is called unknown: validation has only {num}, and {at:.2g} takes {needed:,}")
    return found


# --- how a split came out ---


def result(
    logits: np.ndarray,
    truth: np.ndarray,
    decision: Decision,
    groups: np.ndarray | None = None,
    answers: np.ndarray | None = None,
) -> dict[str, Any]:
    """The figures of a split, fractions but for the numbers of pictures; those of a rule only where there is one.

    Args:
        logits: (N, num_classes).
        truth: (N,) class indices.
        groups: (N,) what each picture belongs to: intervals are then by groups.
        answers: (N,) the class that is answered where that is not the likeliest (an operating point).
    """
    chosen = rule(decision)
    found = apply(logits, chosen)
    right = found.labels == truth
    wrong = (found.labels if answers is None else answers) != truth
    plain = apply(logits, Rule()).probabilities
    ece, before = (calibration.calibration(p.max(1), right).ece for p in (found.probabilities, plain))
    figures: dict[str, Any] = {"ece": ece}
    if "temperature" in decision:
        figures |= {"temperature": chosen.temperature, "ece_before": before}
    if chosen.doubt < math.inf or chosen.unlike < math.inf:
        given = ~(found.unsure | found.unknown)
        figures |= {
            "abstain_at": (decision.get("abstain") or {}).get("at"),
            "num_answers": int(given.sum()),
            "num_wrong_answers": int((given & wrong).sum()),
            "answer_error": float(wrong[given].mean()) if given.any() else None,
            "answer_error_interval": interval(wrong, given, groups),
            "unanswered": float(1 - given.mean()),
            "unsure": float(found.unsure.mean()),
            "unknown": float(found.unknown.mean()),
        }
    if found.sets is not None:
        holds = found.sets[np.arange(len(truth)), truth]
        figures |= {
            "sets_at": decision["sets"].get("at"),
            "set_coverage": float(holds.mean()),
            "set_coverage_interval": interval(holds, np.ones(len(holds), bool), groups),
            "set_size": float(found.sets.sum(1).mean()),
        }
    if said := notes(decision):
        figures["notes"] = said
    return figures


def interval(hits: np.ndarray, among: np.ndarray, groups: np.ndarray | None) -> list[float]:
    """The 95 % interval of the part of the pictures `among` (N,) that are `hits` (N,): exact, or by groups."""
    if groups is None or not among.any():
        return clopper_pearson(int((hits & among).sum()), int(among.sum()))

    def part(positions: np.ndarray) -> float:
        drawn = positions[among[positions]]
        return float(hits[drawn].mean()) if len(drawn) else math.nan

    return bootstrap(part, len(hits), groups)


def told(result: Mapping[str, Any]) -> list[str]:
    """The figures of `result` as lines for people."""
    lines = []
    if "num_answers" in result:
        error, (low, high) = result["answer_error"], result["answer_error_interval"]
        wrong = "" if error is None else f", of which {error:.2%} are wrong (95 % interval {low:.2%} to {high:.2%}"
        asked = (
            f"; asked for: at most {100 * result['abstain_at']:g}%, with {LEVEL:.0%} confidence)"
            if result["abstain_at"]
            else ")"
        )
        lines.append(
            f"answers to {1 - result['unanswered']:.2%} of them{wrong}{asked if wrong else ''}; {result['unsure']:.2%} unsure, "
            f"{result['unknown']:.2%} unknown"
        )
    if "set_coverage" in result:
        low, high = result["set_coverage_interval"]
        lines.append(
            f"sets of {result['set_size']:.2f} classes hold the truth of {result['set_coverage']:.2%} (95 % interval "
            f"{low:.2%} to {high:.2%}; asked for: {100 * result['sets_at']:g}%)"
        )
    return lines + [f"note     {note}" for note in result.get("notes", [])]
