"""One walk through folders for everything that reads images: what is entered, what is read, and a count of what is left out.

No torch.
"""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Collection, Iterator
from pathlib import Path

from resnets.data.pictures.dicom.parse import HIDDEN as HIDDEN_DICOM
from resnets.data.pictures.dicom.parse import is_dicom, is_named
from resnets.data.pictures.images import IMAGE_SUFFIXES, printable
from resnets.data.pictures.volumes import SUFFIXES as VOLUME_SUFFIXES
from resnets.data.types import Note
from resnets.errors import InputError

# What systems and programs leave beside the files of people; it is never read, nor counted.
HIDDEN = ("__MACOSX", "@eaDir", "$RECYCLE.BIN", "System Volume Information")
HIDDEN_FILES = ("thumbs.db", "desktop.ini", HIDDEN_DICOM)
# Files that a run directory has (`engine.run.RunDir`), and a folder of folds, and one of `resnets eval --out`.
RUN_FILES = (
    ("recipe.yaml", "provenance.json"),
    ("recipe.yaml", "folds.json"),
    ("recipe.yaml", "fold1"),
    ("recipe.yaml", "seeds.json"),
    ("evaluation.json", "plots"),
)
RUNS = "runs"  # where they lie unless `--out` says otherwise
RUN = "run directories of resnets"  # a kind of `Left`
# Images that are not read here, but were meant to be.
CONVERTIBLE = frozenset({
    ".heic", ".heif", ".avif", ".jp2", ".j2k", ".jxl", ".svg", ".psd", ".ico", ".tga", ".raw", ".dng", ".cr2", ".cr3", ".nef",
    ".arw", ".orf", ".rw2", ".npy", ".exr", ".hdr", ".mp4", ".mov", ".avi", ".pdf",
})  # fmt: skip
SHOWN = 4  # kinds of files that a note names


class Left:
    """What is left out of a dataset: how many files of each kind, and the first of them."""

    def __init__(self) -> None:
        self.kinds: dict[str, tuple[int, str]] = {}

    def add(self, kind: str, name: str | os.PathLike[str], num: int = 1) -> None:
        before, first = self.kinds.get(kind, (0, ""))
        self.kinds[kind] = before + num, first or printable(name)

    def num(self, kind: str) -> int:
        return self.kinds.get(kind, (0, ""))[0]

    def notes(self) -> tuple[Note, ...]:
        """A note that counts all of it by kind; none if nothing was left out."""
        files = sorted((item for item in self.kinds.items() if item[0] != RUN), key=lambda item: -item[1][0])
        words = [f"{num:,} {kind} ({first}{', ...' * (num > 1)})" for kind, (num, first) in files]
        texts = []
        if total := sum(num for _, (num, _) in files):
            told = ", ".join(words[:SHOWN]) + f" and {len(words) - SHOWN} more kinds" * (len(words) > SHOWN)
            texts.append(f"{total:,} {'file' if total == 1 else 'files'} left out: {told}")
        if RUN in self.kinds:
            num, first = self.kinds[RUN]
            texts.append(f"{num:,} {RUN if num > 1 else RUN.replace('ies', 'y')} not entered ({first})")
        if convertible := [kind for kind, _ in files if kind in CONVERTIBLE]:
            texts.append(f"convert {', '.join(convertible[:SHOWN])} to JPEG or PNG to use them")
        return (Note("left_out", "; ".join(texts), tuple(words[SHOWN:])),) if texts else ()


def kind_of(name: str) -> str:
    """The kind of a file that is not read: its suffix."""
    return os.path.splitext(name)[1].lower() or "without a suffix"  # noqa: PTH122 (a million files)


def entries(folder: str | Path) -> list[os.DirEntry[str]]:
    """The entries of `folder`, sorted by name, without hidden ones. Raises `InputError` if it cannot be read."""
    try:
        with os.scandir(folder) as found:
            return sorted((entry for entry in found if not is_hidden(entry.name)), key=lambda entry: entry.name)
    except OSError as error:
        raise InputError(f"{printable(folder)}: {error.strerror}; make the folder readable") from error


def is_hidden(name: str) -> bool:
    return name.startswith((".", *HIDDEN)) or name.lower() in HIDDEN_FILES


def is_run(folder: str | Path) -> bool:
    """Whether `folder` is a run directory, or one of `resnets eval --out`."""
    return any(all(Path(folder, name).exists() for name in files) for files in RUN_FILES)


