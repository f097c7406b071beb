"""Every verb that takes many inputs: its speed, that of a script for the same work, and the limit that its parts set.

    python benchmarks/verbs.py FOLDER [--data DIR] [--data-dir DIR] [--rounds 3] [--rows NAME ...] [--share 1.0] [--benches]

FOLDER keeps what is made once (pictures, weights, a run) and the result: result.json and the page result.md. Each command is a
process of its own, from its start to its end; in every round all of them run in turn. The scripts beside ours are functions of
verbs_peers.py, the parts of verbs_parts.py.

`--data` has camvid/, bccd/ and imagenet_500/; without it, all pictures are parts of scikit-learn's sample photographs.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import os
import resource
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import psutil

from resnets.data.machine import cpu_name, num_processors
from resnets.data.pictures.samples import SAMPLES, write_samples
from resnets.engine.run import provenance
from resnets.errors import InputError
from resnets.files import write_json, write_text
from resnets.verbs.bench.predict import find_pictures
from resnets.verbs.bench.process import Failed
from resnets.verbs.bench.rows import in_turn
from resnets.verbs.bench.table import Report, markdown

HERE = Path(__file__).parent
OURS, PEER = "ours", "peer"  # the sides; all others are parts


class Row(NamedTuple):
    """One verb on many inputs. Words in braces are keys of `made`'s result.

    Args:
        inputs: a key of `NUMS`.
        what: the inputs, in words.
        ours: the command after `resnets`; or after the file of the parts, where it begins with "part ".
        peer: the words after the file of the peers; "": there is none.
        parts: words after the file of the parts, each of which is part of the work.
    """

    inputs: str
    what: str
    ours: str
    peer: str
    parts: tuple[str, ...] = ()


def answered(model: str, pictures: str, batch_size: int = 16) -> tuple[str, ...]:
    """The parts of answers about the files in a folder."""
    folder = f"{{{pictures}}}"
    return (
        f"start {model}", f"disk {folder}", f"decode {folder} {model}", f"network {model} {folder} {{num}} {batch_size}",
    )  # fmt: skip


# How many inputs; of "digits" the images of 60 epochs.
NUMS = {"cifar": 10_000, "jpegs": 5_000, "photos": 200, "streets": 12, "cells": 12, "digits": 60 * 1293, "step": 64, "one": 1}
TEST_BATCH = "8e2eb146ae340b09e24670f29cabc6326dba54da8789dab6768acf480273f65b"  # SHA-256 of CIFAR-10's test_batch.bin
FIXED = ("cifar", "digits", "step", "one")  # which `--share` leaves alone
R20, R18 = "resnet20_cifar10", "{models}/resnet18.safetensors"
RCNN, FCN = "{models}/detector.safetensors", "{models}/segmenter.safetensors"
JPEGS = "JPEG files of 480 x 360"
ROWS: dict[str, Row] = {
    "eval": Row(
        "cifar", "test pictures of CIFAR-10, ResNet-20", f"eval {R20} cifar10 --data-dir {{datasets}} --json",
        "evaluate {models}/resnet20.pth {datasets}/cifar-10-batches-bin", answered(R20, "photos", 256)[::3],
    ),
    "predict, small network": Row(
        "jpegs", f"{JPEGS}, ResNet-20", f"predict {R20} {{jpegs}} --out {{out}}/small.csv",
        "small {models}/resnet20.pth {jpegs} {out}/small_peer.csv", answered(R20, "jpegs"),
    ),
    "predict, classifier": Row(
        "photos", "photographs, ResNet-18", f"predict {R18} {{photos}} --out {{out}}/large.csv",
        "large {models}/resnet18.pth {photos} {out}/large_peer.csv", answered(R18, "photos"),
    ),
    "predict, detector": Row(
        "cells", "photographs of 640 x 480, Faster R-CNN with ResNet-50", f"predict {RCNN} {{cells}} --out {{out}}/cells.csv",
        "detect {models}/detector.pth {cells} {out}/cells_peer.csv", answered(RCNN, "cells", 1),
    ),
    "predict, segmenter": Row(
        "streets", "photographs of 480 x 360, FCN with ResNet-50", f"predict {FCN} {{streets}} --out {{out}}/streets.csv",
        "segment {models}/segmenter.pth {streets} {out}/streets_peer.csv", answered(FCN, "streets", 1),
    ),
    "embed, small network": Row(
        "jpegs", f"{JPEGS}, ResNet-20", f"embed {R20} {{jpegs}} --out {{out}}/small.npz",
        "embed_small {models}/resnet20.pth {jpegs} {out}/small_peer.npz", answered(R20, "jpegs"),
    ),
    "embed": Row(
        "photos", "photographs, ResNet-18", f"embed {R18} {{photos}} --out {{out}}/large.npz",
        "embed_large {models}/resnet18.pth {photos} {out}/large_peer.npz", answered(R18, "photos"),
    ),
    "data check": Row("jpegs", f"{JPEGS}, two classes", "data check {jpegs} --json", "", ("disk {jpegs}", "decode {jpegs}")),
    "report": Row(
        "cifar", "test pictures, ResNet-20, its run", "report {run} --data-dir {datasets} --out {out}/report.html", "",
        (*answered(R20, "photos", 256)[::3], f"features {R20} {{photos}}", "plane"),
    ),
    "train, first step": Row("step", "digits, until its first step", "part first_step {out}/step", "digits 1", ("start",)),
    "train, in all": Row("digits", "digits, 60 epochs, ResNet-20", "train digits --out {out}/digits", "digits", ("start",)),
    "predict, cold": Row(
        "one", "photograph, ResNet-18", f"predict {R18} {{single}}", "one {models}/resnet18.pth {single}", (f"start {R18}",),
    ),
}  # fmt: skip
# What `resnets bench` measures itself, without the start.
BENCHES = (
    "predict --model resnet50 --num 100 --rows torchvision,openvino-f32,openvino-int8,resnets-torch,resnets-openvino,"
    "resnets-openvino-int8",
    "train --data cifar10 --data-dir {datasets} --rows convolutions-alone,usual-float32,resnets",
    "train --data synthetic --model resnet18 --rows convolutions-alone,torchvision-float32,resnets",
)


class Seen(NamedTuple):
    """Of one process: seconds by the clock (of a part those that it tells), and seconds of processors."""

    seconds: float
    processor: float


# --- what is made once -------------------------------------------------------------------------------------------------

SETS = {"photos": "imagenet_500/val", "streets": "camvid/val/images", "cells": "bccd/JPEGImages"}  # within --data


def made(
    folder: Path, rows: Sequence[str], data: Path | None, data_dir: Path | None, nums: Mapping[str, int]
) -> dict[str, Path]:
    """The places that the words of `rows` name; what is not there yet is made."""
    at = {name: folder / name for name in ("jpegs", *SETS, "models", "datasets", "run")}
    if data_dir is not None and (data_dir / "cifar-10-batches-bin").is_dir():
        at["datasets"] = data_dir
    steps: dict[str, Callable[[Path], None]] = {
        "jpegs": lambda place: two_classes(place, nums["jpegs"]),
        **{name: partial(some, source=data and data / below, num=nums[name]) for name, below in SETS.items()},
        "models": lambda place: models(place, find_pictures(at["photos"], 32)),
        "datasets": noise,
        "run": lambda place: begun(place, at["datasets"]),
    }
    words = " ".join(word for name in rows for side in sides(ROWS[name]) for word in command(ROWS[name], side))
    for name, make in steps.items():
        if not at[name].exists() and (f"{{{name}}}" in words or name == "photos"):
            half = folder / f"{name}.half"  # what is complete has its name
            shutil.rmtree(half, ignore_errors=True)
            make(half)
            half.rename(at[name])
    return at | {"folder": folder, "single": Path(find_pictures(at["photos"], 1)[0])}


def two_classes(folder: Path, num: int) -> None:
    paths = write_samples(folder / "a", num, size=(480, 360))
    (folder / "b").mkdir()
    for path in paths[::2]:
        path.rename(folder / "b" / path.name)


def some(folder: Path, source: Path | None, num: int) -> None:
    """The first pictures of a real set; without one, samples."""
    if source is None:
        write_samples(folder, num, size=(640, 480))
        return
    folder.mkdir()
    for path in find_pictures(source, num):
        (folder / Path(path).name).symlink_to(path)


def models(folder: Path, pictures: Sequence[str]) -> None:
    """For both sides the same weights: random ones, but for ResNet-20's."""
    import torch
    from torchvision.models import detection, resnet18, segmentation
    from verbs_peers import resnet20

    from resnets.ship import hub
    from resnets.verbs.bench.predict_job import inputs, scale_random_weights

    folder.mkdir()
    torch.manual_seed(0)
    small, bundled = resnet20(), hub.load(R20).state_dict()
    small.load_state_dict(dict(zip(small.state_dict(), bundled.values(), strict=True)))
    torch.save(small.state_dict(), folder / "resnet20.pth")
    model = hub.create_model("resnet18")
    scale_random_weights(model, inputs(model, pictures))
    hub.save(model, folder / "resnet18.safetensors")
    resnet18().load_state_dict(model.state_dict())
    torch.save(model.state_dict(), folder / "resnet18.pth")
    for name, kind in (("detector", detection.fasterrcnn_resnet50_fpn), ("segmenter", segmentation.fcn_resnet50)):
        net = kind(weights=None, weights_backbone=None)
        for part, values in net.state_dict().items():
            if part.endswith("bn3.weight"):  # so that activations stay small, as they are in a trained network
                values.fill_(0.2)
        torch.save(net.state_dict(), folder / f"{name}.pth")
        hub.save(hub.load(folder / f"{name}.pth"), folder / f"{name}.safetensors")


