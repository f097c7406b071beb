"""WebDataset shards: images in tar files, local or remote, accessed through an index as if each image were a file.

The index (offset and size of every member) gives random access. So epochs are shuffled completely and resumed exactly, and
evaluation sees each image once. Remote shards are downloaded whole into a cache folder of limited size.

A sample is KEY.jpg (or another image) with KEY.cls, an integer as text, or KEY.json with "label": an integer or a name, a list
of names (several labels), or a number with a point. `data pack` writes "packed" beside it, which is what `Packed` says.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from resnets.data.groups import PACKED
from resnets.data.pictures.images import MODES, mode_of, printable
from resnets.data.pictures.stored import StoredImages
from resnets.data.readers import remote
from resnets.data.readers.layouts import SPLIT_WORDS, SPLITS, Found, Part
from resnets.data.readers.remote import Shard
from resnets.data.readers.tars import Label, Packed, Sample, read_index
from resnets.errors import InputError
from resnets.files import is_file, open_regular, parse_json, read_bytes, short, write_text
from resnets.stores.addresses import address_of, object_of

NAMES, MANIFEST = "classes.txt", "manifest.json"  # beside the shards
MAX_SHARDS = 100_000
MAX_NAMES_BYTES, MAX_MANIFEST = 1 << 20, 1 << 28
MAX_SIDE = 1 << 16  # of pictures of one size
INDEX = 2  # version of the cached index


class Rows(NamedTuple):
    """The samples of a split: their images, for each its label and its shard, and `Split.columns`."""

    images: ShardImages
    labels: list[Label]
    shards: list[Shard]
    columns: dict[str, np.ndarray]


# --- which shards ----------------------------------------------------------------------------------------------------


class Pattern(str):
    """A pattern of shards with braces or stars, or an address: of a tar, a pattern, or a folder with shards."""

    @cached_property
    def shards(self) -> list[Shard]:
        """What it stands for now; that is listed once."""
        return _shards(self)


def as_pattern(data: str | os.PathLike[str]) -> Pattern | None:
    """`data` where it is a pattern or an address of shards; None where it is a path, as other folders in an object store are
    once they are copied (`stores.local`)."""
    if isinstance(data, Pattern):
        return data
    text = Pattern(os.fspath(data))
    if _is_far_folder(text):
        return text if text.shards else None
    is_one = "://" in text or (text.endswith(".tar") and any(sign in text for sign in "{*") and not Path(text).exists())
    return text if is_one else None


def _is_far_folder(text: str) -> bool:
    return address_of(text) is not None and not text.endswith(".tar") and not any(sign in text for sign in "{*")


def is_shards(source: str | Path) -> bool:
    """Whether `source` holds shards: a tar, or a folder with train-*.tar or the like; patterns and addresses always do."""
    if isinstance(source, str):
        return True
    return (source.suffix == ".tar" and is_file(source)) or (source.is_dir() and any(map(_split_of, source.glob("*.tar"))))


def _split_of(path: str | Path) -> str | None:
    """The split with which a shard's name begins ("train-000.tar"); None if there is none."""
    found = re.match(r"[a-z]+", Path(path).name.lower())
    return SPLIT_WORDS.get(found[0]) if found else None


def read_shards(source: str | Path, in_chans: int) -> Found:
    """Read a tar, a folder with train-*.tar [val-*.tar test-*.tar], or a pattern or address of tars.

    The split is the beginning of a tar's name, or train. Every tar that is not in the index yet is read (and downloaded) once.

    Raises:
        InputError: if there is no shard, one cannot be read, or an image has no label.
    """
    shards, told = listed(source), facts(source)
    names = class_names(shards)
    parts = {split: _part(rows_of(each, in_chans), names) for split, each in shards.items()}
    return Found(name_of(shards), parts, told.size, told.hflip)


