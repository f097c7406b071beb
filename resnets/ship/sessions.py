"""Opened models: uint8 pixels in, the task's outputs out, whichever program computes them. Importing this imports no torch."""

from __future__ import annotations

import dataclasses
import functools
import importlib.util
import os
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from resnets import tasks
from resnets.data.machine import default_workers, keep_memory, num_processors
from resnets.engine.contract import Task
from resnets.engine.settings import parse
from resnets.engine.values import Settings
from resnets.errors import InputError
from resnets.files import foreign, parse_json, temporary_folder
from resnets.models import header as saved
from resnets.models.answering import check_outputs, run_model
from resnets.models.header import Header
from resnets.models.pretrained.names import locate
from resnets.ship import allowlist, formats

if TYPE_CHECKING:
    from resnets.models.model import Model
    from resnets.models.pooled import Pooled

Run = Callable[[np.ndarray], np.ndarray]
SAVED = ".safetensors"  # of a model that is no exported file


@dataclass(frozen=True, kw_only=True)
class Session:
    """A model that is ready to run.

    Args:
        header: what it says of itself: network, preprocessing, labels, provenance.
        runtime: what computes: a key of `RUNTIMES`.
        run: uint8 (N, C, H, W), fitted but not normalised -> float32 outputs; for classification logits (N, num_classes).
            Channels last in memory, as `fit_picture` has them, is fastest. Of series float32 (N, C, L) likewise; of volumes
            float32 (N, C, D, H, W), normalised.
        streams: how many threads may be in `run` at once, and should be, for speed; 1: one after the other.
        network: the network itself, where torch computes it; it has gradients.
    """

    header: Header
    runtime: str
    run: Run
    streams: int = 1
    network: Model | Pooled | None = None


@dataclass(frozen=True)
class Options:
    """Where to compute, in how many streams (None: as many as is fastest for many pictures), whether in bfloat16, and whether
    the file is our own, written just now."""

    device: str
    streams: int | None
    amp: bool
    own: bool = False


def open_session(
    model: str | Path | Model | Pooled,
    *,
    runtime: str = "auto",
    device: str = "auto",
    streams: int | None = None,
    amp: bool = False,
    own: bool = False,
) -> Session:
    """Open a model for running. From then on the process keeps freed memory, see `keep_memory`.

    Args:
        model: a model, the trunk of one, a saved one (a file or a run directory), or an exported file (.onnx, .xml, .pt2).
        runtime: a key of `RUNTIMES`; "auto": the first that opens such files and is installed. A saved model is written in the
            runtime's format first, which takes some seconds.
        device: where torch computes; a model stays where it is with "auto". The others compute on the processor.
        streams: calls that run at once, each on its share of the processors: 1 is best for one picture after the other, None
            for many pictures.
        amp: compute in bfloat16, where runtime and processor can: faster, and answers that lie close together may change.
        own: this process wrote the file: networks whose operators no table has (detectors, segmenters) are opened too.

    Raises:
        InputError: where the file is missing, damaged or not ours, or the runtime is not installed or does not open it.
    """
    keep_memory()
    path = locate(model) if isinstance(model, str | os.PathLike) else None
    options = Options("stay" if path is None and device == "auto" else device, streams, amp, own)
    suffix = SAVED if path is None or path.suffix not in SUFFIXES else path.suffix
    name = _choose(suffix, runtime, path)
    row = RUNTIMES[name]
    formats.need(row.package, name)
    if amp and not row.amp:
        raise InputError(f"{name} does not compute in bfloat16; leave out --amp, or use another --runtime")
    if path is not None and is_exported(path):
        header, run, count = row.open[suffix](path, options)
        return Session(header=header, runtime=name, run=_checked(run, header, path), streams=count)
    return _open_saved(path or model, name, options)


def deciding(session: Session, asked: Settings) -> Session:
    """The session with a decision that is revised by what is asked for; None in `asked` is not asked for.

    Raises:
        InputError: where the task has no such setting, or the model's decision does not support it.
    """
    task, given = answering(session.header), {name: value for name, value in asked.items() if value is not None}
    if not given:
        return session
    tasks.check_owned(task, given)
    wishes = {name: parse(task.settings, name, value) for name, value in given.items()}
    decision = task.revise(session.header.decision, wishes)
    return dataclasses.replace(session, header=dataclasses.replace(session.header, decision=decision))


def check_runtime(header: Header, runtime: str) -> None:
    """Raise `InputError` where the task's answers are not computed by `runtime`."""
    known = tasks.get(header.task).runtimes
    if runtime not in known:
        raise InputError(f"the task {header.task} runs in {', '.join(known)} only, so far; leave out --runtime {runtime}")