def noise(folder: Path) -> None:
    """A folder of datasets with CIFAR-10's files, of random pictures."""
    import numpy as np

    from resnets.ship.sessions import read_header

    files = folder / "cifar-10-batches-bin"
    files.mkdir(parents=True)
    draw = np.random.default_rng(0)
    for name in (*(f"data_batch_{number}" for number in range(1, 6)), "test_batch"):
        records = draw.integers(256, size=(10_000, 3073), dtype=np.uint8)
        records[:, 0] %= 10
        records.tofile(files / f"{name}.bin")
    write_text(files / "batches.meta.txt", "\n".join(read_header(R20).labels) + "\n")


def is_real(datasets: Path) -> bool:
    """Whether the test pictures are CIFAR-10's, by the checksum of the official file."""
    file = datasets / "cifar-10-batches-bin" / "test_batch.bin"
    return file.exists() and hashlib.sha256(file.read_bytes()).hexdigest() == TEST_BATCH


def begun(folder: Path, datasets: Path) -> None:
    """A run on CIFAR-10 from the bundled weights, of two steps."""
    words = ["train", "cifar10", "--weights", R20, "--steps", "2", "--data-dir", str(datasets), "--out", str(folder)]
    subprocess.run([sys.executable, "-m", "resnets", *words], check=True)


