"""The card of a published model: README.md with the Hub's metadata, from what its file and its run say."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from resnets import __version__, tasks
from resnets.data.words import FILES_OF, IMAGES_OF
from resnets.engine.contract import Task
from resnets.engine.values import Headline
from resnets.models import zoo
from resnets.models.header import Header, origin
from resnets.models.pretrained import names
from resnets.ship.repository import Copy
from resnets.verbs.report.folders import Gathered
from resnets.verbs.report.values import duration, is_number, percent

# Identifiers of licences that the Hub knows; https://hf.co/docs/hub/repositories-licenses has them all.
LICENCES = (
    "apache-2.0", "mit", "bsd", "bsd-2-clause", "bsd-3-clause", "bsd-3-clause-clear", "isc", "zlib", "unlicense", "wtfpl",
    "mpl-2.0", "epl-2.0", "eupl-1.2", "gpl", "gpl-2.0", "gpl-3.0", "agpl-3.0", "lgpl", "lgpl-2.1", "lgpl-3.0", "ms-pl",
    "cc", "cc0-1.0", "cc-by-2.0", "cc-by-3.0", "cc-by-4.0", "cc-by-sa-3.0", "cc-by-sa-4.0", "cc-by-nd-4.0", "cc-by-nc-2.0",
    "cc-by-nc-3.0", "cc-by-nc-4.0", "cc-by-nc-sa-3.0", "cc-by-nc-sa-4.0", "cc-by-nc-nd-3.0", "cc-by-nc-nd-4.0", "odc-by",
    "odbl", "pddl", "ofl-1.1", "openrail", "openrail++", "cdla-permissive-2.0", "etalab-2.0", "unknown", "other",
)  # fmt: skip
ONE_LABEL, NUMBER = "single_label_classification", "regression"  # of `PublishedAs.problem`
MOST_CLASSES = 200  # that are listed by name
MOST_ROWS = 60  # of the table of classes


def identifier(licence: str | None) -> str | None:
    """A licence as the Hub names it: "other" for words that it does not know; None where there is none."""
    if licence is None:
        return None
    return licence.lower() if licence.lower() in LICENCES else "other"


def render(
    name: str, header: Header, copies: Sequence[Copy], licence: str | None, run: Gathered | None, bundled: str = ""
) -> str:
    """The text of README.md.

    Args:
        name: "owner/name" of the repository.
        header: of the model, as it is published.
        copies: what other libraries open.
        licence: as the user gave it; None: unknown.
        run: the files of the run; None: the model is a file, which knows less.
        bundled: what a bundled model's own card says first.
    """
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("resnets.verbs", ""),
        autoescape=False,  # Markdown, not HTML: `plain` is its escape
        undefined=jinja2.ChainableUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"plain": plain, "duration": duration, "percent": percent}
    text = environment.get_template("card.md.jinja").render(contents(name, header, copies, licence, run, bundled))
    text = re.sub("\n{3,}", "\n\n", text)
    return f"---\n{metadata(name, header, copies, licence, run).to_yaml()}\n---\n\n{text}"


def plain(value: object) -> str:
    """Text of others as one line of Markdown in which no sign has a meaning."""
    return re.sub(r"([\\`*_\[\]<>|#~])", r"\\\1", " ".join(str(value).split()))


def metadata(name: str, header: Header, copies: Sequence[Copy], licence: str | None, run: Gathered | None) -> Any:
    """The card's YAML, as huggingface_hub writes it."""
    from huggingface_hub import ModelCardData

    task = tasks.get(header.task)
    tag = task.published.pipeline if header.spec.dims == 2 else None
    library = next((copy.library for copy in copies if copy.place == ""), "resnets")
    figure = headline(task, scores(header, run))
    results = [figured(figure, str(header.provenance.get("data", {}).get("name", "unknown")), tag)] if figure else None
    known = identifier(licence) or "unknown"
    base = names.parse(str(origin(header).get("source", ""))) or names.parse(str(origin(header).get("repository", "")))
    return ModelCardData(
        license=known,
        license_name=re.sub(r"[^a-z0-9.]+", "-", str(licence).lower()).strip("-") if known == "other" else None,
        library_name=library,
        pipeline_tag=tag,
        tags=["resnets", *(copy.library for copy in copies if copy.place is not None and copy.library != library)],
        base_model=base.name if isinstance(base, names.Repository) else None,
        model_name=name.rpartition("/")[2] if results else None,
        eval_results=results,
    )


def figured(figure: Mapping[str, Any], data: str, tag: str | None) -> Any:
    """What `headline` found, as the Hub's metadata has it."""
    from huggingface_hub import EvalResult

    return EvalResult(
        task_type=tag or "other",
        dataset_type=re.sub(r"[^\w.-]+", "-", data)[:80] or "unknown",
        dataset_name=data or "unknown",
        dataset_split=figure["split"],
        metric_type=figure["words"].replace(" ", "_"),
        metric_name=figure["words"] + figure["between"],
        metric_value=figure["value"],
    )


