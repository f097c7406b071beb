"""The ways of training that are measured against each other: people's, as they are usually written, and ours. Each is a row of
`ROWS`. Importing this imports no torch.
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

# Networks that people write themselves, for small pictures.
USUAL = tuple(name for name in zoo.ROWS if re.fullmatch(r"resnet\d+_cifar", name))
SIZE, NUM_CLASSES = 224, 1000  # of synthetic pictures; those in files are cut to this size
SYNTHETIC = "synthetic"

# A job is: model: a named network; data, data_dir: as `resnets train` takes them, or "synthetic"; kind: a key of
# `bench.train.KINDS`; root: the folder of the folders of classes; device; bf16: whether it is fast there; batch_size,
# warm, steps; folder: for what is written.


class Row(NamedTuple):
    """One way: what runs until the watch has enough (`Enough`), for which kinds of data, and the networks it has; None: all."""

    run: Callable[[Job, Stopwatch], object]
    kinds: Sequence[str] | None = None
    models: Sequence[str] | None = None
    needs: tuple[str, ...] = ()
    default: bool = True

    def goes_with(self, kind: str) -> bool:
        return self.kinds is None or kind in self.kinds

    def knows(self, model: str) -> bool:
        return self.models is None or model in self.models


def usual(job: Job, watch: Stopwatch, amp: bool = False) -> None:
    """What people write for CIFAR-10."""
    import torch

    from resnets.data import sources
    from resnets.verbs.bench import train_usual

    check_amp(job, amp)
    place = torch.device(job["device"])
    source = sources.open_source(job["data"], data_dir=job["data_dir"])
    net = train_usual.small_network(zoo.get(job["model"]).depths[0], source.in_chans, len(source.labels))
    batches = train_usual.load(train_usual.SmallPictures(source.splits["train"]), job["batch_size"], place)
    train_usual.loop(net, batches, watch, place, amp=amp, channels_last=False)


def library(job: Job, watch: Stopwatch, create: Callable[..., Any], amp: bool = False) -> None:
    """A library's network, trained as torchvision's references train on ImageNet; `amp`: in channels last, as all advise."""
    import torch

    from resnets.verbs.bench import train_usual

    check_amp(job, amp)
    place = torch.device(job["device"])
    batches: Any
    if job["kind"] == SYNTHETIC:
        num_classes = NUM_CLASSES
        batches = train_usual.synthetic(job["batch_size"], SIZE, num_classes, place, channels_last=amp)
    else:
        pictures = train_usual.folder_pictures(job["root"], SIZE)
        num_classes, batches = len(pictures.classes), train_usual.load(pictures, job["batch_size"], place)
    train_usual.loop(create(job["model"], num_classes), batches, watch, place, amp=amp, channels_last=amp)


def check_amp(job: Job, amp: bool) -> None:
    if amp and not job["bf16"]:
        raise InputError(f"{job['device']} has no instructions for bfloat16")


def torchvision(name: str, num_classes: int) -> Any:
    import torchvision

    return torchvision.models.get_model(name, num_classes=num_classes)


def timm(name: str, num_classes: int) -> Any:
    import timm

    return timm.create_model(name, num_classes=num_classes)


def ours(job: Job, watch: Stopwatch, **settings: Any) -> None:
    """`resnets train`: its own loop, and the watch between that and its loader."""
    from resnets.engine.loop import fit
    from resnets.verbs.bench import train_usual
    from resnets.verbs.train import prepare

    data, kind = job["data"], job["kind"]
    settings |= {"model": job["model"], "device": job["device"], "batch_size": job["batch_size"]}
    # Noise cannot be learnt. The length is the recipe's, of which the watch sees the beginning, with pictures of whole size.
    settings |= {"stall_epochs": 0, "grow_from": 1.0}
    if kind != "arrays":
        settings["img_size"] = SIZE
    if kind == SYNTHETIC:
        data = str(train_usual.synthetic_file(Path(job["folder"], "synthetic.npz"), job["batch_size"], SIZE))
        settings |= {"num_classes": NUM_CLASSES, "workers": 0}
    out = tempfile.mkdtemp(dir=job["folder"])
    prepared, _ = prepare(data, out=out, data_dir=job["data_dir"], **settings)
    read = prepared.train.epoch
    if kind == SYNTHETIC:
        batch = next(read(0))
        place = prepared.device.place
        batch = batch._replace(images=batch.images.to(place), targets=batch.targets.to(place))
        read = lambda epoch, start=0: itertools.repeat(batch)  # noqa: E731
    prepared.train.epoch = lambda epoch, start=0: watch.epoch(read(epoch, start))  # type: ignore[method-assign]
    fit(prepared, resume=False)


LARGE = ("folder", SYNTHETIC)
# What `resnets train` is told beside its defaults: its switches, one at a time.
SWITCHES: dict[str, dict[str, Any]] = {
    "resnets-float32": {"precision": "float32"},
    "resnets-no-channels-last": {"channels_last": False},
    "resnets-no-fused": {"fused": False},
    "resnets-allocator-system": {"allocator": "system"},
    "resnets-compile": {"compile": True},
}
ROWS: dict[str, Row] = {
    "usual-float32": Row(usual, ("arrays",), USUAL),
    "usual-bf16": Row(partial(usual, amp=True), ("arrays",), USUAL),
    "torchvision-float32": Row(partial(library, create=torchvision), LARGE, TORCHVISION),
    "torchvision-bf16": Row(partial(library, create=torchvision, amp=True), LARGE, TORCHVISION),
    "timm-bf16": Row(partial(library, create=timm, amp=True), LARGE, TORCHVISION, ("timm",)),
    "resnets": Row(ours),
    **{name: Row(partial(ours, **settings), default=False) for name, settings in SWITCHES.items()},
}
