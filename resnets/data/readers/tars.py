"""What is in a tar of shards: images by their place, with labels; `shards` reads many of them. Nothing is unpacked."""

from __future__ import annotations

import contextlib
import json
import math
import os
import tarfile
from collections import defaultdict
from dataclasses import dataclass
from typing import Any, BinaryIO, NamedTuple

from resnets.data.pictures.images import IMAGE_SUFFIXES, printable
from resnets.data.readers.layouts import quoted
from resnets.errors import InputError
from resnets.files import foreign

MAX_LABEL_BYTES = 1 << 20
MAX_HEADER_BYTES = 1 << 20  # of a long name or other data about a member
MAX_LABEL = 10**9
MAX_PICTURE_BYTES = 1 << 30
BLOCK = 512  # block size of a tar, in bytes

Label = int | str | float | list[str]  # a class, a number, several labels


class Packed(NamedTuple):
    """What a sample was before it was packed: its position in its split, its path, its group, and its cells of a list's other
    columns. The samples of a split that all have a position are in this order."""

    position: int
    path: str
    group: str | None = None
    columns: dict[str, str] | None = None


class Sample(NamedTuple):
    """An image in a tar, with its label."""

    key: str  # with the image's suffix
    offset: int
    size: int
    label: Label
    packed: Packed | None = None


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
        Sample(key + suffix, offset, size, members.label, members.packed)
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
    cls: Label | None = None
    json: Label | None = None
    packed: Packed | None = None

    @property
    def label(self) -> Label | None:
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
        content = file.read(member.size)
        if suffix == ".cls":
            found[key].cls = _read_cls(content, where)
        else:
            found[key].json, found[key].packed = _read_json(content, where)


def _read_cls(content: bytes, where: str) -> int:
    """The label in KEY.cls. Raises `InputError`."""
    try:
        return _in_range(int(content.decode()))
    except ValueError:
        raise InputError(f"{where}: not an integer; write the shard again") from None


def _read_json(content: bytes, where: str) -> tuple[Label | None, Packed | None]:
    """The label in KEY.json, None if it has none, and what it was packed with. Raises `InputError`."""
    try:
        values = json.loads(content)
        label, packed = (values.get(name) if isinstance(values, dict) else None for name in ("label", "packed"))
        if isinstance(label, int):
            _in_range(label)
    except (ValueError, RecursionError):
        raise InputError(f"{where}: not JSON; write the shard again") from None
    several = isinstance(label, list) and all(isinstance(name, str) and name for name in label)
    number = isinstance(label, float) and math.isfinite(label)
    if isinstance(label, bool) or label == "" or not (label is None or isinstance(label, int | str) or several or number):
        raise InputError(f'{where}: "label" is {str(label)[:40]!r}; give a name or an integer')
    return label, _read_packed(packed, where)


def _read_packed(values: Any, where: str) -> Packed | None:
    """What `data pack` wrote of a sample; None where it is something else. Raises `InputError`."""
    if values is None:
        return None
    with contextlib.suppress(TypeError):
        packed = Packed(**values)
        columns = packed.columns or {}
        texts = [packed.path, packed.group or "", *columns, *columns.values()]
        if type(packed.position) is int and 0 <= packed.position < 1 << 62 and all(type(text) is str for text in texts):
            return packed
    raise InputError(f'{where}: "packed" is {str(values)[:40]!r}, not what `resnets data pack` writes; write the shard again')


def _in_range(label: int) -> int:
    if abs(label) > MAX_LABEL:
        raise ValueError(f"a label beyond {MAX_LABEL:,}")
    return label