def folders(folder: Path) -> list[Path]:
    """The folders in `folder`, if that is one."""
    return [Path(entry) for entry in entries(folder) if what(entry) == "folder"] if folder.is_dir() else []


def what(entry: os.DirEntry[str]) -> str:
    """What an entry is: "folder", "file", "dead link" (a link to nothing or to itself), or "other" (a pipe, a device)."""
    if not os.path.exists(entry):  # noqa: PTH110 (a million files)
        return "dead link"
    return "folder" if entry.is_dir() else "file" if entry.is_file() else "other"


def identity(folder: str | Path) -> tuple[int, int]:
    """What is the same of a folder and of every link to it."""
    stat = os.stat(folder)  # noqa: PTH116 (entries of scandir are strings here)
    return stat.st_dev, stat.st_ino


def walk(
    folder: str | Path,
    prefix: str,
    left: Left,
    *,
    suffixes: Collection[str] = IMAGE_SUFFIXES,
    visited: set[tuple[int, int]] | None = None,
) -> Iterator[str]:
    """The paths of all images below `folder`, as `prefix`/...: those of a folder in order, then those of its folders. DICOM
    files, whose names often have no suffix, are images by their content.

    Links are followed, but no folder is entered twice, so that links to a parent folder do not loop. Run directories are not
    entered. Dead links are among the images: to read them fails, and says so.

    Args:
        left: counts the other files, by suffix.
        suffixes: of what is read, in lower case.
        visited: folders (`identity`) that are not to be entered; those that are entered are added.
    """
    endings, visited = tuple(suffixes), set() if visited is None else visited
    waiting = [(str(folder), prefix)]
    while waiting:
        folder, prefix = waiting.pop()
        if (own := identity(folder)) in visited:
            continue
        visited.add(own)
        if is_run(folder):
            left.add(RUN, prefix)
            continue
        below = []
        for entry in entries(folder):
            path, kind = os.path.join(prefix, entry.name), what(entry)  # noqa: PTH118 (a million files)
            if kind == "folder":
                below.append((entry.path, path))
            elif kind in ("file", "dead link") and (entry.name.lower().endswith(endings) or _is_scan(entry)):
                yield path
            else:
                left.add("pipes or devices" if kind == "other" else kind_of(entry.name), path)
        waiting += reversed(below)


def _is_scan(entry: os.DirEntry[str]) -> bool:
    """Whether an entry is a file in DICOM; only names that such files have are looked into."""
    return is_named(entry.name) and is_dicom(entry.path)


def count_all(folder: str | Path, name: str, left: Left) -> int:
    """Count all files below `folder` as left out, as they would be counted in a dataset; how many images are there."""
    inside = Left()
    num = sum(1 for _ in walk(folder, name, inside, suffixes=(*IMAGE_SUFFIXES, *VOLUME_SUFFIXES)))
    for kind, (others, first) in inside.kinds.items():
        left.add(kind, first, others)
    return num


# --- names in two spellings of Unicode ---------------------------------------------------------------------------------


def normal(name: str) -> str:
    """`name` in the composed form of Unicode (NFC). A Mac's archives have the other (NFD): é as e and an accent."""
    return name if name.isascii() else unicodedata.normalize("NFC", name)


def one_spelling(root: str | Path, path: str) -> str:
    """What is the same of all ways to write a path: a/1.jpg, ./a/1.jpg, /data/a/1.jpg."""
    return normal(os.path.abspath(Path(root, path)))  # noqa: PTH100 (links are not followed)


class Spelled:
    """Paths below `root` as they are spelled there, where that differs in the form of Unicode alone."""

    def __init__(self, root: str | Path) -> None:
        self.root = Path(root)
        self.names: dict[Path, dict[str, str]] = {}  # of each folder, by their composed forms; each is looked at once

    def __call__(self, path: str) -> str | None:
        """`path`, relative to `root`, as it is spelled there; None if it is not there."""
        if os.path.exists(Path(self.root, path)):  # noqa: PTH110 (Path.exists raises for names that are too long)
            return path
        if path.isascii():
            return None
        found = Path()
        for part in Path(path).parts:
            here = Path(self.root, found)
            if not os.path.exists(here / part):  # noqa: PTH110
                if here not in self.names:
                    names = [entry.name for entry in entries(here)] if here.is_dir() else []
                    self.names[here] = {normal(name): name for name in reversed(names)}
                if (same := self.names[here].get(normal(part))) is None:
                    return None
                part = same
            found /= part
        return str(found)
