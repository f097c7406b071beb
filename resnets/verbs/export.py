"""Export: write a model in a format, try the file on real pictures beside the model, and refuse what answers otherwise.

The check goes the way of its users, from picture files to labels, by the runtime that will run the file.
"""

from __future__ import annotations

import dataclasses
import hashlib
import importlib.metadata
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from resnets.data import sources
from resnets.data.pictures.images import FileImages, open_picture
from resnets.data.pictures.resize import fit_picture
from resnets.data.pictures.samples import SAMPLES, write_samples
from resnets.data.readers import known
from resnets.data.sources import Source
from resnets.data.types import Split
from resnets.errors import InputError
from resnets.files import replacing
from resnets.models.header import Header
from resnets.models.model import Model
from resnets.models.pretrained.names import locate
from resnets.ship import formats, hub
from resnets.ship.sessions import Session, open_session
from resnets.verbs import evaluate as evaluation
from resnets.verbs.predict import find_pictures, predict

LEAST_EQUAL = 0.999  # share of equal answers that a float export must reach
MOST_LOST = 0.005  # accuracy that 8 bits may cost; without labels, the share of answers that may change
SLOWER = 1.05  # times as slow as before is slower: the clocks of shared machines are not more exact
BATCHES = (1, 32)  # pictures at once, for the speeds
NUM_CALIBRATION = 300
VERSIONS = ("torch", "onnx", "onnxruntime", "openvino", "nncf", "torchao")
Say = Callable[[str], None]


class Refused(InputError):
    """The exported file does not do what the model does. `result` holds the figures."""

    def __init__(self, message: str, result: dict[str, Any]) -> None:
        self.result = result
        super().__init__(message)


@dataclass(frozen=True)
class Pictures:
    """What an export is tried on.

    Args:
        name: what they are, in words.
        files: the pictures.
        targets: (N,) the positions of their classes, or None.
        calibration: other pictures of the same kind, to find the ranges of 8 bits by.
    """

    name: str
    files: list[Path]
    targets: np.ndarray | None
    calibration: list[Path]


def export(
    model: str | Path,
    *,
    format: str,
    out: str | Path | None = None,
    int8: str | None = None,
    data: str | None = None,
    num_check: int = 1000,
    force: bool = False,
    data_dir: str | Path | None = None,
    say: Say = lambda text: None,
) -> dict[str, Any]:
    """Write a saved model for other programs, and check the file before it takes its place.

    Args:
        model: a `.safetensors` file or a run directory.
        format: a key of `FORMATS`: "onnx", "openvino" or "torch".
        out: the file; None: beside the model.
        int8: data to calibrate 8 bits on (its training split; other pictures of it measure the accuracy); None: float32.
        data: pictures to check on; None: those of `int8`, else the set that the model was trained on where that is a known one,
            else parts of two sample photographs.
        num_check: pictures to check on, at most.
        force: keep a file that the check refuses.
        say: told what is being done.

    Returns:
        {"file", "format", "int8", "pictures", "num_images", "equal", "largest_difference", "before", "after", "faults"};
        "before" and "after" hold "top1" (None without labels) and "seconds", of a call with 1 and with 32 pictures.

    Raises:
        Refused: where less than 99.9 % of the answers are equal (float), the accuracy falls by more than 0.5 points, or 8
            bits are slower than 32, alone and in batches (int8). Nothing is written then.
        InputError: where model, data or place cannot be used, or a package is missing.
    """
    row = formats.get(format)
    path = locate(model)
    if path.suffix in {entry.suffix for entry in formats.FORMATS.values()}:
        raise InputError(f"{path}: exported already; give the .safetensors file or the run directory that it came from")
    target = Path(out) if out is not None else path.with_name(path.stem + ("_int8" if int8 else "") + row.suffix)
    if target.suffix != row.suffix:
        raise InputError(
            f"{target}: files of format {format} end in {row.suffix}; name it {target.with_suffix(row.suffix).name}"
        )
    loaded = hub.for_pictures(hub.load(path))
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        pictures = gather(int8 or data, loaded, folder, num_check, data_dir)
        from resnets.ship.graph import program

        say(f"writing {format}")
        graph = program(loaded)
        file = folder / f"float{row.suffix}"
        row.write(graph, file, described(loaded, path, format, None), None)
        exact = file
        if int8:
            say(f"quantising on {len(pictures.calibration)} pictures")
            preprocess = loaded.preprocess
            file = folder / f"int8{row.suffix}"
            row.write(
                graph,
                file,
                described(loaded, path, format, pictures.name),
                [fit_picture(picture, preprocess).transpose(1, 2, 0)[None] for picture in pictures.calibration],
            )
        say(f"checking on {len(pictures.files)} pictures: {pictures.name}")
        result = check(path, exact, file, pictures, int8=bool(int8))
        result = {"file": str(target), "format": format} | result
        if result["faults"] and not force:
            raise Refused(f"{path.name} as {format} {'int8' if int8 else 'float32'}: {'; '.join(result['faults'])}", result)
        place_files(file, target, row.beside)
    return result


