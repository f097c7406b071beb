"""Speed of training on this machine, beside how people train today: `resnets bench train`.

This process asks others (`resnets.verbs.bench.train_job`), and reckons; it imports no torch.
"""

from __future__ import annotations

import itertools
import statistics
import tempfile
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from resnets.errors import InputError
from resnets.models import zoo
from resnets.verbs.bench import process, table
from resnets.verbs.bench.process import Job
from resnets.verbs.bench.rows import in_turn, missing, versions, wanted
from resnets.verbs.bench.table import Report, remarks
from resnets.verbs.bench.train_ways import ROWS, SYNTHETIC

ask = partial(process.ask, "resnets.verbs.bench.train_job")


class Kind(NamedTuple):
    """What data of a kind is trained with, where nothing else was asked for; `warm`: steps before those that are timed."""

    model: str
    batch_size: int
    warm: int
    steps: int


KINDS = {
    "arrays": Kind("resnet20_cifar", 128, warm=5, steps=60),  # in memory: cifar10, digits, a .npz
    "folder": Kind("resnet18", 32, warm=2, steps=8),  # folders of classes
    "list": Kind("resnet18", 32, warm=2, steps=8),  # a CSV of files
    SYNTHETIC: Kind("resnet18", 32, warm=2, steps=8),
}


def measure(
    data: str = "cifar10",
    *,
    model: str | None = None,
    steps: int | None = None,
    rounds: int = 3,
    rows: Sequence[str] | None = None,
    device: str = "auto",
    data_dir: str | Path | None = None,
    progress: Callable[[int, int | None], None] | None = None,
) -> dict[str, Any]:
    """Time steps of `rows` of `ROWS`, in turn, round after round.

    Args:
        data: as `resnets.train` takes it, or "synthetic": one random batch of 224 x 224, on the device from the start.
        model: a named network; None: by the kind of data (`KINDS`), as are the size of batches and, where None, `steps`.
        rows: names of `ROWS`; None: those that are measured by default.
        device: "cpu", "cuda", ..., "auto".
        progress: is told how many processes are done, of how many.

    Returns:
        What JSON can hold: "rows" (see `summarise`; a row that could not be measured has an "error" instead), "base" (the row
        that ratios are to), "rounds", "steps", "batch_size", "model", "data", "notes", the record of `engine.run.provenance`.

    Raises:
        InputError: for a network, data, device or row that does not exist, and rows that do not fit the data.
    """
    from resnets.engine.run import provenance

    wanted(rows, ROWS)  # a wrong name is said before anything is opened
    name = model and zoo.get(model).name
    with tempfile.TemporaryDirectory(prefix="resnets-bench-") as folder:
        job: Job = {"data": str(data), "data_dir": data_dir and str(data_dir), "device": device, "folder": folder}
        seen = ask(job, "look", "")
        kind = KINDS[seen["kind"]]
        job |= {key: seen[key] for key in ("kind", "root", "bf16")} | {"device": seen["device"]["type"]}
        job |= {"model": name or kind.model, "batch_size": kind.batch_size, "warm": kind.warm, "steps": steps or kind.steps}
        num_images = seen["num_images"]
        if num_images is not None and num_images < kind.batch_size:
            raise InputError(f"{data}: its {num_images} pictures do not fill a batch of {kind.batch_size}; give more of them")
        chosen, notes = choose_rows(rows, seen["kind"], job["model"])
        origin = provenance(seen["device"])
        errors = missing(chosen, ROWS)
        done, total = itertools.count(1), rounds * (len(chosen) - len(errors))
        step = (lambda: progress(next(done), total)) if progress else (lambda: None)
        runs = in_turn(chosen, rounds, lambda row: ask(job, "learn", row), errors, step)
    origin["versions"] |= versions(chosen, ROWS)
    measured = {row["row"]: row for row in summarise(runs)}
    return {
        **{key: job[key] for key in ("model", "data", "kind", "batch_size", "warm", "steps")},
        "num_images": num_images,
        "rounds": rounds,
        "base": next(iter(runs), None),
        "rows": [measured.get(row, {"row": row, "error": errors.get(row)}) for row in chosen],
        "notes": notes,
    } | origin


