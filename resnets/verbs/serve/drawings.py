"""What can be drawn beside an answer, a row each: the answer itself, its mask, what it goes by, and what is nearest to it.

Requests ask for a drawing by its name, and the page shows what a model has. Nothing here imports torch before it is asked for.
"""

from __future__ import annotations

import copy
import dataclasses
import importlib.util
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from resnets.data.inputs import Fitted
from resnets.engine.values import Question
from resnets.errors import InputError
from resnets.models.answering import Wanted
from resnets.ship.sessions import Session, answering

# (image, answer, wanted, path) -> writes the file there; a dict that it returns becomes part of the answer's row.
Make = Callable[[Fitted, Any, Wanted, Path], Any]
MOST_ANSWERS = 2  # that are explained of one picture
NUM_NEAREST = 5


class Drawing(NamedTuple):
    """A row of `DRAWINGS`.

    Args:
        title: what it is called on the page.
        open: what makes it of a model's answers, or with `of_index` of a model and the file of an index; raises `InputError`
            where there is no such drawing.
        shown: whether it is a PNG that the page shows.
        is_slow: it takes many passes through the network: the page asks for it on a click, and a request for one picture.
    """

    title: str
    open: Callable[..., Make]
    shown: bool = True
    is_slow: bool = False
    of_index: bool = False


def of_answer(session: Session) -> Make:
    task, header = answering(session.header), session.header
    task.check_asked(header, draw=True, masks=False)
    return lambda fitted, answer, wanted, path: task.drawn(fitted.image, answer, header.labels, wanted, path)


def of_mask(session: Session) -> Make:
    task, header = answering(session.header), session.header
    task.check_asked(header, draw=False, masks=True)
    return lambda fitted, answer, wanted, path: task.masked(fitted.image, answer, header.labels, wanted, path)


def of_why(session: Session) -> Make:
    """Maps of what the answer goes by, as `resnets explain` draws them: by the task's own method where torch computes it, else
    by occlusion. One at a time, with a copy of the network: hooks on it are for one picture."""
    if not all(map(is_installed, ("torch", "captum", "torchcam"))):
        raise InputError("maps need torch-cam and Captum: pip install 'resnets[explain]'")
    lock, held = threading.Lock(), dataclasses.replace(session, network=None)
    networks: list[Any] = []

    def make(fitted: Fitted, answer: Any, wanted: Wanted, path: Path) -> Path:
        from resnets.attribution.methods import METHODS
        from resnets.draw import heat
        from resnets.verbs import explain, explain_inputs, explain_maps, explain_pages
        from resnets.verbs.explanation import Report

        header = session.header
        pixels = np.ascontiguousarray(fitted.pixels)
        item = explain_inputs.Item("", pixels, explain_inputs.blank_of(pixels, header.preprocess), image=fitted.image)
        with lock:
            if session.network is not None and not networks:
                networks.append(copy.deepcopy(session.network))
            opened = explain.opened_of(dataclasses.replace(held, network=networks[0] if networks else None), "")
            report = Report("", explain.choose_method(opened, None), None)
            if opened.network is not None and METHODS[report.method].of_layer:
                report.layer = explain_maps.choose_layer(opened.task, opened.network, None, pixels.shape[1:])
            question = Question(most=MOST_ANSWERS, threshold=wanted.threshold)
            found = [
                explain.one_answer(opened, report, item, what, trust=False, seed=0)
                for what in explain.answers_of(opened, item, question)
            ]
        row = explain_pages.slice_of(found[0].values, item.pixels) if found else None
        maps = [explain_pages.heat_of(report, each, row) for each in found]
        return heat.heats(explain_pages.shown(item, row), maps, path, caption=report.method)

    return make


def is_installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False


def of_nearest(session: Session, index_file: str) -> Make:
    """The images of an index that are nearest to the picture, by the model of the index, which sees it as the served one does.

    Raises:
        InputError: where the index or its model cannot be opened, is of no pictures, and where that sees pictures otherwise.
    """
    from resnets.verbs.index import Index, draw_nearest

    index = Index(index_file)
    index.check_drawn()
    embedding = index.open_model()
    if embedding.header.preprocess.to_json() != session.header.preprocess.to_json():
        raise InputError(f"{index_file}: made with another preprocessing than the model's; make an index by this model")

    def make(fitted: Fitted, answer: Any, wanted: Wanted, path: Path) -> dict[str, Any]:
        (found,) = index.nearest(embedding.run(fitted.pixels[None]), NUM_NEAREST)
        draw_nearest(index, [("", fitted.pixels.transpose(1, 2, 0), found)], path)
        rows = [{"name": Path(near.path).name, "label": near.label, "distance": round(near.distance, 6)} for near in found]
        return {"nearest": rows}

    return make


DRAWINGS = {
    "drawn": Drawing("answer", of_answer),
    "mask": Drawing("mask", of_mask, shown=False),
    "why": Drawing("why", of_why, is_slow=True),
    "nearest": Drawing("nearest", of_nearest, of_index=True),
}


def makers(session: Session, index_file: str | None = None) -> dict[str, Make]:
    """What makes the drawings that the answers of a model have, by the names of `DRAWINGS`.

    Raises:
        InputError: where there is an index, and it does not suit the model.
    """
    found = {}
    for name, row in DRAWINGS.items():
        if row.of_index:
            if index_file is not None:
                found[name] = row.open(session, index_file)
            continue
        try:
            found[name] = row.open(session)
        except InputError:
            continue
    return found