def described(model: Model, path: Path, format: str, int8: str | None) -> Header:
    """The model's header, with how the export came about in its provenance."""
    versions = {}
    for package in VERSIONS:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    story = {
        "format": format,
        "int8": int8,
        "source": path.name,
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "date": time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime()),
        "versions": versions,
    }
    return dataclasses.replace(model.header, provenance=model.header.provenance | {"export": story})


def place_files(file: Path, target: Path, beside: Sequence[str]) -> None:
    """Move a file and those that belong to it into place, the file itself last, so that it never stands beside old weights."""
    if beside:
        with replacing(target.with_suffix(beside[0])) as temporary:
            target.unlink(missing_ok=True)
            temporary.write_bytes(file.with_suffix(beside[0]).read_bytes())
    with replacing(target) as temporary:
        temporary.write_bytes(file.read_bytes())


# --- pictures ---------------------------------------------------------------------------------------------------------------


def gather(data: str | None, model: Model, folder: Path, most: int, data_dir: str | Path | None) -> Pictures:
    """Pictures to check and to calibrate on: of `data`, else of the known set that the model was trained on, else samples."""
    trained = str(model.header.provenance.get("data", {}).get("name"))
    if data is None and trained in known.KNOWN:
        try:
            return gather(trained, model, folder, most, data_dir)
        except InputError:  # not on this machine, or not fetched
            pass
    if data is None:
        files = write_samples(folder / "samples", min(most, 256), in_chans=model.spec.in_chans, suffix=".png")
        return Pictures(SAMPLES, files, None, files)
    if data not in known.KNOWN and Path(data).is_dir() and any(is_picture(entry) for entry in Path(data).iterdir()):
        files = list(find_pictures([data]))
        others = spread(len(files), NUM_CALIBRATION)
        return Pictures(
            f"{Path(data).name} (no labels)", [files[i] for i in spread(len(files), most)], None, [files[i] for i in others]
        )
    source = sources.open_source(data, data_dir=data_dir, in_chans=model.spec.in_chans, labels=model.labels)
    name, source = held_out(source, model)
    split = source.splits[name]
    positions = spread(len(split.targets), most)
    learnt = source.splits.get("train", split)
    return Pictures(
        f"{source.name}, {name} split",
        as_files(split, positions, folder / name),
        split.targets[positions],
        as_files(learnt, spread(len(learnt.targets), NUM_CALIBRATION), folder / "calibration"),
    )


def is_picture(entry: Path) -> bool:
    from resnets.data.pictures.images import IMAGE_SUFFIXES

    return entry.is_file() and entry.suffix.lower() in IMAGE_SUFFIXES


def held_out(source: Source, model: Model) -> tuple[str, Source]:
    """A split that did not train the model, and the source that has it: the validation split, cut as it was in training."""
    source = evaluation.as_trained(source, model.header)
    if "val" not in source.splits and "train" in source.splits:
        source = sources.cut_val(source)
    return evaluation.pick(source, "val" if "val" in source.splits else None)


def spread(num: int, most: int) -> np.ndarray:
    """Positions of at most `most` of `num`, evenly spread."""
    return np.unique(np.linspace(0, num - 1, most).astype(int))


def as_files(split: Split, positions: np.ndarray, folder: Path) -> list[Path]:
    """The pictures at `positions` as files: their own, or for others PNGs in `folder`."""
    images: Any = split.images
    if isinstance(images, FileImages):
        return [images.path(int(i)) for i in positions]
    folder.mkdir(parents=True, exist_ok=True)
    files = [folder / f"{i:06}.png" for i in positions]
    for file, i in zip(files, positions, strict=True):
        Image.fromarray(images[int(i)].squeeze()).save(file)
    return files