def listed(source: str | Path) -> dict[str, list[Shard]]:
    """The shards of each split. Raises `InputError` where there is none."""
    found = source.shards if isinstance(source, Pattern) else _shards(source)
    if not found:
        raise InputError(f"{printable(source)}: no shard matches")
    groups: dict[str, list[Shard]] = {}
    for shard in dict.fromkeys(found):
        groups.setdefault(_split_of(shard.url) or "train", []).append(shard)
    return {split: groups[split] for split in SPLITS if split in groups}


def _shards(source: str | Path) -> list[Shard]:
    if isinstance(source, Path) and source.is_dir():
        return [_shard(str(path)) for path in sorted(source.glob("*.tar")) if _split_of(path)]
    if isinstance(source, str) and _is_far_folder(source):
        there = _far(source, lambda system, path: system.ls(path, detail=True))
        return [shard for shard in there if shard.url.endswith(".tar") and _split_of(shard.url)]
    return [shard for pattern in expand(os.fspath(source)) for shard in _matching(pattern)]


def name_of(shards: Mapping[str, Sequence[Shard]]) -> str:
    """What a dataset of shards is called: as the folder that they are in."""
    return printable(Path(next(iter(shards.values()))[0].url).parent.name)


def class_names(shards: Mapping[str, Sequence[Shard]]) -> list[str]:
    """The lines of classes.txt beside the shards; empty without that file."""
    content, where = _beside(shards, NAMES, MAX_NAMES_BYTES)
    try:
        return [line.strip() for line in content.decode("utf-8-sig").splitlines() if line.strip()]
    except UnicodeDecodeError:
        raise InputError(f"{printable(where)}: not UTF-8 text; save it as UTF-8") from None


class Facts(NamedTuple):
    """What a training goes by beside the pictures, as in `Found`; `in_chans` None: not said."""

    in_chans: int | None = None
    size: tuple[int, int] | None = None
    hflip: bool = True


def facts(source: str | Path) -> Facts:
    """What `data pack` wrote of the pictures beside the shards; of others, what holds for any."""
    content, where = _beside(listed(source), MANIFEST, MAX_MANIFEST)
    with contextlib.suppress(InputError, KeyError, TypeError):  # anyone may call a file so
        return _checked(Facts(**parse_json(content, where, strict=False)["pictures"]))
    return Facts()


def _checked(found: Facts) -> Facts:
    """The facts of a manifest. Raises `TypeError` where they are none."""
    in_chans, size, hflip = found
    sides = (1, 1) if size is None else tuple(size)
    is_size = len(sides) == 2 and all(type(side) is int and 0 < side < MAX_SIDE for side in sides)
    if type(in_chans) is not int or in_chans not in MODES or type(hflip) is not bool or not is_size:
        raise TypeError(f"not what `data pack` writes: {short(repr(found))}")
    return Facts(in_chans, None if size is None else (sides[0], sides[1]), hflip)


def expand(pattern: str) -> list[str]:
    """Expand {000..012} and {a,b} in a pattern. Raises `InputError` for more than `MAX_SHARDS` names."""
    found = re.search(r"\{([^{}]*)\}", pattern)
    if not found:
        return [pattern]
    head, tail = pattern[: found.start()], pattern[found.end() :]
    if steps := re.fullmatch(r"(\d{1,18})\.\.(\d{1,18})", found[1]):
        first, last = int(steps[1]), int(steps[2])
        if last - first >= MAX_SHARDS:
            raise InputError(f"{printable(pattern)}: stands for more than {MAX_SHARDS:,} shards; give fewer")
        middles = [str(number).zfill(len(steps[1])) for number in range(first, last + 1)]
    else:
        middles = found[1].split(",")
    rests = expand(tail)
    if len(middles) * len(rests) > MAX_SHARDS:
        raise InputError(f"{printable(pattern)}: stands for more than {MAX_SHARDS:,} shards; give fewer")
    return [head + middle + rest for middle, rest in itertools.product(middles, rests)]


def _matching(pattern: str) -> list[Shard]:
    if "*" not in pattern:
        return [_shard(pattern)]
    if "://" in pattern:
        return _far(pattern, lambda system, path: system.glob(path, detail=True).values())
    with remote.blame(pattern):
        return [_shard(name) for name in sorted(remote.file_system(pattern)[0].glob(pattern))]


