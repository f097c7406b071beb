"""Speed from image file to label on this machine, beside other libraries: `resnets bench predict`.

Other processes measure (`resnets.verbs.bench.predict_job`); this one starts them and evaluates. It imports no torch.
"""

from __future__ import annotations

import itertools
import statistics
import tempfile
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Literal, TypedDict, cast, final

from resnets.data.words import IMAGES_OF, PICTURES
from resnets.errors import InputError
from resnets.models import zoo
from resnets.verbs.bench import process, table
from resnets.verbs.bench.predict_job import MADE, Inspected, Size, Timed
from resnets.verbs.bench.predict_ways import LATENCY, ROWS, THROUGHPUT, PredictJob
from resnets.verbs.bench.process import Failed
from resnets.verbs.bench.rows import TORCHVISION, Unmeasured, in_turn, missing, versions, wanted
from resnets.verbs.bench.table import Report, Result, ratio, remarks

SUFFIXES = (".jpg", ".jpeg", ".png")
HEAD = ("row", "pictures/s", "x torchvision", "x best peer", "ms p50", "ms p99", "cold start s")
STARTING: tuple[Literal["cold_start_seconds", "open_seconds", "first_label_seconds"], ...] = (
    "cold_start_seconds", "open_seconds", "first_label_seconds",
)  # fmt: skip
ask = partial(process.ask, "resnets.verbs.bench.predict_job")


class Latency(TypedDict):
    """Milliseconds from a single file to its label: the 50th and the 99th percentile over images."""

    p50: float
    p99: float


@final
class Measured(TypedDict):
    """A row of the result: medians over its rounds, in images per second and seconds."""

    row: str
    pictures_per_second: float
    times_torchvision: float | None  # ratio of speeds; None where torchvision was not measured
    times_best_peer: float | None  # ratio to the fastest other library
    latency_ms: Latency
    cold_start_seconds: float
    same_labels_as_torchvision: float | None  # fraction of the images
    rounds: list[dict[str, float]]  # each round: "pictures_per_second", and its times to the first label


class ImagesInfo(Size):
    """The images: how many, and their folder; None: made of sample photographs."""

    num: int
    folder: str | None


class PredictResult(Result[Measured]):
    """The result of `resnets bench predict`."""

    random_weights: bool
    pictures: ImagesInfo


# --- measuring -------------------------------------------------------------------------------------------------------


def measure(
    model: str = "resnet50",
    *,
    pictures: str | Path | None = None,
    num: int = 300,
    rounds: int = 3,
    rows: Sequence[str] | None = None,
    progress: Callable[[int, int | None], None] | None = None,
) -> PredictResult:
    """Time `rows` of `ROWS`, in turn, round after round.

    Args:
        model: a named network, which gets random weights, or a saved model: a `.safetensors` file or a run directory.
        pictures: a folder of images; default (None): some are made of scikit-learn's sample photographs.
        num: largest number of images.
        rounds: number of runs of each row.
        rows: names of `ROWS`; default (None): those that are measured by default.
        progress: called with the number of processes that are done, and of all.

    Returns:
        The result, which JSON can hold: for each row `Measured`, or an "error" if it could not be measured.

    Raises:
        InputError: for a model, folder or row that does not exist.
    """
    from resnets.engine.run import provenance
    from resnets.models.pretrained import names

    named = model in zoo.ROWS or not (Path(model).exists() or names.parse(model))
    name = zoo.get(model).name if named else str(names.locate(model).absolute())
    if not named:
        check_pictures(name)
    chosen, notes = choose_rows(rows, named and name in TORCHVISION)
    found = None if pictures is None else find_pictures(pictures, num)
    with tempfile.TemporaryDirectory(prefix="resnets-bench-") as folder:
        job: PredictJob = {"model": name, "named": named, "folder": folder, "num": num}
        if found is not None:
            job["pictures"] = found
        seen = cast(Inspected, ask(job, "inspect", ""))
        origin = provenance(seen["device"])
        job |= {"pictures": seen["paths"], "bf16": seen["bf16"]}
        errors = missing(chosen, ROWS)
        files = needed([row for row in chosen if row not in errors])
        done, total = itertools.count(1), len(files) + rounds * (len(chosen) - len(errors))
        step = (lambda: progress(next(done), total)) if progress else (lambda: None)
        unmade: dict[str, str] = {}
        for file in files:
            unmade |= make(job, file, unmade)
            step()
        errors |= {row: unmade[ROWS[row].file] for row in chosen if row not in errors and ROWS[row].file in unmade}
        runs = in_turn(
            chosen, rounds, lambda row: cast(Timed, ask(job, LATENCY, row) | ask(job, THROUGHPUT, row)), errors, step
        )
    origin["versions"] |= versions(chosen, ROWS)
    measured = {row["row"]: row for row in summarise(runs)}
    about: ImagesInfo = {"num": len(seen["paths"]), "folder": None if pictures is None else str(pictures), **seen["sizes"]}
    if seen["bad"]:
        notes.append(f"left out, because they cannot be read: {', '.join(seen['bad'])}")
    return {
        "model": model,
        "random_weights": named,
        "pictures": about,
        "rounds": rounds,
        "rows": [measured.get(row) or Unmeasured(row=row, error=errors.get(row)) for row in chosen],
        "notes": notes,
        **origin,
    }


