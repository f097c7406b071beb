"""What `bench.train` asks of a process of its own: to look at the data, and to run a row of `ROWS`. Importing this
imports no torch.
"""

from __future__ import annotations

import resource
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

from resnets.verbs.bench.process import Job, Tell, answer
from resnets.verbs.bench.stopwatch import Enough, Stopwatch
from resnets.verbs.bench.train_ways import ROWS, SYNTHETIC


def look(job: Job, tell: Tell) -> None:
    """Which machine this is, and what the data is."""
    import torch

    from resnets.data import sources
    from resnets.data.pictures.images import ArrayImages, num_processors
    from resnets.engine import device as devices

    place = devices.find(job["device"])
    kind, num_images, root = SYNTHETIC, None, Path(job["data"]).expanduser()
    if job["data"] != SYNTHETIC:
        images = sources.open_source(job["data"], data_dir=job["data_dir"]).splits["train"].images
        kind = "arrays" if isinstance(images, ArrayImages) else "folder" if root.is_dir() else "list"
        num_images = len(images)
    tell(
        kind=kind,
        num_images=num_images,
        root=str(root / "train" if (root / "train").is_dir() else root),
        bf16=devices.supports_bf16(place),
        device={
            "type": str(place),
            "name": devices.name_of(place),
            "processors": num_processors(),
            "threads": torch.get_num_threads(),
        },
    )


def learn(job: Job, tell: Tell) -> None:
    """Run a row: so many steps."""
    from resnets.engine import device as devices

    watch = Stopwatch(job["warm"], job["steps"], partial(devices.wait_for, devices.find(job["device"])))
    with suppress(Enough):
        ROWS[job["name"]].run(job, watch)
    # Linux counts memory in KiB, macOS in bytes.
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    tell(seconds=watch.seconds, wait_seconds=watch.wait_seconds, num_images=watch.num_images, peak_bytes=peak)


VERBS: dict[str, Callable[[Job, Tell], None]] = {"look": look, "learn": learn}

if __name__ == "__main__":
    answer(VERBS)
