"""dataset.json, as the Medical Segmentation Decathlon and nnU-Net have it: classes, modalities, and the cases for training.

The file is anyone's: names and paths are checked, and paths that leave its folder are refused. No torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from resnets.data.pictures.images import printable
from resnets.data.readers.names import in_folder
from resnets.data.targets import NUMBERS
from resnets.errors import InputError
from resnets.files import read_json, short

NAME = "dataset.json"
MAX_BYTES = 2**26  # of the file, which may list a million cases
MAX_NAME = 200  # characters of the name of a class or modality


class Described(NamedTuple):
    """What dataset.json says; what it does not say is empty.

    Args:
        named: the name of each value in labels.
        modalities: of the channels, in order.
        training: (image, labels) of each case, relative to the folder.
        num_tests: cases that are listed without labels.
    """

    named: Mapping[int, str] = {}
    modalities: tuple[str, ...] = ()
    training: tuple[tuple[Path, Path], ...] = ()
    num_tests: int = 0


def described(root: Path) -> Described:
    """What `root/dataset.json` says; nothing where there is none.

    Raises:
        InputError: where it is no JSON, numbers classes or modalities in another way, or leaves the folder.
    """
    path = root / NAME
    if not path.is_file():
        return Described()
    content, where = read_json(path, most=MAX_BYTES), printable(path)
    tests = content.get("test")
    return Described(
        _classes(content.get("labels"), where),
        _modalities(content.get("channel_names", content.get("modality")), where),
        _training(content.get("training"), where),
        len(tests) if isinstance(tests, list) else 0,
    )


def _classes(labels: Any, where: str) -> dict[int, str]:
    """{"0": "background", ...} of the Decathlon, or {"background": 0, ...} of nnU-Net."""
    if not labels:
        return {}
    if not isinstance(labels, dict):
        raise InputError(f"{where}: labels={short(labels)}; write them as {{'0': 'background', '1': ...}}")
    found = {}
    for key, value in labels.items():
        if isinstance(value, list):
            words = "is a region of several values, which is not read; give each value its own name"
            raise InputError(f"{where}: the label '{key:.100}' {words}")
        number, name = (value, key) if _is_number(value) and not _is_number(key) else (key, value)
        if not _is_number(number) or not isinstance(name, str) or int(number) in found or not int(number) < NUMBERS:
            raise InputError(f"{where}: the label {short(key)}: {short(value)} is no value with its name, each once")
        found[int(number)] = _name(name, where)
    return dict(sorted(found.items()))


def _is_number(value: Any) -> bool:
    return (isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 6) or (
        isinstance(value, int) and not isinstance(value, bool) and value >= 0
    )


def _name(name: str, where: str) -> str:
    words = " ".join(name.split())
    if not words or len(words) > MAX_NAME or not words.isprintable():
        raise InputError(f"{where}: the name {short(name)} cannot be used; give one of 1 to {MAX_NAME} printable characters")
    return words


def _modalities(found: Any, where: str) -> tuple[str, ...]:
    """{"0": "CT", ...}, numbered from 0 on."""
    if not found:
        return ()
    numbers = sorted(map(str, found)) if isinstance(found, dict) else []
    if numbers != sorted(map(str, range(len(numbers)))) or not all(isinstance(name, str) for name in found.values()):
        raise InputError(f"{where}: modality={short(found)}; number them from 0 on, as in {{'0': 'CT'}}")
    return tuple(_name(found[str(number)], where) for number in range(len(numbers)))


def _training(cases: Any, where: str) -> tuple[tuple[Path, Path], ...]:
    """[{"image": "./imagesTr/a.nii.gz", "label": "./labelsTr/a.nii.gz"}, ...]."""
    found = []
    for case in cases if isinstance(cases, list) else []:
        image, label = (case.get(key) if isinstance(case, dict) else None for key in ("image", "label"))
        if not isinstance(image, str) or not isinstance(label, str):
            raise InputError(f"{where}: training holds {short(case)}; give an image and a label, as paths")
        found.append((Path(in_folder(image, where)), Path(in_folder(label, where))))
    return tuple(found)
