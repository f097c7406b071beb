"""Layouts with images in one folder and label files of the same names in another. No torch."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path

from resnets.data.pictures.images import printable
from resnets.data.readers.layouts import SPLIT_WORDS, SPLITS
from resnets.errors import InputError

Pairs = list[tuple[Path, Path]]  # (image, label file); one of the two may not exist


def pairs_of_folders(root: Path, pictures: str, labels: str) -> dict[str, tuple[Path, Path]]:
    """The (image folder, label folder) of each split: `root/<split>/{pictures,labels}`, `root/{pictures,labels}/<split>`.

    Without splits, `root/{pictures,labels}` are for training. Raises `InputError` if a split has two folders.

    Args:
        pictures, labels: names of the two folders.
    """
    if not root.is_dir():
        return {}
    pairs = [(folder.name, folder / pictures, folder / labels) for folder in root.iterdir()]
    if (root / pictures).is_dir():
        pairs += [(folder.name, folder, root / labels / folder.name) for folder in (root / pictures).iterdir()]
    found: dict[str, tuple[Path, Path]] = {}
    for word, first, second in sorted(pairs):
        split = SPLIT_WORDS.get(word.lower())
        if split and first.is_dir() and second.is_dir():
            if split in found:
                raise InputError(f"{printable(root)}: more than one folder holds the {split} split; keep one")
            found[split] = first, second
    if not found and (root / pictures).is_dir() and (root / labels).is_dir():
        found["train"] = root / pictures, root / labels
    return {split: found[split] for split in SPLITS if split in found}


def matched(pictures: Mapping[str, Path], labels: Mapping[str, Path], folders: tuple[Path, Path], suffix: str) -> Pairs:
    """Pairs of image and label file with the same stem, sorted. A missing file gets the path where it is expected.

    Args:
        pictures, labels: paths by stem.
        folders: the folders of the two.
        suffix: suffix of label files, for messages and expected paths.

    Raises:
        InputError: if no stem is in both.
    """
    if not pictures.keys() & labels.keys():
        others = sorted(path.name for path in folders[1].iterdir() if path.stem in pictures and path not in labels.values())
        if others:
            raise InputError(f"{printable(folders[1])}: {others[0]}, and what is read there ends in {suffix}; save it as that")
        raise InputError(
            f"{printable(folders[1])}: no file there has the name of an image in {printable(folders[0])}; use the same names"
        )
    return [
        (pictures.get(stem, folders[0] / f"{stem}{suffix}"), labels.get(stem, folders[1] / f"{stem}{suffix}"))
        for stem in sorted(pictures.keys() | labels.keys())
    ]


def by_stem(folder: Path, suffixes: Collection[str]) -> dict[str, Path]:
    """The files of `folder` with one of `suffixes`, by name without suffix. Raises `InputError` for a repeated name."""
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        suffix = next((suffix for suffix in suffixes if path.name.lower().endswith(suffix)), None)
        if suffix is None or path.name.startswith("."):
            continue
        stem = path.name[: -len(suffix)]
        if stem in found:
            raise InputError(f"{printable(path)}: {found[stem].name} has the same name; keep one of them")
        found[stem] = path
    return found