def check_pictures(model: str) -> None:
    """Raise `InputError` for a model that takes no pictures."""
    from resnets.ship.sessions import read_header

    if (images := IMAGES_OF[read_header(model).spec.dims]) != PICTURES:
        raise InputError(f"{model}: takes {images}, and what is measured are pictures; give a model of these")


def choose_rows(names: Sequence[str] | None, peers: bool) -> tuple[list[str], list[str]]:
    """The rows to measure, in the order of `ROWS`, and a note about those that are left out.

    Args:
        names: of `ROWS`; default (None): those that are measured by default.
        peers: whether other libraries have the network.
    """
    asked = wanted(names, ROWS)
    chosen = [name for name in asked if peers or ROWS[name].ours]
    if not chosen:
        raise InputError(f"nothing to measure: {', '.join(asked)} need a --model of torchvision: {', '.join(TORCHVISION)}")
    out = [name for name in asked if name not in chosen]
    return chosen, [f"left out, because they need a torchvision network by name: {', '.join(out)}"] if out else []


def find_pictures(folder: str | Path, num: int) -> list[str]:
    """The paths of the first `num` images below `folder`, ordered by path."""
    if not Path(folder).is_dir():
        raise InputError(f"{folder}: no such folder; give one with images, or leave out --pictures")
    from resnets.data.readers.walk import Left, walk  # which reads pictures' headers, with NumPy

    found = sorted(walk(folder, str(Path(folder).resolve()), Left(), suffixes=SUFFIXES))
    if not found:
        raise InputError(f"{folder}: no images here ({', '.join(SUFFIXES)})")
    return found[:num]


def needed(rows: Sequence[str]) -> list[str]:
    """The files that `rows` open and those that these are made from, in an order in which they can be made."""
    files: list[str] = []
    for row in rows:
        chain = [ROWS[row].file]
        while MADE[chain[0]].source:
            chain.insert(0, MADE[chain[0]].source)
        files += [file for file in chain if file not in files]
    return files


def make(job: PredictJob, file: str, unmade: Mapping[str, str]) -> dict[str, str]:
    """Make one of `MADE`. If that fails: {file: why}, except for the model itself, without which nothing can be measured.

    Args:
        unmade: files that could not be made, and why.
    """
    source = MADE[file].source
    if source in unmade:
        return {file: unmade[source]}
    try:
        ask(job, "make", file)
    except (Failed, InputError) as error:
        if not source:
            raise
        return {file: str(error)}
    return {}


