"""Speed from picture file to label on this machine, beside what people use today: `resnets bench predict`.

This process asks others (`resnets.verbs.bench.predict_job`), and reckons; it imports no torch.
"""

from __future__ import annotations

import itertools
import statistics
import tempfile
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from resnets.errors import InputError
from resnets.models import zoo
from resnets.verbs.bench import process, table
from resnets.verbs.bench.predict_job import MADE
from resnets.verbs.bench.predict_ways import ROWS
from resnets.verbs.bench.process import Failed, Job
from resnets.verbs.bench.rows import TORCHVISION, in_turn, missing, versions, wanted
from resnets.verbs.bench.table import Report, ratio, remarks

SUFFIXES = (".jpg", ".jpeg", ".png")
HEAD = ("row", "pictures/s", "x torchvision", "x best peer", "ms p50", "ms p99", "cold start s")
ask = partial(process.ask, "resnets.verbs.bench.predict_job")


# --- asking ----------------------------------------------------------------------------------------------------------


def measure(
    model: str = "resnet50",
    *,
    pictures: str | Path | None = None,
    num: int = 300,
    rounds: int = 3,
    rows: Sequence[str] | None = None,
    progress: Callable[[int, int | None], None] | None = None,
) -> dict[str, Any]:
    """Time `rows` of `ROWS`, in turn, round after round.

    Args:
        model: a named network, which gets random weights, or one's own: a `.safetensors` file or a run directory.
        pictures: a folder of them; None: some are made of scikit-learn's sample photographs.
        num: at most so many pictures.
        rows: names of `ROWS`; None: those that are measured by default.
        progress: is told how many processes are done, of how many.

    Returns:
        What JSON can hold: "rows" (see `summarise`; a row that could not be measured has an "error" instead), "rounds",
        "model", "pictures", "notes" and the record of `resnets.engine.run.provenance`.

    Raises:
        InputError: for a model, folder or row that does not exist.
    """
    from resnets.engine.run import provenance
    from resnets.models import header as saved

    named = model in zoo.ROWS or not Path(model).exists()
    name = zoo.get(model).name if named else str(saved.find(model).resolve())
    chosen, notes = choose_rows(rows, named and name in TORCHVISION)
    found = None if pictures is None else find_pictures(pictures, num)
    with tempfile.TemporaryDirectory(prefix="resnets-bench-") as folder:
        job: Job = {"model": name, "named": named, "folder": folder, "num": num, "pictures": found}
        seen = ask(job, "look", "")
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
        runs = in_turn(chosen, rounds, lambda row: ask(job, "wait", row) | ask(job, "label", row), errors, step)
    origin["versions"] |= versions(chosen, ROWS)
    measured = {row["row"]: row for row in summarise(runs)}
    about = {"num": len(seen["paths"]), "folder": None if pictures is None else str(pictures)} | seen["sizes"]
    if seen["bad"]:
        notes.append(f"left out, for they cannot be read: {', '.join(seen['bad'])}")
    return {
        "model": model,
        "random_weights": named,
        "pictures": about,
        "rounds": rounds,
        "rows": [measured.get(row, {"row": row, "error": errors.get(row)}) for row in chosen],
        "notes": notes,
    } | origin


def choose_rows(names: Sequence[str] | None, peers: bool) -> tuple[list[str], list[str]]:
    """The rows to measure, in the order of `ROWS`, and what is to be said about those left out."""
    asked = wanted(names, ROWS)
    chosen = [name for name in asked if peers or ROWS[name].ours]
    if not chosen:
        raise InputError(f"nothing to measure: {', '.join(asked)} need a --model of torchvision's: {', '.join(TORCHVISION)}")
    out = [name for name in asked if name not in chosen]
    return chosen, [f"left out, for they need a network of torchvision's by its name: {', '.join(out)}"] if out else []


def find_pictures(folder: str | Path, num: int) -> list[str]:
    """The first `num` pictures below `folder`, in order of names."""
    if not Path(folder).is_dir():
        raise InputError(f"{folder}: no such folder; give one with pictures, or leave out --pictures")
    found = sorted(str(p) for p in Path(folder).resolve().rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file())
    if not found:
        raise InputError(f"{folder}: no pictures here ({', '.join(SUFFIXES)})")
    return found[:num]


def needed(rows: Sequence[str]) -> list[str]:
    """The files that `rows` open and those that they are made of, in the order in which they can be made."""
    files: list[str] = []
    for row in rows:
        chain = [ROWS[row].file]
        while MADE[chain[0]].source:
            chain.insert(0, MADE[chain[0]].source)
        files += [file for file in chain if file not in files]
    return files


def make(job: Job, file: str, unmade: Mapping[str, str]) -> dict[str, str]:
    """Make one of `MADE`; where it fails, why. Without the model itself there is nothing to measure."""
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


# --- what the numbers say --------------------------------------------------------------------------------------------


def summarise(runs: Mapping[str, Sequence[Mapping[str, Any]]]) -> list[dict[str, Any]]:
    """For each row its speed (the median over its runs), beside torchvision's and the fastest peer's, and the rest.

    Args:
        runs: for each row what each of its runs told: "labels" and "seconds" of the whole folder, "latencies" in seconds of
            single pictures, "cold_start_seconds".
    """
    speeds = {row: statistics.median(len(run["labels"]) / run["seconds"] for run in told) for row, told in runs.items()}
    best_peer = max((speed for row, speed in speeds.items() if not ROWS[row].ours), default=None)
    results = []
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
                | {name: round(value, 3) for name, value in run.items() if name.endswith("_seconds")}
                for run in told
            ],
        })  # fmt: skip
    return results


def percentile(values: Sequence[float], share: int) -> float:
    """The `share`-th of a hundred, between two values linearly."""
    return statistics.quantiles(values, n=100, method="inclusive")[share - 1] if len(values) > 1 else values[0]


def agreement(told: Sequence[Mapping[str, Any]], peer: Sequence[Mapping[str, Any]] | None) -> float | None:
    """The share of pictures with the same label; weights are the same, so that who does something else is found out."""
    if not peer:
        return None
    pairs = list(zip(told[0]["labels"], peer[0]["labels"], strict=True))
    return round(sum(one == other for one, other in pairs) / len(pairs), 4)


def report(result: Mapping[str, Any]) -> Report:
    return Report(heading(result), cells(result), "l" + "r" * (len(HEAD) - 1), remarks(result))


def heading(result: Mapping[str, Any]) -> list[str]:
    """What the figures hold for, in lines."""
    pictures, device = result["pictures"], result["device"]
    where = pictures["folder"] or "made of scikit-learn's two sample photographs"
    lines = [
        f"{pictures['num']} pictures, {pictures['width']} x {pictures['height']}, {pictures['bytes'] / 1000:.0f} kB "
        f"(medians): {where}"
    ]
    if result["random_weights"]:
        lines.append("random weights, the same in all rows: fit for speed, their answers mean nothing")
    lines.append(
        f"rounds: {result['rounds']}, every row in turn, each in a process of its own; pictures/s from file to label and cold "
        "start (from starting the process to its first label) are medians over rounds, ms is one picture from file to label"
    )
    first = f"{result['model']} on {device['name']}, {device['processors']} processors; all rows on the CPU"
    return table.heading(result, first, *lines)


def cells(result: Mapping[str, Any]) -> list[list[str]]:
    """The table, a row a list; the first is `HEAD`."""
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
