"""The table of export formats, one row per format. Each writes one graph with the model's header inside.

Every writer takes the graph from `resnets.ship.graph.program`, the path to write, the header (stored as JSON, as in saved
models), and calibration images to quantise to 8 bits, or None for float32.
"""

from __future__ import annotations

import importlib
import io
import json
import operator
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from resnets.errors import InputError
from resnets.files import temporary_folder
from resnets.models.header import Header

if TYPE_CHECKING:
    from torch.export import ExportedProgram

    from resnets.ship.graph import Finding

    Graph = ExportedProgram | Finding

HEADER = "resnets"  # the key of the header in files of other formats
ONNX = ("onnx", "onnxscript", "onnxruntime")
Calibration = Sequence[np.ndarray]  # uint8 (1, H, W, C) each


def write_torch(program: ExportedProgram, path: Path, header: Header, calibration: Calibration | None) -> None:
    """Write a torch.export archive. The 8-bit form (torchao, PT2E) is fast only if the reader compiles the graph."""
    import torch

    from resnets.ship.graph import private

    if calibration is not None:
        program = private(quantised(program, calibration))
    written = io.BytesIO()  # torch's writer would end the process on a full disk
    torch.export.save(program, written, extra_files={f"{HEADER}.json": json.dumps(header.to_json())})
    path.write_bytes(written.getbuffer())


def quantised(program: ExportedProgram, calibration: Calibration) -> ExportedProgram:
    """The graph with 8-bit quantisation and dequantisation around its convolutions (torchao's configuration for x86)."""
    import torch
    from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e
    from torchao.quantization.pt2e.quantizer import x86_inductor_quantizer as x86

    graph = program.module()
    # The quantiser identifies layers by the module they come from, so a ReLU module called twice would count as one layer.
    aten = torch.ops.aten
    layers = {
        aten.conv2d.default: torch.nn.Conv2d,
        aten.linear.default: torch.nn.Linear,
        aten.relu.default: torch.nn.ReLU,
        aten.add.Tensor: operator.add,
    }
    for node in graph.graph.nodes:
        if node.target in layers:
            node.meta["source_fn_stack"] = [(node.name, layers[node.target])]
    quantizer = x86.X86InductorQuantizer().set_global(x86.get_default_x86_inductor_quantization_config())
    shapes = {"pixels": free_axes(program)}
    with torch.no_grad():
        prepared = prepare_pt2e(graph, quantizer)
        for pixels in calibration:
            prepared(torch.from_numpy(pixels))
        two = torch.from_numpy(np.concatenate([calibration[0], calibration[-1]]))
        return torch.export.export(convert_pt2e(prepared), (two,), dynamic_shapes=shapes)


def free_axes(program: ExportedProgram) -> dict[int, Any]:
    """The input axes with variable length, as `torch.export` takes them: {axis: Dim.DYNAMIC}."""
    from torch.export import Dim

    pixels = next(node for node in program.graph.nodes if node.op == "placeholder" and node.name == "pixels")
    return {axis: Dim.DYNAMIC for axis, length in enumerate(pixels.meta["val"].shape) if not isinstance(length, int)}


def write_onnx(program: Graph, path: Path, header: Header, calibration: Calibration | None) -> None:
    """Write ONNX. 8 bits by ONNX Runtime (QDQ), with unsigned activations and one weight scale per channel, fast on x86."""
    import onnx
    import torch

    if isinstance(program, torch.nn.Module):
        if calibration is not None:
            raise InputError("8 bits are for networks with one output for each image; leave out --int8")
        proto = traced(program, header)
    else:
        with quiet():
            exported = torch.onnx.export(program, input_names=["pixels"], output_names=["outputs"], dynamo=True, verbose=False)
        assert exported is not None
        proto = exported.model_proto
        name_axes(proto, free_axes(program))
    onnx.checker.check_model(proto, full_check=True)
    if calibration is not None:
        proto = quantised_onnx(proto, path, calibration)
    for node in proto.graph.node:
        del node.metadata_props[:]  # stack traces, with paths of this machine
        node.doc_string = ""
    # The least that the operators need: older runtimes refuse newer ones by this number alone.
    proto.ir_version = onnx.helper.find_min_ir_version_for(list(proto.opset_import), ignore_unknown=True)
    onnx.helper.set_model_props(proto, {key: json.dumps(value) for key, value in header.to_json().items()})
    onnx.save(proto, path)


