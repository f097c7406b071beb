"""A data set as resized pictures in WebDataset shards, from which training reads without decoding what it throws away.
`resnets data pack` is this.

source -> each split in an order by the seed -> even parts of it, a tar each -> manifest.json, a row for each tar that is done

What a tar holds follows from the data and the rule alone. So any number of threads writes the same bytes, and a later call
goes on after the tars that are there. Each sample says its position in its split, and the reader puts them in that order: a
training on the shards draws the pictures that it would draw from the data, and cuts the same validation split.
"""

from __future__ import annotations

import dataclasses
import math
import os
import re
import shutil
import signal
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from resnets import tasks
from resnets.data import groups
from resnets.data.cache import gigabytes
from resnets.data.machine import default_workers
from resnets.data.packing import CHOICES, Encoded, Entry, Rule, encode, mean_bytes, write_tar
from resnets.data.pictures.images import BadPicture
from resnets.data.pictures.stored import ArrayImages
from resnets.data.randomness import mix_seed
from resnets.data.readers import shards
from resnets.data.readers.shards import MANIFEST, MAX_MANIFEST, MAX_SHARDS, NAMES
from resnets.data.readers.tars import Packed
from resnets.data.types import KINDS, Source, Split, Values
from resnets.data.workers import BadImages
from resnets.engine.run import RunDir, claiming
from resnets.errors import InputError, Interrupted, check_choices
from resnets.files import foreign, read_json, write_json, write_text

SIZE = 320  # 1.25 times the 256 that an input of 224 is cut from, so that random crops are seldom enlarged
UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9}
VERSION = 2  # of the manifest
BEGIN_ANEW = "remove it and the shards, and begin anew"


