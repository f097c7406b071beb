"""The jobs of `bench.train`, each in a process of its own: inspect the data, and time a row of `ROWS`. Importing this module
imports no torch.
"""

from __future__ import annotations

import resource
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TypedDict

from resnets.models.records import DeviceRecord
from resnets.verbs.bench.process import Tell, answer
from resnets.verbs.bench.stopwatch import Enough, Stopwatch
from resnets.verbs.bench.train_ways import ROWS, SYNTHETIC, TrainJob


class Inspected(TypedDict):
    """Told by "inspect"."""

    kind: str  # of the data: a key of `bench.train.KINDS`
    num_images: int | None  # None of synthetic data
    root: str  # the folder of the class folders
    bf16: bool
    device: DeviceRecord


class Timed(TypedDict):
    """Told by "train": of the timed steps, the seconds, those of waiting for data, and the images; and the peak of resident
    memory of the process, without its workers, in bytes."""

    seconds: float
    wait_seconds: float
    num_images: int
    peak_bytes: int


def inspect(job: TrainJob, tell: Tell) -> None:
    """Tell `Inspected`. Raises `InputError` where the device or the data cannot be used."""
    import torch

    from resnets.data import sources
    from resnets.data.machine import num_processors
    from resnets.data.pictures.stored import ArrayImages
    from resnets.engine import device as devices

    device = devices.find(job["device"])
    kind, num_images, root = SYNTHETIC, None, Path(job["data"]).expanduser()
    if job["data"] != SYNTHETIC:
        images = sources.open_source(job["data"], data_dir=job["data_dir"]).splits["train"].images
        kind = "arrays" if isinstance(images, ArrayImages) else "folder" if root.is_dir() else "list"
        num_images = len(images)
    tell(
        kind=kind,
        num_images=num_images,
        root=str(root / "train" if (root / "train").is_dir() else root),
        bf16=devices.supports_bf16(device),
        device={
            "type": str(device),
            "name": devices.name_of(device),
            "processors": num_processors(),
            "threads": torch.get_num_threads(),
        },
    )


def time_training(job: TrainJob, tell: Tell) -> None:
    """Run the job's row until the steps that are to be timed are done; tell `Timed`."""
    from resnets.engine import device as devices

    watch = Stopwatch(job["warm"], job["steps"], partial(devices.wait_for, devices.find(job["device"])))
    with suppress(Enough):
        ROWS[job["name"]].run(job, watch)
    # Linux counts memory in KiB, macOS in bytes.
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    tell(seconds=watch.seconds, wait_seconds=watch.wait_seconds, num_images=watch.num_images, peak_bytes=peak)


VERBS: dict[str, Callable[[TrainJob, Tell], None]] = {"inspect": inspect, "train": time_training}

if __name__ == "__main__":
    answer(VERBS)
