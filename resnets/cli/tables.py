"""Text for people and JSON for programs, from specs, headers and results. No torch."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from resnets.draw.text import columns, share, visible
from resnets.errors import InputError
from resnets.models import header as saved
from resnets.models import zoo
from resnets.models.spec import ResNetSpec, Row

if TYPE_CHECKING:
    from resnets.models.header import Header

# What the provenance of weights says, and how it is called in print.
TERMS = {
    "source": "source",
    "family": "family",
    "weights": "weights",
    "licence": "licence",
    "training_data": "trained on",
    "preprocess": "normalised",
    "labels": "names by",
    "sha256": "sha256",
}
Size = int | tuple[int, ...] | None


def model_rows(pattern: str) -> list[dict[str, Any]]:
    """name, layers, params, macs and img_size of each named network that matches."""
    rows = []
    for name in zoo.names(pattern):
        spec = zoo.get(name)
        row = {"name": name, "layers": spec.num_layers, "params": spec.num_params, "macs": spec.num_macs()}
        rows.append(row | {"img_size": spec.img_size, "num_classes": spec.num_classes})
    return rows


def bundled_rows(pattern: str) -> list[dict[str, str]]:
    """name, file and the title of its card of each model that comes with the package and matches."""
    found = {name: path for name, path in saved.boxed().items() if zoo.matches(name, pattern)}
    return [{"name": name, "file": str(path), "about": saved.card(path)} for name, path in found.items()]


def models(rows: Sequence[Mapping[str, Any]], bundled: Sequence[Mapping[str, str]] = ()) -> str:
    parts = [networks(rows)] if rows else []
    if bundled:
        cells = [[visible(row["name"]), visible(row["about"])] for row in bundled]
        parts.append(columns([["trained, in this package", ""], *cells], "ll"))
    return "\n\n".join(parts)


def networks(rows: Sequence[Mapping[str, Any]]) -> str:
    head = ["name", "layers", "parameters", "multiply-adds", "input"]
    cells = [
        [row["name"], str(row["layers"]), f"{row['params']:,}", f"{row['macs'] / 1e6:,.2f} M", str(row["img_size"])]
        for row in rows
    ]
    return columns([head, *cells], "lrrrr")


def info(spec: ResNetSpec, size: Size, header: Header | None) -> str:
    """The network stage by stage, totals, and what a saved file says of itself."""
    table = rows_of(spec, size, header)
    head = ["stage", "output", "layers", "channels", "parameters", "multiply-adds"]
    cells = [
        [
            row.stage,
            " x ".join(map(str, row.size)),
            row.layers,
            str(row.channels),
            f"{row.num_params:,}",
            f"{row.num_macs / 1e6:,.2f} M",
        ]
        for row in table
    ]
    params, macs = sum(row.num_params for row in table), sum(row.num_macs for row in table)
    total = ["total", "", f"{spec.num_layers} layers", "", f"{params:,}", f"{macs / 1e6:,.2f} M"]
    levels = ", ".join(f"{level.name} {level.channels} at 1/{level.stride}" for level in spec.levels)
    shape = " x ".join(str(n) for n in (spec.in_chans, *input_size(spec, size)))
    lines = [f"{spec.name}, input {shape}", "", columns([head, *cells, total], "lllrrr"), "", f"features  {levels}"]
    if header is not None:
        lines += ["", *about(header)]
    return "\n".join(lines)


def rows_of(spec: ResNetSpec, size: Size, header: Header | None) -> tuple[Row, ...]:
    """The stages of the network; of a saved model with another head than a classifier, those of its trunk."""
    rows = spec.table(size)
    return rows if header is None or not header.head else rows[:-1]


def about(header: Header) -> list[str]:
    labels = ", ".join(header.labels[:10]) + (f", ... ({len(header.labels)})" if len(header.labels) > 10 else "")
    preprocess = dataclasses.asdict(header.preprocess)
    if len(header.preprocess.mean) > header.preprocess.in_chans:
        preprocess["mean"] = "one a pixel"
    lines = [f"task        {header.task}", f"labels      {labels}", f"preprocess  {pairs(preprocess)}"]
    if header.head:
        lines.insert(1, f"head        {pairs(header.head)}")
    if header.metrics:
        lines.append(f"metrics     {pairs(header.metrics)}")
    origin = header.provenance
    told: dict[str, Any] = {name: origin[name] for name in ("command", "started", "seed") if name in origin}
    told |= {"data": origin["data"].get("name")} if isinstance(origin.get("data"), Mapping) else {}
    terms = saved.origin(header) | {name: origin[name] for name in ("preprocess", "labels") if name in origin}
    told |= {words: terms[name] for name, words in TERMS.items() if isinstance(terms.get(name), str)}
    return [visible(line) for line in [*lines, *(f"{name:<12}{value}" for name, value in told.items())]]


def numbers(text: str, name: str) -> tuple[float, ...]:
    """ "0.5,0.5,0.5" as numbers."""
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise InputError(f"--{name} {text!r}: give numbers with commas between them, such as 0.485,0.456,0.406") from None


def pairs(values: Mapping[str, Any]) -> str:
    return "  ".join(f"{name}={','.join(map(str, v)) if isinstance(v, list | tuple) else v}" for name, v in values.items())


def input_size(spec: ResNetSpec, size: Size) -> tuple[int, ...]:
    size = spec.img_size if size is None else size
    return (size,) * spec.dims if isinstance(size, int) else size


def info_json(spec: ResNetSpec, size: Size, header: Header | None) -> dict[str, Any]:
    stages = [dataclasses.asdict(row) for row in rows_of(spec, size, header)]
    result = {
        "name": spec.name,
        "layers": spec.num_layers,
        "params": sum(stage["num_params"] for stage in stages),
        "macs": sum(stage["num_macs"] for stage in stages),
        "input": [spec.in_chans, *input_size(spec, size)],
        "spec": dataclasses.asdict(spec),
        "features": {level.name: {"channels": level.channels, "stride": level.stride} for level in spec.levels},
        "stages": stages,
    }
    return result if header is None else result | {"header": dataclasses.asdict(header)}


def prediction(row: Mapping[str, Any]) -> str:
    """One line of `resnets predict`."""
    if "error" in row:
        return visible(f"{row['path']}  error: {row['error']}")
    return visible(f"{row['path']}  " + "  ".join(f"{entry['label']} {entry['probability']:.1%}" for entry in row["top"]))


def found(row: Mapping[str, Any]) -> str:
    """One line of `resnets predict` of a model that says where things are."""
    if "error" in row:
        return visible(f"{row['path']}  error: {row['error']}")
    if "classes" in row:
        return visible(f"{row['path']}  " + "  ".join(f"{entry['label']} {entry['share']:.1%}" for entry in row["classes"]))
    counts = Counter(entry["label"] for entry in row["objects"])
    return visible(f"{row['path']}  " + ("  ".join(f"{label} {num}" for label, num in counts.items()) or "nothing"))


def evaluation(result: Mapping[str, Any], *, per_class: bool = False) -> str:
    """What an evaluation found, by its task."""
    return EVALUATIONS[result.get("task", "classify")](result, per_class)


def unreadable(result: Mapping[str, Any]) -> list[str]:
    if not result["bad_images"]:
        return []
    few = visible(", ".join(list(result["bad_images"])[:5]))
    return [f"{len(result['bad_images'])} pictures could not be read: {few}"]


def places(headline: Callable[[Mapping[str, Any]], str], names: Mapping[str, str], counted: str) -> Callable[..., str]:
    """The evaluation of a dense task: a line, and a table of the classes with the columns `names` ({key: heading})."""

    def told(result: Mapping[str, Any], per_class: bool) -> str:
        lines = [headline(result), *unreadable(result)]
        if per_class:
            shown = {key: heading for key, heading in names.items() if key in result["per_class"][0]}
            cells = [
                [visible(row["label"]), *("-" if row[key] is None else f"{row[key]:.4f}" for key in shown), f"{row[counted]:,}"]
                for row in result["per_class"]
            ]
            lines += ["", columns([["class", *shown.values(), counted], *cells], "l" + "r" * (len(shown) + 1))]
        return "\n".join(lines)

    return told


def segmented(result: Mapping[str, Any]) -> str:
    return (
        f"{result['split']} mIoU {share(result['miou'])}, Dice {share(result['dice'])}, pixel accuracy "
        f"{share(result['pixel_accuracy'])}, boundary F {share(result.get('boundary_f'))} on {result['num_images']:,} pictures"
        f"; by class frequency alone mIoU {share(result.get('baseline_miou'))}, Dice {share(result.get('baseline_dice'))}"
    )


def detected(result: Mapping[str, Any]) -> str:
    masks = f"; of masks {share(result['masks']['map'])}, {share(result['masks']['map50'])} at .5" if "masks" in result else ""
    return (
        f"{result['split']} mAP {share(result['map'])}, {share(result['map50'])} at IoU .5 (VOC 2012 {share(result['voc12'])})"
        f"{masks} on {result['num_objects']:,} objects in {result['num_images']:,} pictures"
    )


def classified(result: Mapping[str, Any], per_class: bool) -> str:
    low, high = result["top1_interval"]
    top5 = f", top-5 {result['top5']:.2%}" if len(result["labels"]) > 5 else ""
    lines = [
        f"{result['split']} accuracy {result['top1']:.2%} (95 % interval {low:.2%} to {high:.2%}){top5} on "
        f"{result['num_images']:,} pictures; loss {result['loss']:.4f}, calibration error {result['ece']:.2%}"
    ]
    lines += unreadable(result)
    if per_class:
        head = ["class", "precision", "recall", "F1", "pictures"]
        cells = [
            [
                visible(row["label"]),
                *(f"{row[name]:.4f}" if row["support"] else "-" for name in ("precision", "recall", "f1")),
                str(row["support"]),
            ]
            for row in result["per_class"]
        ]
        lines += ["", columns([head, *cells], "lrrrr"), "", confusions(result)]
    return "\n".join(lines)


SEGMENT_COLUMNS = {"iou": "IoU", "dice": "Dice", "precision": "precision", "recall": "recall", "boundary_f": "boundary F"}
DETECT_COLUMNS = {"ap": "AP", "ap50": "AP .5", "ap75": "AP .75", "voc07": "VOC 07", "voc12": "VOC 12", "mask_ap": "mask AP"}
EVALUATIONS: dict[str, Callable[[Mapping[str, Any], bool], str]] = {
    "classify": classified,
    "segment": places(segmented, SEGMENT_COLUMNS, "pixels"),
    "detect": places(detected, DETECT_COLUMNS, "objects"),
}


def folds(result: Mapping[str, Any]) -> str:
    """A row a fold, then mean and deviation of each score."""
    names = list(result["scores"])
    cells = [[str(row["fold"]), *(f"{row[name]:.4f}" for name in names)] for row in result["runs"]]
    cells += [[kind, *(f"{result['scores'][name][kind]:.4f}" for name in names)] for kind in ("mean", "deviation")]
    return columns([["fold", *names], *cells], "l" + "r" * len(names))


def confusions(result: Mapping[str, Any], most: int = 5) -> str:
    """The commonest mistakes in words."""
    labels, matrix = result["labels"], result["confusion"]
    pairs = [
        (matrix[i][j], labels[i], labels[j]) for i in range(len(labels)) for j in range(len(labels)) if i != j and matrix[i][j]
    ]
    pairs.sort(key=lambda pair: -pair[0])
    words = [visible(f"{n} x {truth} taken for {said}") for n, truth, said in pairs[:most]]
    return "commonest mistakes: " + ("; ".join(words) or "none")


def export(result: Mapping[str, Any]) -> str:
    """What the check of an exported file found."""
    lines = [
        f"{result['equal']:.2%} of {result['num_images']} answers are equal ({result['pictures']}), "
        f"outputs differ by at most {result['largest_difference']:.2g}"
    ]
    before, after = result["before"], result["after"]
    if before["top1"] is not None:
        lines.append(f"accuracy {before['top1']:.2%} before, {after['top1']:.2%} after")
    for size, seconds in after["seconds"].items():
        was, now = 1000 * before["seconds"][size], 1000 * seconds
        lines.append(f"{size:>2} at once: {was:.2f} ms in 32 bits, {now:.2f} ms in 8 ({was / now:.2f} times as fast)")
    if result["faults"]:
        lines += [f"refused: {fault}" for fault in result["faults"]]
    else:
        lines.append(visible(f"written: {result['file']}"))
    return "\n".join(lines)