def read_header(model: str | Path) -> Header:
    """What a saved or exported model says of itself. Raises as `open_session`."""
    path = locate(model)
    if is_exported(path):
        return open_session(path).header
    from resnets.models import weights
    from resnets.models.pretrained.opening import open_weights, published

    return published(weights.read_header(path), path) if weights.is_ours(path) else open_weights(path).header


def _choose(suffix: str, runtime: str, path: Path | None) -> str:
    """The key of the runtime for files with `suffix`."""
    if runtime != "auto" and runtime not in RUNTIMES:
        raise InputError(f"there is no runtime {runtime!r}; use one of: auto, {', '.join(RUNTIMES)}")
    opening = [name for name, row in RUNTIMES.items() if suffix in row.open or suffix == SAVED]
    if runtime == "auto":
        return next((name for name in opening if importlib.util.find_spec(RUNTIMES[name].package)), opening[0])
    if runtime not in opening:
        raise InputError(
            f"{path}: {runtime} does not open {suffix} files; use --runtime {' or '.join(opening)}, or export again"
        )
    return runtime


def gives_features(header: Header) -> bool:
    """Whether the model's outputs are features (N, num_features): it has no classes, or its task is to embed."""
    return not header.labels or tasks.get(header.task).embeds


def is_exported(path: Path) -> bool:
    """Whether the file was exported, by its suffix."""
    return path.suffix in SUFFIXES and path.suffix != SAVED


def _checked(run: Run, header: Header, path: Path) -> Run:
    def checked(pixels: np.ndarray) -> np.ndarray:
        with foreign(path, allowlist.AGAIN):
            outputs = run(pixels)
        check_outputs(outputs)
        if tasks.get(header.task).own_size and not gives_features(header):
            return outputs  # of our own files only, see `_in_page`
        if gives_features(header):
            if outputs.ndim != 2 or len(outputs) != len(pixels):
                raise InputError(f"{path}: answers of shape {outputs.shape} are no features; export it again")
        elif outputs.shape != (len(pixels), len(header.labels)):
            raise InputError(
                f"{path}: answers of shape {outputs.shape} do not fit its {len(header.labels)} labels; export it again"
            )
        return outputs

    return checked


def _channels_last(pixels: np.ndarray) -> np.ndarray:
    """(N, C, *size) -> (N, *size, C), as exported graphs take it; nothing is moved where memory is in that order already."""
    return np.ascontiguousarray(np.moveaxis(pixels, 1, -1))


def answering(header: Header) -> Task:
    """The task of a model, if it answers from files.

    Raises:
        InputError: where its inputs are of another kind, or it has no classes.
    """
    task = tasks.get(header.task)
    if header.spec.dims not in task.dims or len(header.preprocess.size) != header.spec.dims:
        raise InputError(
            f"the model takes inputs with {header.spec.dims} spatial axes, and files do not become these; use it from Python"
        )
    if not header.labels and not task.embeds:
        raise InputError("the model has no classes; give it some by `resnets train --weights`, or use it from Python")
    return task


def exportable(header: Header, format: str = "onnx") -> Header:
    """`header`, if files of `format` hold networks of its task. Raises `InputError` otherwise."""
    task = tasks.get(header.task) if gives_features(header) else answering(header)
    if format not in task.formats:
        raise InputError(
            f"the model is for the task {header.task}, which is exported as {', '.join(task.formats)} only, so far; `resnets "
            "predict` and `eval` take it as it is"
        )
    return header


# --- torch ------------------------------------------------------------------------------------------------------------------


def _open_saved(model: Any, runtime: str, options: Options) -> Session:
    from resnets.ship import hub

    loaded = hub.load(model) if isinstance(model, Path) else model
    return _written(loaded, runtime, options) if RUNTIMES[runtime].format else _of_model(loaded, options)


def _written(model: Model | Pooled, runtime: str, options: Options) -> Session:
    """The session of a file that is made for the purpose, and is gone when it is open."""
    from resnets.ship.graph import program

    check_runtime(model.header, runtime)
    row = formats.FORMATS[RUNTIMES[runtime].format]
    with temporary_folder() as folder:
        file = Path(folder, "model").with_suffix(row.suffix)
        row.write(program(model), file, model.header, None)
        return open_session(file, runtime=runtime, streams=options.streams, amp=options.amp)


def _of_model(model: Model | Pooled, options: Options) -> Session:
    from resnets.engine.device import find

    if options.device != "stay":
        model = model.to(find(options.device))
    run = functools.partial(run_model, model, amp=options.amp)
    return Session(header=model.header, runtime="torch", run=run, network=model)


def _open_archive(path: Path, options: Options) -> tuple[Header, Run, int]:
    from resnets.ship import archive

    if options.device not in ("auto", "cpu"):
        raise InputError(f"{path}: exported files compute on the processor; leave out --device {options.device}")
    header, run = archive.load(path, amp=options.amp)
    return header, lambda pixels: run(_channels_last(pixels)), 1