def traced(module: Finding, header: Header) -> Any:
    """The ONNX model of what finds any number of things, by torch's older exporter, which follows one example: for such
    networks torchvision supports that one."""
    import onnx
    import torch

    height, width = (max(64, side) for side in header.preprocess.size)
    pixels = torch.zeros(1, height, width, header.preprocess.in_chans, dtype=torch.uint8)
    axes = {"pixels": {1: "H", 2: "W"}} | {name: {0: "K"} for name in module.names}
    with temporary_folder() as folder, quiet(), torch.no_grad():
        written = folder / "traced.onnx"
        torch.onnx.export(
            module, (pixels,), written, input_names=["pixels"], output_names=list(module.names), dynamic_axes=axes,
            opset_version=18, dynamo=False,
        )  # fmt: skip
        return onnx.load(written)


def name_axes(proto: Any, axes: dict[int, Any]) -> None:
    """Name the variable axes N, H and W (of series N, L, of volumes N, D, H, W) instead of the exporter's generated names, in
    place."""
    names = {3: "NL", 4: "NHW", 5: "NDHW"}[len(proto.graph.input[0].type.tensor_type.shape.dim)]
    for value in (*proto.graph.input, *proto.graph.output):
        for axis, dim in enumerate(value.type.tensor_type.shape.dim):
            if dim.dim_param and axis in axes:
                dim.dim_param = names[axis]
    del proto.graph.value_info[:]  # uses the old names, and can be derived from the rest


def quantised_onnx(proto: Any, path: Path, calibration: Calibration) -> Any:
    """The ONNX model quantised to 8 bits by ONNX Runtime; a temporary file is written beside `path`."""
    import onnx
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

    class Images(CalibrationDataReader):
        def __init__(self) -> None:
            self.left = iter(calibration)

        def get_next(self) -> dict[str, np.ndarray] | None:
            pixels = next(self.left, None)
            return None if pixels is None else {"pixels": pixels}

    written = path.with_suffix(".quantised.onnx")
    try:
        with quiet():
            quantize_static(
                proto,
                str(written),
                Images(),
                quant_format=QuantFormat.QDQ,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
                per_channel=True,
            )
        return onnx.load(written)
    finally:
        written.unlink(missing_ok=True)


def write_openvino(program: ExportedProgram, path: Path, header: Header, calibration: Calibration | None) -> None:
    """Write OpenVINO's pair of files, PATH.xml and PATH.bin. 8 bits by NNCF.

    NNCF by default clips the largest activations and corrects biases for that. The full range without correction gives
    answers closer to the float network: 99.4 instead of 97.9 % equal answers of a ResNet-20 on CIFAR-10 (docs/lab.md).
    """
    import openvino

    with quiet():
        model = openvino.convert_model(program)
    model.inputs[0].get_tensor().set_names({"pixels"})
    model.outputs[0].get_tensor().set_names({"outputs"})
    if calibration is not None:
        import nncf
        from nncf.quantization.range_estimator import RangeEstimatorParametersSet

        with quiet():
            model = nncf.quantize(
                model,
                nncf.Dataset(calibration),
                preset=nncf.QuantizationPreset.MIXED,
                subset_size=len(calibration),
                advanced_parameters=nncf.AdvancedQuantizationParameters(
                    activations_range_estimator_params=RangeEstimatorParametersSet.MINMAX, disable_bias_correction=True
                ),
            )
    for key, value in header.to_json().items():
        model.set_rt_info(json.dumps(value), [HEADER, key])
    openvino.save_model(model, path, compress_to_fp16=False)


