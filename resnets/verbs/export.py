"""Export: write a model in another format, compare the file with the model on real images, and refuse it if they disagree.

The check does what users do: it predicts classes from image files, with the runtime that will run the exported file.
"""

from __future__ import annotations

import dataclasses
import importlib.metadata
import math
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict

import numpy as np
import torch
from PIL import Image

from resnets import tasks
from resnets.data import splits
from resnets.data.inputs import INPUTS
from resnets.data.pictures.samples import SAMPLES, write_samples
from resnets.data.pictures.volume import nifti_of, write_nifti
from resnets.data.preprocess import Preprocess
from resnets.data.readers import known
from resnets.data.series.series import ArraySeries
from resnets.data.types import Batch, Source, Split, Values
from resnets.errors import InputError
from resnets.files import replacing, temporary_folder
from resnets.measures.intervals import bootstrap
from resnets.measures.neighbours import distance
from resnets.measures.paired import paired_bootstrap
from resnets.models.header import Header
from resnets.models.model import Model
from resnets.models.pretrained.facts import sha256
from resnets.models.pretrained.names import locate
from resnets.models.records import ExportRecord, Provenance
from resnets.ship import formats, hub
from resnets.ship.sessions import Session, answering, exportable, gives_features, open_session
from resnets.verbs import evaluate
from resnets.verbs.features import feature_session, featured, featuring
from resnets.verbs.predict import find_files, find_pictures, stream

LEAST_EQUAL = 0.999  # least fraction of equal predictions of a float export
MOST_LOST = 0.005  # most accuracy that 8 bits may cost; without labels, the largest fraction of predictions that may change
SLOWER = 1.05  # ratio of times from which a file counts as slower: timings on shared machines are no more exact than that
BATCHES = (1, 32)  # batch sizes that are timed
NUM_CALIBRATION = 300  # images
NUM_ALONE = 8  # images whose outputs are compared where each has a size of its own
VERSIONS = ("torch", "onnx", "onnxruntime", "openvino", "nncf", "torchao")
Say = Callable[[str], None]
Answers = dict[int, np.ndarray]  # by the number of the image


class Measured(TypedDict, total=False):
    """Of the model before export or of the file after it: the task's first score (a fraction; None without labels), and the
    median seconds of a call by batch size (8 bits only)."""

    score: float | None
    top1: float | None  # the same, where that is what the score is called
    seconds: dict[int, float]


class Comparison(TypedDict):
    """An exported file compared with its model."""

    int8: bool
    pictures: str  # the images, in words
    num_images: int
    score: str  # what the score is called: "accuracy"
    equal: float  # how far the predictions agree (`Task.same`), the mean over the images
    largest_difference: float  # between outputs, in absolute value
    lost: Lost | None  # 8 bits only
    before: Measured
    after: Measured


class Lost(TypedDict):
    """What 8 bits cost: the score that is lost or, without labels, the fraction of answers that change."""

    value: float
    interval: list[float]  # of 95 %, over other images of the same kind


class CheckResult(Comparison):
    """The comparison, and in words the reasons to refuse the file, and what so few images leave open; none: it may be used."""

    faults: list[str]
    doubts: list[str]


class Exported(CheckResult):
    """The result of an export: the file, its format, and what the check found."""

    file: str
    format: str


