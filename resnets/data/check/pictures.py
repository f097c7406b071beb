"""A look at a data set before training: pictures that cannot be read, duplicates, leaks between splits, odd classes and sizes.

One pass decodes every picture once and keeps a `Picture` of facts about it; then each of `CHECKS` reads those facts.
"""

from __future__ import annotations

import functools
import hashlib
import itertools
import math
import os
import warnings
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import imagehash
import numpy as np
from PIL import Image

from resnets.data.check.findings import LEAKAGE, LEVELS, SKEW, TINY, Finding, Findings, many
from resnets.data.pictures.images import FORMATS, BadPicture
from resnets.data.pictures.stored import StoredImages
from resnets.data.types import Images, Source

CHUNK = 64  # pictures that a worker looks at before it reports

# Among 15,000 pictures of CIFAR-10 all 19 pairs that phash sets within 4 bits show the same, but of the 22 at 6 bits 3 do not;
# dhash errs from 4 bits on. phash looks at 32 x 32 pixels: among the 8 x 8 digits of scikit-learn it finds 93 pairs
# that are merely of one shape. So smaller pictures are left out, and so are those without contrast, whose bits are noise.
NEAR_BITS = 4
LOOK_SIDE = 32
GAP = 3.0  # times as large a picture is averaged to first: half the time, and hardly a bit differs from imagehash's
LEAST_CONTRAST = 5.0  # standard deviation of the grey values, 0 to 255

LONG = 3  # times as long as wide
SMALL = 0.5  # of the median short side
RARE = 0.1  # share of the pictures up to which something is odd rather than how the data are
REPEATED = 5  # pictures for each format, mode or size that a class has to itself, below which that may be chance
# What happens to modes other than grey and RGB.
MODES = {
    "RGBA": "transparent parts become white",
    "LA": "transparent parts become white",
    "PA": "transparent parts become white",
    "CMYK": "converted without its colour profile",
    "I;16": "16 bits become 8, by --bit-depth",
    "I": "16 bits become 8, by --bit-depth",
    "F": "floats become 8 bits",
    "P": "the palette is resolved",
    "1": "black and white",
}


class Picture(NamedTuple):
    """What the checks know of one picture. Only one that cannot be read has a `reason`, and only a file a `format`."""

    split: str
    label: str
    name: str
    reason: str = ""
    digest: bytes = b""  # of shape and pixels
    look: bytes = b""  # `perceptual_hash`
    format: str = ""
    mode: str = ""
    size: tuple[int, int] = (0, 0)  # (width, height) as it lies on disk
    num_bytes: int = 0

    def item(self, what: str = "") -> dict[str, str]:
        words = {"name": self.name, "split": self.split, "label": self.label}
        return words | {"what": what} if what else words


def classes(source: Source, split: str) -> list[str]:
    """The class of each picture."""
    return [source.labels[code] for code in source.splits[split].targets.codes().tolist()]


def check_pictures(
    source: Source,
    *,
    progress: Callable[[int, int], None] | None = None,
    workers: int | None = None,
    labels_of: Callable[[Source, str], Sequence[str]] = classes,
    checks: Sequence[Callable[[Data], Iterator[Finding]]] | None = None,
) -> Findings:
    """Look at every picture of `source`.

    Args:
        labels_of: of a split, what is known of each picture, in words.
        checks: None: those of classification.
        progress: called with the pictures that are done and all there are, now and then.
        workers: threads that decode; None: a few more than there are processors.
    """
    data = look_at(source, progress=progress, workers=workers, labels_of=labels_of)
    found = [finding for each in checks or CHECKS for finding in each(data)]
    return Findings(source.name, len(data.pictures), tuple(sorted(found, key=lambda finding: LEVELS.index(finding.level))))


# --- the pass over the pictures ---


def look_at(
    source: Source,
    *,
    progress: Callable[[int, int], None] | None = None,
    workers: int | None = None,
    labels_of: Callable[[Source, str], Sequence[str]] = classes,
) -> Data:
    """The facts about every picture. The arguments are those of `check_pictures`."""
    total = sum(map(len, source.splits.values()))
    seen: list[Picture] = []
    pool = ThreadPoolExecutor(workers)
    # Pillow warns of odd headers; filters belong to the process, so they are set here and not in the threads.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            for split in source.splits:
                starts = range(0, len(source.splits[split]), CHUNK)
                look = functools.partial(_pictures, source, split, labels_of(source, split))
                for chunk in pool.map(look, starts):
                    seen += chunk
                    if progress:
                        progress(len(seen), total)
        finally:
            pool.shutdown(cancel_futures=True)  # after Ctrl-C, without the pictures that are left
    return Data(source.labels, tuple(source.splits), tuple(seen), tuple(picture for picture in seen if not picture.reason))


