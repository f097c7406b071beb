"""What a network goes by: maps of pictures or of a sample of a split, and how far they can be trusted.

The check with randomised weights comes first, on a few images, for it says of the method and the network together whether
their maps depend on what was learnt. Then the images follow one by one, each written when it is ready.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from resnets import tasks
from resnets.attribution import faithful, learnt
from resnets.attribution.methods import METHODS, attribute, enlarged, library
from resnets.attribution.seen import AT_ONCE, Seen
from resnets.data.pictures.images import BadPicture
from resnets.data.places import place_at
from resnets.engine.contract import Task
from resnets.engine.values import Explained, Question
from resnets.errors import InputError
from resnets.models.answering import evaluating, run_model
from resnets.models.header import Header
from resnets.models.model import Model
from resnets.ship.sessions import Session, open_session
from resnets.stores import publishing
from resnets.verbs import explain_inputs, explain_maps, explain_pages
from resnets.verbs.explain_inputs import Item
from resnets.verbs.explain_maps import choose_layer
from resnets.verbs.explanation import Explanation, Pointing, Report, lighter, summarise

CHECKED = 8  # images on which the check with randomised weights is made
Progress = Callable[[float, int], None]
DECISIVE = 2  # parts that are random where the check decides: the head and the last stage


@dataclass(frozen=True)
class Opened:
    """A model: what computes it, and the network itself where its runtime has gradients."""

    session: Session
    task: Task
    network: Model | None
    name: str

    @property
    def header(self) -> Header:
        return self.session.header


@publishing
def explain(
    model: str | Path | Model,
    pictures: Iterable[Any] | None = None,
    *,
    class_name: str | None = None,
    against: str | None = None,
    method: str | None = None,
    layer: str | None = None,
    data: str | None = None,
    split: str | None = None,
    num: int = 24,
    most: int = 3,
    threshold: float | None = None,
    trust: bool = True,
    blocks: bool = False,
    arrays: bool = False,
    out: str | Path | None = None,
    runtime: str = "auto",
    device: str = "auto",
    data_dir: str | Path | None = None,
    say: Callable[[str], None] | None = None,
    progress: Progress | None = None,
) -> Report:
    """Maps of what an answer of a model goes by, with what speaks for and against believing them.

    Args:
        model: a saved model (a file, a run directory, a name), an exported file, or a `Model`.
        pictures: paths of images and folders; from Python also images as `Model.predict` takes them, and inputs as arrays
            (C, *size): float32 that is normalised, or of models with many channels uint8. None: a sample of `data`.
        class_name, against: the class that is explained, and another: why the one and not the other; None: the model's answer.
        method: a key of `attribution.methods.METHODS`; None: the one that suits the task, or occlusion without gradients.
        layer: the name of the module that is mapped, such as "layer4"; None: the last stage with enough positions.
        data, split: labelled data, and the split of it that the sample is drawn from; None: what the model was trained on, and
            the first of its test, validation and training splits.
        num: images of the sample, evenly spread.
        most: objects, labels or classes of one image.
        threshold: the lowest score of an object or a label.
        trust: measure deletion and insertion, and make the check with randomised weights.
        blocks: of a sample, what each residual block adds, and the score without it.
        out: the folder for explain.html, explain.json and a drawing of each image (of volumes a NIfTI file, too); None: none.
        arrays: write each map as .npy, too.
        runtime: see `open_session`; other runtimes than torch have no gradients, and are explained by occlusion.
        device: as for `open_session`.
        progress: called with the number of images so far and of all. Those of the check with randomised weights are gone
            through once more, and so is the sample for each block that is left out.

    Raises:
        InputError: where there is no such model, image, class, layer or method, or the runtime has no gradients for it.
    """
    name = str(model) if isinstance(model, str | Path) else model.spec.name
    opened = opened_of(open_session(model, runtime=runtime, device=device), name)
    method = choose_method(opened, method)
    library("torchcam.methods" if METHODS[method].of_layer else "captum.attr")  # before all that takes long
    question = Question(class_name, against, most, threshold)
    if pictures is not None:
        source, (num, items) = None, explain_inputs.of_pictures(opened.task, opened.header, pictures)
        if blocks:
            raise InputError("--blocks measures a score, which needs labels: leave out the pictures, and give --data")
    else:
        source, items = explain_inputs.of_split(opened.task, opened.header, data, split, num, data_dir)
        num = min(num, len(source[0].splits[source[1]]))
    report = Report(opened.name, method, layer, out=None if out is None else Path(out))
    first = list(itertools.islice(items, CHECKED))
    readable = [item for item in first if item.error is None]
    if not readable:
        raise InputError(f"{first[0].name}: {first[0].error}" if first else "there is no image to explain")
    if METHODS[method].of_layer:
        assert opened.network is not None
        report.layer = choose_layer(opened.task, opened.network, layer, readable[0].pixels.shape[1:])
    elif layer is not None:
        raise InputError(f"--layer is for class activation maps, and {method} has no layer; leave it out")
    again = len(readable) if trust and opened.network is not None else 0
    told = progress or (lambda done, num: None)

    def went(done: float, share: float) -> None:
        told(done + share, again + num)

    went(0, 0)
    if again:
        whole, of_all = source is not None, lambda share: went(0, again * share)
        report.trust = check_learnt(opened, report, question, readable, whole=whole, say=say, went=of_all)
    try:
        for count, item in enumerate(itertools.chain(first, items)):
            own = functools.partial(went, again + count)
            one_image(opened, report, question, item, trust=trust, arrays=arrays, seed=count + 1, went=own)
    finally:  # what is ready stays, where it is stopped
        summarise(report)
        pages = functools.partial(explain_pages.write, report, opened.header)
        if report.out is not None and report.rows:
            pages()
    if blocks and source is not None:
        from resnets.verbs import residual

        assert opened.network is not None
        report.trust["blocks"] = residual.measure(opened.network, *source, out=report.out, num=num, say=say, progress=told)
        if report.out is not None:
            pages()
    return report


def opened_of(session: Session, name: str) -> Opened:
    network = session.network
    return Opened(session, tasks.get(session.header.task), None if network is None else evaluating(network), name)


def choose_method(opened: Opened, method: str | None) -> str:
    """The key of `METHODS` that is named, or the one that suits the task; without gradients occlusion."""
    if method is None:
        return opened.task.map_method if opened.network is not None else "occlusion"
    if method not in METHODS:
        raise InputError(f"there is no method {method!r}; use one of: {', '.join(METHODS)}")
    if METHODS[method].gradient and opened.network is None:
        raise InputError(
            f"{opened.name}: {opened.session.runtime} gives no gradients here, which {method} needs; use --method "
            "occlusion, or explain the saved model (.safetensors)"
        )
    return method


def seen_of(opened: Opened, item: Item, what: Explained, network: Model | None = None) -> Seen:
    """The image and one of its answers as attribution takes them; with another network than the model's own."""
    run = opened.session.run if network is None else functools.partial(run_model, network)
    own = opened.network if network is None else network
    return explain_maps.seen_of(item.pixels, item.blank, what, run, own)


