"""Reading torch.export archives (.pt2) without torch's reader, which runs code as the archive says.

`torch.export.load` unpickles objects, looks up functions and classes by name, and pastes names and expressions of the archive
into Python. Here an archive is data: its JSON and raw tensors are parsed, and the graph is built anew from them, of the
operations in a table, of numbers, and of names of our own. Nothing else in the archive is looked at.
"""

from __future__ import annotations

import math
import re
import zipfile
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from resnets.errors import InputError
from resnets.files import foreign, open_file, parse_json
from resnets.models import header as saved
from resnets.models.budget import Room
from resnets.models.header import Header
from resnets.ship.formats import HEADER, need

if TYPE_CHECKING:
    import torch
    from torch.fx import GraphModule

OPERATIONS = (
    "aten.add.Tensor", "aten.avg_pool1d.default", "aten.avg_pool2d.default", "aten.avg_pool3d.default",
    "aten.batch_norm.default", "aten.conv1d.default", "aten.conv2d.default", "aten.conv3d.default", "aten.div.Tensor",
    "aten.flatten.using_ints", "aten.leaky_relu.default", "aten.linear.default", "aten.max_pool1d.default",
    "aten.max_pool2d.default", "aten.max_pool3d.default", "aten.mean.dim", "aten.mul.Tensor", "aten.pad.default",
    "aten.permute.default", "aten.relu.default", "aten.sigmoid.default", "aten.slice.Tensor", "aten.sqrt.default",
    "aten.sub.Tensor", "aten.unsqueeze.default",
    "quantized_decomposed.dequantize_per_channel.default", "quantized_decomposed.dequantize_per_tensor.default",
    "quantized_decomposed.quantize_per_tensor.default",
)  # fmt: skip
EIGHT_BITS = "torch.ops.quantized_decomposed."
MEMBERS = re.compile(
    r"data/weights/(weight_\d+|model_weights_config\.json)|data/constants/(tensor_\d+|model_constants_config\.json)"
    r"|models/model\.json|data/sample_inputs/model\.pt|extra/resnets\.json|archive_format|archive_version|byteorder"
    r"|\.data/(version|serialization_id)|\.format_version|\.storage_alignment"
)
CONFIGS = ("data/weights/model_weights_config.json", "data/constants/model_constants_config.json")
GRAPH = "models/model.json"
MAX_TEXT = 100_000_000  # bytes of JSON; the JSON of our networks is smaller
DTYPES = {1: "uint8", 2: "int8", 4: "int32", 5: "int64", 7: "float32", 8: "float64"}  # torch.export's numbers
AGAIN = "it is damaged, or `resnets export` did not write it; export it again"
MAX_KERNEL = 16  # side of a pooling window; our networks have 3


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

    header, graph, tensors = read(path)
    with foreign(path, AGAIN):
        quantised = any(each["target"].startswith(EIGHT_BITS) for each in graph["graph_module"]["graph"]["nodes"])
        if quantised:
            need("torchao.quantization.pt2e.quantizer.x86_inductor_quantizer", "torchao")  # importing it registers them
        module: Any = rebuilt(graph, tensors, header)
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


# --- the file ---------------------------------------------------------------------------------------------------------------


def read(path: Path) -> tuple[Header, dict[str, Any], dict[str, torch.Tensor]]:
    """The header of an archive, its graph as JSON, and its tensors by their names in the graph's signature.

    Raises:
        InputError: where it is no archive of `resnets export`, a checksum does not agree, or a tensor is not finite.
    """
    with open_file(path) as file, foreign(path, AGAIN), zipfile.ZipFile(file) as archive:
        members = _members(archive, path)
        missing = {*CONFIGS, GRAPH, f"extra/{HEADER}.json"} - members.keys()
        if missing:
            raise InputError(f"{path}: lacks {', '.join(sorted(missing))}, so `resnets export` did not write it")

        def parsed(name: str) -> Any:
            if members[name].file_size > MAX_TEXT:
                raise InputError(f"{path}: {name} has {members[name].file_size:,} bytes, more than any network needs")
            return parse_json(archive.read(members[name]), f"{path}, {name}", strict=False)

        header = saved.parse(parsed(f"extra/{HEADER}.json"), path)
        tensors = {}
        for config in CONFIGS:
            for name, entry in parsed(config)["config"].items():
                member = members[f"{config.rpartition('/')[0]}/{entry['path_name']}"]
                tensors[name] = _tensor(archive.read(member), entry["tensor_meta"], f"{path}: {name}")
        return header, parsed(GRAPH), tensors


def _members(archive: zipfile.ZipFile, path: Path) -> dict[str, zipfile.ZipInfo]:
    """The members by their names below the archive's own folder, none of them compressed or another program's."""
    found = {}
    for member in archive.infolist():
        name = member.filename.partition("/")[2]
        sample = name == "data/sample_inputs/model.pt" and member.file_size  # a pickle
        if not MEMBERS.fullmatch(name) or member.compress_type != zipfile.ZIP_STORED or sample or name in found:
            raise InputError(f"{path}: holds {member.filename!r}, which `resnets export` does not write; it is not opened")
        found[name] = member
    if sum(member.file_size for member in found.values()) > path.stat().st_size:
        raise InputError(f"{path}: its members are larger than the file; {AGAIN}")
    return found


