"""Export: write a model in another format, compare the file with the model (`export_check`) on real images (`export_data`), and
refuse it if they disagree."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from resnets.errors import InputError
from resnets.files import replacing, temporary_folder
from resnets.models.header import Header
from resnets.models.pretrained.facts import sha256
from resnets.models.pretrained.names import locate
from resnets.models.records import ExportRecord, Provenance
from resnets.ship import formats, hub
from resnets.ship.sessions import exportable
from resnets.stores import publishing
from resnets.verbs.export_check import CheckResult, Went, check, num_checked
from resnets.verbs.export_data import find_check_data, fitted
from resnets.verbs.features import featuring

VERSIONS = ("torch", "onnx", "onnxruntime", "openvino", "nncf", "torchao")
Say = Callable[[str], None]


class Exported(CheckResult):
    """The result of an export: the file, its format, and what the check found."""

    file: str
    format: str


class Refused(InputError):
    """The exported file does not predict what the model predicts. `result` holds the measured values."""

    def __init__(self, message: str, result: Exported) -> None:
        self.result = result
        super().__init__(message)


@publishing
def export(
    model: str | Path,
    *,
    format: str,
    out: str | Path | None = None,
    int8: str | None = None,
    data: str | None = None,
    num_check: int = 1000,
    force: bool = False,
    features: bool = False,
    stage: str | None = None,
    web_runtime: str | Path | None = None,
    data_dir: str | Path | None = None,
    say: Say = lambda text: None,
    progress: Callable[[int, int], None] = lambda done, num: None,
) -> Exported:
    """Write a saved model in a format for other programs, and check the file before it is moved to `out`.

    Args:
        model: a `.safetensors` file or a run directory.
        format: a key of `FORMATS`: "onnx", "openvino", "torch" or "html".
        out: the file to write; default (None): beside the model.
        int8: data for calibrating 8 bits: its training split; its validation split measures the accuracy. Default (None):
            float32.
        data: images to check on; default (None): those of `int8`, else the dataset that the model was trained on if it is a
            built-in one, else crops of two sample photographs.
        num_check: largest number of images to check on.
        force: keep a file that the check refuses.
        features: the file gives the features of images, for `resnets embed` and `search`, rather than answers.
        stage: with `features`: the level that is pooled, such as "c4"; None: the last.
        web_runtime: of "html": ONNX Runtime Web as npm packs it (a .tgz, or its folder); default (None): what was given before,
            else npm is asked for it.
        data_dir: the folder of the built-in datasets.
        say: called with a line for each part of the work.
        progress: called with the number of images so far and of all that go through a network: those that 8 bits are calibrated
            on, and those of the check, once in the model, once in the file, and where it is timed.

    Returns:
        See `Exported`. "before" and "after" hold "score" (None without labels) and "seconds" of a call with 1 and 32 images.

    Raises:
        Refused: if less than 99.9 % of the predictions are equal (float32), or the accuracy falls by more than 0.5 percentage
            points with all of its 95 % interval, or 8 bits are slower than 32 for single images and for batches (int8).
            Nothing is written then.
        InputError: if the model, the data or `out` cannot be used, or a package is missing.
    """
    row = formats.get(format)
    row.check_installed(int8=bool(int8))
    path = locate(model)
    if formats.is_exported(path):
        raise InputError(f"{path}: exported already; give the .safetensors file or the run directory that it came from")
    folder = path.parent if Path(model).exists() else Path()  # a name's file is in the package or a cache
    target = Path(out) if out is not None else folder / (path.stem + ("_int8" if int8 else "") + row.suffix)
    if target.suffix != row.suffix:
        raise InputError(
            f"{target}: files of format {format} end in {row.suffix}; name it {target.with_suffix(row.suffix).name}"
        )
    if stage is not None and not features:
        raise InputError(f"stage={stage!r} has an effect with features only; add --features, or leave it out")
    loaded = hub.load(path)
    written = featuring(loaded, stage) if features else loaded
    exportable(written.header, format)
    if int8 and loaded.task.own_size and not features:
        raise InputError(f"int8: 8 bits are for tasks with one answer per image, and this model is for {loaded.task.name}")
    if int8 and len(loaded.preprocess.size) != 2:
        raise InputError("8 bits are for models of pictures, so far; leave out --int8")
    row.prepare(written.header, web_runtime)
    with temporary_folder() as folder:
        images = find_check_data(int8 or data, loaded, folder, num_check, data_dir)
        from resnets.ship.graph import program

        calibration = images.calibration if int8 else []
        went = adding(progress, len(calibration) + num_checked(images, int8=bool(int8)))
        say(f"writing {format}")
        graph = program(written)
        file = folder / f"float{row.suffix}"
        row.write(graph, file, described(written.header, path, format, None), None)
        exact = file
        if int8:
            say(f"calibrating 8 bits on {len(calibration)} images")
            inputs = [fitted(loaded.preprocess, image).transpose(1, 2, 0)[None] for image in calibration]
            file = folder / f"int8{row.suffix}"
            row.write(graph, file, described(written.header, path, format, images.name), Watched(inputs, went))
        say(f"checking on {len(images.files)} images: {images.name}")
        result: Exported = {
            "file": str(target),
            "format": format,
            **check(path, exact, file, images, int8=bool(int8), stage=stage, went=went),
        }
        if result["faults"] and not force:
            raise Refused(f"{path.name} as {format} {'int8' if int8 else 'float32'}: {'; '.join(result['faults'])}", result)
        move(file, target, row.beside)
    return result


def adding(progress: Callable[[int, int], None], num: int) -> Went:
    """What tells `progress` of so many images more, of `num` in all."""
    done = itertools.count()
    progress(next(done), num)

    def went(more: int) -> None:
        for _ in range(more):
            progress(next(done), num)

    return went


class Watched(Sequence[np.ndarray]):
    """The images `inputs`; that one is taken is told to `went`, where they are gone through one by one."""

    def __init__(self, inputs: Sequence[np.ndarray], went: Went) -> None:
        self.inputs, self.went = inputs, went

    def __len__(self) -> int:
        return len(self.inputs)

    def __getitem__(self, index: Any) -> Any:
        return self.inputs[index]

    def __iter__(self) -> Iterator[np.ndarray]:
        for image in self.inputs:
            self.went(1)
            yield image


def described(header: Header, path: Path, format: str, int8: str | None) -> Header:
    """The header of what is exported; its provenance says how the export was made. `int8`: the calibration images, in words."""
    versions = {}
    for package in VERSIONS:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    record: ExportRecord = {
        "format": format,
        "int8": int8,
        "source": path.name,
        "sha256": sha256(path),
        "date": time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime()),
        "versions": versions,
    }
    provenance: Provenance = {**header.provenance, "export": record}
    return dataclasses.replace(header, provenance=provenance)


def move(file: Path, target: Path, beside: Sequence[str]) -> None:
    """Move a file to `target`, and just before it its weights file (of another suffix), so that it never uses old weights. Both
    are complete beside their places by then: between the two there is a moment only."""
    with replacing(target) as temporary:
        temporary.write_bytes(file.read_bytes())
        for suffix in beside:
            with replacing(target.with_suffix(suffix)) as weights:
                weights.write_bytes(file.with_suffix(suffix).read_bytes())
                target.unlink(missing_ok=True)
