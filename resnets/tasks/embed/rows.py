"""Answers and evaluations of embedding as JSON, CSV and text. No torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypedDict

from resnets.draw.text import columns, csv_line, share, visible
from resnets.engine.values import Sample
from resnets.models.answering import Noted, Wanted
from resnets.tasks.lines import class_table, failed, first_cell, unreadable, with_interval

if TYPE_CHECKING:
    import numpy as np

KEYS = frozenset({"embedding"})
COLUMNS = ("path", "embedding", "error")  # of CSV
HEADINGS = {"map_at_r": "mAP@R", "rank_1": "rank-1", "false_rejects": "false rejects", "false_accepts": "false accepts"}
# Columns of the table of identities in the report, sorted by the first; and further figures there, fractions.
REPORT_COLUMNS = HEADINGS | {"support": "pictures"}
TARS = {f"tar_at_1e-{digits}": f"1e-{digits}" for digits in (1, 2, 3, 4)}
FACTS = {
    "accuracy": "verification accuracy",
    "eer": "equal error rate",
    "tar_at_1e-2": "TAR at FAR 1e-2",
    "tar_at_1e-3": "TAR at FAR 1e-3",
    "rank_1": "rank-1, one picture enrolled",
    "fnir_at_0.1": "misses at 10 % false alarms, open set",
    "precision_at_1": "nearest picture of the same identity",
    "map_at_r": "mAP@R",
    "false_accept_rate": "false accepts at the threshold",
    "false_reject_rate": "false rejects at the threshold",
}
SHOWN = 4  # numbers of an embedding in a line for people


class Row(TypedDict):
    """The embedding of a picture, to five decimals: `resnets embed` keeps all of it."""

    embedding: list[float]


def row(answer: np.ndarray, labels: Sequence[str], wanted: Wanted) -> Row:
    """The embedding (D,), as JSON can hold it."""
    return {"embedding": [round(value, 5) for value in answer.tolist()]}


def line(row: Mapping[str, Any]) -> str:
    """The row as one line for people: the path, and how an embedding begins."""
    if "error" in row:
        return failed(row)
    vector = row["embedding"]
    first = " ".join(f"{value:.3f}" for value in vector[:SHOWN])
    return visible(f"{row['path']}  {len(vector)} numbers: {first}{' ...' * (len(vector) > SHOWN)}")


def csv_head(topk: int) -> str:
    """path,embedding,error."""
    return csv_line(COLUMNS)


def csv_lines(row: Mapping[str, Any], topk: int) -> str:
    """One line per picture; the numbers with spaces between them."""
    numbers = " ".join(f"{value:.6g}" for value in row.get("embedding", ()))
    return csv_line([row["path"], numbers, row.get("error", "")])


def csv_path(text: str, topk: int) -> str:
    """The path in a line of CSV. Raises `ValueError` where it is no whole row."""
    return first_cell(text, len(COLUMNS))


def told(result: Mapping[str, Any], per_class: bool) -> str:
    """An evaluation as text; with `per_class` also the tables of identities and of groups."""
    num = result["num_identities"]
    lines = [
        f"{result['split']} mAP@R {with_interval(result, 'map_at_r')}, AUC of pairs {share(result['auc'])}, nearest picture of "
        f"the same {share(result['precision_at_1'])} on {result['num_images']:,} pictures of {num:,} "
        f"identit{'y' if num == 1 else 'ies'}",
        verified(result),
        identified(result),
        *at_threshold(result),
        *unreadable(result),
    ]
    if per_class:
        lines += ["", class_table(result["per_class"], HEADINGS, "support", first="identity")]
        lines += ["", group_table(result["by_group"])] if result.get("by_group") else []
    return "\n".join(lines)


def verified(result: Mapping[str, Any]) -> str:
    """Pairs: the accuracy over folds, and the rates."""
    folds = f"accuracy {share(result['accuracy'])}"
    if result["accuracy"] is not None:
        folds += f" (standard error {share(result['accuracy_error'])}, {result['num_folds']} folds of identities)"
    known = {words: result[key] for key, words in TARS.items() if result[key] is not None}
    rates = ", ".join(f"{share(value)} at {words}" for words, value in known.items())
    parts = [f"verification: {folds}, EER {share(result['eer'])}", f"TAR {rates}" if known else ""]
    if missing := [words for key, words in TARS.items() if result[key] is None]:
        parts.append(f"FAR {', '.join(missing)} cannot be measured with {result['num_impostor']:,} pairs")
    return "; ".join(part for part in parts if part)


def identified(result: Mapping[str, Any]) -> str:
    """One enrolled picture each: all are enrolled, and half of them."""
    words = f"one picture enrolled: rank-1 {share(result['rank_1'])}, rank-5 {share(result['rank_5'])}"
    if not result["num_enrolled"]:
        return f"{words}; too few identities for an open set"
    rates = ", ".join(
        f"{share(value)} missed at {float(name.rpartition('_')[2]):.0%} false alarms"
        for name, value in result.items()
        if name.startswith("fnir_at_") and value is not None
    )
    return f"{words}; {result['num_enrolled']} of {result['num_identities']} enrolled: {rates or 'too few pictures of others'}"


def at_threshold(result: Mapping[str, Any]) -> list[str]:
    """What the model's threshold does, as one line; how to get one, where there is none."""
    threshold = result["threshold"]
    if threshold is None:
        return ["no threshold was chosen; `resnets calibrate MODEL DATA -o FILE` chooses one on other people's pictures"]
    own = f"chosen on validation for a FAR of {result['far_wanted']:g}" + ", which is this split" * (result["split"] == "val")
    alarms = share(result.get("fpir"))
    told = (
        f"threshold {threshold:.4g} ({result['distance']} distance; {own}): {accepts(result)}; "
        f"{result['false_rejects']:,} of {result['num_reject_pairs']:,} falsely rejected, {share(result['false_reject_rate'])}"
    )
    if "fpir" in result:
        told += f"; open set: {alarms} false alarms, {share(result['fnir'])} missed"
    return [told]