# --- the check --------------------------------------------------------------------------------------------------------------


def check(model: Path, exact: Path, file: Path, pictures: Pictures, *, int8: bool) -> dict[str, Any]:
    """How `file` answers beside the model, and how fast beside the float export `exact`. "faults": what speaks against it."""
    reference, opened = open_session(model, device="cpu"), open_session(file)
    before, after = answers(reference, pictures.files), answers(opened, pictures.files)
    read = (before >= 0) & (after >= 0)
    if not read.any():
        raise InputError("no picture to check on can be read; `resnets data check` says why")
    equal = float((before == after)[read].mean())
    seconds: dict[str, dict[int, float]] = {"before": {}, "after": {}}
    if int8:
        batch = pixels(opened, [picture for picture, good in zip(pictures.files, read, strict=True) if good][: max(BATCHES)])
        first, second = open_session(exact, streams=1), open_session(file, streams=1)
        for size in BATCHES:
            seconds["before"][size], seconds["after"][size] = timed(first, second, np.resize(batch, (size, *batch.shape[1:])))
    scores = {}
    for name, given in (("before", before), ("after", after)):
        hits = None if pictures.targets is None else float((given == pictures.targets)[read].mean())
        scores[name] = {"top1": hits, "seconds": seconds[name]}
    result = {
        "int8": int8,
        "pictures": pictures.name,
        "num_images": int(read.sum()),
        "equal": equal,
        "largest_difference": difference(reference, opened, pictures.files),
    } | scores
    return result | {"faults": faults(result)}


def faults(result: dict[str, Any]) -> list[str]:
    """What speaks against a file, in words; empty: nothing."""
    before, after, found = result["before"], result["after"], []
    if not result["int8"]:
        if result["equal"] < LEAST_EQUAL:
            found.append(f"{result['equal']:.2%} of the answers are equal, and at least {LEAST_EQUAL:.1%} should be")
        return found
    if before["top1"] is not None:
        lost = before["top1"] - after["top1"]
        if lost > MOST_LOST:
            found.append(f"accuracy falls by {100 * lost:.2f} points, and may by {100 * MOST_LOST:.1f}")
    elif result["equal"] < 1 - MOST_LOST:
        found.append(f"without labels to measure accuracy on, {result['equal']:.2%} equal answers are too few")
    least = min(after["seconds"][size] / before["seconds"][size] for size in BATCHES)
    if least > SLOWER:
        found.append(f"8 bits take {least:.2f} times as long as 32 on this machine, or more; keep float32 here")
    return found


def answers(session: Session, files: Sequence[Path]) -> np.ndarray:
    """(N,) the class of each file, by `predict`; -1: it cannot be read."""
    return np.array([row.get("index", -1) for row in predict(session, files, topk=1)])


def pixels(session: Session, files: Sequence[Path]) -> np.ndarray:
    """(N, C, H, W) of readable files."""
    header = session.header
    pictures = [fit_picture(open_picture(file, header.preprocess.in_chans), header.preprocess) for file in files]
    return np.stack(pictures)


def difference(reference: Session, opened: Session, files: Sequence[Path], sizes: Sequence[int] = (1, 7, 32)) -> float:
    """The largest difference between their outputs, for batches of several sizes."""
    good = []
    for file in files:
        try:
            good.append(pixels(reference, [file]))
        except InputError:
            continue
        if len(good) == max(sizes):
            break
    batch = np.concatenate(good)
    return max(float(np.abs(reference.run(batch[:size]) - opened.run(batch[:size])).max()) for size in sizes)


def timed(first: Session, second: Session, batch: np.ndarray, rounds: int = 15) -> tuple[float, float]:
    """Seconds a call of each, the median of `rounds`, in turns, after two to warm up."""
    taken: tuple[list[float], list[float]] = ([], [])
    for turn in range(rounds + 2):
        for session, times in zip((first, second), taken, strict=True):
            began = time.perf_counter()
            session.run(batch)
            if turn >= 2:
                times.append(time.perf_counter() - began)
    return statistics.median(taken[0]), statistics.median(taken[1])
