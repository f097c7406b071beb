"""The ways of training that are compared: the usual code of other libraries' users, and this package. Each is a row of `ROWS`.

Importing this module imports no torch.
"""

from __future__ import annotations

import itertools
import re
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from resnets.errors import InputError
from resnets.models import zoo
from resnets.verbs.bench.process import Job
from resnets.verbs.bench.rows import TORCHVISION
from resnets.verbs.bench.stopwatch import Stopwatch

# The networks for small images that users write themselves.
USUAL = tuple(name for name in zoo.ROWS if re.fullmatch(r"resnet\d+_cifar", name))
SIZE, NUM_CLASSES = 224, 1000  # of synthetic images; images in files are cropped to this size
SYNTHETIC = "synthetic"


class TrainJob(Job, total=False):
    """A job of `bench.train_job`."""

    model: str  # a named network
    data: str  # as `resnets train` takes it, or "synthetic"
    data_dir: str | None  # the folder of the built-in datasets
    kind: str  # of the data: a key of `bench.train.KINDS`
    root: str  # the folder of the class folders
    device: str
    bf16: bool  # whether bfloat16 is fast on the device
    batch_size: int
    warm: int  # warm-up steps
    steps: int  # timed steps


class Way(NamedTuple):
    """One way of training.

    Args:
        run: trains until the stopwatch raises `Enough`.
        kinds: the kinds of data that it is for; default (None): all.
        models: the networks that it has; default (None): all.
        needs: packages beside the core dependencies.
        default: whether it is measured by default.
    """

    run: Callable[[TrainJob, Stopwatch], object]
    kinds: Sequence[str] | None = None
    models: Sequence[str] | None = None
    needs: tuple[str, ...] = ()
    default: bool = True

    def takes(self, kind: str) -> bool:
        """Whether it is for this kind of data."""
        return self.kinds is None or kind in self.kinds

    def has(self, model: str) -> bool:
        """Whether it has this network."""
        return self.models is None or model in self.models


def usual(job: TrainJob, watch: Stopwatch, amp: bool = False) -> None:
    """The usual code for CIFAR-10."""
    import torch

    from resnets.data import sources
    from resnets.verbs.bench import train_usual

    check_amp(job, amp)
    device = torch.device(job["device"])
    source = sources.open_source(job["data"], data_dir=job["data_dir"])
    net = train_usual.small_network(zoo.get(job["model"]).depths[0], source.in_chans, len(source.labels))
    batches = train_usual.load(train_usual.SmallImages(source.splits["train"]), job["batch_size"], device)
    train_usual.loop(net, batches, watch, device, amp=amp, channels_last=False)


def library(job: TrainJob, watch: Stopwatch, create: Callable[..., Any], amp: bool = False) -> None:
    """A library's network, trained as torchvision's reference scripts train on ImageNet; with `amp` also in channels_last."""
    import torch

    from resnets.verbs.bench import train_usual

    check_amp(job, amp)
    device = torch.device(job["device"])
    batches: Any
    if job["kind"] == SYNTHETIC:
        num_classes = NUM_CLASSES
        batches = train_usual.synthetic(job["batch_size"], SIZE, num_classes, device, channels_last=amp)
    else:
        images = train_usual.folder_images(job["root"], SIZE)
        num_classes, batches = len(images.classes), train_usual.load(images, job["batch_size"], device)
    train_usual.loop(create(job["model"], num_classes), batches, watch, device, amp=amp, channels_last=amp)


def check_amp(job: TrainJob, amp: bool) -> None:
    """Raise `InputError` where bfloat16 is asked for and the device has no instructions for it."""
    if amp and not job["bf16"]:
        raise InputError(f"{job['device']} has no instructions for bfloat16")


def torchvision(name: str, num_classes: int) -> Any:
    import torchvision

    return torchvision.models.get_model(name, num_classes=num_classes)


def timm(name: str, num_classes: int) -> Any:
    import timm

    return timm.create_model(name, num_classes=num_classes)


def begun(job: TrainJob, **settings: Any) -> Any:
    """The `Fit` of `resnets train` with these settings, its directory begun."""
    from resnets.verbs.bench import train_usual
    from resnets.verbs.train import prepare

    data, kind = job["data"], job["kind"]
    settings |= {"model": job["model"], "device": job["device"], "batch_size": job["batch_size"]}
    # No early stopping, because noise cannot be learnt; the first epochs at full resolution, because only these are timed.
    settings |= {"stall_epochs": 0, "grow_from": 1.0}
    if kind != "arrays":
        settings["img_size"] = SIZE
    if kind == SYNTHETIC:
        data = str(train_usual.synthetic_file(Path(job["folder"], "synthetic.npz"), job["batch_size"], SIZE))
        settings |= {"num_classes": NUM_CLASSES, "workers": 0}
    out = tempfile.mkdtemp(dir=job["folder"])
    prepared, _ = prepare(data, out=out, data_dir=job["data_dir"], **settings)
    if kind == SYNTHETIC:
        batch = next(prepared.train.epoch(0))
        place = prepared.device.torch_device
        batch = batch._replace(images=batch.images.to(place), targets=batch.targets.to(place))
        prepared.train.epoch = lambda epoch, start=0: itertools.repeat(batch)  # type: ignore[method-assign]
    return prepared


def ours(job: TrainJob, watch: Stopwatch, **settings: Any) -> None:
    """`resnets train` with these settings: its own loop and loader, with the stopwatch between them."""
    from resnets.engine.loop import fit

    prepared = begun(job, **settings)
    read = prepared.train.epoch
    prepared.train.epoch = lambda epoch, start=0: watch.epoch(read(epoch, start))
    fit(prepared, resume=False)


def convolutions(job: TrainJob, watch: Stopwatch) -> None:
    """The convolutions of the row `resnets`, forward and backward, without anything else: a step's limit."""
    from resnets.verbs.bench import train_limit

    train_limit.loop(begun(job, workers=0), watch)  # one batch is read; none is to be read ahead meanwhile


LARGE = ("folder", SYNTHETIC)
# The switches of `resnets train`, one at a time.
SWITCHES: dict[str, dict[str, Any]] = {
    "resnets-float32": {"precision": "float32"},
    "resnets-no-channels-last": {"channels_last": False},
    "resnets-no-fused": {"fused": False},
    "resnets-allocator-system": {"allocator": "system"},
    "resnets-compile": {"compile": True},
}
ROWS: dict[str, Way] = {
    # The first, so that where it is measured the ratios are to it: which fraction of the limit a whole step reaches.
    "convolutions-alone": Way(convolutions, default=False),
    "usual-float32": Way(usual, ("arrays",), USUAL),
    "usual-bf16": Way(partial(usual, amp=True), ("arrays",), USUAL),
    "torchvision-float32": Way(partial(library, create=torchvision), LARGE, TORCHVISION),
    "torchvision-bf16": Way(partial(library, create=torchvision, amp=True), LARGE, TORCHVISION),
    "timm-bf16": Way(partial(library, create=timm, amp=True), LARGE, TORCHVISION, ("timm",)),
    "resnets": Way(ours),
    **{name: Way(partial(ours, **settings), default=False) for name, settings in SWITCHES.items()},
}