def accepts(result: Mapping[str, Any]) -> str:
    """The false accepts of a threshold, with their bound; that no rate is below what so many pairs can tell."""
    num, bound = result["num_accept_pairs"], result["false_accept_rate_bound"]
    if not num:
        return "no pair of different identities to accept falsely"
    rate = f", {share(result['false_accept_rate'])}" if result["false_accepts"] else ""
    rule = "" if result["false_accepts"] else ", 3 in so many"
    told = f"{result['false_accepts']:,} of {num:,} pairs falsely accepted{rate}"
    return f"{told} (at most {bound:.2%}{rule}, were pairs independent)"


def group_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """One row per group: pairs within it, and their errors."""
    headings = {"eer": "EER", "false_accept_rate": "false accepts", "false_reject_rate": "false rejects"}
    shown = {key: words for key, words in headings.items() if key in rows[0]}
    cells = [
        [visible(row["group"]), *(share(row[key]) for key in shown), f"{row['num_genuine']:,}", f"{row['num_impostor']:,}"]
        for row in rows
    ]
    return columns([["group", *shown.values(), "same", "different"], *cells], "l" + "r" * (len(shown) + 2))


def noted(row: Mapping[str, Any]) -> Noted:
    """See `engine.contract.Rows`: nothing."""
    return Noted([], [], [])


def recorded(record: Mapping[str, Any], decision: Mapping[str, Any]) -> Noted:
    return Noted([], [], [])


def sample(pictures: Sequence[Sequence[Mapping[str, Any]]]) -> Sample:
    """By Euclidean distances: of embeddings of length one their order is that of cosines, and others have this distance."""
    import numpy as np

    from resnets.measures import retrieval
    from resnets.tasks.means import mean

    people = np.array([record["identity"] for (record,) in pictures])
    vectors = np.array([[float(number) for number in record["embedding"].split()] for (record,) in pictures], np.float32)
    each = retrieval.search(vectors, people, "euclidean").map_at_r

    def figure(at: np.ndarray) -> float:
        found = mean(each[at])
        return np.nan if found is None else found

    return Sample("mAP@R", np.arange(len(people)), figure, groups=people)