def _tensor(content: bytes, meta: Mapping[str, Any], name: str) -> torch.Tensor:
    """A tensor from its bytes, and the type, shape and strides that the archive states."""
    import torch

    flat = torch.from_numpy(np.frombuffer(content, DTYPES[meta["dtype"]]).copy())
    sizes, strides = ([int(each["as_int"]) for each in meta[key]] for key in ("sizes", "strides"))
    if min([*sizes, *strides], default=1) < 1 or math.prod(sizes) != len(flat) or meta["storage_offset"]["as_int"]:
        raise InputError(f"{name} is of another size than its shape {sizes}; {AGAIN}")
    tensor = flat.as_strided(sizes, strides)  # raises beyond the end of `flat`
    if tensor.is_floating_point() and not tensor.isfinite().all():
        raise InputError(f"{name} holds values that are no numbers; {AGAIN}")
    return tensor


# --- the graph --------------------------------------------------------------------------------------------------------------


def rebuilt(graph: Mapping[str, Any], tensors: Mapping[str, torch.Tensor], header: Header) -> GraphModule:
    """A module of the operations of the graph: uint8 (N, H, W, C) -> outputs. Shapes are tried before anything is computed.

    Raises:
        Exception: of any kind, for an operation or an argument that exported networks do not have, and where the JSON is
            otherwise than torch writes it.
    """
    import torch
    from torch.fx import Graph, GraphModule

    told, operations, built = graph["graph_module"], _operations(), Graph()
    room, root = Room.of(header.spec, header.preprocess), torch.nn.Module()
    nodes: dict[str, Any] = {}  # by the archive's names, which go nowhere else
    shapes: dict[Any, torch.Tensor] = {}  # on the "meta" device
    placed = built.placeholder("pixels")
    preprocess = header.preprocess
    for number, spec in enumerate(told["signature"]["input_specs"]):
        [(kind, entry)] = spec.items()
        if kind == "user_input":
            nodes[entry["arg"]["as_tensor"]["name"]] = placed
            kind = torch.uint8 if len(preprocess.size) == 2 else torch.float32
            shapes[placed] = torch.empty(1, *preprocess.size, preprocess.in_chans, dtype=kind, device="meta")
            continue
        tensor = tensors[entry[INPUTS[kind]]]
        root.register_buffer(f"t{number}", tensor)
        nodes[entry["arg"]["name"]] = node = built.get_attr(f"t{number}")
        shapes[node] = torch.empty_like(tensor, device="meta")
    with torch.no_grad():
        for each in told["graph"]["nodes"]:
            if each["target"] not in operations:
                raise ValueError(f"the operation {str(each['target'])[:80]!r}, which no exported network needs")
            operation = operations[each["target"]]
            given = {entry["name"]: _argument(entry["arg"], nodes) for entry in each["inputs"]}
            args = _in_order(operation, given)
            result = operation(*(shapes.get(value, value) if isinstance(value, torch.fx.Node) else value for value in args))
            room.add(result.numel(), _num_terms(given, shapes))
            [output] = each["outputs"]
            node = built.call_function(operation, args)
            nodes[output["as_tensor"]["name"]], shapes[node] = node, result
    [output] = told["graph"]["outputs"]
    built.output(nodes[output["as_tensor"]["name"]])
    module = GraphModule(root, built)
    return module.eval().requires_grad_(False)


INPUTS = {"parameter": "parameter_name", "buffer": "buffer_name", "tensor_constant": "tensor_constant_name"}


def _operations() -> dict[str, Any]:
    """The operations by torch.export's names, of those that are registered: torchao registers the last ones."""
    import torch

    found = {}
    for name in OPERATIONS:
        room, operation, form = name.split(".")
        if hasattr(getattr(torch.ops, room), operation):
            found[f"torch.ops.{name}"] = getattr(getattr(getattr(torch.ops, room), operation), form)
    return found


def _argument(told: Mapping[str, Any], nodes: Mapping[str, Any]) -> Any:
    """An argument: a node, a number, numbers, or a type of tensors."""
    import torch

    [(kind, value)] = told.items()
    if kind == "as_tensor":
        return nodes[value["name"]]
    if kind == "as_none":
        return None
    if kind == "as_scalar_type":
        return getattr(torch, DTYPES[value])
    if kind == "as_ints" and isinstance(value, list) and all(type(each) is int and abs(each) < 1 << 16 for each in value):
        return list(value)
    single: dict[str, Any] = {"as_int": int, "as_float": float, "as_bool": bool}
    if kind in single and type(value) is single[kind] and math.isfinite(value):
        return value
    if kind == "as_string" and value == "constant":  # how to pad
        return "constant"
    raise ValueError(f"the argument {str(told)[:80]}, which no exported network needs")


def _in_order(operation: Any, given: Mapping[str, Any]) -> tuple[Any, ...]:
    """The arguments in the order of the operation's schema, with its defaults up to the last that is given."""
    schema = operation._schema.arguments
    last = max(number for number, argument in enumerate(schema) if argument.name in given)
    if given.keys() - {argument.name for argument in schema}:
        raise ValueError(f"{operation} has no such arguments: {', '.join(given)}")
    return tuple(given.get(argument.name, argument.default_value) for argument in schema[: last + 1])


def _num_terms(given: Mapping[str, Any], shapes: Mapping[Any, Any]) -> int:
    """How many terms each value of the result adds up."""
    if "kernel_size" in given:
        kernel = given["kernel_size"]
        if not kernel or max(kernel) > MAX_KERNEL:
            raise ValueError(f"a pooling window of {kernel}")
        return math.prod(kernel) if len(kernel) > 1 else kernel[0] ** 2
    weight = shapes.get(given.get("weight"))
    return weight[0].numel() if weight is not None and weight.ndim > 1 else 1
