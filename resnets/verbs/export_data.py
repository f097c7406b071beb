"""The images that an export is checked on, as files: of its data or the training's, else samples or noise."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from resnets.data import splits
from resnets.data.inputs import INPUTS
from resnets.data.pictures.images import IMAGE_SUFFIXES
from resnets.data.pictures.samples import SAMPLES, write_samples
from resnets.data.pictures.stored import evenly_spaced
from resnets.data.pictures.volume import nifti_of, write_nifti
from resnets.data.preprocess import Preprocess
from resnets.data.readers import known
from resnets.data.series.series import ArraySeries
from resnets.data.types import Source, Split, Values
from resnets.errors import InputError
from resnets.models.model import Model
from resnets.verbs import evaluate
from resnets.verbs.predict import find_pictures

NUM_CALIBRATION = 300  # images


@dataclass(frozen=True)
class CheckData:
    """The images that an export is checked on.

    Args:
        name: what they are, in words.
        files: the N images.
        targets: their N targets, or None.
        calibration: other images of the same kind, from which the value ranges of 8 bits are taken.
    """

    name: str
    files: list[Path]
    targets: Values | None
    calibration: list[Path]


def find_check_data(data: str | None, model: Model, folder: Path, most: int, data_dir: str | Path | None) -> CheckData:
    """At most `most` images to check on, and images to calibrate on: of `data`, else of the built-in dataset that the model was
    trained on, else sample photographs. What is not a file yet is written to `folder`."""
    trained = str(model.header.provenance.get("data", {}).get("name"))
    if data is None and trained in known.KNOWN:
        try:
            return find_check_data(trained, model, folder, most, data_dir)
        except InputError:  # not downloaded
            pass
    if len(model.preprocess.size) in NOISE and data is None:
        return of_training(model, folder, most, data_dir)
    if data is None:
        files = write_samples(folder / "samples", min(most, 256), in_chans=model.spec.in_chans, suffix=".png")
        return CheckData(SAMPLES, files, None, files)
    if data not in known.KNOWN and Path(data).is_dir() and any(is_image(entry) for entry in Path(data).iterdir()):
        files = list(find_pictures([data]))
        shown, others = (evenly_spaced(np.arange(len(files)), num) for num in (most, NUM_CALIBRATION))
        return CheckData(f"{Path(data).name} (no labels)", [files[i] for i in shown], None, [files[i] for i in others])
    name, source = held_out(model.task.open_for(model.header, data, {}, data_dir=data_dir))
    split = source.splits[name]
    positions = evenly_spaced(np.arange(len(split)), most)
    training = source.splits.get("train", split)
    others = evenly_spaced(np.arange(len(training.targets)), NUM_CALIBRATION)
    return CheckData(
        f"{source.name}, {name} split",
        as_files(split, positions, folder / name, source.dims),
        split.targets.subset(positions),
        as_files(training, others, folder / "calibration", source.dims),
    )


def of_training(model: Model, folder: Path, most: int, data_dir: str | Path | None) -> CheckData:
    """The data that the model was trained on, where it is still there; else noise, of series with its mean and deviation."""
    trained = str(model.header.provenance.get("recipe", {}).get("data"))
    if Path(trained).exists():
        return find_check_data(trained, model, folder, most, data_dir)
    rule, axes = model.preprocess, len(model.preprocess.size)
    noise = np.random.default_rng(0).normal(size=(min(most, NOISE[axes]), rule.in_chans, *rule.size)).astype(np.float32)
    std, mean = (np.array(values, np.float32).reshape(-1, *[1] * axes) for values in (rule.std, rule.mean))
    split = Split(ArraySeries(noise * std + mean, "noise"), np.zeros(len(noise), np.int64))
    files = as_files(split, np.arange(len(noise)), folder / "noise", axes)
    return CheckData("noise, for the data of the training is not there", files, None, files)


def is_image(entry: Path) -> bool:
    """Whether it is a file with the suffix of an image."""
    return entry.is_file() and entry.suffix.lower() in IMAGE_SUFFIXES


def held_out(source: Source) -> tuple[str, Source]:
    """The name of a split that the model was not trained on, and the source with it: validation, cut as in its training."""
    if "val" not in source.splits and "train" in source.splits:
        source = splits.cut_val(source)
    return evaluate.pick(source, "val" if "val" in source.splits else None), source


def as_files(split: Split, positions: np.ndarray, folder: Path, dims: int) -> list[Path]:
    """The images at `positions` as files: their own or, of images in memory, those that are written to `folder`."""
    images: Any = split.images
    if hasattr(images, "path"):
        return [images.path(int(i)) for i in positions]
    folder.mkdir(parents=True, exist_ok=True)
    suffix, save = WRITTEN[dims]
    files = [folder / f"{i:06}{suffix}" for i in positions]
    for file, i in zip(files, positions, strict=True):
        save(images[int(i)], file)
    return files


# How images in memory are written, by their spatial axes: the suffix, and what writes one.
WRITTEN: dict[int, tuple[str, Callable[[np.ndarray, Path], None]]] = {
    1: (".npz", lambda series, file: np.savez(file, X=series[None])),
    2: (".png", lambda pixels, file: Image.fromarray(pixels.squeeze()).save(file)),
    3: (".nii", lambda values, file: write_nifti(nifti_of(values), file)),
}
# How many inputs of noise stand for the data of the training, by their spatial axes.
NOISE = {1: NUM_CALIBRATION, 3: 16}


def fitted(preprocess: Preprocess, file: Path) -> np.ndarray:
    """The image in a file, (C, *size). Raises `BadPicture`."""
    inputs = INPUTS[len(preprocess.size)]
    images = inputs.opened(inputs.files([file], preprocess), preprocess.in_chans)
    return inputs.fitted(images, 0, preprocess, False).pixels
