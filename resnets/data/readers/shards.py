"""WebDataset shards: images in tar files, local or remote, accessed through an index as if each image were a file.

The index (offset and size of every member) gives random access. So epochs are shuffled completely and resumed exactly, and
evaluation sees each image once. Remote shards are downloaded whole into a cache folder of limited size.

A sample is KEY.jpg (or another image) with KEY.cls, an integer as text, or KEY.json with "label", an integer or a name.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
import os
import re
import tarfile
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np

from resnets.data.pictures.images import IMAGE_SUFFIXES, mode_of, printable
from resnets.data.pictures.stored import StoredImages
from resnets.data.readers import remote
from resnets.data.readers.layouts import SPLIT_WORDS, SPLITS, Found, Part, quoted
from resnets.data.readers.remote import Shard
from resnets.errors import InputError
from resnets.files import foreign, is_file, open_regular, read_bytes, write_text
from resnets.stores import address_of

MAX_SHARDS = 100_000
MAX_LABEL_BYTES = MAX_NAMES_BYTES = 1 << 20
MAX_HEADER_BYTES = 1 << 20  # of a long name or other data about a member
MAX_LABEL = 10**9
MAX_PICTURE_BYTES = 1 << 30
BLOCK = 512  # block size of a tar, in bytes


class Sample(NamedTuple):
    """An image in a tar, with its label."""

    key: str  # with the image's suffix
    offset: int
    size: int
    label: int | str


# --- which shards ----------------------------------------------------------------------------------------------------


def is_pattern(data: str | os.PathLike[str]) -> bool:
    """Whether `data` is a pattern of shards with braces or stars, or an address, rather than a path: in an object store that of
    a tar, a pattern, or a folder with shards; other folders there are copied (`stores.local`), and are paths."""
    text = os.fspath(data)
    if _is_far_folder(text):
        return any(map(_split_of, _matching(f"{address_of(text)}/*.tar")))
    return "://" in text or (text.endswith(".tar") and any(sign in text for sign in "{*") and not Path(text).exists())


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
    mode_of(in_chans)
    if isinstance(source, Path) and source.is_dir():
        urls = sorted(str(path) for path in source.glob("*.tar") if _split_of(path))
    elif isinstance(source, str) and _is_far_folder(source):
        urls = [url for url in _matching(f"{address_of(source)}/*.tar") if _split_of(url)]
    else:
        urls = [url for pattern in expand(os.fspath(source)) for url in _matching(pattern)]
    if not urls:
        raise InputError(f"{printable(source)}: no shard matches")
    groups: dict[str, list[Shard]] = {}
    for url in dict.fromkeys(urls):
        groups.setdefault(_split_of(url) or "train", []).append(_shard(url))
    names = _class_names(urls[0])
    parts = {split: _part(groups[split], in_chans, names) for split in SPLITS if split in groups}
    first = next(iter(groups.values()))[0]
    return Found(printable(Path(first.url).parent.name), parts)


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


def _matching(pattern: str) -> list[str]:
    if "*" not in pattern:
        return [pattern]
    with remote.blame(pattern):
        system, path = remote.file_system(pattern)
        return [system.unstrip_protocol(name) if "://" in pattern else name for name in sorted(system.glob(path))]


def _shard(url: str) -> Shard:
    with remote.blame(url):
        if "://" not in url:
            stat = Path(url).stat()
            return Shard(str(Path(url).resolve()), stat.st_size, str(stat.st_mtime_ns))
        system, path = remote.file_system(url)
        info = system.info(path)
        stamp = next((str(info[name]) for name in ("ETag", "etag", "mtime", "LastModified", "created") if info.get(name)), "")
        return Shard(url, int(info.get("size") or 0), stamp)


def _class_names(url: str) -> list[str]:
    """The lines of classes.txt beside the shards; empty without that file."""
    beside = url.rpartition("/")[0] + "/classes.txt" if "/" in url else "classes.txt"
    if "://" in beside:
        content = remote.content(beside, MAX_NAMES_BYTES)
    else:
        content = read_bytes(beside, most=MAX_NAMES_BYTES) if Path(beside).exists() else b""
    try:
        return [line.strip() for line in content.decode("utf-8-sig").splitlines() if line.strip()]
    except UnicodeDecodeError:
        raise InputError(f"{printable(beside)}: not UTF-8 text; save it as UTF-8") from None


# --- the index -------------------------------------------------------------------------------------------------------


def _part(shards: list[Shard], in_chans: int, names: Sequence[str]) -> Part:
    samples = [_index(shard) for shard in shards]
    labels = [_label(sample.label, names, shard) for shard, each in zip(shards, samples, strict=True) for sample in each]
    if not labels:
        raise InputError(f"{printable(shards[0].url)}: no images found; a shard holds KEY.jpg beside KEY.cls or KEY.json")
    ranks = {name: number for number, name in reversed(list(enumerate(names)))}
    classes = sorted(set(labels), key=lambda label: (ranks.get(label, len(ranks)), *_by_number(label)))
    codes = {label: code for code, label in enumerate(classes)}
    images = ShardImages(
        shards,
        np.repeat(np.arange(len(shards)), [len(each) for each in samples]),
        np.array([(sample.offset, sample.size) for each in samples for sample in each], dtype=np.int64),
        [sample.key for each in samples for sample in each],
        in_chans,
    )
    return Part(images, tuple(classes), np.array([codes[label] for label in labels], dtype=np.int64))


def _by_number(label: str) -> tuple[int, str]:
    """A sort key: numbers by value, before names."""
    return (int(label), "") if label.isdecimal() and len(label) < 10 else (1 << 40, label)


def _label(label: int | str, names: Sequence[str], shard: Shard) -> str:
    """The class name of a label. Raises `InputError` for a number beyond `names`."""
    if isinstance(label, str) or not names:
        return printable(str(label))
    if not 0 <= label < len(names):
        raise InputError(f"{printable(shard.url)}: class {label}, and classes.txt has {len(names)} lines, from class 0 on")
    return names[label]


def _index(shard: Shard) -> list[Sample]:
    """The samples of a shard, from the cached index; if there is none, the shard is read and its index is written."""
    path = remote.cache_folder() / "index" / f"{shard.key}.json"
    with contextlib.suppress(OSError, ValueError, TypeError, RecursionError):  # none yet, or damaged: it is written anew
        with open_regular(path) as file:
            checksum, content = file.readline(100), file.read()
        if checksum.strip().decode() == hashlib.sha256(content).hexdigest():
            return [Sample(*row) for row in json.loads(content)]
    with remote.blame(shard.url), remote.opened(shard) as file:
        samples = read_index(file, printable(shard.url))
    text = json.dumps(samples, separators=(",", ":"))
    write_text(path, f"{hashlib.sha256(text.encode()).hexdigest()}\n{text}")
    return samples


def read_index(file: BinaryIO, name: str) -> list[Sample]:
    """The samples in a tar, in order. Nothing is unpacked, and no name in it is used as a path.

    Raises:
        InputError: if it is not an uncompressed tar, is truncated, or holds links, devices, or images without a label.
    """
    found: defaultdict[str, _Members] = defaultdict(_Members)
    end = file.seek(0, os.SEEK_END)
    file.seek(0)
    remedy = "write or download it again, uncompressed"
    with foreign(name, remedy, what="a tar"), tarfile.open(fileobj=file, mode="r:", tarinfo=_Header) as tar:
        while (member := tar.next()) is not None:
            tar.members.clear()  # type: ignore[attr-defined]  # otherwise it would keep all of them in memory
            _add(member, file, end, name, found)
        file.seek(tar.offset)
        if file.read(BLOCK) != bytes(BLOCK):  # tarfile itself takes a truncated file as complete
            raise InputError(f"{name}: the tar is truncated or damaged at byte {tar.offset:,}; write or download it again")
    if missing := [key for key, members in found.items() if members.picture and members.label is None]:
        raise InputError(f'{name}: no label for {quoted(map(printable, missing))}; add KEY.cls, or KEY.json with "label"')
    return [
        Sample(key + suffix, offset, size, members.label)
        for key, members in found.items()
        if members.picture and members.label is not None
        for suffix, offset, size in [members.picture]
    ]


class _Header(tarfile.TarInfo):
    """A header of a tar. Those that describe the next member are read into memory: not more than `MAX_HEADER_BYTES` of one."""

    def _proc_member(self, tar: tarfile.TarFile) -> tarfile.TarInfo:
        described = self.type in (*PAX, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK)
        if described and self.size > MAX_HEADER_BYTES:
            raise tarfile.ReadError(f"a header of {self.size:,} bytes, more than the {MAX_HEADER_BYTES:,} that are read")
        return super()._proc_member(tar)  # type: ignore[misc]


PAX = (tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE)


@dataclass
class _Members:
    """The members of a tar with the same key: the image's (suffix, offset, size), and the labels in KEY.cls and KEY.json."""

    picture: tuple[str, int, int] | None = None
    cls: int | str | None = None
    json: int | str | None = None

    @property
    def label(self) -> int | str | None:
        return self.json if self.cls is None else self.cls