@claiming()
def pack(
    data: Any,
    *,
    out: str | Path,
    task: str | None = None,
    size: int = SIZE,
    format: str = "jpeg",
    quality: int = 90,
    shard_size: int | str = "256MB",
    seed: int = 0,
    group_by: str | None = None,
    target: str | None = None,
    workers: int | None = None,
    max_bad: int | None = None,
    resume: bool = False,
    data_dir: str | Path | None = None,
    say: Callable[[str], None] = lambda text: None,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Write pictures with classes, labels, numbers or identities as shards into a folder; what manifest.json then says.

    Args:
        data: as `train` takes it.
        out: the folder, new or empty.
        task: whose labels are written, where the data has some for several.
        size: pixels of the shorter side; smaller pictures stay as they are. 0: nothing is resized.
        format: "jpeg", "png" or "webp" (lossless), or "keep": of what needs no resizing the bytes as they are.
        quality: of JPEG.
        shard_size: of a tar, about, in bytes or such as "256MB".
        seed: of the order in the tars.
        group_by: what belongs together, as in `train`: it is written beside each picture, and a training goes by it.
        target: of a list with numbers, which column, as in `train --task grade`.
        workers: threads that decode; None: one per CPU, at most 8.
        max_bad: unreadable pictures to leave out, at most.
        resume: go on with what an earlier call has left in `out`, if there is something.

    Raises:
        InputError: for data without labels of whole pictures; where `out` is not empty or was begun otherwise; a full disk.
        resnets.errors.Interrupted: after Ctrl-C; the tars that are complete stay.
    """
    rule, most = _rule(size, format, quality), _num_bytes(shard_size)
    kind = tasks.get(task or tasks.DEFAULT)
    source = kind.open(data, {"group_by": group_by, "target": target}, in_chans=None, data_dir=data_dir)
    by = groups.chosen(source, group_by)
    source = groups.grouped(source, by)
    _check(source)
    if rule.format == "jpeg" and all(isinstance(split.images, ArrayImages) for split in source.splits.values()):
        rule = dataclasses.replace(rule, format="png")  # of what was not lossy yet nothing is lost
    folder = Path(out)
    _check_place(folder, data)
    plan = {
        "version": VERSION,
        "source": {"name": source.name, "fingerprint": source.fingerprint()},
        "task": kind.name,
        "group_by": by,
        "rule": {**dataclasses.asdict(rule), "shard_bytes": most, "seed": seed},
        "labels": list(source.labels),
        "pictures": {"in_chans": source.in_chans, "size": _size(source, rule), "hflip": source.hflip},
    }
    begun = _begun(folder, resume)
    if begun is None:
        RunDir.create(folder, kind.name)
        begun = {**plan, "splits": _shares(folder, source, rule, most)}
        write_json(folder / MANIFEST, begun, strict=False)
    _check_same(folder, plan, begun)
    RunDir(folder).claim()
    RunDir(folder).remove_halves()
    write_text(folder / NAMES, "".join(f"{label}\n" for label in source.labels))
    bad = BadImages.allowing(max_bad, *source.splits.values())
    workers = max(1, default_workers() if workers is None else workers)
    try:
        Packing(folder, source, rule, seed, begun, bad, workers, say, progress).write()
    except KeyboardInterrupt:
        words = f"stopped; the shards that are complete stay in {folder}; to go on: the same command with --resume"
        raise Interrupted(signal.SIGINT, folder, words) from None
    RunDir(folder).write_bad_images(bad.reasons)
    done = begun | {"found": _found(folder, begun)}
    write_json(folder / MANIFEST, done, strict=False)
    return done


def _rule(size: int, format: str, quality: int) -> Rule:
    rule = Rule(size or None, format, quality)
    check_choices(rule, {"format": CHOICES})
    if size < 0 or not 1 <= quality <= 100:
        raise InputError(f"size={size}, quality={quality}: give a size in pixels, or 0, and a quality from 1 to 100")
    return rule


def _num_bytes(text: int | str) -> int:
    """Bytes in "256MB", "1.5 GB" or a number."""
    found = re.fullmatch(r"(\d{1,15}(?:\.\d{1,9})?) ?([KMG]?)B?", str(text).strip().upper(), re.ASCII)
    num = int(float(found[1]) * UNITS[found[2]]) if found else 0
    if num < 1:
        raise InputError(f"shard_size={str(text)[:40]}: give a number of bytes, such as 256MB")
    return num


def _check(source: Source) -> None:
    """Raise `InputError` where there are no pictures, or no label of a whole picture."""
    if source.dims != 2 or not all(isinstance(split.targets, Values) for split in source.splits.values()):
        what = KINDS[source.kind].images if source.dims != 2 else "boxes or masks"
        raise InputError(f"{source.name}: {what}, and only pictures with labels of the whole are packed, so far")


def _size(source: Source, rule: Rule) -> tuple[int, int] | None:
    """(height, width) of every picture in the tars; None where they differ, or may."""
    if source.size is None:
        return None
    height, width = source.size
    return rule.resized(width, height)[::-1]


def _check_place(folder: Path, data: Any) -> None:
    """Raise `InputError` where the folder is in that of the data, to which it would belong from then on."""
    if isinstance(data, str | os.PathLike) and Path(data).is_dir() and Path(data).resolve() in folder.resolve().parents:
        raise InputError(f"{folder}: is in {os.fspath(data)}, the data itself; choose a folder beside it with -o")


# --- what is begun ---


def _begun(folder: Path, resume: bool) -> dict[str, Any] | None:
    """The manifest of an earlier call, with the rows of the tars that are there; None where there is nothing yet."""
    if not (folder / MANIFEST).exists():
        return None
    if not resume:
        raise InputError(
            f"{folder}: an earlier call has left this; go on with it by --resume, or choose another folder with -o"
        )
    begun: dict[str, Any] = read_json(folder / MANIFEST, most=MAX_MANIFEST, strict=False)
    if begun.get("version") != VERSION:
        raise InputError(f"{folder / MANIFEST}: not what `data pack` of this version writes; choose another folder with -o")
    begun.pop("found", None)
    with foreign(folder / MANIFEST, BEGIN_ANEW, what="a manifest"):
        for split in begun["splits"].values():
            split["shards"] = [row for row in split["shards"] if _is_there(folder / row["name"], row["num_bytes"])]
    return begun


def _is_there(path: Path, num_bytes: int) -> bool:
    return path.is_file() and path.stat().st_size == num_bytes


def _check_same(folder: Path, plan: dict[str, Any], begun: dict[str, Any]) -> None:
    """Raise `InputError` where what was begun is of other data, or by another rule."""
    with foreign(folder / MANIFEST, BEGIN_ANEW, what="a manifest"):
        before, after = ({**each, **each["source"], **each["rule"]} for each in (begun, plan))
        single = [name for name in after if not isinstance(after[name], dict)]
        changes = [
            f"{name} was {before[name]!r:.60}, not {after[name]!r:.60}" for name in single if before[name] != after[name]
        ]
    if changes:
        raise InputError(f"{folder}: begun otherwise ({'; '.join(changes)}); give the same, or another folder with -o")


def _shares(folder: Path, source: Source, rule: Rule, most: int) -> dict[str, dict[str, Any]]:
    """For each split how many tars it becomes, and no row yet. Raises `InputError` where the disk has too little room."""
    sizes = {name: int(len(split) * mean_bytes(split.images, rule)) for name, split in source.splits.items()}
    room = shutil.disk_usage(folder).free
    if room < sum(sizes.values()):
        needed = gigabytes(sum(sizes.values()))
        raise InputError(f"{folder}: about {needed} are needed, and {gigabytes(room)} are free; choose another folder with -o")
    shares = {name: min(len(source.splits[name]), max(1, math.ceil(size / most))) for name, size in sizes.items()}
    if max(shares.values()) > MAX_SHARDS:
        raise InputError(f"shard_size={most:,} bytes would make {max(shares.values()):,} shards; give more")
    return {name: {"num_shards": num, "shards": []} for name, num in shares.items()}


# --- writing ---


@dataclass
class Packing:
    """What is written where; `begun` is the manifest, which has a row for each tar that is done."""

    folder: Path
    source: Source
    rule: Rule
    seed: int
    begun: dict[str, Any]
    bad: BadImages
    workers: int
    say: Callable[[str], None]
    progress: Callable[[int, int], None] | None

    def write(self) -> None:
        """Write the tars that are not there yet, and after each one the manifest."""
        done = 0
        with ThreadPoolExecutor(self.workers) as pool:
            for name, split in self.source.splits.items():
                own = self.begun["splits"][name]
                num, rows = own["num_shards"], {row["name"]: row for row in own["shards"]}
                order = np.random.default_rng(mix_seed(self.seed, "pack", name)).permutation(len(split))
                for number in range(num):
                    file = f"{name}-{number:05}.tar"
                    part = order[len(order) * number // num : len(order) * (number + 1) // num].tolist()
                    if file in rows:
                        self.bad.reasons |= rows[file]["bad"]
                    else:
                        rows[file] = self.write_one(file, split, part, done, pool)
                        own["shards"] = [rows[key] for key in sorted(rows)]
                        write_json(self.folder / MANIFEST, self.begun, strict=False)
                    done += len(part)

    def write_one(self, file: str, split: Split, part: Sequence[int], done: int, pool: ThreadPoolExecutor) -> dict[str, Any]:
        """Write a tar with the pictures at the positions `part`, after `done` others; its row."""
        wrong: dict[str, str] = {}
        tar = write_tar(self.folder / file, self.entries(split, part, done, wrong, pool))
        if not self.progress:  # no terminal, which shows a bar
            self.say(f"{file}: {tar.num_images:,} pictures, {gigabytes(tar.num_bytes)}")
        return {"name": file, **tar._asdict(), "bad": wrong}

    def entries(
        self, split: Split, part: Sequence[int], done: int, wrong: dict[str, str], pool: ThreadPoolExecutor
    ) -> Iterator[Entry]:
        """The pictures at the positions `part`, in this order; those that cannot be read go to `wrong`."""
        images, label, total = split.images, _label_of(self.source, split), sum(map(len, self.source.splits.values()))
        tried = ahead(pool, lambda index: _tried(images, index, self.rule), part, 4 * self.workers)
        for num, (index, found) in enumerate(zip(part, tried, strict=True), done + 1):
            if self.progress:
                self.progress(num, total)
            if isinstance(found, BadPicture):
                wrong[images.name(index)] = found.reason
                self.bad.add(images.name(index), found.reason)
                continue
            path = images.relative(index) if hasattr(images, "relative") else images.name(index)
            columns = {name: str(column[index]) for name, column in split.columns.items()}
            group = None if split.groups is None else str(split.groups[index])
            yield Entry(found, label(index), Packed(index, path, group, columns or None))


def _tried(images: Any, index: int, rule: Rule) -> Encoded | BadPicture:
    try:
        return encode(images, index, rule)
    except BadPicture as found:
        return found


def ahead(pool: ThreadPoolExecutor, function: Callable[[int], Any], items: Sequence[int], num: int) -> Iterator[Any]:
    """What `pool.map` gives, `num` items ahead of who takes them: all at once might be more than memory holds."""
    waiting: deque[Future[Any]] = deque()
    try:
        for item in items:
            waiting.append(pool.submit(function, item))
            if len(waiting) > num:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        for future in waiting:
            future.cancel()


def _label_of(source: Source, split: Split) -> Callable[[int], Any]:
    """What gives the label of a picture as KEY.json has it: a name, a list of names, or a number."""
    values, names = np.asarray(split.targets), source.labels
    if values.ndim == 2:
        return lambda index: [names[at] for at in np.flatnonzero(values[index] > 0.5).tolist()]
    if values.dtype.kind in "iu":
        return lambda index: names[int(values[index])]
    return lambda index: float(values[index])


# --- what is there in the end ---


def _found(folder: Path, done: dict[str, Any]) -> dict[str, Any]:
    """What the reader finds in the folder, split by split. Raises `InputError` where that is not what was written."""
    found = {}
    for name, each in shards.listed(folder).items():
        rows, own = shards.rows_of(each, 3), done["splits"][name]["shards"]
        if len(rows.labels) != sum(row["num_images"] for row in own):
            raise InputError(f"{folder}: {name} holds other tars than were written now; remove them, or choose another folder")
        labels = [label for each in rows.labels for label in (each if isinstance(each, list) else [each])]
        counts = Counter(label for label in labels if isinstance(label, str))
        in_groups = groups.PACKED in rows.columns
        found[name] = {
            "num_images": len(rows.labels),
            "num_kept": sum(row["num_kept"] for row in own),
            "num_unreadable": sum(len(row["bad"]) for row in own),
            "num_bytes": sum(row["num_bytes"] for row in own),
            **({"num_groups": len(np.unique(rows.columns[groups.PACKED]))} if in_groups else {}),
            "counts": {label: counts[label] for label in done["labels"] if label in counts},
        }
    return found


def told(found: dict[str, Any], folder: str | os.PathLike[str]) -> Iterator[str]:
    """The lines that say what was packed."""
    rule = found["rule"]
    for name, split in found["found"].items():
        kept = f", {split['num_kept']:,} of them with the bytes of their files" if split["num_kept"] else ""
        where = f"{gigabytes(split['num_bytes'])} in {found['splits'][name]['num_shards']:,} shards"
        in_groups = f"; {split['num_groups']:,} groups by {found['group_by']}" if "num_groups" in split else ""
        left = (
            f"; {split['num_unreadable']:,} unreadable left out, which bad_images.csv names" if split["num_unreadable"] else ""
        )
        yield f"{name}: {split['num_images']:,} pictures{kept}; {where}{in_groups}{left}"
    resized = f"shorter side at most {rule['size']} pixels" if rule["size"] else "nothing resized"
    form = f"{rule['format']} of quality {rule['quality']}" if rule["format"] == "jpeg" else rule["format"]
    yield f"{resized}, {form}; read back and compared: {folder}"