# --- measuring ---------------------------------------------------------------------------------------------------------


def command(row: Row, side: str) -> list[str]:
    """The command of a side of a row, with its braces."""
    if side == OURS and not row.ours.startswith("part "):
        return [sys.executable, "-m", "resnets", *row.ours.split()]
    file, words = ("verbs_peers.py", row.peer) if side == PEER else ("verbs_parts.py", row.ours.removeprefix("part "))
    return [sys.executable, str(HERE / file), *(words if side in (OURS, PEER) else side).split()]


def sides(row: Row) -> list[str]:
    return [OURS, *[PEER] * bool(row.peer), *row.parts]


def timed(words: Sequence[str], tells: bool) -> Seen:
    """Run a command. `tells`: what it prints are the seconds.

    Raises:
        Failed: if it fails.
    """
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run(words, check=False, capture_output=True, text=True, errors="replace")
    seconds, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise Failed((done.stderr.strip() or f"ended with {done.returncode}").splitlines()[-1])
    told = float(done.stdout.split()[-1]) if tells else seconds
    return Seen(told, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)


def measure(chosen: Sequence[str], places: Mapping[str, Path], nums: Mapping[str, int], rounds: int) -> dict[str, Any]:
    """All sides of all rows, in turn; what each told, why some could not, and how busy the machine was."""
    cases = {f"{name}: {side}": (name, side) for name in chosen for side in sides(ROWS[name])}
    out, count = places["folder"] / "out", itertools.count(1)
    errors: dict[str, str] = {}

    def run(case: str) -> Seen:
        name, side = cases[case]
        shutil.rmtree(out, ignore_errors=True)
        out.mkdir()
        given = {**places, "out": out, "num": nums[ROWS[name].inputs]}
        whole = side in (OURS, PEER) or side.startswith("start")
        seen = timed([word.format(**given) for word in command(ROWS[name], side)], tells=not whole)
        print(f"{next(count)}/{rounds * len(cases)} {case.format(**given)}: {seen.seconds:.2f} s", file=sys.stderr, flush=True)
        return seen

    before, load = busy(), os.getloadavg()
    runs = in_turn(list(cases), rounds, run, errors, lambda: None)
    found = {name: {side: runs.get(f"{name}: {side}", []) for side in sides(ROWS[name])} for name in chosen}
    return {"runs": found, "errors": errors, "load": [load, os.getloadavg()], "others": shares(before, busy())}