def _pictures(source: Source, split: str, labels: Sequence[str], start: int) -> list[Picture]:
    images = source.splits[split].images
    images = images.quickly() if isinstance(images, StoredImages) else images
    indices = range(start, min(start + CHUNK, len(labels)))
    return [_facts(images, index, Picture(split, labels[index], images.name(index))) for index in indices]


def _facts(images: Images, index: int, picture: Picture) -> Picture:
    try:
        pixels = images[index]
    except BadPicture as bad:
        return picture._replace(reason=bad.reason)
    picture = compared(picture, pixels, images, index)
    if not isinstance(images, StoredImages):
        return picture
    with images.open(index) as file:
        num_bytes = file.seek(0, os.SEEK_END)
        with Image.open(file, formats=FORMATS) as header:
            return picture._replace(format=header.format or "", mode=header.mode, size=header.size, num_bytes=num_bytes)


def compared(picture: Picture, pixels: np.ndarray, images: Images, index: int) -> Picture:
    """With what is compared of two pictures. Those of 16 bits are the same only if all their bits are."""
    digest = hashlib.sha256(repr(pixels.shape).encode())
    values = images.all_bits(index) if isinstance(images, StoredImages) else None
    digest.update(np.ascontiguousarray(pixels if values is None else values).data)
    return picture._replace(digest=digest.digest(), look=perceptual_hash(pixels))


def perceptual_hash(pixels: np.ndarray) -> bytes:
    """64 bits of a picture (H, W, C), of which few differ where pictures look alike; none where they would tell nothing."""
    if min(pixels.shape[:2]) < LOOK_SIDE:
        return b""
    picture = Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)
    small = picture.resize((LOOK_SIDE, LOOK_SIDE), Image.Resampling.LANCZOS, reducing_gap=GAP).convert("L")
    if np.asarray(small).std() < LEAST_CONTRAST:
        return b""
    return np.packbits(imagehash.phash(small).hash).tobytes()


# --- the checks ---


class Data(NamedTuple):
    """What the checks read."""

    labels: tuple[str, ...]
    splits: tuple[str, ...]
    pictures: tuple[Picture, ...]  # in the order of the source
    readable: tuple[Picture, ...]

    def counts(self, split: str) -> dict[str, int]:
        """Readable pictures of each class, in the order of the labels."""
        counter = Counter(picture.label for picture in self.readable if picture.split == split)
        return {label: counter[label] for label in self.labels}


def _unreadable(data: Data) -> Iterator[Finding]:
    items = [picture.item(picture.reason) for picture in data.pictures if picture.reason]
    if items:
        yield Finding("error", "unreadable", f"{many(len(items), 'picture')} cannot be read; mend or remove them", items)


def _duplicates(data: Data) -> Iterator[Finding]:
    groups = _grouped(data.readable, lambda picture: picture.digest)
    same = [part for group in groups for part in _grouped(group, lambda picture: picture.split)]
    yield from _groups(
        "error", "disputed", [part for part in same if len({picture.label for picture in part}) > 1],
        "of identical pictures with different labels; give each its right one only",
    )  # fmt: skip
    yield from _groups(
        "error", "leakage", [group for group in groups if len({picture.split for picture in group}) > 1],
        LEAKAGE,
    )  # fmt: skip
    yield from _groups(
        "warning", "duplicates", [part for part in same if len({picture.label for picture in part}) == 1],
        "of identical pictures within a split; remove all but one, or they count double",
    )  # fmt: skip


def _near_duplicates(data: Data) -> Iterator[Finding]:
    # Identical pictures are another finding's; here one of them stands for all in its split.
    singles: dict[tuple[bytes, str], Picture] = {}
    for picture in data.readable:
        if picture.look:
            singles.setdefault((picture.digest, picture.split), picture)
    pictures = list(singles.values())
    hashes = np.frombuffer(b"".join(picture.look for picture in pictures), dtype=">u8")
    groups = [[pictures[index] for index in group] for group in near_groups(hashes)]
    groups = [group for group in groups if len({picture.digest for picture in group}) > 1]
    yield from _groups(
        "error", "near_leakage", [group for group in groups if len({picture.split for picture in group}) > 1],
        "of pictures that look alike in more than one split, which makes scores too good; keep them in one split only",
    )  # fmt: skip
    yield from _groups(
        "warning", "near_duplicates",
        [part for group in groups for part in _grouped(group, lambda picture: picture.split)],
        "of pictures within a split that look alike; if they show the same, remove all but one",
    )  # fmt: skip
    if left_out := len(data.readable) - sum(bool(picture.look) for picture in data.readable):
        words = f"smaller than {LOOK_SIDE} pixels, or with hardly any contrast"
        yield Finding("note", "not_compared", f"{many(left_out, 'picture')} not searched for pictures that look alike: {words}")


