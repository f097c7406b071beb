"""Layouts with images in one folder and label files of the same names in another. No torch."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path

from resnets.data.pictures.images import printable
from resnets.data.readers.class_folders import like_splits, refuse_like_splits
from resnets.data.readers.layouts import SPLIT_WORDS, SPLITS
from resnets.data.readers.walk import Left, count_all, entries, folders, kind_of, normal, what
from resnets.errors import InputError

Pairs = list[tuple[Path, Path]]  # (image, label file); one of the two may not exist


def pairs_of_folders(root: Path, pictures: str, labels: str, left: Left | None = None) -> dict[str, tuple[Path, Path]]:
    """The (image folder, label folder) of each split: `root/<split>/{pictures,labels}`, `root/{pictures,labels}/<split>`.

    Without splits, `root/{pictures,labels}` are for training. Raises `InputError` if a split has two folders.

    Args:
        pictures, labels: names of the two folders.
        left: counts what lies beside the splits; and then a pair of folders that means a split by a word that is not read is an
            error. None: to recognise the layout.
    """
    if not root.is_dir():
        return {}
    pairs = [(folder.name, folder / pictures, folder / labels) for folder in folders(root)]
    pairs += [(folder.name, folder, root / labels / folder.name) for folder in folders(root / pictures)]
    pairs = [(word, first, second) for word, first, second in sorted(pairs) if first.is_dir() and second.is_dir()]
    found: dict[str, tuple[Path, Path]] = {}
    words = [Path(word) for word, _, _ in pairs if split_of_folder(word) is None]
    if left is not None:
        refuse_like_splits(root, words)
    elif like_splits(words):
        found["train"] = pairs[0][1:]
    for word, first, second in pairs:
        split = split_of_folder(word)
        if split is None and left is not None and (found or any(map(split_of_folder, (other for other, _, _ in pairs)))):
            left.add("images beside the splits", first, count_all(first, printable(first), left))
        if split:
            if split in found and left is not None:
                raise InputError(f"{printable(root)}: more than one folder holds the {split} split; keep one")
            found[split] = first, second
    if not found and (root / pictures).is_dir() and (root / labels).is_dir():
        found["train"] = root / pictures, root / labels
    return {split: found[split] for split in SPLITS if split in found}


def split_of_folder(word: str) -> str | None:
    """The split that a folder is for: train, Val, test2017."""
    return SPLIT_WORDS.get(word.lower().rstrip("0123456789"))


def matched(pictures: Mapping[str, Path], labels: Mapping[str, Path], places: tuple[Path, Path], suffix: str) -> Pairs:
    """Pairs of image and label file with the same stem, sorted. A missing file gets the path where it is expected.

    Args:
        pictures, labels: paths by stem.
        places: the folders of the two.
        suffix: suffix of label files, for messages and expected paths.

    Raises:
        InputError: if no stem is in both.
    """
    if not pictures:
        raise InputError(f"{printable(places[0])}: no images here; put them there, not in folders below it")
    if not pictures.keys() & labels.keys():
        others = sorted(path.name for path in places[1].iterdir() if path.stem in pictures and path not in labels.values())
        if others:
            raise InputError(f"{printable(places[1])}: {others[0]}, and what is read there ends in {suffix}; save it as that")
        raise InputError(
            f"{printable(places[1])}: no file there has the name of an image in {printable(places[0])}; use the same names"
        )
    return [
        (pictures.get(stem, places[0] / f"{stem}{suffix}"), labels.get(stem, places[1] / f"{stem}{suffix}"))
        for stem in sorted(pictures.keys() | labels.keys())
    ]


def by_stem(folder: Path, suffixes: Collection[str], left: Left | None = None) -> dict[str, Path]:
    """The files of `folder` with one of `suffixes`, by name without suffix, in composed Unicode (NFC).

    Args:
        left: counts the other files, and those in folders below, which are not entered.

    Raises:
        InputError: for a repeated name.
    """
    found: dict[str, Path] = {}
    left = Left() if left is None else left
    for entry in entries(folder):
        path, kind = Path(entry), what(entry)
        suffix = next((suffix for suffix in suffixes if path.name.lower().endswith(suffix)), None)
        if kind == "folder":
            if num := count_all(path, printable(path), left):
                left.add("files in folders below", path, num)
            continue
        if suffix is None or kind == "other":
            left.add(kind_of(path.name) if kind != "other" else "pipes or devices", path)
            continue
        stem = normal(path.name[: -len(suffix)])
        if stem in found:
            raise InputError(f"{printable(path)}: {found[stem].name} has the same name; keep one of them")
        found[stem] = path
    return found