def busy() -> tuple[float, float, float, float]:
    """Seconds: by the clock, of processors by all programs, by this one and what it started, and taken by other machines."""
    times, own = psutil.cpu_times(), os.times()
    taken = getattr(times, "steal", 0.0)
    return time.perf_counter(), times.user + times.system + getattr(times, "nice", 0.0), sum(own[:4]), taken


def shares(before: Sequence[float], after: Sequence[float]) -> dict[str, float]:
    """The fractions of all processors' time that other programs and other machines took."""
    clock, every, own, taken = (one - other for one, other in zip(after, before, strict=True))
    whole = clock * (psutil.cpu_count() or 1)
    return {"programs": max(0.0, every - own) / whole, "machines": taken / whole}


# --- the page ----------------------------------------------------------------------------------------------------------

HEAD = (
    "verb", "inputs", "ours/s", "peer/s", "x peer", "limit/s", "of the limit", "limited by", "parts, s", "processor s (peer)",
)  # fmt: skip


def cells(name: str, runs: Mapping[str, Sequence[Seen]], num: int) -> list[str]:
    """The row of the table: medians over rounds; ratios within a round. The limit: its parts one after the other."""
    row, ours, peer = ROWS[name], runs[OURS], runs.get(PEER, [])
    parts = {part.split()[0]: statistics.median(seen.seconds for seen in runs[part]) for part in row.parts if runs[part]}
    limit = sum(parts.values())
    middle = statistics.median(seen.seconds for seen in ours) if ours else None
    ratios = [other.seconds / one.seconds for one, other in zip(ours, peer, strict=False)]
    processor = (("{:.1f}", ours), ("({:.1f})", peer))
    rate = lambda seconds: "-" if not seconds else f"{num / seconds:,.{1 if num > seconds else 3}f}"  # noqa: E731
    return [
        name,
        f"{num:,} {row.what}",
        rate(middle),
        rate(statistics.median(seen.seconds for seen in peer) if peer else None),
        f"{statistics.median(ratios):.2f}" if ratios else "-",
        rate(limit),
        f"{limit / middle:.2f}" if limit and middle else "-",
        max(parts, key=parts.__getitem__) if parts else "-",
        ", ".join(f"{part} {seconds:.2f}" for part, seconds in parts.items()) or "-",
        " ".join(form.format(statistics.median(seen.processor for seen in side)) for form, side in processor if side) or "-",
    ]


