"""Speed of training on this machine, beside the usual training code: `resnets bench train`.

Other processes measure (`resnets.verbs.bench.train_job`); this one starts them and evaluates. It imports no torch.
"""

from __future__ import annotations

import itertools
import statistics
import tempfile
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple, TypedDict, cast, final

from resnets.errors import InputError
from resnets.models import zoo
from resnets.verbs.bench import process, table
from resnets.verbs.bench.rows import Unmeasured, in_turn, missing, versions, wanted
from resnets.verbs.bench.table import Report, Result, remarks
from resnets.verbs.bench.train_job import Inspected, Timed
from resnets.verbs.bench.train_ways import ROWS, SYNTHETIC, TrainJob

ask = partial(process.ask, "resnets.verbs.bench.train_job")


class Kind(NamedTuple):
    """The defaults for a kind of data; `warm`: steps before those that are timed."""

    model: str
    batch_size: int
    warm: int
    steps: int


KINDS = {
    "arrays": Kind("resnet20_cifar", 128, warm=5, steps=60),  # in memory: cifar10, digits, a .npz
    "folder": Kind("resnet18", 32, warm=2, steps=8),  # a folder for each class
    "list": Kind("resnet18", 32, warm=2, steps=8),  # a CSV of files
    SYNTHETIC: Kind("resnet18", 32, warm=2, steps=8),
}


class Round(TypedDict):
    """One run of a row: its speed, and the duration of the timed steps."""

    pictures_per_second: float
    seconds: float


@final
class Measured(TypedDict):
    """A row of the result: medians over its rounds."""

    row: str
    pictures_per_second: float
    times_base: float  # median over rounds of the ratio of speeds to the first row's
    data_wait: float  # fraction of the time that the loop waited for data
    peak_mib: int  # peak of resident memory of the process, without its workers
    rounds: list[Round]


class TrainResult(Result[Measured]):
    """The result of `resnets bench train`."""

    data: str
    kind: str  # a key of `KINDS`
    batch_size: int
    warm: int
    steps: int
    num_images: int | None  # in the training split; None of synthetic data
    base: str | None  # the row to which ratios are taken; None where no row was measured


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
) -> TrainResult:
    """Time training steps of `rows` of `ROWS`, in turn, round after round.

    Args:
        data: as `resnets.train` takes it, or "synthetic": one random batch of 224 x 224, on the device from the start.
        model: a named network; default (None): by the kind of data, see `KINDS`.
        steps: number of steps that are timed; default (None): by the kind of data.
        rounds: number of runs of each row.
        rows: names of `ROWS`; default (None): those that are measured by default.
        device: "cpu", "cuda", ..., "auto".
        data_dir: the folder of the built-in datasets.
        progress: called with the number of processes that are done, and of all.

    Returns:
        The result, which JSON can hold: for each row `Measured`, or an "error" if it could not be measured.

    Raises:
        InputError: for a network, data, device or row that does not exist, and if no row is for this kind of data.
    """
    from resnets.engine.run import provenance

    wanted(rows, ROWS)  # report a wrong name before anything is opened
    name = model and zoo.get(model).name
    with tempfile.TemporaryDirectory(prefix="resnets-bench-") as folder:
        job: TrainJob = {"data": str(data), "device": device, "folder": folder}
        job["data_dir"] = None if data_dir is None else str(data_dir)
        seen = cast(Inspected, ask(job, "inspect", ""))
        kind = KINDS[seen["kind"]]
        job |= {"kind": seen["kind"], "root": seen["root"], "bf16": seen["bf16"], "device": seen["device"]["type"]}
        job |= {"model": name or kind.model, "batch_size": kind.batch_size, "warm": kind.warm, "steps": steps or kind.steps}
        num_images = seen["num_images"]
        if num_images is not None and num_images < kind.batch_size:
            raise InputError(f"{data}: its {num_images} images do not fill a batch of {kind.batch_size}; give more of them")
        chosen, notes = choose_rows(rows, seen["kind"], job["model"])
        origin = provenance(seen["device"])
        errors = missing(chosen, ROWS)
        done, total = itertools.count(1), rounds * (len(chosen) - len(errors))
        step = (lambda: progress(next(done), total)) if progress else (lambda: None)
        runs = in_turn(chosen, rounds, lambda row: cast(Timed, ask(job, "train", row)), errors, step)
    origin["versions"] |= versions(chosen, ROWS)
    measured = {row["row"]: row for row in summarise(runs)}
    return {
        "model": job["model"],
        "data": job["data"],
        "kind": job["kind"],
        "batch_size": job["batch_size"],
        "warm": job["warm"],
        "steps": job["steps"],
        "num_images": num_images,
        "rounds": rounds,
        "base": next(iter(runs), None),
        "rows": [measured.get(row) or Unmeasured(row=row, error=errors.get(row)) for row in chosen],
        "notes": notes,
        **origin,
    }


def choose_rows(names: Sequence[str] | None, kind: str, model: str) -> tuple[list[str], list[str]]:
    """The rows to measure, in the order of `ROWS`, and a note about those that are left out.

    Args:
        names: of `ROWS`; default (None): those that are measured by default.
        kind: of the data.
        model: the network.
    """
    asked = [name for name in wanted(names, ROWS) if names is not None or ROWS[name].takes(kind)]
    chosen = [name for name in asked if ROWS[name].takes(kind) and ROWS[name].has(model)]
    out = [f"{name} ({purpose(name)})" for name in asked if name not in chosen]
    if not chosen:
        raise InputError(f"nothing to measure of {model} on data of kind {kind!r}; these rows need others: {', '.join(out)}")
    return chosen, [f"left out: {', '.join(out)}"] if out else []


def purpose(name: str) -> str:
    """The data and the networks that a row is for, in words."""
    row = ROWS[name]
    return f"for {' and '.join(row.kinds or KINDS)}: {' '.join(row.models or ['any network'])}"


# --- evaluating ------------------------------------------------------------------------------------------------------


def summarise(runs: Mapping[str, Sequence[Timed]]) -> list[Measured]:
    """Medians over the runs of each row; ratios to the first row are taken within a round.

    Args:
        runs: for each row, what each of its runs told.
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


def report(result: TrainResult) -> Report:
    lines = cells(result)
    return Report(heading(result), lines, "l" + "r" * (len(lines[0]) - 1), remarks(result))


def heading(result: TrainResult) -> list[str]:
    """The conditions of the measurement, in lines."""
    device, synthetic = result["device"], result["kind"] == SYNTHETIC
    where = "one random batch in memory, no loading" if synthetic else f"{result['num_images']:,} images, loading included"
    return table.heading(
        result,
        f"training {result['model']} on {device['name']}, {device['processors']} processors, {device['threads']} threads",
        f"{result['data']}: {where}; {result['steps']} steps of {result['batch_size']} images, after {result['warm']} warm-up "
        "steps",
        f"rounds: {result['rounds']}, all rows in turn, each in its own process; pictures/s are medians over rounds, x is the "
        "median of the ratios within a round; waiting: fraction of the time that steps waited for images; peak MiB: resident "
        "memory of the process, without its workers",
    )


def cells(result: TrainResult) -> list[list[str]]:
    """The table, one list per row; the first is the head."""
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
