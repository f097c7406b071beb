"""Folders of classes that hold volumes: NIfTI files, and DICOM series. No torch.

[{train,val,test}/]<class>/**/*.nii.gz, or a series in each folder below
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from resnets.data.pictures.dicom.parse import is_dicom
from resnets.data.pictures.images import IMAGE_SUFFIXES
from resnets.data.pictures.nifti import SUFFIXES
from resnets.data.pictures.stored import FileImages
from resnets.data.pictures.volumes import Volumes, channels_of, in_series, is_nifti
from resnets.data.readers.class_folders import Files, is_split_folder, read_class_folder, read_split_folder
from resnets.data.readers.layouts import SPLIT_WORDS, Found
from resnets.data.readers.scans import are_slices
from resnets.data.readers.walk import Left, folders, walk


def is_folder(root: Path) -> bool:
    """Whether there are folders of classes, of volumes and not of pictures: the first file of either kind is NIfTI, or a slice
    of a DICOM series."""
    split = [folder for folder in folders(root) if folder.name.lower() in SPLIT_WORDS] if is_split_folder(root) else [root]
    for folder in (inner for each in split for inner in folders(each)):
        first = next(walk(folder, str(folder), Left(), suffixes=(*SUFFIXES, *IMAGE_SUFFIXES)), None)
        if first is not None:
            return is_nifti(Path(first)) or (is_dicom(first) and are_slices(folder, placed=True))
    return False


def read_folder(root: Path, in_chans: int) -> Found:
    """`in_chans` is not used: volumes have their own channels, as many as the first of them. Raises as `read_class_folder`."""
    return (read_split_folder if is_split_folder(root) else read_class_folder)(root, in_chans, OF_VOLUMES)


def _find(folder: Path, prefix: str, left: Left, visited: set[tuple[int, int]]) -> Iterator[str]:
    """The volumes below a class's folder; the first part of `prefix` on is their path from the data's folder on."""
    root = folder.parents[len(Path(prefix).parts) - 1]
    paths = walk(folder, str(folder), left, suffixes=SUFFIXES, visited=visited)
    return (str(path.relative_to(root)) for path in in_series(map(Path, paths), left))


OF_VOLUMES = Files(
    _find,
    lambda paths, in_chans, root: Volumes(FileImages(paths, 1, root), channels_of(Path(root, path) for path in paths)),
)
