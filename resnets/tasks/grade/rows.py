"""Answers and evaluations of grading as JSON, CSV and text. No torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NotRequired, TypedDict

from resnets.draw.text import csv_line, share, visible
from resnets.engine.values import Sample
from resnets.models.answering import Noted, Wanted
from resnets.tasks.lines import class_table, failed, first_cell, images_of, probabilities_in, unreadable

if TYPE_CHECKING:
    import numpy as np

KEYS = frozenset({"value"})
COLUMNS = ("path", "value", "low", "high", "grade", "probabilities", "error")  # of CSV
# Columns of the table of grades in the report, sorted by the first; and further figures there, fractions.
REPORT_COLUMNS = {"accuracy": "accuracy", "within_one": "within one", "support": "pictures"}
FACTS = {
    "accuracy": "accuracy",
    "within_one": "within one grade",
    "kappa": "quadratic weighted kappa",
    "coverage": "truths within the prediction interval",
}


class Row(TypedDict):
    """The answer to a picture: a number in the target's own units, or the expected grade."""

    value: float
    low: NotRequired[float]  # where a prediction interval was decided on
    high: NotRequired[float]
    grade: NotRequired[int]  # of grades
    probabilities: NotRequired[dict[str, float]]  # of each grade, rounded to 6 decimals


def row(answer: np.ndarray, labels: Sequence[str], wanted: Wanted) -> Row:
    """The answer (1 + M,), see `grade.answers`, as JSON can hold it.

    Args:
        labels: the grades, or the name of the target.
        wanted: the decision of the model: the half width of the prediction interval.
    """
    from resnets.tasks.grade import answers

    found: Row = {"value": digits(answer[0])}
    if (bounds := answers.intervals(answer[:1], labels, wanted.decision)) is not None:
        found["low"], found["high"] = (digits(bound[0]) for bound in bounds)
    if answers.is_ordinal(labels):
        chances = answers.probabilities(answer[1:])
        found["grade"] = int(labels[int(answers.ranks(chances))])
        found["probabilities"] = {label: round(float(chance), 6) for label, chance in zip(labels, chances, strict=True)}
    return found


def digits(value: Any) -> float:
    """Rounded to six significant digits, which is more than any answer has."""
    return float(f"{float(value):.6g}")


def line(row: Mapping[str, Any]) -> str:
    """The row as one line for people: the path, the grade or the number, and its interval."""
    if "error" in row:
        return failed(row)
    bounds = f"  ({row['low']:g} to {row['high']:g})" if "low" in row else ""
    if "grade" not in row:
        return visible(f"{row['path']}  {row['value']:g}{bounds}")
    grade = str(row["grade"])
    return visible(f"{row['path']}  {grade} {row['probabilities'][grade]:.1%}, expected {row['value']:.3g}{bounds}")


def csv_head(topk: int) -> str:
    """path,value,low,high,grade,probabilities,error."""
    return csv_line(COLUMNS)


def csv_lines(row: Mapping[str, Any], topk: int) -> str:
    """One line per picture; the probabilities of the grades with bars between them, the lowest grade first."""
    chances = "|".join(f"{chance:.6f}" for chance in row.get("probabilities", {}).values())
    return csv_line([str(row.get(name, "")) if name != "probabilities" else chances for name in COLUMNS])


def csv_path(text: str, topk: int) -> str:
    """The path in a line of CSV. Raises `ValueError` where it is no whole row."""
    return first_cell(text, len(COLUMNS))


def told(result: Mapping[str, Any], per_class: bool) -> str:
    """An evaluation as text; with `per_class` also the table of grades, or what the target is called."""
    ordinal = "kappa" in result
    parts = [f"R2 {share(result['r2'])}", f"MAE {amount(result['mae'])}{between(result['mae_interval'])}"]
    parts += [f"{amount(result[key])} of guessing the {words}" for key, words in GUESSES.items() if result[key] is not None]
    if ordinal:
        parts += [f"accuracy {share(result['accuracy'])}, within one {share(result['within_one'])}"]
        parts += [f"quadratic kappa {amount(result['kappa'])}"]
    else:
        parts += [f"RMSE {amount(result['rmse'])}", f"bias {amount(result['bias'])}"]
    if result["coverage"] is not None:
        parts += [f"{result['coverage_wanted']:.0%} intervals hold {share(result['coverage'])}"]
    lines = [f"{result['split']} {', '.join(parts)} on {result['num_images']:,} {images_of(result)}", *unreadable(result)]
    if per_class and ordinal:
        lines += ["", class_table(result["per_class"], {"accuracy": "accuracy", "within_one": "within one"}, "support")]
    elif per_class:
        limits = result["limits_of_agreement"]
        told = f"; 95 % of the errors within {amount(limits[0])} to {amount(limits[1])}" if limits else ""
        correlation = f"rank correlation {amount(result['spearman'])}"
        lines += ["", visible(f"{result['labels'][0]}: median error {amount(result['median_error'])}, {correlation}{told}")]
    return "\n".join(lines)


GUESSES = {"mae_of_mean": "training mean", "mae_of_median": "median"}


def amount(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"


def between(interval: Sequence[float] | None) -> str:
    return "" if interval is None else f" ({amount(interval[0])} to {amount(interval[1])})"


def noted(row: Mapping[str, Any]) -> Noted:
    """See `engine.contract.Rows`: the grade; of numbers nothing."""
    if "grade" not in row:
        return Noted([], [], [])
    grade = str(row["grade"])
    return Noted([grade], [row["probabilities"][grade]], [grade])


def recorded(record: Mapping[str, Any], decision: Mapping[str, Any]) -> Noted:
    found = probabilities_in(record)
    return Noted([record["answer"]], [found[record["answer"]]], [record["answer"]]) if found else Noted([], [], [])


def sample(pictures: Sequence[Sequence[Mapping[str, Any]]]) -> Sample:
    import numpy as np

    from resnets.tasks.grade import figures

    truth = np.array([float(record["truth"]) for (record,) in pictures])
    values = np.array([float(record.get("value", record["answer"])) for (record,) in pictures])  # of grades the expected one
    return Sample("R2", np.arange(len(truth)), lambda at: figures.r2(truth[at], values[at]))