# --- evaluating ------------------------------------------------------------------------------------------------------


def summarise(runs: Mapping[str, Sequence[Timed]]) -> list[Measured]:
    """Medians over the runs of each row, and its speed beside torchvision's and the fastest other library's.

    Args:
        runs: for each row, what each of its runs told.
    """
    speeds = {row: statistics.median(len(run["labels"]) / run["seconds"] for run in told) for row, told in runs.items()}
    best_peer = max((speed for row, speed in speeds.items() if not ROWS[row].ours), default=None)
    results: list[Measured] = []
    for row, told in runs.items():
        latencies = [1000 * seconds for run in told for seconds in run["latencies"]]
        results.append({
            "row": row,
            "pictures_per_second": round(speeds[row], 2),
            "times_torchvision": ratio(speeds[row], speeds.get("torchvision")),
            "times_best_peer": ratio(speeds[row], best_peer),
            "latency_ms": {"p50": round(percentile(latencies, 50), 2), "p99": round(percentile(latencies, 99), 2)},
            "cold_start_seconds": round(statistics.median(run["cold_start_seconds"] for run in told), 3),
            "same_labels_as_torchvision": agreement(told, runs.get("torchvision")),
            "rounds": [
                {"pictures_per_second": round(len(run["labels"]) / run["seconds"], 2)}
                | {name: round(run[name], 3) for name in STARTING if name in run}
                for run in told
            ],
        })  # fmt: skip
    return results


def percentile(values: Sequence[float], percent: int) -> float:
    """A percentile (1 to 99) of the values, interpolated linearly."""
    return statistics.quantiles(values, n=100, method="inclusive")[percent - 1] if len(values) > 1 else values[0]


def agreement(told: Sequence[Timed], peer: Sequence[Timed] | None) -> float | None:
    """The fraction of images with the same label. All rows have the same weights, so a difference shows a fault in one way."""
    if not peer:
        return None
    pairs = list(zip(told[0]["labels"], peer[0]["labels"], strict=True))
    return round(sum(one == other for one, other in pairs) / len(pairs), 4)


def report(result: PredictResult) -> Report:
    return Report(heading(result), cells(result), "l" + "r" * (len(HEAD) - 1), remarks(result))


def heading(result: PredictResult) -> list[str]:
    """The conditions of the measurement, in lines."""
    pictures, device = result["pictures"], result["device"]
    where = pictures["folder"] or "made of scikit-learn's two sample photographs"
    lines = [
        f"{pictures['num']} images, {pictures['width']} x {pictures['height']}, {pictures['bytes'] / 1000:.0f} kB "
        f"(medians): {where}"
    ]
    if result["random_weights"]:
        lines.append("random weights, the same in all rows: their speed is real, their predictions mean nothing")
    lines.append(
        f"rounds: {result['rounds']}, all rows in turn, each in its own process; pictures/s (from file to label) and cold "
        "start (from the start of the process to its first label) are medians over rounds; ms: from one file to its label"
    )
    first = f"{result['model']} on {device['name']}, {device['processors']} processors; all rows on the CPU"
    return table.heading(result, first, *lines)


def cells(result: PredictResult) -> list[list[str]]:
    """The table, one list per row; the first is `HEAD`."""
    lines = [list(HEAD)]
    for row in result["rows"]:
        if "error" in row:
            lines.append([row["row"], *"-" * (len(HEAD) - 1)])
            continue
        ratios = [row["times_torchvision"], row["times_best_peer"]]
        latency = row["latency_ms"]
        lines.append([
            row["row"],
            f"{row['pictures_per_second']:.1f}",
            *("-" if value is None else f"{value:.2f}" for value in ratios),
            f"{latency['p50']:.1f}",
            f"{latency['p99']:.1f}",
            f"{row['cold_start_seconds']:.2f}",
        ])  # fmt: skip
    return lines