def _far(url: str, entries: Callable[[Any, str], Iterable[dict[str, Any]]]) -> list[Shard]:
    """The files that `entries` lists, sorted; called with the file system and the path in it. What a listing says of a file is
    not asked for again."""
    with remote.blame(url):
        system, path = remote.file_system(url)
        system.invalidate_cache()
        found: list[dict[str, Any]] = []
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            found = sorted(entries(system, path), key=lambda info: info["name"])
        urls = [system.unstrip_protocol(info["name"]) for info in found]
    told = [info.get("size") is not None and bool(object_of(info).stamp) for info in found]  # not by http
    return [Shard(at, *object_of(info)) if whole else _shard(at) for at, info, whole in zip(urls, found, told, strict=True)]


def _shard(url: str) -> Shard:
    with remote.blame(url):
        if "://" not in url:
            stat = Path(url).stat()
            return Shard(str(Path(url).resolve()), stat.st_size, str(stat.st_mtime_ns))
        system, path = remote.file_system(url)
        return Shard(url, *object_of(system.info(path)))


def _beside(shards: Mapping[str, Sequence[Shard]], name: str, most: int) -> tuple[bytes, str]:
    """The content of the file `name` beside the shards, empty where there is none; and its path or address."""
    folder, slash, _ = next(iter(shards.values()))[0].url.rpartition("/")
    path = folder + slash + name
    if "://" in path:
        return remote.content(path, most), path
    return read_bytes(path, most=most) if Path(path).exists() else b"", path


# --- samples ---------------------------------------------------------------------------------------------------------


def rows_of(shards: Sequence[Shard], in_chans: int) -> Rows:
    """All samples of the shards of a split. Raises `InputError` where there is none."""
    mode_of(in_chans)
    samples = [(number, sample) for number, shard in enumerate(shards) for sample in _index(shard)]
    if not samples:
        raise InputError(f"{printable(shards[0].url)}: no images found; a shard holds KEY.jpg beside KEY.cls or KEY.json")
    packed = [sample.packed for _, sample in samples if sample.packed is not None]
    if len(packed) == len(samples):
        samples.sort(key=lambda row: row[1].packed.position)  # type: ignore[union-attr]
        packed.sort(key=lambda each: each.position)
    images = ShardImages(
        shards,
        np.array([number for number, _ in samples], dtype=np.int64),
        np.array([(sample.offset, sample.size) for _, sample in samples], dtype=np.int64),
        [sample.packed.path if sample.packed else sample.key for _, sample in samples],
        in_chans,
    )
    columns = _columns(packed) if len(packed) == len(samples) else {}
    return Rows(images, [sample.label for _, sample in samples], [shards[number] for number, _ in samples], columns)


def _columns(packed: Sequence[Packed]) -> dict[str, np.ndarray]:
    """(N,) of text by the name of the column, as `Split.columns`; the groups as the column `PACKED`."""
    names = dict.fromkeys(name for each in packed for name in each.columns or ())
    columns = {name: np.array([(each.columns or {}).get(name, "") for each in packed]) for name in names}
    groups = [each.group for each in packed if each.group is not None]
    return columns | ({PACKED: np.array(groups)} if len(groups) == len(packed) else {})


def _part(rows: Rows, names: Sequence[str]) -> Part:
    labels = [_label(label, names, shard) for label, shard in zip(rows.labels, rows.shards, strict=True)]
    classes = in_order(labels, names)
    codes = {label: code for code, label in enumerate(classes)}
    return Part(rows.images, classes, np.array([codes[label] for label in labels], dtype=np.int64), rows.columns)


def in_order(labels: Iterable[str], names: Sequence[str]) -> tuple[str, ...]:
    """The labels that there are, each once: those of classes.txt as there, then numbers by value, then other names."""
    ranks = {name: number for number, name in reversed(list(enumerate(names)))}
    return tuple(sorted(set(labels), key=lambda label: (ranks.get(label, len(ranks)), *_by_number(label))))