def page(found: Mapping[str, Any], nums: Mapping[str, int], about: Sequence[str]) -> str:
    others, (before, after) = found["others"], found["load"]
    lines = [HEAD, *(cells(name, runs, nums[ROWS[name].inputs]) for name, runs in found["runs"].items())]
    heading = [
        *about,
        f"load: {', '.join(f'{value:.1f}' for value in before)} before, {', '.join(f'{value:.1f}' for value in after)} after; "
        f"other programs took {others['programs']:.1%} of the processors' time, other machines {others['machines']:.1%}: "
        f"{'busy' if sum(others.values()) > 0.05 else 'not busy'}",
        "each figure is of a whole process, imports included; x peer: the script's seconds by ours, the median of the ratios "
        "within a round; limit: its parts alone, one after the other, each on all processors; of the limit: 1 is a verb that "
        "does nothing else",
        "files are in the page cache; random weights but for ResNet-20's: fit for speed, and detectors find next to nothing",
    ]
    report = Report(
        heading, [list(line) for line in lines], "ll" + "r" * 5 + "lrr", [f"{k}: {v}" for k, v in found["errors"].items()]
    )
    commands = [f"| {name} | `{row.ours}` | `{row.peer or '-'}` |" for name, row in ROWS.items() if name in found["runs"]]
    return "\n".join([markdown(report), "\n| verb | ours | peer |\n| :-- | :-- | :-- |", *commands])


def benches(places: Mapping[str, Path], rounds: int) -> str:
    """What `resnets bench` finds, as Markdown."""
    out, text = places["folder"] / "bench", ""
    for bench in BENCHES:
        words = f"bench {bench} --rounds {rounds} --out {{folder}}/bench".split()
        whole = [sys.executable, "-m", "resnets", *(word.format(**places) for word in words)]
        done = subprocess.run(whole, check=False, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        shown = done.stderr if done.returncode else out.with_suffix(".md").read_text(encoding="utf-8")
        text += f"\n\n## `resnets bench {bench}`\n\n{shown.strip()}"
    return text


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--data", type=Path, help="folder of the real sets")
    parser.add_argument("--data-dir", type=Path, help="folder with cifar-10-batches-bin/  [random pictures of that size]")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--rows", nargs="+", choices=ROWS, default=list(ROWS), metavar="NAME", help="of the table  [all]")
    parser.add_argument("--share", type=float, default=1.0, help="of the pictures in folders; for a new FOLDER  [1]")
    parser.add_argument("--benches", action="store_true", help="measure what `resnets bench` measures, too")
    asked = parser.parse_args()
    folder, data, data_dir = (path and path.resolve() for path in (asked.folder, asked.data, asked.data_dir))
    folder.mkdir(parents=True, exist_ok=True)
    nums = {name: num if name in FIXED else max(2, round(num * asked.share)) for name, num in NUMS.items()}
    places = made(folder, asked.rows, data, data_dir, nums)
    nums |= {name: len(find_pictures(places[name], 10**9)) for name in ("jpegs", *SETS) if places[name].exists()}
    origin = provenance({"type": "cpu", "name": cpu_name(), "processors": num_processors(), "threads": num_processors()})
    cifar = "the real one" if is_real(places["datasets"]) else "random pictures"
    about = [
        f"{cpu_name()}, {num_processors()} processors; {origin['started']}",
        ", ".join(f"{name} {version}" for name, version in origin["versions"].items()),
        f"rounds: {asked.rounds}, all commands in turn; CIFAR-10: {cifar}; photographs: {'real sets' if data else SAMPLES}",
    ]
    found = measure(asked.rows, places, nums, asked.rounds)
    text = page(found, nums, about) + (benches(places, asked.rounds) if asked.benches else "")
    for path, name in ((folder, "FOLDER"), (data_dir, "DATASETS")):
        text = text.replace(str(path), name)
    write_json(folder / "result.json", found | {"nums": nums, "about": about})
    write_text(folder / "result.md", text + "\n")
    print(text)


if __name__ == "__main__":
    try:
        main()
    except InputError as error:
        sys.exit(str(error))