def answers_of(opened: Opened, item: Item, question: Question) -> list[Explained]:
    """What is to be explained of an image. Raises `InputError` for one too large to go through the network at once."""
    if int(np.prod(item.pixels.shape[1:])) > AT_ONCE:
        size = " x ".join(map(str, item.pixels.shape[1:]))
        raise BadPicture(item.name, f"{size} are more than the {AT_ONCE:,} pixels that are explained at once; cut out a part")
    return list(opened.task.explained(opened.session.run(item.pixels[None])[0], opened.header, question))


def check_learnt(
    opened: Opened,
    report: Report,
    question: Question,
    items: list[Item],
    *,
    whole: bool,
    say: Callable[[str], None] | None,
    went: Callable[[float], None],
) -> dict[str, Any]:
    """The check with randomised weights, on one answer of each image: rank correlations part by part, and the verdict.

    Args:
        whole: go on to the stem; else only as far as the verdict needs.
        went: called with the share that is done.
    """
    network = opened.network
    assert network is not None
    pairs = [(item, answers[0]) for item in items if (answers := answers_of(opened, item, question))]
    if not pairs:
        return {}
    if say is not None:
        say(f"check    the same maps of a network with random weights, on {len(pairs)} images")

    def maps(changed: Any = None) -> list[np.ndarray]:
        """Each map where its answer is: what lies around a box has little to do with it, whatever the weights."""
        found = []
        for item, what in pairs:
            seen = seen_of(opened, item, what, changed)
            values = attribute(report.method, seen, report.layer or "")
            found.append(values if what.place is None else enlarged(values, seen.size)[what.place])
        return found

    own, inputs = maps(), [seen_of(opened, item, what).x for item, what in pairs]
    rows: list[dict[str, Any]] = []
    num_parts = len(learnt.parts(network, network.head_names)) if whole else DECISIVE
    changing = learnt.cascade(network, network.head_names, [x for x in inputs if x is not None])
    for done, (name, changed) in enumerate(itertools.islice(changing, num_parts), start=1):
        went(done / (1 + num_parts))  # the network's own maps, and those of the parts before this one
        same = [learnt.similarity(one, other) for one, other in zip(own, maps(changed), strict=True)]
        rows.append({"random_down_to": name, "similarity": round(float(np.mean(same)), 4)})
    decisive = rows[min(DECISIVE, len(rows)) - 1]["similarity"]
    return {"num_checked": len(pairs), "randomised": rows, "similarity": decisive, "depends": decisive < learnt.SAME}


def one_image(
    opened: Opened,
    report: Report,
    question: Question,
    item: Item,
    *,
    trust: bool,
    arrays: bool,
    seed: int,
    went: Callable[[float], None],
) -> None:
    """Explain one image, draw it, and note its figures; `went` is called with the share that is done."""
    row: dict[str, Any] = {"path": item.name}
    report.rows.append(row)
    try:
        if item.error is not None:
            raise BadPicture(item.name, item.error)
        answers = answers_of(opened, item, question)
    except BadPicture as bad:
        row["error"] = bad.reason
        went(1)
        return
    found = []
    for done, what in enumerate(answers):
        went(done / len(answers))
        found.append(one_answer(opened, report, item, what, trust=trust, seed=seed))
    row["answers"] = [each.to_json() for each in found]
    report.explanations += found if report.out is None else [lighter(each) for each in found]
    if report.out is not None and found:
        row["files"] = explain_pages.draw_image(report, item, found, arrays=arrays)
    went(1)


def one_answer(opened: Opened, report: Report, item: Item, what: Explained, *, trust: bool, seed: int) -> Explanation:
    """One map with its figures."""
    seen = seen_of(opened, item, what)
    values = attribute(report.method, seen, report.layer or "")
    whole = enlarged(values, seen.size)
    label = None if what.label is None else opened.header.labels[what.label]
    own = float(seen.chance(item.pixels[None])[0])
    made = Explanation(item.name, what.name, label, own, whole, values.shape, place=what.place)
    if trust:
        made.faithful = faithful.faithfulness(seen, values, seed=seed)
    places = None if what.label is None else item.places(what.label)
    if places is not None and places.any():
        place = place_at(places, what.place)
        middle = bool(place[tuple(side // 2 for side in place.shape)])
        made.pointing = Pointing(faithful.points_at(whole, place), float(place.mean()), middle)
    return made
