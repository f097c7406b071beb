"""repair.html: the pictures to look at, one after the other, with keys; it writes a list of corrections. It loads nothing."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from resnets.data.corrections import Correction
from resnets.data.pictures.images import BadPicture
from resnets.files import write_text
from resnets.measures.neighbours import nearest
from resnets.verbs.issues import DUPLICATE, KINDS, LABEL, OUTLIER, Issue, Pool, Repair, row
from resnets.verbs.report.page import filled

SIDE, SMALL_SIDE = 224, 96  # of the picture, and of those beside it, in pixels at most
NUM_BESIDE = 3  # pictures of each label
EXACT = 64  # pixels up to which a picture is kept as it is
TITLES = {LABEL: "Labels that are likely wrong", DUPLICATE: "Copies", OUTLIER: "Unlike all others"}


def write(result: Repair, path: Path, *, data: str, most: int, before: Sequence[Correction] = ()) -> Path:
    """Write the page with at most so many pictures of each kind; the list that it writes begins with the corrections made
    `before`."""
    pool = result.pool
    sections: list[dict[str, Any]] = []
    for kind in KINDS:
        every = [issue for issue in result.issues if issue.kind == kind]
        shown = every[:most]
        if shown:
            sections.append({"title": TITLES[kind], "num": len(every), "items": list(items(result, shown))})
    page = {
        "result": result,
        "name": pool.source.name,
        "labels": pool.source.labels,
        "several": pool.targets.ndim == 2,
        "sections": sections,
        "num_shown": sum(len(section["items"]) for section in sections),
        "id": identity(result),
        "before": json.dumps([[line.path, line.given or "", line.action, line.label] for line in before]),
        "train": f"resnets train {shlex.quote(data)} --corrections corrections.csv",
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    return write_text(path, filled("repair.html.jinja", page, scripts=("repair.js",)))


def identity(result: Repair) -> str:
    """What is the same as long as the pictures, their names and their labels are: what the page keeps its state by."""
    paths = [result.pool.path(number) for number in range(len(result.pool))]
    return hashlib.sha256("\n".join([*paths, *result.pool.given]).encode()).hexdigest()[:16]


def items(result: Repair, issues: Sequence[Issue]) -> Iterator[dict[str, Any]]:
    """What the template shows of each picture."""
    pool = result.pool
    beside = neighbours(pool, issues)
    for number, issue in enumerate(issues):
        near = [
            {"label": label, "pictures": [(pool.path(at), embedded(pool, at, SMALL_SIDE)) for at in found]}
            for label, found in beside[number].items()
            if found
        ]
        twin = None if issue.beside is None else (pool.path(issue.beside), embedded(pool, issue.beside, SIDE))
        twin_label = "" if issue.beside is None else pool.given[issue.beside]
        yield row(result, issue) | {
            "picture": embedded(pool, issue.at, SIDE), "near": near, "twin": twin, "twin_label": twin_label,
        }  # fmt: skip


def neighbours(pool: Pool, issues: Sequence[Issue]) -> list[dict[str, list[int]]]:
    """For each picture the nearest with the label that it has, and with the one that is suggested."""
    given = np.array(pool.given, object)
    found: list[dict[str, list[int]]] = [{} for _ in issues]
    wanted = [dict.fromkeys(label for label in (pool.given[issue.at], issue.label) if label) for issue in issues]
    for label in dict.fromkeys(label for labels in wanted for label in labels):
        asking = [number for number, labels in enumerate(wanted) if label in labels and issues[number].kind != DUPLICATE]
        among = np.flatnonzero(given == label)
        if not asking or not len(among):
            continue
        own = np.full(len(pool), -1)
        own[among] = np.arange(len(among))
        at = np.array([issues[number].at for number in asking])
        positions = nearest(pool.values[at], pool.values[among], NUM_BESIDE, without=own[at]).positions
        for number, row_of in zip(asking, positions, strict=True):
            found[number][label] = among[row_of].tolist()
    return [{label: each[label] for label in labels if label in each} for labels, each in zip(wanted, found, strict=True)]


def embedded(pool: Pool, number: int, side: int) -> str:
    """The picture as a `data:` address, of at most so many pixels a side; "" where it cannot be read."""
    try:
        pixels = pool.pixels(number)
    except BadPicture:
        return ""
    picture = Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)
    out = io.BytesIO()
    if max(picture.size) <= EXACT:
        picture.save(out, "PNG")
        return f"data:image/png;base64,{base64.b64encode(out.getvalue()).decode('ascii')}"
    picture.thumbnail((side, side))
    picture.convert("RGB").save(out, "JPEG", quality=80)
    return f"data:image/jpeg;base64,{base64.b64encode(out.getvalue()).decode('ascii')}"