def choose_rows(names: Sequence[str] | None, kind: str, model: str) -> tuple[list[str], list[str]]:
    """The rows to measure, in the order of `ROWS`, and what is to be said about those left out."""
    asked = [name for name in wanted(names, ROWS) if names is not None or ROWS[name].goes_with(kind)]
    chosen = [name for name in asked if ROWS[name].goes_with(kind) and ROWS[name].knows(model)]
    out = [f"{name} ({fits(name)})" for name in asked if name not in chosen]
    if not chosen:
        raise InputError(f"nothing to measure of {model} on data of kind {kind!r}; these rows need others: {', '.join(out)}")
    return chosen, [f"left out: {', '.join(out)}"] if out else []


def fits(name: str) -> str:
    """What a row is for, in words."""
    row = ROWS[name]
    return f"for {' and '.join(row.kinds or KINDS)}: {' '.join(row.models or ['any network'])}"


# --- what the numbers say --------------------------------------------------------------------------------------------


def summarise(runs: Mapping[str, Sequence[Mapping[str, Any]]]) -> list[dict[str, Any]]:
    """For each row its speed (the median over its runs), beside the first row's (the median of the ratios within a round).

    Args:
        runs: for each row what each of its runs told: "num_images" in "seconds", "wait_seconds" of them for data, "peak_bytes".
    """
    speeds = {row: [run["num_images"] / run["seconds"] for run in told] for row, told in runs.items()}
    base = next(iter(speeds.values()), [])
    return [
        {
            "row": row,
            "pictures_per_second": round(statistics.median(speeds[row]), 2),
            "times_base": round(statistics.median(one / other for one, other in zip(speeds[row], base, strict=True)), 3),
            "data_wait": round(statistics.median(run["wait_seconds"] / run["seconds"] for run in told), 4),
            "peak_mib": round(statistics.median(run["peak_bytes"] for run in told) / 2**20),
            "rounds": [
                {"pictures_per_second": round(speed, 2), "seconds": round(run["seconds"], 3)}
                for speed, run in zip(speeds[row], told, strict=True)
            ],
        }
        for row, told in runs.items()
    ]


def report(result: Mapping[str, Any]) -> Report:
    lines = cells(result)
    return Report(heading(result), lines, "l" + "r" * (len(lines[0]) - 1), remarks(result))


def heading(result: Mapping[str, Any]) -> list[str]:
    """What the figures hold for, in lines."""
    device, synthetic = result["device"], result["kind"] == SYNTHETIC
    where = "one random batch in memory, no loading" if synthetic else f"{result['num_images']:,} pictures, loading included"
    return table.heading(
        result,
        f"training {result['model']} on {device['name']}, {device['processors']} processors, {device['threads']} threads",
        f"{result['data']}: {where}; {result['steps']} steps of {result['batch_size']} pictures, after {result['warm']} to "
        "warm up",
        f"rounds: {result['rounds']}, every row in turn, each in a process of its own; pictures/s are medians over rounds, x "
        "is the median of the ratios within a round; waiting: share of the time that steps waited for pictures; peak MiB: "
        "resident memory of the process, without its workers",
    )


def cells(result: Mapping[str, Any]) -> list[list[str]]:
    """The table, a row a list; the first is the head."""
    head = ["row", "pictures/s", f"x {result['base'] or 'first'}", "waiting", "peak MiB"]
    return [
        head,
        *(
            [row["row"], *"-" * (len(head) - 1)]
            if "error" in row
            else [
                row["row"],
                f"{row['pictures_per_second']:.1f}",
                f"{row['times_base']:.2f}",
                f"{row['data_wait']:.1%}",
                f"{row['peak_mib']:,}",
            ]
            for row in result["rows"]
        ),
    ]