def _grouped(pictures: Iterable[Picture], key: Callable[[Picture], Any]) -> list[list[Picture]]:
    """Pictures with the same key, where there are several, in order."""
    groups = defaultdict(list)
    for picture in pictures:
        groups[key(picture)].append(picture)
    return [group for group in groups.values() if len(group) > 1]


def _groups(level: str, kind: str, groups: Sequence[Sequence[Picture]], words: str) -> Iterator[Finding]:
    if groups:
        num = sum(map(len, groups))
        items = [[picture.item() for picture in group] for group in groups]
        yield Finding(level, kind, f"{many(len(groups), 'group')} ({many(num, 'picture')}) {words}", items)


def near_groups(hashes: np.ndarray, most: int = NEAR_BITS) -> list[list[int]]:
    """Positions of hashes, uint64 (N,), that are linked by steps of at most `most` differing bits, in order.

    Two such hashes agree in at least one of `most` + 1 bands of bits. So for each band they are sorted by it, and each is
    compared with the next, the one after that, and so on, as far as the band is the same.
    """
    unique, inverse = np.unique(hashes.astype(np.uint64), return_inverse=True)
    root = np.arange(len(unique))  # of each hash, one that stands for its group
    edges = np.linspace(0, 64, most + 2).astype(int).tolist()
    for start, end in itertools.pairwise(edges):
        band = (unique >> np.uint64(start)) & np.uint64(2 ** (end - start) - 1)
        order = np.argsort(band, kind="stable")
        band, sorted_hashes = band[order], unique[order]
        first = np.arange(len(unique))
        for step in itertools.count(1):
            first = first[first < len(unique) - step]
            first = first[band[first] == band[first + step]]  # once they differ, they differ for all greater steps
            if not len(first):
                break
            near = first[_num_bits(sorted_hashes[first] ^ sorted_hashes[first + step]) <= most]
            _join(root, order[near], order[near + step])

    groups = defaultdict(list)
    for position, node in enumerate(root[inverse].tolist()):
        groups[node].append(position)
    return [group for group in groups.values() if len(group) > 1]


def _join(root: np.ndarray, ones: np.ndarray, others: np.ndarray) -> None:
    """Make one group of the groups of each pair, in place."""
    while len(apart := np.flatnonzero(root[ones] != root[others])):
        ones, others = ones[apart], others[apart]  # where many are alike, nearly all pairs are joined already
        low, high = np.sort([root[ones], root[others]], axis=0)
        root[high] = low
        while (root[root] != root).any():
            root[:] = root[root]


BITS = np.array([value.bit_count() for value in range(2**16)], dtype=np.uint8)


def _num_bits(values: np.ndarray) -> np.ndarray:
    return BITS[values.view(np.uint16)].reshape(-1, 4).sum(1)  # NumPy 1 has no bitwise_count


def _classes(data: Data) -> Iterator[Finding]:
    counts = {split: data.counts(split) for split in data.splits}
    items: list[dict[str, Any]] = [
        {"label": label} | {split: counts[split][label] for split in counts} for label in data.labels
    ]
    totals = ", ".join(f"{split} {sum(counts[split].values()):,}" for split in counts)
    yield Finding("note", "classes", f"{many(len(items), 'class')}; readable pictures: {totals}", items)

    missing = [
        {"label": label, "missing in": split, "pictures elsewhere": elsewhere}
        for split in counts
        for label in data.labels
        if not counts[split][label] and (elsewhere := sum(other[label] for other in counts.values()))
    ]
    if missing:
        words = "without a picture in a split, though another has some; move some over, or the split says nothing of them"
        yield Finding("warning", "missing_classes", f"{many(len(missing), 'class')} {words}", missing)
    train = {label: num for label, num in counts.get("train", {}).items() if num}
    tiny = [{"label": label, "train": num} for label, num in train.items() if num < TINY]
    if tiny:
        words = f"with fewer than {TINY} training pictures; add some, or merge classes"
        yield Finding("warning", "tiny_classes", f"{many(len(tiny), 'class')} {words}", tiny)
    if train and max(train.values()) > SKEW * min(train.values()):
        most, least = max(train, key=train.__getitem__), min(train, key=train.__getitem__)
        words = f"{most!r} has {train[most] / train[least]:.0f} times as many training pictures as {least!r}"
        ordered = [{"label": label, "train": train[label]} for label in sorted(train, key=train.__getitem__)]
        yield Finding("warning", "skewed_classes", f"{words}; train with --balance sampler, or add pictures", ordered)


