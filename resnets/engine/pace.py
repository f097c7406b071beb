"""How many processor cores keep the GPU busy with these images: said once, after the first steps.

A core's speed is measured before the first step, on the images that training reads, as a worker reads them. The GPU's is that
of whole steps with their data at hand, each waited for, so that what it does in the background counts.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch

from resnets.data.machine import num_usable
from resnets.data.pictures.stored import StoredImages
from resnets.data.types import Samples
from resnets.data.words import called
from resnets.engine.job import Fit

COLD = 5  # steps before those that are timed: libraries choose their kernels in the first ones
TIMED = 10  # steps
DECODE_SECONDS, MOST_DECODED = 1.0, 500
Now = Callable[[], float]


class Pace:
    """Times some of the first steps, and then says how many cores they need. Without `decoded` it does nothing.

    Args:
        decoded: images that a core reads per second; None: nothing is to be said.
        images: what they are called.
        cores: how many this process has, and `workers` how many of them read.
        wait: waits for what the device does in the background.
    """

    def __init__(
        self, decoded: float | None, *, images: str, cores: float, workers: int, wait: Callable[[], Any], now: Now
    ) -> None:
        self.decoded, self.images, self.cores, self.workers, self.wait, self.now = decoded, images, cores, workers, wait, now
        self.num_steps, self.num_images, self.seconds = 0, 0, 0.0

    @classmethod
    def of(cls, job: Fit) -> Pace:
        """That of a run: of one on a GPU which decodes its images in each epoch, anew; on a processor decoding is the small
        part."""
        samples, device = job.train.samples, job.device.torch_device
        images = samples.split.images
        asked = device.type == "cuda" and isinstance(images, StoredImages) and images.groups is None
        return cls(
            decode_rate(samples, job.train.batch_size) if asked else None,
            images=called(images),
            cores=num_usable() / job.processes.local_world,
            workers=job.train.workers,
            wait=lambda: torch.cuda.synchronize(device),
            now=time.perf_counter,
        )

    @contextmanager
    def timed(self, num_images: int) -> Iterator[None]:
        """Inside, a step with so many images of this process is taken."""
        if self.decoded is None:
            yield
            return
        self.wait()
        began = self.now()
        yield
        self.wait()
        self.num_steps += 1
        if self.num_steps > COLD:
            self.num_images, self.seconds = self.num_images + num_images, self.seconds + self.now() - began

    def told(self) -> str | None:
        """The line, once: when enough steps are timed."""
        if self.decoded is None or self.num_steps < COLD + TIMED:
            return None
        line = words(self.num_images / max(self.seconds, 1e-9), self.decoded, self.images, self.cores, self.workers)
        self.decoded = None
        return line


def decode_rate(samples: Samples, batch_size: int, now: Now = time.perf_counter) -> float:
    """Images of the first epoch that one thread reads and augments per second, measured in about a second; the first, which
    opens files and imports decoders, is not counted."""
    reader, order = samples.reader(batch_size), samples.order(0)[: MOST_DECODED + 1]
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as in a worker
    try:
        began, num = now(), -1
        for position, index in enumerate(order.tolist()):
            reader[0, position, index]
            num += 1
            if num == 0:
                began = now()
            elif now() - began > DECODE_SECONDS:
                break
        return max(1, num) / max(now() - began, 1e-9)
    finally:
        torch.set_num_threads(threads)


def words(trained: float, decoded: float, images: str, cores: float, workers: int) -> str:
    """What the two rates, in images per second, mean for this number of cores and workers."""
    needed = math.ceil(trained / decoded)
    text = f"data     one core decodes {decoded:,.0f} {images} a second; this GPU trains {trained:,.0f}: "
    text += f"{needed} core{'s keep' if needed > 1 else ' keeps'} it busy"
    if needed <= min(cores, workers):
        return f"{text}, and {workers} workers decode"
    if needed <= cores:
        return f"{text}, and {workers} workers decode: --workers {needed}"
    return f"{text}, and there are {cores:g}: `resnets data pack` makes them smaller, or --cache memory"