class Refused(InputError):
    """The exported file does not predict what the model predicts. `result` holds the measured values."""

    def __init__(self, message: str, result: Exported) -> None:
        self.result = result
        super().__init__(message)


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
        say: called with a line of progress.

    Returns:
        See `Exported`. "before" and "after" hold "score" (None without labels) and "seconds" of a call with 1 and 32 images.

    Raises:
        Refused: if less than 99.9 % of the predictions are equal (float32), or the accuracy falls by more than 0.5 percentage
            points with all of its 95 % interval, or 8 bits are slower than 32 for single images and for batches (int8).
            Nothing is written then.
        InputError: if the model, the data or `out` cannot be used, or a package is missing.
    """
    row = formats.get(format)
    path = locate(model)
    if path.suffix in {entry.suffix for entry in formats.FORMATS.values()}:
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

        say(f"writing {format}")
        graph = program(written)
        file = folder / f"float{row.suffix}"
        row.write(graph, file, described(written.header, path, format, None), None)
        exact = file
        if int8:
            say(f"calibrating 8 bits on {len(images.calibration)} images")
            preprocess = loaded.preprocess
            file = folder / f"int8{row.suffix}"
            row.write(
                graph,
                file,
                described(written.header, path, format, images.name),
                [fitted(preprocess, image).transpose(1, 2, 0)[None] for image in images.calibration],
            )
        say(f"checking on {len(images.files)} images: {images.name}")
        result: Exported = {
            "file": str(target),
            "format": format,
            **check(path, exact, file, images, int8=bool(int8), stage=stage),
        }
        if result["faults"] and not force:
            raise Refused(f"{path.name} as {format} {'int8' if int8 else 'float32'}: {'; '.join(result['faults'])}", result)
        move(file, target, row.beside)
    return result


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
    """Move a file to `target`, and before it its weights file (of another suffix), so that it never uses old weights."""
    if beside:
        with replacing(target.with_suffix(beside[0])) as temporary:
            target.unlink(missing_ok=True)
            temporary.write_bytes(file.with_suffix(beside[0]).read_bytes())
    with replacing(target) as temporary:
        temporary.write_bytes(file.read_bytes())


# --- images to check on ------------------------------------------------------------------------------------------------------


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
        shown, others = evenly_spaced(len(files), most), evenly_spaced(len(files), NUM_CALIBRATION)
        return CheckData(f"{Path(data).name} (no labels)", [files[i] for i in shown], None, [files[i] for i in others])
    name, source = held_out(model.task.open_for(model.header, data, {}, data_dir=data_dir))
    split = source.splits[name]
    positions = evenly_spaced(len(split), most)
    training = source.splits.get("train", split)
    return CheckData(
        f"{source.name}, {name} split",
        as_files(split, positions, folder / name, source.dims),
        split.targets.subset(positions),
        as_files(training, evenly_spaced(len(training.targets), NUM_CALIBRATION), folder / "calibration", source.dims),
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
    from resnets.data.pictures.images import IMAGE_SUFFIXES

    return entry.is_file() and entry.suffix.lower() in IMAGE_SUFFIXES


def held_out(source: Source) -> tuple[str, Source]:
    """The name of a split that the model was not trained on, and the source with it: validation, cut as in its training."""
    if "val" not in source.splits and "train" in source.splits:
        source = splits.cut_val(source)
    return evaluate.pick(source, "val" if "val" in source.splits else None), source


def evenly_spaced(num: int, most: int) -> np.ndarray:
    """At most `most` of the positions 0 to num - 1, evenly spaced."""
    return np.unique(np.linspace(0, num - 1, most).astype(int))


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


# --- the check --------------------------------------------------------------------------------------------------------------


def check(model: Path, exact: Path, file: Path, images: CheckData, *, int8: bool, stage: str | None = None) -> CheckResult:
    """Compare an exported file with the model: predictions, outputs and, for 8 bits, speed against the float export `exact`.

    Of a file of features, by what it says, the features of `stage` are compared, by their cosine.

    Raises:
        InputError: if no image can be read.
    """
    opened = open_session(file, own=True)
    is_features = is_pooled(opened.header)
    reference = feature_session(model, device="cpu", stage=stage) if is_features else open_session(model, device="cpu")
    before, after = answers(reference, images.files), answers(opened, images.files)
    task = tasks.get(reference.header.task)
    same = cosine if is_features else task.same
    targets = None if is_features or task.own_size else images.targets  # answers for places are compared with each other alone
    read = np.array([number for number in before if number in after])
    if not len(read):
        raise InputError("no image to check on can be read; `resnets data check` says why")
    seconds = speeds(exact, file, [images.files[number] for number in read]) if int8 else ({}, {})

    first, second = (meter(reference.header, found, targets, read) for found in (before, after))

    def measured(filled: Any, seconds: dict[int, float]) -> Measured:
        value = None if filled is None else float(filled.result(len(read))[task.scores[0].key])
        result: Measured = {"score": value, "seconds": seconds}
        return result | {"top1": value} if task.scores[0].key == "top1" else result

    result: Comparison = {
        "int8": int8,
        "pictures": images.name,
        "num_images": len(read),
        "score": task.scores[0].words,
        "equal": float(np.mean([same(before[number], after[number]) for number in read])),
        "largest_difference": largest_difference(reference, opened, images.files),
        "lost": lost(first, second, before, after, read, same) if int8 else None,
        "before": measured(first, seconds[0]),
        "after": measured(second, seconds[1]),
    }
    return {**result, "faults": faults(result), "doubts": doubts(result)}


def lost(first: Any, second: Any, before: Answers, after: Answers, read: np.ndarray, same: Any) -> Lost:
    """What 8 bits cost, by the meters of the answers before and after; without labels by the answers that differ.

    Images are drawn again, the same for both."""
    if first is None:
        changed = np.array([1.0 - same(before[number], after[number]) for number in read])
        return {"value": float(changed.mean()), "interval": bootstrap(lambda at: float(changed[at].mean()), len(read))}
    found = paired_bootstrap(first.sample().figure, second.sample().figure, len(read))
    return {"value": found.value, "interval": found.interval}


def faults(result: Comparison) -> list[str]:
    """The reasons to refuse a file, in words; none: it may be used."""
    before, after = result["before"], result["after"]
    if result["lost"] is None:
        few = f"{result['equal']:.2%} of the predictions are equal, and at least {LEAST_EQUAL:.1%} should be"
        return [few] * (result["equal"] < LEAST_EQUAL)
    much = f"{cost(result, result['lost'])}, more than {100 * MOST_LOST:g}"
    found = [much] * (least(result["lost"]) > MOST_LOST)
    slower = min(after["seconds"][size] / before["seconds"][size] for size in BATCHES)
    if slower > SLOWER:
        found.append(f"8 bits take at least {slower:.2f} times as long as 32 on this machine; use float32 here")
    return found


def doubts(result: Comparison) -> list[str]:
    """What may be too much, where the images are too few to say so."""
    if result["lost"] is None or not least(result["lost"]) <= MOST_LOST < result["lost"]["value"]:
        return []
    unknown = f"{result['num_images']} images cannot tell whether it is more than {100 * MOST_LOST:g}"
    return [f"{cost(result, result['lost'])}: {unknown}; give more by --int8 and --num-check"]


def least(lost: Lost) -> float:
    """What is lost at least: the lower end of the interval or, where there is none, the value."""
    return lost["value"] if math.isnan(lost["interval"][0]) else lost["interval"][0]


def cost(result: Comparison, lost: Lost) -> str:
    """What is lost, with its interval, in words."""
    value, low, high = (100 * share for share in (lost["value"], *lost["interval"]))
    interval = f"{value:.2f} (95 % interval {low:.2f} to {high:.2f})"
    if result["before"]["score"] is None:
        return f"there are no labels to measure {result['score']} with, and {interval} % of the predictions change"
    return f"{result['score']} falls by {interval} percentage points"


def answers(session: Session, files: Sequence[Path]) -> dict[int, np.ndarray]:
    """The answer of the task for each file that can be read, or its features, by its number."""
    answer = featured(session) if is_pooled(session.header) else None
    found = stream(session, find_files(session.header, files), answer=answer)
    return {number: each.answer for number, each in enumerate(found) if each.answer is not None}


def is_pooled(header: Header) -> bool:
    """Whether a file gives the features of a trunk, which no task answers with; an embedding is an answer."""
    return gives_features(header) and not tasks.get(header.task).embeds


def cosine(before: np.ndarray, after: np.ndarray) -> float:
    """Of two vectors, from 0 to 1: what is below counts as 0."""
    return max(0.0, 1.0 - float(distance(before.astype(np.float64), after.astype(np.float64))))


def meter(header: Header, found: Answers, targets: Values | None, read: np.ndarray) -> Any:
    """The task's meter of the answers to the images `read`, by their numbers; None without targets."""
    if targets is None:
        return None
    task, chosen = answering(header), torch.from_numpy(targets.values[read])
    filled = task.meter(header.labels, header.head)
    filled.add(np.stack([found[number] for number in read]), Batch(torch.empty(len(read), 0), chosen, torch.from_numpy(read)))
    return filled


