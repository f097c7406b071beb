"""Shards of small pictures."""

import io
import tarfile

import numpy as np
from PIL import Image

from resnets.data.preprocess import Preprocess
from tests.data.made import noise

RULE = Preprocess(size=(8, 8), mean=(0.4,) * 3, std=(0.2,) * 3)


def encoded(n, kind="PNG"):
    file = io.BytesIO()
    Image.fromarray(noise(12 + n % 3, 10, seed=n)).save(file, kind)
    return file.getvalue()


def tar(members):
    """A tar's bytes; members are (name, bytes) or whole `TarInfo`s."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as out:
        for name, data in members:
            info = name if isinstance(name, tarfile.TarInfo) else tarfile.TarInfo(name)
            info.size = len(data)
            out.addfile(info, io.BytesIO(data))
    return file.getvalue()


def samples(first, num, label=lambda n: {"cls": str(n % 3)}):
    return [
        (f"{n:05}.{kind}", data.encode() if isinstance(data, str) else data)
        for n in range(first, first + num)
        for kind, data in {"png": encoded(n), **label(n)}.items()
    ]


def shard_folder(folder, val=1, per=4):
    folder.mkdir()
    for number in range(3):
        (folder / f"train-{number:03}.tar").write_bytes(tar(samples(number * per, per)))
    for number in range(val):
        (folder / f"val-{number:03}.tar").write_bytes(tar(samples(100 + number * per, per)))
    return folder


def pixels(source, split="train"):
    images = source.splits[split].images
    return [images[n].tobytes() for n in range(len(images))]


def expected(first, num):
    return [np.array(Image.open(io.BytesIO(encoded(n)))).tobytes() for n in range(first, first + num)]


def info(name, kind=tarfile.REGTYPE, **settings):
    member = tarfile.TarInfo(name)
    member.type = kind
    for key, value in settings.items():
        setattr(member, key, value)
    return member
