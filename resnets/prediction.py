"""Predict a stream of files: decoding and the network take turns, memory stays flat, a bad picture is a row with its error."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset

from resnets import hub
from resnets.data.images import IMAGE_SUFFIXES, BadPicture, FileImages
from resnets.data.loaders import default_workers, leave_signals
from resnets.data.transforms import fit_picture, normalise
from resnets.model import Model
from resnets.spec import InputError, Preprocess


def find_pictures(paths: Iterable[str | Path]) -> Iterator[Path]:
    """Every file that is named, and every picture (by its suffix) below every folder, in order of names.

    Raises:
        InputError: for a path where there is nothing, and a folder without pictures.
    """
    for path in map(Path, paths):
        if not path.exists():
            raise InputError(f"{path}: no such file or folder")
        if not path.is_dir():
            if not path.is_file():
                raise InputError(f"{path}: a pipe or a device, which may never end; give a file")
            yield path
            continue
        found = 0
        for folder, folders, files in os.walk(path):
            folders.sort()
            for name in sorted(files):
                picture = Path(folder, name)
                if not name.startswith(".") and picture.suffix.lower() in IMAGE_SUFFIXES and not waits(picture):
                    found += 1
                    yield picture
        if not found:
            raise InputError(f"{path}: no pictures here ({', '.join(sorted(IMAGE_SUFFIXES))})")


def waits(path: Path) -> bool:
    """Whether there is a pipe or a device, which to open may take for ever. (A broken link is a file that cannot be read.)"""
    return path.exists() and not path.is_file()


@torch.inference_mode()
def predict(
    model: Model, paths: Iterable[str | Path], *, topk: int = 5, batch_size: int = 32, workers: int | None = None
) -> Iterator[dict[str, Any]]:
    """For each file its path and the task's result, or its path and an "error"; in the order of `find_pictures`."""
    images = FileImages(find_pictures(paths), hub.for_pictures(model).spec.in_chans)
    workers = (default_workers() if len(images) > batch_size else 0) if workers is None else workers
    device = next(model.parameters()).device
    model.eval()
    loader = DataLoader(
        _Files(images, model.preprocess), batch_size, num_workers=workers, collate_fn=list, worker_init_fn=leave_signals
    )
    for rows in loader:
        good = [pixels for _, pixels, _ in rows if pixels is not None]
        results: Iterator[dict[str, Any]] = iter(())
        if good:
            results = iter(
                model.task.results(model(normalise(torch.stack(good).to(device), model.preprocess)), model.labels, topk)
            )
        for path, _, error in rows:
            yield {"path": path} | (next(results) if error is None else {"error": error})


class _Files(Dataset):
    """index -> (path, pixels, None), or (path, None, what is wrong)."""

    def __init__(self, images: FileImages, preprocess: Preprocess) -> None:
        self.images, self.preprocess = images, preprocess

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[str, torch.Tensor | None, str | None]:
        try:
            return self.images.name(index), fit_picture(self.images[index], self.preprocess), None
        except BadPicture as bad:
            return self.images.name(index), None, bad.reason
