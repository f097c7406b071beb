"""Text for people and JSON for programs, from specs, headers and results. No torch."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from resnets.draw.text import columns, visible
from resnets.errors import InputError
from resnets.models import header as saved
from resnets.models import zoo
from resnets.models.header import Header
from resnets.models.spec import ResNetSpec, Row

# What the provenance of weights says, and how it is called in print.
TERMS = {
    "source": "source",
    "family": "family",
    "weights": "weights",
    "licence": "licence",
    "training_data": "trained on",
    "preprocess": "normalised",
    "labels": "names by",
    "part": "part",
    "prefix": "taken from",
    "left_out": "left out",
    "sha256": "sha256",
}
SPLITS = ("train", "val", "test")
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


def datasets(rows: Sequence[Mapping[str, Any]]) -> str:
    """The built-in datasets."""
    head = ["name", "train / val / test", "MB", "terms", "accuracy to expect", "here"]
    cells = []
    for row in rows:
        counts = " / ".join(f"{row['num_images'][split]:,}" if split in row["num_images"] else "-" for split in SPLITS)
        megabytes = f"{row['megabytes']:,}" if row["megabytes"] else "-"
        cells.append([row["name"], counts, megabytes, row["terms"], row["expected"] or "-", "yes" if row["here"] else "-"])
    return columns([head, *cells], "lrrlll")


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


ALWAYS = ("size", "resize", "crop_pct", "interpolation", "mean", "std")  # is told of a rule of preprocessing


def about(header: Header) -> list[str]:
    labels = ", ".join(header.labels[:10]) + (f", ... ({len(header.labels)})" if len(header.labels) > 10 else "")
    rule = {own: getattr(header.preprocess, own.name) for own in dataclasses.fields(header.preprocess)}
    # What only some images need (a depth, a window, a spacing) is told where the model has it.
    preprocess = {own.name: value for own, value in rule.items() if own.name in ALWAYS or value != own.default}
    if len(header.preprocess.mean) > header.preprocess.in_chans:
        preprocess["mean"] = "one a pixel"
    lines = [f"task        {header.task}", f"labels      {labels}", f"preprocess  {pairs(preprocess)}"]
    if header.head:
        lines.insert(1, f"head        {pairs(header.head)}")
    if decided := {name: part.get("at") if isinstance(part, Mapping) else part for name, part in header.decision.items()}:
        lines.append(f"decision    {pairs({name: value for name, value in decided.items() if value is not None})}")
    if header.metrics:
        lines.append(f"metrics     {pairs(header.metrics)}")
    origin = header.provenance
    told: dict[str, Any] = {name: origin[name] for name in ("command", "started", "seed") if name in origin}
    told |= {"data": origin["data"].get("name")} if isinstance(origin.get("data"), Mapping) else {}
    terms = saved.origin(header) | {
        name: origin[name] for name in ("preprocess", "labels", "part", "prefix", "left_out") if name in origin
    }
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


def repeats(result: Mapping[str, Any]) -> str:
    """A row for each run, then mean and standard deviation of each score."""
    names = list(result["scores"])
    cells = [[row["run"], *(f"{row[name]:.4f}" for name in names)] for row in result["runs"]]
    cells += [[kind, *(f"{result['scores'][name][kind]:.4f}" for name in names)] for kind in ("mean", "deviation")]
    return columns([["run", *names], *cells], "l" + "r" * len(names))


def export(result: Mapping[str, Any]) -> str:
    """What the check of an exported file found."""
    lines = [
        f"{result['equal']:.2%} of {result['num_images']} answers are equal ({result['pictures']}), "
        f"outputs differ by at most {result['largest_difference']:.2g}"
    ]
    before, after = result["before"], result["after"]
    if before["score"] is not None:
        lines.append(f"{result['score']} {before['score']:.2%} before, {after['score']:.2%} after")
    for size, seconds in after["seconds"].items():
        was, now = 1000 * before["seconds"][size], 1000 * seconds
        lines.append(f"{size:>2} at once: {was:.2f} ms in 32 bits, {now:.2f} ms in 8 ({was / now:.2f} times as fast)")
    lines += [f"note: {doubt}" for doubt in result["doubts"]]
    if result["faults"]:
        lines += [f"refused: {fault}" for fault in result["faults"]]
    else:
        lines.append(visible(f"written: {result['file']}"))
    return "\n".join(lines)
