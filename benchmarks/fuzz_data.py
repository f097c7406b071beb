"""Damaged and hostile data files: every reader of data gets mutated inputs, each in a child process with limits.

    python benchmarks/fuzz_data.py --num 300 [--reader coco] [--seed 0]

An input is a small valid dataset of which one file is mutated by the seed: bits, bytes, parts, lengths, and in text also
numbers and values. It must be read, or refused by an `InputError` (`BadPicture` is one), in `SECONDS` and `NUM_BYTES` of
memory. Anything else is a failure: another exception, a crash, a hang; of the pixel cache, also other pixels. Prints the
counts of each reader, and the seed of each failure; exits with 1 if there is one.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import io
import json
import multiprocessing
import os
import pickle
import random
import re
import resource
import socket
import sys
import tarfile
import tempfile
import threading
import traceback
import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
from PIL import Image

from resnets.data import cache
from resnets.data.pictures.images import read_16_bits, read_picture, read_quickly
from resnets.data.pictures.stored import FileImages
from resnets.data.readers import cifar as cifars
from resnets.data.readers import download
from resnets.data.sources import open_source
from resnets.errors import InputError
from resnets.tasks.grade import data as grade

SECONDS, NUM_BYTES = 20, 3 * 2**30
NUM_IMAGES = {"train": 10, "test": 2}  # of a small CIFAR
NUMBERS = (
    "-1", "0", "3", "1e999", "-1e308", "NaN", "Infinity", "0.5", "9" * 19, "9" * 400, "9" * 5000, "null", "true", '"a"', '""',
    '"\\ud800"', "[]", "{}", "[" * 3000, '{"a":' * 3000, "1 0", "\x1b[31m", "\x00", "../../etc", "a" * 5000,
)  # fmt: skip


# --- mutations --------------------------------------------------------------------------------------------------------------


def mutated(data: bytes, draw: random.Random) -> bytes:
    """`data` after one to four changes."""
    for _ in range(draw.choice((1, 1, 2, 4))):
        text = sum(32 <= byte < 127 or byte in (9, 10, 13) for byte in data[:1000]) >= 0.95 * len(data[:1000])
        change = draw.choice([_words] * 4 + CHANGES if text else CHANGES)
        data = change(bytearray(data), draw)
    return data


def _words(data: bytearray, draw: random.Random) -> bytes:
    """A number or a quoted text is replaced by another value."""
    found = list(re.finditer(rb'-?\d+(?:\.\d+)?|"[^"]*"|[A-Za-z_.]+', bytes(data)))
    if not found:
        return bytes(data)
    match = draw.choice(found)
    return bytes(data[: match.start()]) + draw.choice(NUMBERS).encode() + bytes(data[match.end() :])


def _bits(data: bytearray, draw: random.Random) -> bytes:
    for _ in range(draw.choice((1, 1, 3, 20))):
        data[_at(data, draw)] ^= 1 << draw.randrange(8)
    return bytes(data)


def _length(data: bytearray, draw: random.Random) -> bytes:
    """A number of 1, 2, 4 or 8 bytes is set to an extreme."""
    size, at = draw.choice((1, 2, 4, 8)), _at(data, draw)
    bits = 8 * size
    value = draw.choice((0, 1, 2**bits - 1, 2 ** (bits - 1), 2 ** (bits - 1) - 1, draw.randrange(2**bits)))
    data[at : at + size] = value.to_bytes(size, draw.choice(("little", "big")))
    return bytes(data)


def _cut(data: bytearray, draw: random.Random) -> bytes:
    return bytes(data[: draw.randrange(len(data) + 1)])


def _without(data: bytearray, draw: random.Random) -> bytes:
    at = _at(data, draw)
    return bytes(data[:at] + data[at + draw.choice((1, 2, 16, 512)) :])


def _twice(data: bytearray, draw: random.Random) -> bytes:
    at, size = _at(data, draw), draw.choice((1, 2, 16, 512, len(data)))
    return bytes(data[: at + size] + data[at : at + size] * draw.choice((1, 1, 200)) + data[at + size :])


def _noise(data: bytearray, draw: random.Random) -> bytes:
    at = _at(data, draw)
    return bytes(data[:at] + draw.randbytes(draw.choice((1, 8, 100))) + data[at:])


def _at(data: bytearray, draw: random.Random) -> int:
    """A position, often in the header."""
    data += b"\0" * (not data)
    return draw.randrange(min(len(data), draw.choice((16, 200, len(data)))))


CHANGES = [_bits, _bits, _length, _length, _cut, _without, _twice, _noise]


# --- readers: each writes a valid dataset, mutates one file of it, and reads it ----------------------------------------------


def _picture(draw: random.Random, height: int = 12, width: int = 16) -> Image.Image:
    noise = np.random.default_rng(draw.randrange(2**32)).integers(0, 256, (height // 4, width // 4, 3), dtype=np.uint8)
    return Image.fromarray(noise).resize((width, height))


def _save(path: Path, image: Image.Image, **settings: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, **settings)
    return path


def _change(path: Path, draw: random.Random) -> None:
    path.write_bytes(mutated(path.read_bytes(), draw))


def _read_all(path: Path, kind: str, **settings: Any) -> None:
    source = open_source(path, kind, **settings)
    source.fingerprint()
    for split in source.splits.values():
        for index in range(len(split)):
            try:
                split.read(index)
            except InputError as error:
                str(error).encode()


SAVED: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("jpg", "RGB", {}), ("jpg", "RGB", {"progressive": True}), ("jpg", "CMYK", {}), ("png", "RGB", {}), ("png", "P", {}),
    ("png", "I;16", {}), ("png", "1", {}), ("webp", "RGB", {}), ("webp", "RGBA", {"lossless": True}), ("gif", "P", {}),
    ("bmp", "RGB", {}), ("bmp", "P", {}), ("ppm", "RGB", {}), ("tif", "RGB", {}), ("tif", "F", {}), ("tif", "1", {}),
    ("tif", "RGB", {"compression": "tiff_lzw"}), ("tif", "RGB", {"compression": "jpeg"}),
    ("tif", "L", {"compression": "tiff_adobe_deflate"}), ("tif", "1", {"compression": "group4"}),
)  # fmt: skip


def pictures(root: Path, draw: random.Random) -> None:
    suffix, mode, settings = draw.choice(SAVED)
    path = _save(root / f"a.{suffix}", _picture(draw).convert(mode), **settings)
    _change(path, draw)
    if draw.random() < 0.5:
        read_picture(path, draw.choice((1, 3, 4)), bit_depth=draw.choice((12, 16)))
        read_16_bits(io.BytesIO(path.read_bytes()), "a")
    else:
        read_quickly(io.BytesIO(path.read_bytes()), draw.choice((1, 3)), "a")


def masks(root: Path, draw: random.Random) -> None:
    word = draw.choice(("masks", "instances"))
    for name in ("a", "b"):
        _save(root / f"images/{name}.png", _picture(draw))
        values = np.random.default_rng(draw.randrange(99)).integers(0, 3, (12, 16), dtype=np.uint8)
        suffix, mode, settings = draw.choice((("png", "L", {}), ("png", "P", {"bits": draw.choice((2, 4))}), ("tif", "L", {}),
                                              ("png", "I;16", {}), ("tif", "I", {}), ("bmp", "P", {})))  # fmt: skip
        path = _save(root / f"{word}/{name}.{suffix}", Image.fromarray(values).convert(mode), **settings)
    if word == "masks" and draw.random() < 0.3:
        path = root / "classes.txt"
        path.write_text("none\ncat\ndog\n")
    _change(path, draw)
    _read_all(root, "boxes" if word == "instances" and draw.random() < 0.5 else "masks")


LISTS = {
    "classes": 'path,label,split\na.png,cat,train\nb.png,"dog",train\nc.png,cat,val\n',
    "tags": 'path,labels,split\na.png,cat|dog,train\nb.png,"",train\nc.png,dog,val\n',
    "grades": 'path,age,place,split\na.png,1.5,x,train\nb.png,"2",y,train\nc.png,3e0,,val\n',
}


def csv(root: Path, draw: random.Random) -> None:
    for name in ("a", "b", "c"):
        _save(root / f"{name}.png", _picture(draw))
    path = root / "list.csv"
    kind = draw.choice(list(LISTS))
    path.write_text(LISTS[kind])
    _change(path, draw)
    if kind == "grades":
        asked = {"target": draw.choice(("age", None)), "loss": draw.choice(("auto", "corn"))}
        grade.read(str(path), scale=draw.choice(("linear", "log")), in_chans=3, labels=None, data_dir=None, **asked)
    else:
        _read_all(path, kind)


def voc(root: Path, draw: random.Random) -> None:
    for name in ("a", "b"):
        _save(root / f"JPEGImages/{name}.jpg", _picture(draw))
        path = root / f"Annotations/{name}.xml"
        path.parent.mkdir(exist_ok=True)
        path.write_text(
            "<annotation><size><width>16</width><height>12</height><depth>3</depth></size><object><name>cat</name><difficult>0"
            "</difficult><bndbox><xmin>1</xmin><ymin>2</ymin><xmax>9</xmax><ymax>8</ymax></bndbox></object></annotation>"
        )
    if draw.random() < 0.2:
        path = root / "ImageSets/Main/train.txt"
        path.parent.mkdir(parents=True)
        path.write_text("a\nb\n")
    _change(path, draw)
    _read_all(root, "boxes")


def coco(root: Path, draw: random.Random) -> None:
    for name in ("1", "2"):
        _save(root / f"train2017/{name}.jpg", _picture(draw))
    outline, runs, text = [[1, 1, 9.5, 1, 9, 8, 1, 8]], [20, 30, 142], "T1n4"
    shape = draw.choice((outline, *({"size": [12, 16], "counts": counts} for counts in (runs, text))))
    path = root / "annotations/instances_train2017.json"
    path.parent.mkdir()
    content = {
        "images": [{"id": n, "file_name": f"{n}.jpg", "width": 16, "height": 12} for n in (1, 2)],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 7, "bbox": [1, 1, 8, 7], "iscrowd": 0, "segmentation": shape}],
        "categories": [{"id": 7, "name": "cat"}],
    }
    path.write_text(json.dumps(content))
    _change(path, draw)
    _read_all(root, "boxes", masks=True)


def yolo(root: Path, draw: random.Random) -> None:
    for split in ("train", "val"):
        _save(root / f"{split}/images/a.jpg", _picture(draw))
        path = root / f"{split}/labels/a.txt"
        path.parent.mkdir(exist_ok=True)
        path.write_text("0 0.5 0.5 0.25 0.5\n1 0.1 0.1 0.9 0.1 0.9 0.8 0.1 0.8\n")
    settings = root / "data.yaml"
    settings.write_text("train: train/images\nval: images.txt\nnames: [cat, dog]\n")
    listed = root / "images.txt"
    listed.write_text("./val/images/a.jpg\n")
    _change(draw.choice((path, path, settings, listed)), draw)
    if draw.random() < 0.7:
        _read_all(root, "boxes", masks=True)
    else:
        _read_all(root, "tags")


def npz(root: Path, draw: random.Random) -> None:
    path = root / "a.npz"
    save = draw.choice((np.savez, np.savez_compressed))
    pixels = np.random.default_rng(0).integers(0, 256, (4, 8, 8, 3), dtype=np.uint8)
    save(path, train_images=pixels, train_labels=np.array([0, 1, 1, 0]), val_images=pixels[:2], val_labels=np.array([[0], [1]]))
    _change(path, draw)
    _read_all(path, "classes")


def cifar(root: Path, draw: random.Random) -> None:
    cifars.NUM_IMAGES = NUM_IMAGES
    form = cifars.CIFARS[draw.randrange(4)]
    folder = root / form.folder
    folder.mkdir()
    names = [f"class {n}".encode() for n in range(10)]
    for split, files in form.files.items():
        for file in files:
            num = NUM_IMAGES[split] // len(files)
            pixels = np.random.default_rng(1).integers(0, 256, (num, 3072), dtype=np.uint8)
            others = [None, 1.5, ("a",), {"b": 2}]
            batch = {b"data": pixels, form.labels.encode(): [n % 10 for n in range(num)], b"other": others}
            records = np.hstack([np.ones((num, form.label_bytes), np.uint8), pixels]).tobytes()
            (folder / file).write_bytes(pickle.dumps(batch, protocol=draw.choice((0, 2, 4, 5))) if form.labels else records)
    meta = pickle.dumps({form.label_names.encode(): names}, protocol=2) if form.labels else b"\n".join(names)
    (folder / form.names).write_bytes(meta)
    _change(draw.choice(sorted(folder.iterdir())), draw)
    _read_all(folder, "classes")


def shards(root: Path, draw: random.Random) -> None:
    os.environ["RESNETS_DATA"] = str(root / "data/sets")
    path = root / "train-0.tar"
    form = draw.choice((tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT))
    with tarfile.open(path, "w", format=form) as tar:
        for number, name in enumerate(("a", "b" * draw.choice((1, 90) if form == tarfile.USTAR_FORMAT else (1, 120)), "c")):
            data = io.BytesIO()
            _picture(draw).save(data, "JPEG")
            label = (".cls", b"%d" % (number % 2)) if draw.random() < 0.5 else (".json", b'{"label": "%d"}' % (number % 2))
            for suffix, content in ((".jpg", data.getvalue()), label):
                member = tarfile.TarInfo(name + suffix)
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
    if draw.random() < 0.3:
        _read_all(root, "classes")
        _change(next((root / "data/shards/index").iterdir()), draw)
    else:
        _change(path, draw)
    _read_all(root, "classes")


def volumes(root: Path, draw: random.Random) -> None:
    suffix, form = draw.choice((".nii", ".nii.gz")), draw.choice((nibabel.Nifti1Image, nibabel.Nifti2Image))
    values = np.random.default_rng(2).integers(0, 3, (6, 5, 4)).astype(draw.choice((np.int16, np.uint8, np.float32)))
    for folder in ("images", "labels"):
        (root / folder).mkdir()
        path = root / folder / f"a{suffix}"
        form(values, np.diag([1, 1.5, 2, 1])).to_filename(path)
    path = root / draw.choice(("images", "labels")) / path.name
    content = path.read_bytes()
    inside = suffix == ".nii.gz" and draw.random() < 0.7
    path.write_bytes(gzip.compress(mutated(gzip.decompress(content), draw)) if inside else mutated(content, draw))
    source = open_source(root, "masks")
    for split in source.splits.values():
        image, _, _ = split.read(0)
        image.normalised()


def pixel_cache(root: Path, draw: random.Random) -> None:
    """Whatever is left of the file, the pixels are those of the images."""
    paths = [_save(root / f"{n}.png", _picture(draw)) for n in range(3)]
    images = FileImages(paths, 3)
    expected = [images[index] for index in range(3)]
    cache.packed(images, 10, root / "packed", 0, lambda text: None)
    _change(next((root / "packed").iterdir()), draw)
    found = cache.packed(images, 10, root / "packed", 0, lambda text: None)
    assert all(np.array_equal(found[index], pixels) for index, pixels in enumerate(expected)), "other pixels"


def downloads(root: Path, draw: random.Random) -> None:
    """A server that answers with mutated bytes, and goes on where the answer says so."""
    content = draw.randbytes(2000)
    head, body = b"HTTP/1.1 200 OK\r\nContent-Type: a/b\r\n", content
    kind = draw.randrange(4)
    if kind == 0:
        head += b"Content-Length: 2000\r\n"
    elif kind == 1:
        head += b"Transfer-Encoding: chunked\r\n"
        body = b"400\r\n" + content[:1024] + b"\r\n3d0\r\n" + content[1024:] + b"\r\n0\r\n\r\n"
    elif kind == 2:
        head = b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/file\r\nContent-Length: 2000\r\n"
    else:
        head = b"HTTP/1.1 206 Partial\r\nContent-Range: bytes 100-1999/2000\r\nContent-Length: 1900\r\n"
        (root / "file.part").write_bytes(content[:100])
        body = content[100:]
    answer = mutated(head + b"\r\n", draw) + (mutated(body, draw) if draw.random() < 0.3 else body)
    download.BACKOFF_SECONDS, download.TIMEOUT_SECONDS, download.SLOW_SECONDS = 0.0, 1, 1.0
    endless = draw.random() < 0.1
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(5)

        def serve() -> None:
            try:
                while True:
                    connection, _ = server.accept()
                    with connection:
                        connection.settimeout(5)
                        connection.recv(65536)
                        connection.sendall(answer)
                        while endless:
                            connection.sendall(b"0" * 65536)
            except OSError:
                return

        threading.Thread(target=serve, daemon=True).start()
        checksum = f"md5:{hashlib.md5(content).hexdigest()}"
        url = f"http://127.0.0.1:{server.getsockname()[1]}/file"
        path = download.fetch(url, root / "file", checksum=checksum, most=10**6)
        assert path.read_bytes() == content, "another file"


READERS: dict[str, Callable[[Path, random.Random], None]] = {
    "pictures": pictures, "masks": masks, "csv": csv, "voc": voc, "coco": coco, "yolo": yolo, "npz": npz, "cifar": cifar,
    "shards": shards, "volumes": volumes, "pixel_cache": pixel_cache, "downloads": downloads,
}  # fmt: skip


# --- children ---------------------------------------------------------------------------------------------------------------


def one(reader: str, seed: int) -> str:
    """What becomes of one input: "read", "refused", or the last line of a traceback and where it comes from."""
    with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
        try:
            READERS[reader](Path(folder), random.Random(f"{reader} {seed}"))
        except InputError as error:
            str(error).encode()  # must be printable
            return "refused"
        except Exception as error:
            where = traceback.extract_tb(error.__traceback__)[-1]
            return f"{type(error).__name__}: {str(error)[:100]!r} in {Path(where.filename).name}:{where.lineno}"
    return "read"


def work(reader: str, seeds: range, pipe: Any) -> None:
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + NUM_BYTES, used + NUM_BYTES))
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # libtiff writes there
    warnings.simplefilter("ignore")
    for seed in seeds:
        pipe.send((seed, one(reader, seed)))


def run(reader: str, seeds: range) -> tuple[Counter[str], list[str]]:
    """Counts of "read", "refused" and "failures", and a line for each failure."""
    counts, failures, start = Counter[str](read=0, refused=0, failures=0), [], seeds.start
    while start < seeds.stop:
        pipe, end = multiprocessing.Pipe(duplex=False)
        child = multiprocessing.get_context("fork").Process(target=work, args=(reader, range(start, seeds.stop), end))
        child.start()
        end.close()
        while start < seeds.stop:
            try:
                outcome = pipe.recv()[1] if pipe.poll(SECONDS) else "no answer"
            except EOFError:
                child.join()
                outcome = f"ended with {child.exitcode}"
            kind = outcome if outcome in counts else "failures"
            counts[kind] += 1
            if kind == "failures":
                failures.append(f"{reader} {start}: {outcome}")
            start += 1
            if outcome == "no answer" or outcome.startswith("ended"):
                break
        child.kill()
        child.join()
    return counts, failures


def main() -> int:
    parser = argparse.ArgumentParser(description="Mutated inputs for every reader of data.")
    parser.add_argument("--num", type=int, default=300, help="inputs of each reader")
    parser.add_argument("--seed", type=int, default=0, help="the first seed")
    parser.add_argument("--reader", choices=READERS, action="append", help="only this reader; may be given several times")
    asked = parser.parse_args()
    total, lines = Counter[str](), []
    print(f"{'reader':<12}{'inputs':>8}{'read':>8}{'refused':>9}{'failures':>10}")
    for reader in asked.reader or READERS:
        counts, failures = run(reader, range(asked.seed, asked.seed + asked.num))
        print(f"{reader:<12}{asked.num:>8}{counts['read']:>8}{counts['refused']:>9}{counts['failures']:>10}", flush=True)
        total += counts
        lines += failures
    print(f"{'all':<12}{total.total():>8}{total['read']:>8}{total['refused']:>9}{total['failures']:>10}")
    print(*lines, sep="\n")
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main())
