"""What readers, loaders and tasks hand to each other: `Source`, `Split`, `Targets`, `Samples`, `Batch`. No torch."""

from __future__ import annotations

import copy
import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, Self

import numpy as np

from resnets import plugins
from resnets.data.targets import BACKGROUND, Fault
from resnets.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor


class Images(Protocol):
    """Images that can be had one by one: pictures as uint8 (H, W, C), series as float32 (C, L), or opened volumes."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Any:
        """Raises `BadPicture` where it cannot be read."""
        ...

    def name(self, index: int, /) -> str:
        """What to call the image in messages: its path, or "train[17]"."""
        ...


class Targets(Protocol):
    """The labels of a split, one per image, each read when it is asked for."""

    def __len__(self) -> int: ...

    def find(self, index: int, /) -> None:
        """Raises `BadLabel` where the image or its annotation is not there, or is known to be broken."""
        ...

    def read(self, index: int, image: Any) -> tuple[Any, list[Fault]]:
        """The target, which fits `image`, and what was wrong with it. Raises `BadLabel`."""
        ...

    def codes(self) -> np.ndarray:
        """(N,) int64: what a validation split is stratified by. At least one image of each code stays in training."""
        ...

    def subset(self, indices: np.ndarray) -> Self: ...

    def digest(self) -> bytes: ...


class Values:
    """Targets that are in memory: values (N, ...), such as class indices (N,) int64. Usable where an array is."""

    def __init__(self, values: np.ndarray) -> None:
        self.values = values

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, index: Any, /) -> Any:
        return self.values[index]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.array(self.values, dtype) if copy else np.asarray(self.values, dtype)

    def find(self, index: int, /) -> None:
        """Nothing can be missing."""

    def read(self, index: int, image: Any) -> tuple[Any, list[Fault]]:
        return self.values[index], []

    def codes(self) -> np.ndarray:
        """The class indices; of several labels per image (N, C), the rarest label of each image, or C where it has none."""
        if self.values.ndim == 1:
            return self.values if self.values.dtype.kind in "iu" else np.zeros(len(self), np.int64)
        there, counts = self.values > 0, (self.values > 0).sum(0)
        rarest = np.where(there, counts, len(self) + 1).argmin(1)
        codes = np.where(there.any(1), rarest, self.values.shape[1])
        return codes if len(np.unique(codes)) < len(codes) else np.zeros_like(codes)

    def subset(self, indices: np.ndarray) -> Values:
        return Values(self.values[indices])

    def joined(self, other: Values) -> Values:
        return Values(np.concatenate([self.values, other.values]))

    def replaced(self, positions: np.ndarray, values: np.ndarray) -> Self:
        """The same with other values (K, ...) at some positions (K,)."""
        found = copy.copy(self)
        found.values = self.values.copy()
        found.values[positions] = values
        return found

    def digest(self) -> bytes:
        return self.values.astype("<i8" if self.values.dtype.kind in "iu" else "<f8").tobytes()


class Note(NamedTuple):
    """Something that a reader left out, took for another thing, or renamed; said wherever the dataset is used.

    Args:
        kind: one word for it, such as "left_out".
        text: what, how often, and the remedy, in a line.
        items: what the line has no room for.
        level: of `check.findings.LEVELS`.
    """

    kind: str
    text: str
    items: tuple[str, ...] = ()
    level: str = "warning"


class Labelled(NamedTuple):
    """One image, its target, and the rules for faulty labels that were applied to it."""

    image: Any
    target: Any
    faults: list[Fault]


@dataclass(frozen=True)
class Split:
    """One split: `split[3]` is an image and its target; raises `BadPicture` where one of them cannot be used.

    Args:
        images: of those that can be subset (`ArrayImages`, `StoredImages`, `Volumes`).
        targets: one per image; an array stands for `Values`.
        columns: what else a list says of each image: (N,) of text by the name of the column.
        groups: (N,) of text: what each image belongs to (a patient, a film); None: each to itself.
    """

    images: Any
    targets: Any
    columns: Mapping[str, np.ndarray] = field(default_factory=dict)
    groups: np.ndarray | None = None

    def __post_init__(self) -> None:
        if isinstance(self.targets, np.ndarray):
            object.__setattr__(self, "targets", Values(self.targets))

    def __len__(self) -> int:
        return len(self.targets)

    def __getitem__(self, index: int, /) -> tuple[Any, Any]:
        return self.read(index)[:2]

    def __iter__(self) -> Iterator[tuple[Any, Any]]:
        return (self[index] for index in range(len(self)))

    def read(self, index: int) -> Labelled:
        self.targets.find(index)
        image = self.images[index]
        return Labelled(image, *self.targets.read(index, image))

    def subset(self, indices: np.ndarray) -> Split:
        return Split(
            self.images.subset(indices),
            self.targets.subset(indices),
            {name: column[indices] for name, column in self.columns.items()},
            None if self.groups is None else self.groups[indices],
        )


class Kind(NamedTuple):
    """What the targets of a source are."""

    images: str  # what they are called
    inputs: str  # what training sees of them
    units: str  # what is counted of a class
    dims: int  # spatial axes of an image
    objects: bool = False  # whether the units are objects, of which a class may have few
    names: str = "classes"  # what its labels are called


KINDS = {
    "classes": Kind("pictures", "pictures", "pictures", 2),
    "boxes": Kind("pictures", "pictures", "objects", 2, objects=True),
    "masks": Kind("pictures", "pictures", "pixels", 2),
    "volumes": Kind("volumes", "patches", "voxels", 3),
    "volume_classes": Kind("volumes", "volumes", "volumes", 3),
    "volume_tags": Kind("volumes", "volumes", "volumes", 3, names="labels"),
    "scans": Kind("series", "series", "series", 3),
    "tags": Kind("pictures", "pictures", "pictures", 2, names="labels"),
    "identities": Kind("pictures", "pictures", "pictures", 2, names="identities"),
    "series": Kind("series", "series", "series", 1),
    "series_tags": Kind("series", "series", "series", 1, names="labels"),
}


@dataclass(frozen=True, slots=True)
class Source:
    """A dataset, opened.

    Args:
        name: "digits", "cifar10", ..., or the name of the folder or list.
        labels: class names in the order of their indices; the training split fixes them, or a saved model.
        splits: of "train", "val" and "test" those that exist.
        in_chans: channels of the images as opened.
        kind: of `KINDS`: "classes" (values per image), "boxes", "masks" (a class per pixel), "volumes" (a class per
            voxel), "tags" (several labels per image), "identities" (whom an image shows; each split has others), "series"
            (values per series), "series_tags", "volume_classes" (values per volume) or "volume_tags".
        size: (H, W) if every image has it and is in memory, else None.
        hflip: whether a mirrored image keeps its target, or the target is mirrored with it.
        cut: {"fraction", "seed"} if `splits.cut_val` cut the validation split, {"folds", "fold", "seed"} if `splits.cut_fold`
            did, None if it came with the data; with groups also "groups", a digest of those in the validation split.
        notes: what the reader left out, took for another thing, or renamed.
        used: names of `Split.columns` that something goes by, such as groups.
        corrections: what `data.corrections` changed: {"file", "sha256", "num_relabelled", "num_dropped", "num_lines"}.
        modalities: what the channels of volumes show, such as "CT", as far as the data says so.
        layout: the row of `sources.LAYOUTS` that read it; None: a built-in dataset, or arrays.
    """

    name: str
    labels: tuple[str, ...]
    splits: Mapping[str, Split]
    in_chans: int
    kind: str = "classes"
    size: tuple[int, int] | None = None
    hflip: bool = True
    cut: Mapping[str, Any] | None = None
    notes: tuple[Note, ...] = ()
    used: tuple[str, ...] = ()
    corrections: Mapping[str, Any] | None = None
    modalities: tuple[str, ...] = ()
    layout: plugins.Part | None = None

    def __post_init__(self) -> None:
        """Raise `InputError` for a class that is there twice: a saved model of such classes could not be opened."""
        if twice := [name for name, num in Counter(self.labels).items() if num > 1]:
            raise InputError(f"{self.name}: the class '{twice[0]:.100}' is there twice; give each its own name")

    @property
    def unused(self) -> tuple[str, ...]:
        """The columns of a list that nothing goes by."""
        columns = dict.fromkeys(name for split in self.splits.values() for name in split.columns)
        return tuple(name for name in columns if name not in self.used)

    @property
    def told(self) -> tuple[Note, ...]:
        """The notes, and one on columns that are not used."""
        if not self.unused:
            return self.notes
        names = ", ".join(f"'{name}'" for name in self.unused)
        columns = "columns that are not used" if len(self.unused) > 1 else "a column that is not used"
        return (*self.notes, Note("unused_columns", f"{columns}: {names}"))

    @property
    def dims(self) -> int:
        """Spatial axes of an image."""
        return KINDS[self.kind].dims

    @property
    def background(self) -> int | None:
        """The index of the class that is what lies between objects, where one is called so."""
        return self.labels.index(BACKGROUND) if BACKGROUND in self.labels else None

    def fingerprint(self) -> str:
        """SHA-256 over kind, labels, splits, targets and groups, and the pixels of arrays; of files, their relative paths and
        sizes."""
        kind = [] if self.kind == "classes" else [self.kind]  # for classes, as it was before there were kinds
        digest = hashlib.sha256(json.dumps([*kind, self.labels, list(self.splits)]).encode())
        for split in self.splits.values():
            digest.update(split.images.digest())
            digest.update(split.targets.digest())
            if split.groups is not None:
                digest.update(json.dumps(split.groups.tolist()).encode())
        return digest.hexdigest()


class Batch(NamedTuple):
    """What a loader hands out.

    `images` (N, C, H, W): of training float32, normalised; of evaluation uint8, fitted but not normalised; of series float32
    (N, C, L) likewise; of volumes float32 (N, C, D, H, W), normalised. `targets` are the task's. `indices` (N,) int64 are the
    positions in the split, and `sizes` the images' own (H, W) or (D, H, W) before they were fitted, where inputs of evaluation
    differ in size.
    """

    images: Tensor
    targets: Any
    indices: Tensor
    sizes: Sequence[tuple[int, ...]] = ()


class Read(NamedTuple):
    """A batch as it was read. `pixels` as in `Batch`, before they are normalised; `positions` (N,) int64 in the split;
    `bad` the (name, reason) of what could not be read."""

    pixels: Tensor
    targets: Any
    positions: Tensor
    bad: Sequence[tuple[str, str]] = ()
    sizes: Sequence[tuple[int, ...]] = ()


class Part(NamedTuple):
    """A process's share of a batch: the epoch, the number of the batch in it, and how many images other processes make
    before and after this share."""

    epoch: int
    number: int
    before: int = 0
    after: int = 0


class Samples(Protocol):
    """What a loader makes batches of: the images of a split, and how they become inputs. Every draw is a function of the
    seed, the epoch and the position in the epoch's order alone."""

    split: Split
    train: bool  # whether images are shuffled and augmented
    size: tuple[int, ...]  # of an input, as far as it is known beforehand
    grow_from: float  # fraction of its side that an input has at first
    in_memory: bool  # whether `gather` serves, and nothing has to be decoded
    sequential: bool  # whether images are too large to be read ahead
    whole_batches: bool  # in distributed training: no smaller last batch, for every process needs images in each

    def __len__(self) -> int:
        """Images per epoch."""
        ...

    def order(self, epoch: int) -> np.ndarray:
        """The positions (len,) that the epoch visits, in order."""
        ...

    def reader(self, batch_size: int) -> Any:
        """A `torch.utils.data.Dataset` with keys (epoch, position in its order, index), for worker processes; `batch_size`
        is that of all processes together."""
        ...

    def collate(self) -> Any:
        """What makes a `Read` of a list of the reader's samples; a function that can be pickled."""
        ...

    def gather(self, epoch: int, first: int, positions: np.ndarray) -> Read:
        """What lies in memory, without workers; `first`: position of the first image in the epoch's order."""
        ...

    def finish(self, read: Read, part: Part) -> Batch:
        """Normalise and augment what is done a batch at a time."""
        ...