# --- onnxruntime ------------------------------------------------------------------------------------------------------------


def _open_onnx(path: Path, options: Options) -> tuple[Header, Run, int]:
    import onnxruntime

    streams = options.streams or default_workers()
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = max(1, num_processors() // streams)
    settings.log_severity_level = 4  # what is wrong comes back as an exception
    if path.suffix == ".html":
        proto, header = _in_page(path, options)
    else:
        proto, texts = allowlist.read_onnx(path)
        header = _header(texts, path)
    if "onnxruntime" in tasks.get(header.task).runtimes:
        allowlist.check_onnx_size(proto, header, path)
    with foreign(path, allowlist.AGAIN):
        session = onnxruntime.InferenceSession(proto.SerializeToString(), settings, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]

    def run(pixels: np.ndarray) -> Any:
        found = session.run(names, {"pixels": _channels_last(pixels)})
        return found[0] if names == ["outputs"] else [dict(zip(names, found, strict=True))]

    return header, run, streams


def _in_page(path: Path, options: Options) -> tuple[Any, Header]:
    """The network in a page, and its header. Of tasks whose answers this runtime does not compute otherwise, the operators are
    in no table: of these our own files alone are opened."""
    import onnx

    from resnets.ship.page.write import read_page

    content = read_page(path)
    if options.own:
        proto = onnx.load_model_from_string(content)
        return proto, _header({entry.key: entry.value for entry in proto.metadata_props}, path)
    proto, texts = allowlist.read_onnx(path, content)
    header = _header(texts, path)
    check_runtime(header, "onnxruntime")
    return proto, header


# --- openvino ---------------------------------------------------------------------------------------------------------------


@cache
def _core() -> Any:
    """One for the process, never let go of: the last to go would take the signal stack of the thread that it began in with it,
    from whichever thread it goes in, and the next signal (Ctrl-C, the end of a child) would end the program."""
    import openvino

    return openvino.Core()


def _open_openvino(path: Path, options: Options) -> tuple[Header, Run, int]:
    import openvino

    core = _core()
    settings: dict[str, Any] = {
        # OpenVINO would choose bfloat16 by itself where the processor has it, and with it other answers.
        "INFERENCE_PRECISION_HINT": "bf16" if options.amp else "f32",
        "PERFORMANCE_HINT": "LATENCY" if options.streams == 1 else "THROUGHPUT",
    }
    if options.streams is not None:
        settings["NUM_STREAMS"] = options.streams
    if path.suffix == ".onnx":
        proto, texts = allowlist.read_onnx(path)
        parts: tuple[Any, ...] = (proto.SerializeToString(),)
    else:
        text, weights, texts = allowlist.read_openvino(path)
        parts = (text, openvino.Tensor(weights))
    header = _header(texts, path)
    with foreign(path, allowlist.AGAIN):
        model = core.read_model(*parts)
        allowlist.check_openvino_size(model, header, path)
        compiled = core.compile_model(model, "CPU", settings)
    requests = threading.local()  # one a thread

    def run(pixels: np.ndarray) -> np.ndarray:
        if not hasattr(requests, "own"):
            requests.own = compiled.create_infer_request()
        return np.array(requests.own.infer({0: _channels_last(pixels)}, share_inputs=True)[0])

    return header, run, compiled.get_property("OPTIMAL_NUMBER_OF_INFER_REQUESTS")


def _header(texts: Mapping[str, str], path: Path) -> Header:
    known = [key for key in (*saved.PARTS, *saved.OPTIONAL) if key in texts]
    return saved.parse({key: parse_json(texts[key], f"{path}, {key}", object, strict=False) for key in known}, path)


@dataclass(frozen=True)
class Runtime:
    """One row.

    Args:
        open: by the suffix of an exported file, what opens it: (path, options) -> (header, run, streams).
        package: what it needs; the extra that installs it is the row's name.
        format: the format that saved models are written in for it; "": it computes those as they are.
        amp: whether it can compute in bfloat16.
    """

    open: dict[str, Callable[[Path, Options], tuple[Header, Run, int]]]
    package: str
    format: str = ""
    amp: bool = False


RUNTIMES: dict[str, Runtime] = {
    "torch": Runtime({".pt2": _open_archive}, "torch", amp=True),
    "onnxruntime": Runtime({".onnx": _open_onnx, ".html": _open_onnx}, "onnxruntime", "onnx"),
    "openvino": Runtime({".xml": _open_openvino, ".onnx": _open_openvino}, "openvino", "openvino", amp=True),
}
SUFFIXES = (SAVED, *{suffix: None for row in RUNTIMES.values() for suffix in row.open})
