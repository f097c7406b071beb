"""Do two pictures show the same? By the distance of their embeddings, and a threshold that the model's file keeps."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np

from resnets import tasks
from resnets.data.pictures.stored import FileImages
from resnets.draw.text import share
from resnets.errors import InputError
from resnets.files import read_text
from resnets.measures import neighbours
from resnets.measures.intervals import clopper_pearson_upper
from resnets.models.answering import number_of
from resnets.models.header import Header
from resnets.ship.sessions import Session
from resnets.verbs.features import feature_session, of_files
from resnets.verbs.predict import find_files

MAX_BYTES = 1 << 28  # of a list of pairs
COLUMNS = ("a", "b", "same")  # of it; the third may be missing
YES, NO = ("1", "true", "yes", "same"), ("0", "false", "no", "different")
# How a model gets a threshold: one that embeds, and any other.
CALIBRATE = "`resnets calibrate MODEL PEOPLE/ -o FILE` chooses one on folders of identities that the model has not seen"
CONVERT = "make it one that embeds by `resnets convert MODEL -o EMBED.safetensors --task embed`; then, with that, "


def verify(
    model: str | Path | Any,
    pairs: Sequence[tuple[str | Path, str | Path]],
    *,
    runtime: str = "auto",
    device: str = "auto",
    workers: int | None = None,
) -> dict[str, Any]:
    """Compare pairs of pictures.

    Args:
        model: as `features.feature_session` takes it: a model that embeds, or any other, whose pooled features are compared.
        pairs: paths of two pictures each.
        runtime: see `open_session`.
        device: as there.
        workers: threads that decode.

    Returns:
        {"model", "distance": its kind, "known": what is known of the threshold or None, with a "hint" then, "pairs": [{"a",
        "b", "distance", "same"}, ...]}. "same" is missing without a threshold; of a pair with a picture that cannot be read
        there is "error".

    Raises:
        InputError: for a model that cannot be used, and where there is no pair.
    """
    if not pairs:
        raise InputError("no pair to compare; give two pictures, or a list with --pairs")
    session = feature_session(model, runtime=runtime, device=device)
    known = known_of(session.header)
    kind = metric_of(session.header)
    vectors, errors = embedded(session, sorted({str(path) for pair in pairs for path in pair}), workers)
    rows = [compared(str(one), str(other), vectors, errors, kind, known) for one, other in pairs]
    name = str(model) if isinstance(model, str | Path) else session.header.spec.name
    found: dict[str, Any] = {"model": name, "distance": kind, "known": known, "pairs": rows}
    return found if known else found | {"hint": CONVERT * (not tasks.get(session.header.task).embeds) + CALIBRATE}


def embedded(session: Session, paths: Sequence[str], workers: int | None) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """The vector of each picture that can be read, and why others cannot, by path."""
    vectors, errors = {}, {}
    files: FileImages = find_files(session.header, paths)
    for path, found in zip(paths, of_files(session, files, workers=workers), strict=True):
        if found.answer is None:
            errors[path] = str(found.row["error"])
        else:
            vectors[path] = found.answer
    return vectors, errors


def compared(
    one: str,
    other: str,
    vectors: Mapping[str, np.ndarray],
    errors: Mapping[str, str],
    kind: str,
    known: Mapping[str, Any] | None,
) -> dict[str, Any]:
    """The row of a pair."""
    row: dict[str, Any] = {"a": one, "b": other}
    if bad := [f"{path}: {errors[path]}" for path in (one, other) if path in errors]:
        return row | {"error": "; ".join(bad)}
    row["distance"] = float(neighbours.distance(vectors[one].astype(np.float64), vectors[other].astype(np.float64), kind))
    return row if known is None else row | {"same": row["distance"] <= known["threshold"]}


def metric_of(header: Header) -> str:
    """How vectors of a model are compared: as the settings of its head say, else by the cosine."""
    kind = header.head.get("distance", neighbours.METRICS[0])
    if kind not in neighbours.METRICS:
        raise InputError("the model's header is damaged: its distance is not known; use another copy")
    return str(kind)


def known_of(header: Header) -> dict[str, Any] | None:
    """What the file says of its threshold; None where it has none.

    Returns:
        {"threshold", "chosen": {...}, "scored": {...} or None}: the counts of validation, on which it was chosen, and of the
        test split, of other identities; each has "false_accepts", "num_impostor" and "bound", the rate that false accepts do
        not exceed with 95 % confidence, if pairs were independent.
    """
    decision, result = header.decision, header.provenance.get("result", {})
    if "threshold" not in decision:
        return None
    scored = None
    if isinstance(result, Mapping) and result.get("split") == "test" and result.get("threshold") == decision["threshold"]:
        names = {"false_accepts": "false_accepts", "num_impostor": "num_accept_pairs", "num_identities": "num_identities"}
        scored = bounded({name: result.get(key) for name, key in names.items()})
    return {
        "threshold": number_of(decision, "threshold"),
        "far": decision.get("far"),
        "chosen": bounded(decision),
        "scored": scored,
    }


def bounded(counts: Mapping[str, Any]) -> dict[str, Any]:
    """The counts of a threshold, with the bound on its false accept rate."""
    found = {name: int(number_of(counts, name)) for name in ("num_identities", "false_accepts", "num_impostor")}
    return found | {"bound": clopper_pearson_upper(found["false_accepts"], found["num_impostor"])}


# --- as text ---


def told(found: Mapping[str, Any]) -> Iterator[str]:
    """A line for each pair, then what is known of the threshold."""
    for row in found["pairs"]:
        if "error" in row:
            yield f"{row['a']}  {row['b']}  error: {row['error']}"
            continue
        answer = {True: "the same", False: "not the same"}.get(row.get("same"), "no threshold")
        yield f"{row['a']}  {row['b']}  {answer}, {found['distance']} distance {row['distance']:.4g}"
    known = found["known"]
    if known is None:
        yield f"the model has no threshold; {found['hint']}"
        return
    yield f"threshold {known['threshold']:.4g}, chosen on {counted(known['chosen'])}"
    if known["scored"] is None:
        yield "not scored on other identities, where it may err more often: `resnets eval MODEL DATA` does it"
    else:
        yield f"scored on {counted(known['scored'])}"


def counted(counts: Mapping[str, Any]) -> str:
    """The false accepts of so many pairs, and their bound."""
    num, wrong = counts["num_impostor"], counts["false_accepts"]
    rule = ", three in so many" * (not wrong)
    words = f"{wrong:,} of {num:,} pairs of different ones falsely accepted"
    return f"{counts['num_identities']:,} identities: {words} (at most {share(counts['bound'])}{rule}, were pairs independent)"


# --- lists of pairs ---


def read_pairs(path: Path) -> tuple[list[tuple[str, str]], list[bool] | None]:
    """The pairs of a CSV file with the columns a,b and perhaps same (1 or 0); paths count from its folder.

    Returns:
        The pairs, and whether each is the same; None where the file does not say.

    Raises:
        InputError: where it is no such file; the line is named.
    """
    rows = list(csv.reader(StringIO(read_text(path, most=MAX_BYTES), newline="")))
    head = [cell.strip().lower() for cell in rows[0]] if rows else []
    if not {*COLUMNS[:2]} <= set(head):
        raise InputError(
            f"{path}: the first line must name the columns a,b (and same, if it is known), not {','.join(head)[:80]!r}"
        )
    places = [head.index(name) if name in head else None for name in COLUMNS]
    pairs, same = [], []
    for number, cells in enumerate(rows[1:], start=2):
        if not any(cell.strip() for cell in cells):
            continue
        one, other, truth = ("" if at is None or at >= len(cells) else cells[at].strip() for at in places)
        if not (one and other):
            raise InputError(f"{path} line {number}: a path is missing; write two")
        pairs.append((str(path.parent / one), str(path.parent / other)))
        if places[2] is not None:
            if truth.lower() not in YES + NO:
                raise InputError(f"{path} line {number}: same is {truth[:40]!r}; write 1 or 0")
            same.append(truth.lower() in YES)
    if not pairs:
        raise InputError(f"{path}: holds no pair; write two paths a line")
    return pairs, same if places[2] is not None else None


def scored(found: Mapping[str, Any], truth: Sequence[bool]) -> dict[str, Any]:
    """How pairs of which it is known came out: EER and TAR at rates that so many can tell, and the errors of the threshold.

    Args:
        found: of `verify`.
        truth: of each pair, whether it is the same.
    """
    from resnets.measures import verification as verifying

    known = [(row["distance"], same) for row, same in zip(found["pairs"], truth, strict=True) if "error" not in row]
    distance, same = np.array([each for each, _ in known], float), np.array([each for _, each in known], bool)
    curve, num = verifying.rates(distance, same), int((~same).sum())
    result: dict[str, Any] = {
        "num_same": int(same.sum()),
        "num_different": num,
        "eer": None if np.isnan(curve.eer) else curve.eer,
    }
    for far in verifying.FARS:
        measured = verifying.measurable(far, num) and bool(same.any())
        result[verifying.far_key(far)] = curve.tar_at(far) if measured else None
    if found["known"] is not None:
        accept = distance <= found["known"]["threshold"]
        result |= {"false_accepts": int((accept & ~same).sum()), "false_rejects": int((~accept & same).sum())}
        result["bound"] = clopper_pearson_upper(result["false_accepts"], num) if num else None
    return result


def scored_words(result: Mapping[str, Any]) -> str:
    """`scored` as text."""
    words = (
        f"{result['num_same']:,} pairs of the same, {result['num_different']:,} of different ones: EER {share(result['eer'])}"
    )
    if "false_accepts" in result:
        bound = "" if result["bound"] is None else f" (at most {share(result['bound'])}, were pairs independent)"
        words += f"; {result['false_accepts']:,} falsely accepted{bound}, {result['false_rejects']:,} falsely rejected"
    return words