def _add(member: tarfile.TarInfo, file: BinaryIO, end: int, name: str, found: defaultdict[str, _Members]) -> None:
    """Add a member of the tar `name`, which is `end` bytes long, to `found`. Raises `InputError` if it is not allowed."""
    folder, slash, base = member.name.rpartition("/")
    if member.isdir() or base.startswith("."):  # macOS adds files that begin with a dot
        return
    where = f"{name}: {printable(member.name)}"
    if not member.isreg() or member.issparse():
        raise InputError(f"{where} is a link, a device or a sparse file; write shards of regular files")
    if member.size < 0 or member.offset_data + member.size > end:
        raise InputError(f"{where} ends after the end of the tar: it is truncated or malformed; write or download it again")
    stem, dot, suffix = base.partition(".")
    key, suffix = folder + slash + stem, dot + suffix
    if suffix.lower() in IMAGE_SUFFIXES:
        if found[key].picture:
            raise InputError(f"{where} is the second image with this key; give each its own key")
        if member.size > MAX_PICTURE_BYTES:
            raise InputError(f"{where} has {member.size:,} bytes, more than the {MAX_PICTURE_BYTES:,} that are read")
        found[key].picture = suffix, member.offset_data, member.size
    elif suffix in (".cls", ".json"):
        if member.size > MAX_LABEL_BYTES:
            raise InputError(f"{where} has {member.size:,} bytes, more than the {MAX_LABEL_BYTES:,} of a label that are read")
        file.seek(member.offset_data)
        label = _read_label(file.read(member.size), suffix, where)
        if label is not None:
            setattr(found[key], suffix[1:], label)


def _read_label(data: bytes, suffix: str, where: str) -> int | str | None:
    """The label in the content of KEY.cls or KEY.json; None if the JSON has none. Raises `InputError`."""
    try:
        if suffix == ".cls":
            return _in_range(int(data.decode()))
        values = json.loads(data)
        label = values.get("label") if isinstance(values, dict) else None
        if isinstance(label, int):
            _in_range(label)
    except (ValueError, RecursionError):
        raise InputError(f"{where}: {'not an integer' if suffix == '.cls' else 'not JSON'}; write the shard again") from None
    if isinstance(label, bool) or not isinstance(label, int | str | None) or label == "":
        raise InputError(f'{where}: "label" is {str(label)[:40]!r}; give a name or an integer')
    return label


def _in_range(label: int) -> int:
    if abs(label) > MAX_LABEL:
        raise ValueError(f"a label beyond {MAX_LABEL:,}")
    return label


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
