"""The images that the paths of a list name: pictures, or volumes. No torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from resnets.data.pictures.dicom.series import is_series
from resnets.data.pictures.images import IMAGE_SUFFIXES
from resnets.data.pictures.stored import FileImages
from resnets.data.pictures.volumes import Volumes, channels_of, is_named_volume
from resnets.data.types import Images
from resnets.errors import InputError
from resnets.files import is_file

VOLUMES = "volume_classes"  # of `Source.kind`


def is_there(path: Path) -> bool:
    """Whether there is what a list may name: a file, or where a volume is one a folder with a series, or a series in it."""
    return is_file(path) or is_series(path)


def listed_images(name: str, paths: Sequence[str], in_chans: int, root: Path) -> Images:
    """The images of a list's paths: pictures, or all of them volumes. Raises `InputError` for both in one list."""
    volumes = [not path.lower().endswith(tuple(IMAGE_SUFFIXES)) and is_named_volume(Path(root, path)) for path in paths]
    if not any(volumes):
        return FileImages(paths, in_chans, root)
    if not all(volumes):
        few = paths[volumes.index(True)], paths[volumes.index(False)]
        raise InputError(
            f"{name}: volumes and pictures in one list, as {few[0]} and {few[1]}; give each kind its own (of a series in DICOM "
            "name its folder)"
        )
    return Volumes(FileImages(paths, 1, root), channels_of(Path(root, path) for path in paths))


def num_channels(name: str, splits: Mapping[str, Images]) -> int | None:
    """The channels of volumes; None where the images are pictures. Raises `InputError` where splits differ."""
    kinds = {split: images.in_chans if isinstance(images, Volumes) else None for split, images in splits.items()}
    if len(set(kinds.values())) > 1:
        told = ", ".join(f"{split} {'pictures' if num is None else f'volumes of {num}'}" for split, num in kinds.items())
        raise InputError(f"{name}: splits of several kinds, or numbers of channels: {told}; each needs the same")
    return next(iter(kinds.values()), None)
