"""torch's Dataset and DataLoader, whose items are a picture and its class, as a dataset. No torch is imported.

A Dataset gives pictures, not inputs: how they are resized, normalised and augmented is the run's to say, travels with the
model, and is the same again when the run is taken up. So its pictures are 8 bits, and the same at each reading.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image

from resnets.data.pictures.decoded import DecodedImages
from resnets.data.pictures.images import BadPicture, pixels_of
from resnets.data.pictures.resize import as_image, is_tensor
from resnets.data.pictures.stored import evenly_spaced
from resnets.data.readers.arrays import SERIES
from resnets.data.readers.layouts import Part
from resnets.errors import InputError

LOOKED = 32  # pictures that are read at first, twice
GIVE = "give a map-style Dataset whose items are (picture, class)"
DETERMINISTIC = (
    "another picture when it is read again; take what is random out of its transform: training augments by its own "
    "settings (hflip, crop, auto_augment, ...), so that a run can be repeated and taken up again"
)


class DatasetImages(DecodedImages):
    """The pictures of a Dataset, read when they are asked for.

    Args:
        dataset: `dataset[i][0]` is a picture as `as_image` takes it.
        split: the split that it is, for names such as "train[17]".
        positions: (N,) which of its items; default (None): all.
    """

    def __init__(self, dataset: Any, in_chans: int, split: str, positions: np.ndarray | None = None) -> None:
        self.dataset, self.in_chans, self.split = dataset, in_chans, split
        self.positions = np.arange(len(dataset)) if positions is None else positions

    def __len__(self) -> int:
        return len(self.positions)

    def name(self, index: int, /) -> str:
        return f"{self.split}[{self.positions[index]}]"

    def picture(self, index: int, /) -> Any:
        return self.dataset[int(self.positions[index])][0]

    def subset(self, indices: Sequence[int] | np.ndarray) -> DatasetImages:
        chosen = self.positions[np.asarray(indices, np.int64)]
        return DatasetImages(self.dataset, self.in_chans, self.split, chosen).at_depth(self.bit_depth).windowed(self.window)

    def digest(self) -> bytes:
        """A SHA-256 of how many pictures there are, and of the pixels of `LOOKED` of them, evenly spaced."""
        digest = hashlib.sha256(self.positions.astype("<i8").tobytes())
        for index in evenly_spaced(np.arange(len(self)), LOOKED).tolist():
            try:
                pixels = self[index]
            except BadPicture:
                continue
            digest.update(repr(pixels.shape).encode() + np.ascontiguousarray(pixels).tobytes())
        return digest.digest()

    state = digest


def is_dataset(data: Any) -> bool:
    """Whether it is a Dataset, or a sequence of items."""
    plain = isinstance(data, str | bytes | tuple | np.ndarray | Mapping) or is_tensor(data)
    if isinstance(data, list) and len(data) == 2:  # [X, y] is a pair
        plain = not all(isinstance(item, tuple | list) for item in data)
    return not plain and (hasattr(data, "__getitem__") or _is_iterable(data))


def _is_iterable(data: Any) -> bool:
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(data, torch.utils.data.IterableDataset)


def read_dataset(dataset: Any, split: str, in_chans: int | None) -> Part:
    """A split from a Dataset. Classes are integers or names; where integers have names in `dataset.classes`, as torchvision's
    datasets have them, these are the classes' names.

    Raises:
        InputError: where it has no positions, no items of that kind, or not the same pictures at each reading.
    """
    kind = f"{split}: {type(dataset).__name__}"
    if _is_iterable(dataset) or not hasattr(dataset, "__len__"):
        raise InputError(
            f"{kind} has no length or positions, by which training shuffles, cuts validation and resumes; {GIVE}, or shards"
        )
    if len(dataset) == 0:
        raise InputError(f"{kind} has no items; {GIVE}")
    looked: dict[int, tuple[Any, Any]] = {}
    for index in evenly_spaced(np.arange(len(dataset)), LOOKED).tolist():
        try:
            looked[index] = _item(dataset, index, kind)
        except BadPicture as error:  # a few that cannot be read are left out when they are read, and counted
            bad = error
    if not looked:
        raise bad
    in_chans = _channels(next(iter(looked.values()))[0]) if in_chans is None else in_chans
    images = DatasetImages(dataset, in_chans, split)
    for index, (picture, _) in looked.items():
        try:
            if not np.array_equal(pixels_of(as_image(picture, in_chans)), images[index]):
                raise InputError(DETERMINISTIC)
        except BadPicture:
            continue
        except InputError as error:
            flat = f"; {SERIES}" if 0 < getattr(picture, "ndim", 0) < 3 else ""
            raise InputError(f"{kind}: item {index}: {error}{flat}") from None
    labels = _labels(dataset, {index: label for index, (_, label) in looked.items()}, kind)
    names = _names(dataset)
    classes, codes = np.unique(np.array(labels), return_inverse=True)
    if classes.dtype.kind in "iu" and classes.min() >= 0 and classes.max() < len(names):
        return Part(images, tuple(names[index] for index in classes), codes.astype(np.int64))
    return Part(images, tuple(map(str, classes.tolist())), codes.astype(np.int64))


def _item(dataset: Any, index: int, kind: str) -> tuple[Any, Any]:
    try:
        item = dataset[index]
    except Exception as error:  # of others' code
        raise BadPicture(f"{kind}: item {index}", f"cannot be read ({type(error).__name__}: {str(error)[:200]})") from error
    if not isinstance(item, tuple | list) or len(item) != 2:
        raise InputError(f"{kind}: item {index} is {_described(item)}; {GIVE}")
    return item[0], item[1]


def _described(item: Any) -> str:
    return f"{len(item)} values" if isinstance(item, tuple | list) else type(item).__name__


def _channels(picture: Any) -> int:
    """1 for a grey picture, 4 for an array of four channels, else 3."""
    if isinstance(picture, Image.Image):
        return 1 if picture.mode in ("1", "L", "I;16", "I", "F") else 3
    shape = tuple(getattr(picture, "shape", (0, 0, 3)))
    return 1 if len(shape) == 2 or 1 in (shape[0], shape[-1]) else 4 if 4 in (shape[0], shape[-1]) else 3


def _labels(dataset: Any, looked: Mapping[int, Any], kind: str) -> list[Any]:
    """The class of each item: `_known` ones where those of the items looked at agree, else by reading all items."""
    known = _known(dataset)
    if known is None or any(_label(known[index], kind) != _label(label, kind) for index, label in looked.items()):
        known = [_item(dataset, index, kind)[1] for index in range(len(dataset))]
    return [_label(label, kind) for label in known]


def _known(dataset: Any) -> Sequence[Any] | None:
    """The classes that a Dataset states without reading pictures: its `targets`, `labels` or `_labels`, as torchvision's have
    them, of a Subset those of its whole; None where it states none."""
    if hasattr(dataset, "indices") and hasattr(dataset, "dataset"):
        whole = _known(dataset.dataset)
        return None if whole is None else [whole[index] for index in dataset.indices]
    stated = (getattr(dataset, name, None) for name in ("targets", "labels", "_labels"))
    return next((each for each in stated if each is not None and hasattr(each, "__len__") and len(each) == len(dataset)), None)


def _names(dataset: Any) -> list[str]:
    """The names of the classes by their numbers, where the Dataset has some."""
    names = getattr(getattr(dataset, "dataset", dataset), "classes", ())
    return list(names) if isinstance(names, list | tuple) and all(isinstance(name, str) for name in names) else []


def _label(label: Any, kind: str) -> int | str:
    value = label.item() if getattr(label, "shape", None) == () else label
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise InputError(f"{kind}: a class is {type(label).__name__} ({str(label)[:60]!r}); give a whole number or a name")
    return value


# --- DataLoader ---


def is_loader(data: Any) -> bool:
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(data, torch.utils.data.DataLoader)


def read_loader(loader: Any, split: str, in_chans: int | None) -> Part:
    """A split from the Dataset of a DataLoader. Raises `InputError` as `read_dataset`, and for a sampler or collate function
    that would change what is trained on: order and batches are the run's, by its seed."""
    utils: Any = sys.modules["torch"].utils.data
    sampler, dataset = loader.sampler, loader.dataset
    if not _is_iterable(dataset):
        plain = type(sampler) in (utils.RandomSampler, utils.SequentialSampler) and len(sampler) == len(dataset)
        if not plain or getattr(sampler, "replacement", False) or type(loader.batch_sampler) is not utils.BatchSampler:
            odd = loader.batch_sampler if plain and not getattr(sampler, "replacement", False) else sampler
            raise InputError(
                f"{split}: a DataLoader with a {type(odd).__name__} of its own, and a run draws its order by its seed, so "
                'that it can be taken up again; give its Dataset, with balance="sampler" for classes of unequal size'
            )
        if loader.collate_fn is not utils.default_collate:
            raise InputError(
                f"{split}: a DataLoader with a collate_fn of its own, which is not used; give its Dataset (mixup and cutmix "
                "are settings)"
            )
    return read_dataset(dataset, split, in_chans)


def settings_of(loader: Any) -> dict[str, int]:
    """What of a DataLoader's settings a run takes over, unless others are given: the batch size and the workers, where they are
    not torch's defaults (1 and 0)."""
    found = {"batch_size": (loader.batch_size, 1), "workers": (loader.num_workers, 0)}
    return {name: value for name, (value, default) in found.items() if value not in (None, default)}