def _by_number(label: str) -> tuple[int, str]:
    """A sort key: numbers by value, before names."""
    return (int(label), "") if label.isdecimal() and len(label) < 10 else (1 << 40, label)


def _label(label: Label, names: Sequence[str], shard: Shard) -> str:
    """The class name of a label. Raises `InputError` for a number beyond `names`, and for what is no class."""
    if isinstance(label, list | float):
        several, number = "several labels for an image, which are for --task tag", "a number with a point, for --task grade"
        raise InputError(f"{printable(shard.url)}: {several if isinstance(label, list) else number}")
    if isinstance(label, str) or not names:
        return printable(str(label))
    if not 0 <= label < len(names):
        raise InputError(f"{printable(shard.url)}: class {label}, and classes.txt has {len(names)} lines, from class 0 on")
    return names[label]


def _index(shard: Shard) -> list[Sample]:
    """The samples of a shard, from the cached index; if there is none, the shard is read and its index is written."""
    path = remote.cache_folder() / "index" / f"{shard.key}-{INDEX}.json"
    with contextlib.suppress(OSError, ValueError, TypeError, RecursionError):  # none yet, or damaged: it is written anew
        with open_regular(path) as file:
            checksum, content = file.readline(100), file.read()
        if checksum.strip().decode() == hashlib.sha256(content).hexdigest():
            return [Sample(*row)._replace(packed=row[4] and Packed(*row[4])) for row in json.loads(content)]
    with remote.blame(shard.url), remote.opened(shard) as file:
        samples = read_index(file, printable(shard.url))
    text = json.dumps(samples, separators=(",", ":"))
    write_text(path, f"{hashlib.sha256(text.encode()).hexdigest()}\n{text}")
    return samples


# --- images ----------------------------------------------------------------------------------------------------------


class ShardImages(StoredImages):
    """Images in tar files.

    Args:
        shards: the tar files.
        numbers: (N,) int64, for each image the index of its shard.
        extents: (N, 2) int64, offset and size in the shard, in bytes.
        keys: names in the shard, with suffix.
    """

    def __init__(
        self, shards: Sequence[Shard], numbers: np.ndarray, extents: np.ndarray, keys: Sequence[str], in_chans: int
    ) -> None:
        self.shards, self.numbers, self.extents, self.in_chans = tuple(shards), numbers, extents, in_chans
        encoded = [key.encode(errors="surrogateescape") for key in keys]  # in one bytes object, as in `FileImages`
        self._keys = b"".join(encoded)
        self._ends = np.cumsum([0] + [len(key) for key in encoded])
        self.groups = numbers if any(shard.is_remote for shard in shards) else None

    def __len__(self) -> int:
        return len(self.numbers)

    def _key(self, index: int) -> str:
        index = range(len(self))[index]
        return self._keys[self._ends[index] : self._ends[index + 1]].decode(errors="surrogateescape")

    def name(self, index: int, /) -> str:
        return printable(f"{self.shards[self.numbers[index]].url}: {self._key(index)}")

    def relative(self, index: int, /) -> str:
        return printable(self._key(index))

    def open(self, index: int, /) -> BinaryIO:
        offset, size = self.extents[index].tolist()
        with remote.opened(self.shards[self.numbers[index]]) as file:
            file.seek(offset)
            return BytesIO(file.read(size))

    def subset(self, indices: Sequence[int] | np.ndarray) -> ShardImages:
        indices = np.asarray(indices, dtype=np.int64)
        keys = [self._key(index) for index in indices.tolist()]
        images = ShardImages(self.shards, self.numbers[indices], self.extents[indices], keys, self.in_chans)
        return images.at_depth(self.bit_depth).windowed(self.window)

    def digest(self) -> bytes:
        names = json.dumps([(Path(shard.url).name, shard.size) for shard in self.shards]).encode()
        numbers = np.concatenate([self._ends, self.numbers, self.extents.ravel()]).astype("<i8")
        return hashlib.sha256(names + self._keys + numbers.tobytes()).digest()

    def state(self) -> bytes:
        return hashlib.sha256(json.dumps(self.shards).encode()).digest()