def pixels(session: Session, files: Sequence[Path]) -> np.ndarray:
    """(N, C, *size), as runtimes take them: readable files at the size of the network's input."""
    return np.stack([fitted(session.header.preprocess, file) for file in files])


def fitted(preprocess: Preprocess, file: Path) -> np.ndarray:
    """The image in a file, (C, *size). Raises `BadPicture`."""
    inputs = INPUTS[len(preprocess.size)]
    images = inputs.opened(inputs.files([file], preprocess), preprocess.in_chans)
    return inputs.fitted(images, 0, preprocess, False).pixels


def largest_difference(reference: Session, opened: Session, files: Sequence[Path], sizes: Sequence[int] = (1, 7, 32)) -> float:
    """The largest absolute difference between their outputs, over batches of these sizes of the first readable files; where
    inputs have a size each, over some of these, one by one."""
    alone = tasks.get(reference.header.task).own_size and not is_pooled(opened.header)
    good, most = [], NUM_ALONE if alone else max(sizes)
    for file in files:
        try:
            good.append(pixels(reference, [file]))
        except InputError:
            continue
        if len(good) == most:
            break
    batches = good if alone else [np.concatenate(good)[:size] for size in sizes]
    return max(difference(reference.run(batch), opened.run(batch)) for batch in batches)


def difference(before: Any, after: Any) -> float:
    """The largest absolute difference of two outputs, arrays in lists and dicts; infinite where they are of other shapes."""
    if isinstance(after, list | dict):
        names = after.keys() if isinstance(after, dict) else range(len(after))
        return max(difference(before[name], after[name]) for name in names)
    if before.shape != after.shape:
        return math.inf
    return float(np.abs(before - after).max(initial=0.0))


def speeds(exact: Path, file: Path, files: Sequence[Path]) -> tuple[dict[int, float], dict[int, float]]:
    """The seconds of a call of the float export and of the 8-bit one, by batch size. `files`: readable images."""
    first, second = open_session(exact, streams=1), open_session(file, streams=1)
    batch = pixels(second, files[: max(BATCHES)])
    times = {size: time_calls(first, second, np.resize(batch, (size, *batch.shape[1:]))) for size in BATCHES}
    return {size: pair[0] for size, pair in times.items()}, {size: pair[1] for size, pair in times.items()}


def time_calls(first: Session, second: Session, batch: np.ndarray, rounds: int = 15) -> tuple[float, float]:
    """Seconds per call of each: the median of `rounds` calls in alternation, after two warm-up calls."""
    taken: tuple[list[float], list[float]] = ([], [])
    for turn in range(rounds + 2):
        for session, times in zip((first, second), taken, strict=True):
            began = time.perf_counter()
            session.run(batch)
            if turn >= 2:
                times.append(time.perf_counter() - began)
    return statistics.median(taken[0]), statistics.median(taken[1])