def write_html(program: Graph, path: Path, header: Header, calibration: Calibration | None) -> None:
    """Write a page that holds the ONNX file and what runs it in a browser. 8 bits as ONNX."""
    from resnets.ship.page import runtime, write

    write.check_page(header)
    inside = path.with_suffix(".inside.onnx")
    try:
        write_onnx(program, inside, header, calibration)
        onnx = inside.read_bytes()
    finally:
        inside.unlink(missing_ok=True)
    path.write_text(write.write_page(onnx, header, runtime.find()), encoding="utf-8", newline="\n")


def prepare_page(header: Header, web_runtime: str | Path | None) -> None:
    """Raise `InputError` where a model cannot be a page, or there is nothing to run it in a browser."""
    from resnets.ship.page import runtime, write

    write.check_page(header)
    runtime.find(web_runtime)


def no_page(header: Header, web_runtime: str | Path | None) -> None:
    if web_runtime is not None:
        raise InputError(f"web_runtime={str(web_runtime)!r} has an effect with --format html only; leave it out")


@dataclass(frozen=True)
class Format:
    """One export format.

    Args:
        suffix: suffix of the file.
        write: function that writes it: (graph, path, header, calibration images or None).
        beside: suffixes of further files that it consists of.
        prepare: what is looked at before anything is written: (header, ONNX Runtime Web as it was given, or None).
        extra: what installs the packages that write and check it.
        packages: these.
        packages_8: what 8 bits take besides.
    """

    suffix: str
    write: Callable[[Any, Path, Header, Calibration | None], None]
    beside: tuple[str, ...] = ()
    prepare: Callable[[Header, str | Path | None], None] = no_page
    extra: str = ""
    packages: tuple[str, ...] = ()
    packages_8: tuple[str, ...] = ()

    def check_installed(self, *, int8: bool) -> None:
        """Raises `InputError` with the extra that installs what is missing."""
        for package in (*self.packages, *(self.packages_8 if int8 else ())):
            need(package, self.extra)


FORMATS: dict[str, Format] = {
    "torch": Format(".pt2", write_torch, extra="torchao", packages_8=("torchao",)),
    "onnx": Format(".onnx", write_onnx, extra="onnxruntime", packages=ONNX),
    "openvino": Format(
        ".xml", write_openvino, beside=(".bin",), extra="openvino", packages=("openvino",), packages_8=("nncf",)
    ),
    "html": Format(".html", write_html, prepare=prepare_page, extra="onnxruntime", packages=ONNX),
}


def get(name: str) -> Format:
    """The format called `name`. Raises `InputError` with the names that exist."""
    if name not in FORMATS:
        raise InputError(f"there is no format {name!r}; use one of: {', '.join(FORMATS)}")
    return FORMATS[name]


def is_exported(path: Path) -> bool:
    """Whether a file is called as one of `FORMATS`."""
    return path.suffix in {row.suffix for row in FORMATS.values()}


def need(module: str, extra: str) -> None:
    """Import `module`. Raises `InputError` with the extra that installs it if it is missing."""
    try:
        with quiet():
            importlib.import_module(module)
    except ImportError as error:
        raise InputError(f"{module} is not installed ({error}); install it by: pip install 'resnets[{extra}]'") from None


@contextmanager
def quiet() -> Iterator[None]:
    """Suppress the exporters' warnings, log messages and progress, which they print to stdout."""
    import logging
    import warnings

    loggers = [logging.getLogger(name) for name in ("nncf", "torch", "torch.onnx", "torch.export", "root")]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings(), Path(os.devnull).open("w") as nowhere, redirect_stdout(nowhere):
        warnings.simplefilter("ignore")
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)