def scores(header: Header, run: Gathered | None) -> Mapping[str, Any]:
    """The evaluation: that of the run, or what the file keeps of it."""
    own: Any = header.provenance.get("result", {})
    return run.evaluation if run is not None and run.evaluation else own


def headline(task: Task, evaluation: Mapping[str, Any]) -> dict[str, Any]:
    """The first figure of an evaluation: value, words, between (its 95 % interval, in words), split; empty without one."""
    table = task.report_table
    first = table.headline(evaluation) if table.headline else Headline(task.scores[0].key, task.scores[0].words)
    value, interval = evaluation.get(first.key), evaluation.get(f"{first.key}_interval")
    if not is_number(value):
        return {}
    written = percent if first.is_fraction else "{:.4g}".format
    between = f" (95 % interval {written(interval[0])} to {written(interval[1])})" if interval else ""
    split, num = evaluation.get("split", "unknown"), evaluation.get("num_images")
    return {"words": first.words, "value": value, "written": written(value), "between": between, "split": split, "num": num}


def contents(
    name: str, header: Header, copies: Sequence[Copy], licence: str | None, run: Gathered | None, bundled: str
) -> dict[str, Any]:
    """What the template reads."""
    task, spec, evaluation = tasks.get(header.task), header.spec, scores(header, run)
    provenance = header.provenance
    images = IMAGES_OF[spec.dims]
    columns = task.report_table.worded(images).columns
    rows = evaluation.get("per_class") or []
    try:
        said = task.rows.told(evaluation, False).splitlines() if evaluation else []
    except KeyError:  # a file keeps the figures without the tables
        said = []
    return {
        "name": name,
        "title": name.rpartition("/")[2],
        "version": __version__,
        "task": header.task,
        "spec": spec,
        "named": spec.name in zoo.ROWS,
        "file": FILES_OF[images],
        "classes": has_classes(header),
        "one_label": task.published.problem == ONE_LABEL,
        "labels": header.labels[:MOST_CLASSES],
        "num_more": max(0, len(header.labels) - MOST_CLASSES),
        "rule": header.preprocess,
        "pixels": " x ".join(map(str, header.preprocess.size)),
        "figure": headline(task, evaluation),
        "said": said,
        "columns": columns,
        "images": images,
        "rows": rows if len(rows) <= MOST_ROWS else [],
        "copies": {copy.library: copy for copy in copies},
        "licence": licence,
        "num_params": spec.num_params if task.counts_head else None,
        "start": start if isinstance(start := provenance.get("weights"), dict) else {},
        "provenance": provenance,
        "data": provenance.get("data", {}),
        "recipe": provenance.get("recipe", {}),
        "seconds": None if run is None else run.costs()["seconds"],
        "limits": limits(header, evaluation, copies, bundled),
        "told": told,
    }


def has_classes(header: Header) -> bool:
    return bool(header.labels) and tasks.get(header.task).published.problem != NUMBER


def limits(header: Header, evaluation: Mapping[str, Any], copies: Sequence[Copy], bundled: str) -> list[str]:
    """What a user has to know before relying on it, a sentence each."""
    found, data, images = [], header.provenance.get("data", {}), IMAGES_OF[header.spec.dims]
    if has_classes(header):
        found.append("It knows the classes above alone: what it answers to anything else means nothing.")
    if bundled:
        found.append(f"Its own card says: {plain(bundled)}.")
    elif not evaluation:
        found.append("No evaluation came with it: how good it is, is not known.")
    elif evaluation.get("split") != "test":
        found.append(
            f"The figures are of the {evaluation.get('split')} split, by which the weights were chosen: expect less of others."
        )
    if evaluation:
        found.append(
            f"The figures are of {images} from the same source as those of the training. Other devices, places, people or "
            "years may give others: measure on your own by `resnets eval`."
        )
    if few := evaluation.get("too_few"):
        found.append(f"Too few {images} to judge these classes by: {', '.join(map(plain, few))}.")
    num = data.get("num_images", {}).get("train")
    if num is not None and has_classes(header) and num < 100 * len(header.labels):
        found.append(f"It was trained on {num:,} {images} of {len(header.labels)} classes, which is little.")
    if header.decision and any(copy.place is not None for copy in copies):
        found.append(
            f"How outputs become answers was chosen on validation, and is in {names.OURS} alone: other libraries give the "
            "outputs of the network."
        )
    if header.plugins:
        found.append(f"{names.OURS} needs parts of its author's own, registered by a Python file that is not here.")
    return found


def told(copy: Copy) -> str:
    """What became of a library's copy, in words."""
    if copy.place is None:
        return f"no: {copy.why_not}"
    where = f"in {copy.place}/" if copy.place else "yes"
    return f"{where}; " + (copy.why_not or f"checked with {copy.library} {copy.checked}: the same outputs")
