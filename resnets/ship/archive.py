"""Reading torch.export archives (.pt2) safely.

`torch.export.load` unpickles objects, looks up functions of `torch` by name, and evaluates expressions as Python, all as the
archive says. An archive is therefore checked before it is loaded: it may hold only raw tensors, the operations that our
networks consist of, and arithmetic on axis lengths.
"""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np

from resnets.errors import InputError
from resnets.models import header as saved
from resnets.models.header import Header
from resnets.ship.formats import HEADER, need

OPERATIONS = frozenset(
    "torch.ops." + name
    for name in (
        "aten.add.Tensor", "aten.avg_pool2d.default", "aten.batch_norm.default", "aten.conv2d.default", "aten.div.Tensor",
        "aten.flatten.using_ints", "aten.linear.default", "aten.max_pool2d.default", "aten.mean.dim", "aten.mul.Tensor",
        "aten.pad.default", "aten.permute.default", "aten.relu.default", "aten.sigmoid.default", "aten.slice.Tensor",
        "aten.sub.Tensor",
        "quantized_decomposed.dequantize_per_channel.default", "quantized_decomposed.dequantize_per_tensor.default",
        "quantized_decomposed.quantize_per_tensor.default",
    )
)  # fmt: skip
MEMBERS = re.compile(
    r"data/weights/(weight_\d+|model_weights_config\.json)|data/constants/(tensor_\d+|model_constants_config\.json)"
    r"|models/model\.json|data/sample_inputs/model\.pt|extra/resnets\.json|archive_format|archive_version|byteorder"
    r"|\.data/(version|serialization_id)|\.format_version|\.storage_alignment"
)
CONFIGS = ("data/weights/model_weights_config.json", "data/constants/model_constants_config.json")
# The words in expressions for axis lengths ("Mul(Integer(2), Symbol('s0', positive=True, integer=True))") and in their guards.
WORDS = frozenset({
    "Integer", "Symbol", "Add", "Mul", "Mod", "Max", "Min", "FloorDiv", "CeilDiv", "PythonMod", "Pow", "Rational", "Eq", "Ne",
    "Lt", "Le", "Gt", "Ge", "And", "Or", "Not", "positive", "integer", "nonnegative", "True", "False", "L", "pixels", "size",
    "torch", "sym_max", "sym_min", "and", "or", "not",
})  # fmt: skip
MAX_TEXT = 100_000_000  # bytes of JSON; the JSON of our networks is smaller


def load(path: Path, *, amp: bool = False) -> tuple[Header, Callable[[np.ndarray], np.ndarray]]:
    """The header of an archive of `resnets export`, and a function that runs it: uint8 (N, H, W, C) -> float32 outputs.

    A graph quantised to 8 bits is compiled, because otherwise it is slower than the float graph. That needs a C++ compiler;
    without one the graph runs uncompiled.

    Args:
        amp: whether to run under bfloat16 autocast.

    Raises:
        InputError: if the file is not such an archive.
    """
    import torch

    header = check(path)
    quantised = bool(header.provenance.get("export", {}).get("int8"))
    if quantised:
        need("torchao.quantization.pt2e.quantizer.x86_inductor_quantizer", "torchao")  # importing it registers the operations
    try:
        module: Any = torch.export.load(path).module()
    except Exception as error:
        raise InputError(f"{path}: torch cannot read it ({' '.join(str(error).split())[:200]}); export it again") from error
    forward = module
    if quantised:
        forward = torch.compile(module, dynamic=True, options={"freezing": True})

    @torch.no_grad()
    def run(pixels: np.ndarray) -> np.ndarray:
        nonlocal forward
        x = torch.from_numpy(pixels)
        with torch.autocast("cpu", torch.bfloat16) if amp else nullcontext():
            try:
                outputs = forward(x)
            except torch._inductor.exc.InductorError:
                if forward is module:
                    raise
                forward = module  # no compiler here
                outputs = forward(x)
        return outputs.float().numpy()

    return header, run


def check(path: Path) -> Header:
    """The header of the archive. Raises `InputError` if the archive holds anything unsafe that torch would act on."""
    try:
        with zipfile.ZipFile(path) as archive:
            texts = {name: json.loads(text) for name, text in _texts(archive, path)}
    except (zipfile.BadZipFile, OSError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path}: not a torch.export archive, or damaged ({error}); export it again") from None
    missing = {*CONFIGS, "models/model.json", f"extra/{HEADER}.json"} - set(texts)
    if missing:
        raise InputError(f"{path}: lacks {', '.join(sorted(missing))}, so `resnets export` did not write it")
    graph = texts["models/model.json"]
    for fault in (*_faults(graph), *(fault for name in CONFIGS for fault in _faults(texts[name]))):
        raise InputError(f"{path}: holds {fault}, which no exported network needs; it is not opened")
    return saved.parse(texts[f"extra/{HEADER}.json"], path)


def _texts(archive: zipfile.ZipFile, path: Path) -> Iterator[tuple[str, bytes]]:
    """Name and content of the JSON members. Names and compression of all members are checked; raises `InputError`."""
    for member in archive.infolist():
        name = member.filename.partition("/")[2]
        stored = member.compress_type == zipfile.ZIP_STORED
        sample = name == "data/sample_inputs/model.pt" and member.file_size  # torch would unpickle it
        if not MEMBERS.fullmatch(name) or not stored or sample:
            raise InputError(f"{path}: holds {member.filename!r}, which `resnets export` does not write; it is not opened")
        if name.endswith(".json"):
            if member.file_size > MAX_TEXT:
                raise InputError(f"{path}: {member.filename} has {member.file_size:,} bytes, more than any network needs")
            yield name, archive.read(member)


def _faults(value: Any, key: str = "") -> Iterator[str]:
    """Descriptions of everything unsafe in a JSON value: unknown operations, pickles, file names, expressions."""
    if isinstance(value, dict):
        for name, part in value.items():
            yield from _faults(part, name)
    elif isinstance(value, list):
        for part in value:
            yield from _faults(part, key)
    elif key == "target" and value not in OPERATIONS:
        yield f"the operation {value!r}"
    elif key == "use_pickle" and value is not False:
        yield "a pickle"
    elif key == "path_name" and not re.fullmatch(r"weight_\d+|tensor_\d+", str(value)):
        yield f"a tensor called {value!r}"
    elif key in ("expr_str", "as_expr", "guards_code") and isinstance(value, str) and not _harmless(value):
        yield f"the expression {value[:80]!r}"


def _harmless(expression: str) -> bool:
    """Whether the expression is only arithmetic on lengths: only the words in `WORDS`, and no other special characters."""
    words = re.findall(r"[^\W\d]\w*", expression)
    known = all(word in WORDS or re.fullmatch(r"[su]\d+", word) for word in words)
    return known and re.fullmatch(r"[\w\s()\[\]'.,+\-*/%=<>!]*", expression) is not None
