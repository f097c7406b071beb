"""Pictures that likely belong together: those whose names say so, and that look more alike than others of their class.

A random split puts some of a series into training and others into validation, whose score is then too good. Nothing here is
certain: what a series is only a person knows. So the evidence is told, and how to keep each series together.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from PIL import Image

from resnets.data import groups
from resnets.data.check.findings import Finding
from resnets.data.pictures.images import BadPicture
from resnets.data.pictures.stored import StoredImages
from resnets.data.types import Source
from resnets.errors import InputError

BURST = "burst"
# Of equally likely ways the first that makes the fewest groups is suggested.
WAYS = (
    *("folder:2", "folder", "{series}_*", "{series}-*", "{series} *", "{series}_{part}_*", "{series}-{part}-*"),
    *(r"([^/]*[^/\d])\d+\.\w+$", BURST),
)
LEAST_GROUPS = 3
LEAST_SHARE = 0.5  # of the pictures that are not alone in their group
MOST_SHARE = 0.8  # of the pictures in one group
NUM_GROUPS, NUM_LOOKED = 60, 300  # groups, and pictures in all, that are looked at
NUM_DATED = 100  # pictures of a split that are looked at for a date
SIDE = 8  # of the thumbnails that are compared
EXCESS = 0.3  # of the way from chance to always, from which on the nearest picture being of the same group is evidence
NUM_DEVIATIONS = 3.0


class Likely(NamedTuple):
    """Groups that may mean something, and the evidence: how often the picture of the same class that is most alike is of the
    same group, and how often it would be by chance."""

    by: str
    groups: dict[str, np.ndarray]  # of each split
    num_groups: int
    num_looked: int
    hits: float
    chance: float

    @property
    def sure(self) -> bool:
        excess, free = self.hits - self.chance, 1 - self.chance
        deviation = (self.chance * free / max(1, self.num_looked)) ** 0.5
        return self.num_looked > 0 and excess >= EXCESS * free > 0 and excess >= NUM_DEVIATIONS * deviation


def look(source: Source) -> Iterator[Finding]:
    """What is to be said of the groups of a source, or of likely ones where it has none."""
    if any(split.groups is not None for split in source.splits.values()):
        yield _given(source)
        return
    found = list(likely(source))
    sure = [one for one in found if one.sure]
    if not sure:
        if found:
            one = found[0]
            words = f"their pictures look no more alike than others; {_remedy(one.by)}"
            yield Finding("note", "names", f"the names fall into {one.num_groups:,} series by {one.by!r}, and {words}")
        return
    one = min(sure, key=lambda one: one.num_groups)
    others = ", ".join(f"{each.by!r} ({each.num_groups:,})" for each in sure if each is not one)
    evidence = (
        f"of {one.num_looked:,} pictures looked at, the most alike of their class is of the same group for {one.hits:.0%} "
        f"(by chance {one.chance:.0%})" + f"; other ways: {others}" * bool(others)
    )
    own = groups.with_groups(source, one.groups)
    across, items = groups.crossing(own), _items(own)
    if across:
        what = f"{len(across):,} of {one.num_groups:,} likely groups by {one.by!r} stand"
        words = groups.crossing_words(across, what, f"{groups.REMEDY} ({_flag(one.by)})")
        yield Finding("error", "groups_across", f"{words}; {evidence}", items)
    elif "val" in source.splits:
        yield Finding("note", "likely_groups", f"{one.num_groups:,} likely groups by {one.by!r}, each in one split; {evidence}")
    else:
        words = f"{one.num_groups:,} likely groups by {one.by!r}, which validation must not cut through: {_remedy(one.by)}"
        yield Finding("warning", "likely_groups", f"{words}; {evidence}", items)


def _given(source: Source) -> Finding:
    across, items = groups.crossing(source), _items(source)
    numbers = ", ".join(f"{name} {num:,}" for name, num in groups.number(source).items())
    if across:
        words = groups.crossing_words(across, f"{len(across):,} groups", groups.REMEDY)
        return Finding("error", "groups_across", words, items)
    return Finding("note", "groups", f"groups: {numbers}; none stands in more than one split", items)


def _items(source: Source) -> list[dict[str, object]]:
    """Each group with its pictures by split, the largest first."""
    return [{"label": group, **each} for group, each in groups.counts(source).items()]


def _flag(by: str) -> str:
    return f"--group-by {shlex.quote(by)}"


def _remedy(by: str) -> str:
    return f"train with {_flag(by)} if each is one patient, film, place or series"


def likely(source: Source) -> Iterator[Likely]:
    """Each way that makes groups which could mean something, with its evidence."""
    codes = np.concatenate([split.targets.codes() for split in source.splits.values()])
    columns = dict.fromkeys(name for split in source.splits.values() for name in split.columns)
    thumbnails: dict[int, np.ndarray | None] = {}
    seen: set[bytes] = set()
    for by in (*columns, *WAYS):
        if by == BURST and not dated(source):
            continue
        try:
            found = groups.groups_of(source, by)
        except InputError:
            continue
        numbers = np.unique(np.concatenate(list(found.values())), return_inverse=True)[1]
        if numbers.tobytes() in seen or not plausible(source, found, numbers, codes):
            continue
        seen.add(numbers.tobytes())
        yield Likely(by, found, int(numbers.max()) + 1, *evidence(source, numbers, codes, thumbnails))


def dated(source: Source) -> bool:
    """Whether any picture of a sample says when it was taken: to ask all takes as long as a quarter of their decoding."""
    stored = [split.images for split in source.splits.values() if isinstance(split.images, StoredImages)]
    return any(groups.taken(images, index) for images in stored for index in images.sample(NUM_DATED).tolist())


def plausible(source: Source, found: dict[str, np.ndarray], numbers: np.ndarray, codes: np.ndarray) -> bool:
    """Whether groups are several, of several pictures, and neither the splits nor the classes."""
    sizes = np.bincount(numbers)
    if len(sizes) < LEAST_GROUPS or (sizes[numbers] > 1).mean() < LEAST_SHARE or sizes.max() > MOST_SHARE * len(numbers):
        return False
    if len(found) > 1 and all(len(np.unique(values)) == 1 for values in found.values()):
        return False
    owners = [len(np.unique(numbers[codes == code])) for code in np.unique(codes)]
    return len(owners) == 1 or float(np.mean(np.array(owners) == 1)) < 0.5


def evidence(
    source: Source, numbers: np.ndarray, codes: np.ndarray, thumbnails: dict[int, np.ndarray | None]
) -> tuple[int, float, float]:
    """Of a sample: the pictures looked at, the fraction whose nearest other of the same class is of the same group, and the
    fraction to be expected where groups mean nothing. `thumbnails`, by position, are kept for the next way."""
    from scipy.spatial.distance import cdist

    random = np.random.RandomState(0)
    several = np.flatnonzero(np.bincount(numbers) > 1)
    drawn = random.permutation(several)[:NUM_GROUPS]
    chosen = [random.permutation(np.flatnonzero(numbers == n))[: NUM_LOOKED // len(drawn)] for n in drawn]
    sample = [int(at) for at in np.concatenate(chosen)]
    for at in sample:
        if at not in thumbnails:
            thumbnails[at] = thumbnail(source, at)
    looked = {at: picture for at in sample if (picture := thumbnails[at]) is not None}
    if not looked:
        return 0, 0.0, 0.0
    kept, looks = np.array(list(looked)), np.stack(list(looked.values()))
    same_class = codes[kept][:, None] == codes[kept][None]
    same_group = numbers[kept][:, None] == numbers[kept][None]
    np.fill_diagonal(same_class, False)
    distance = np.where(same_class, cdist(looks, looks), np.inf)
    chance = (same_class & same_group).sum(1) / np.maximum(same_class.sum(1), 1)
    tells = (chance > 0) & (chance < 1)
    hits = same_group[np.arange(len(kept)), distance.argmin(1)]
    return (int(tells.sum()), float(hits[tells].mean()), float(chance[tells].mean())) if tells.any() else (0, 0.0, 0.0)


def thumbnail(source: Source, at: int) -> np.ndarray | None:
    """A picture or series at a position in all splits together, (SIDE * SIDE * C,) float32; None where it cannot be read, or is
    neither."""
    for split in source.splits.values():
        if at < len(split):
            try:
                pixels = split.images[at]
            except BadPicture:
                return None
            if not isinstance(pixels, np.ndarray):
                return None
            if pixels.dtype != np.uint8:  # a series
                times = np.linspace(0, pixels.shape[1] - 1, SIDE * SIDE).round().astype(int)
                return np.nan_to_num(pixels[:, times]).astype(np.float32).ravel()
            picture = Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels[:, :, :3])
            return np.asarray(picture.resize((SIDE, SIDE), Image.Resampling.BOX), np.float32).ravel()
        at -= len(split)
    return None