def _one_sided(data: Data) -> Iterator[Finding]:
    """Classes that can be told from the others without looking at a pixel."""
    files = [picture for picture in data.readable if picture.format and picture.split == "train"]
    for field in ("format", "mode", "size"):
        values: defaultdict[str, Counter[Any]] = defaultdict(Counter)
        for picture in files:
            values[picture.label][getattr(picture, field)] += 1
        owners = Counter(value for counter in values.values() for value in counter)
        sided = {
            label: counter
            for label, counter in values.items()
            if REPEATED * len(counter) <= counter.total() and all(owners[value] == 1 for value in counter)
        }
        if sided and len(values) > 1:
            items = [{"label": label, field: ", ".join(map(_plain, sorted(counter)))} for label, counter in sided.items()]
            words = f"all of whose training pictures differ from every other class's in {field}"
            remedy = "the network may learn that instead of what they show; save all pictures in one way"
            level = "error" if len(sided) == len(values) else "warning"
            yield Finding(level, f"one_sided_{field}", f"{many(len(items), 'class')} {words}: {remedy}", items)


def _plain(value: str | tuple[int, int]) -> str:
    return value if isinstance(value, str) else "x".join(map(str, value))


def _sizes(data: Data) -> Iterator[Finding]:
    files = [picture for picture in data.readable if picture.format]
    if not files:
        return
    short = np.array([min(picture.size) for picture in files])
    long = np.array([max(picture.size) for picture in files])
    median = float(np.median(short))
    small = (short > 1) & (short < SMALL * median)
    rows = (
        ("one_pixel", short == 1, "of one pixel in width or height; remove them"),
        ("long", (short > 1) & (long > LONG * short),
         f"more than {LONG} times as long as wide, of which a crop keeps the middle only; cut them, or use --resize pad"),
        ("small", small & (small.mean() <= RARE),
         f"with a short side below half of the median, {median:g} pixels; look whether they are thumbnails, and replace them"),
    )  # fmt: skip
    for kind, odd, words in rows:
        items = [files[index].item(_plain(files[index].size)) for index in np.flatnonzero(odd).tolist()]
        if items:
            yield Finding("warning", kind, f"{many(len(items), 'picture')} {words}", items)
    modes = Counter(picture.mode for picture in files)
    rare = {mode for mode, num in modes.items() if mode not in ("L", "RGB") and num <= RARE * len(files)}
    if rare:
        items = [
            picture.item(f"{picture.mode}, {MODES.get(picture.mode, 'converted')}") for picture in files if picture.mode in rare
        ]
        words = (
            f"in a mode that few have ({', '.join(sorted(rare))}); look whether they come out right, or save them as the others"
        )
        yield Finding("warning", "rare_modes", f"{many(len(items), 'picture')} {words}", items)

    formats = ", ".join(f"{name} {num:,}" for name, num in sorted(Counter(picture.format for picture in files).items()))
    spread = " to ".join(dict.fromkeys(_plain(size) for size in (_extreme(files, min), _extreme(files, max))))
    num_bytes = sum(picture.num_bytes for picture in files)
    words = f"{formats}; {', '.join(f'{mode} {num:,}' for mode, num in sorted(modes.items()))}; {spread} pixels"
    yield Finding("note", "files", f"{words}; {num_bytes / 1e6:,.1f} MB")


def _extreme(files: Sequence[Picture], choose: Callable[..., Picture]) -> tuple[int, int]:
    return choose(files, key=lambda picture: (math.prod(picture.size), picture.size)).size


# What does not depend on what is known of the pictures.
SETS = _unreadable, _duplicates, _classes  # what does not depend on pixels
OF_PICTURES = _unreadable, _duplicates, _near_duplicates, _sizes
CHECKS: tuple[Callable[[Data], Iterator[Finding]], ...] = (
    _unreadable,
    _duplicates,
    _one_sided,
    _near_duplicates,
    _classes,
    _sizes,
)
# Of these, what does not depend on labels: the same or nearly the same picture twice.
ALIKE = (_duplicates, _near_duplicates)
