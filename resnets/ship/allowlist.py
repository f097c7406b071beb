"""What .onnx and OpenVINO files of `resnets export` consist of. Such a file is parsed here first, and a runtime is given what
was parsed, never the file: what is not in these tables does not reach its C++.

The tables have what our exporters write, for all networks of the zoo, in float and in 8 bits.
"""

from __future__ import annotations

import math
import re
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np

from resnets.files import foreign, open_file, read_bytes
from resnets.models.budget import Room
from resnets.models.header import Header
from resnets.ship.formats import HEADER, need

AGAIN = "it is damaged, or `resnets export` did not write it; export it again"
MAX_ONNX = 1 << 31  # bytes; protobuf reads no more
MAX_XML = 1 << 25  # bytes; a network of 1,202 layers has 8 MB
MAX_NODES = 50_000
MAX_SHAPE = 64  # numbers in a kernel, a stride, a padding or a dilation of our networks are below
MAX_WHOLE = 1 << 16  # other whole numbers, apart from "to the end" of a slice
ENDS = (2**31 - 1, 2**63 - 1)

# --- ONNX -------------------------------------------------------------------------------------------------------------------

OPERATORS = frozenset({
    "Add", "AveragePool", "BatchNormalization", "Cast", "Concat", "Conv", "DequantizeLinear", "Div", "Flatten", "Gemm",
    "GlobalAveragePool", "Identity", "LeakyRelu", "MatMul", "MaxPool", "Mul", "Pad", "QuantizeLinear", "ReduceMean", "Relu",
    "Reshape", "Shape", "Sigmoid", "Slice", "Sqrt", "Squeeze", "Sub", "Transpose", "Unsqueeze",
})  # fmt: skip
# What works on the flattened values, whose number shape inference does not find; none makes them more.
FLAT = ("Reshape", "QuantizeLinear", "DequantizeLinear", "ReduceMean", "Gemm", "Squeeze", "Flatten")
WORDS = (b"NOTSET", b"constant")


def read_onnx(path: Path, content: bytes | None = None) -> tuple[Any, dict[str, str]]:
    """The parsed model of a file, or of what was in it, a `ModelProto`, and its metadata.

    Raises:
        InputError: where it is no ONNX file, or has what `resnets export` does not write.
    """
    need("onnx", "onnxruntime")
    import onnx

    content = read_bytes(path, most=MAX_ONNX) if content is None else content
    with foreign(path, AGAIN):
        proto = onnx.load_model_from_string(content)
        graph = proto.graph
        if proto.functions or proto.training_info or graph.sparse_initializer or len(graph.node) > MAX_NODES:
            raise ValueError("functions, or more than any network needs")
        for opset in proto.opset_import:
            if opset.domain not in ("", "ai.onnx") or not 7 <= opset.version < 100:
                raise ValueError(f"operators of {opset.domain[:40] or 'ONNX'} {opset.version}")
        if [entry.name for entry in graph.input] != ["pixels"] or [entry.name for entry in graph.output] != ["outputs"]:
            raise ValueError("other inputs and outputs than pixels and outputs")
        for tensor in graph.initializer:
            _check_constant(tensor)
        for node in graph.node:
            if node.domain not in ("", "ai.onnx") or node.op_type not in OPERATORS:
                raise ValueError(f"the operator {node.op_type[:40]!r}, which no exported network needs")
            for attribute in node.attribute:
                _check_attribute(attribute)
        _check_order(graph)
        del graph.value_info[:]
        return proto, {entry.key: entry.value for entry in proto.metadata_props}


def _check_order(graph: Any) -> None:
    """Raise `ValueError` where a node takes what no node before it gives, as in a circle, which some readers never leave."""
    known = {"", *(entry.name for entry in graph.input), *(tensor.name for tensor in graph.initializer)}
    for node in graph.node:
        if unknown := set(node.input) - known:
            raise ValueError(f"the node {node.name[:40]!r} takes {min(unknown)[:40]!r}, which is not there before it")
        known |= set(node.output)


def _check_constant(tensor: Any) -> None:
    from onnx import TensorProto, numpy_helper

    kinds = (TensorProto.FLOAT, TensorProto.INT8, TensorProto.UINT8, TensorProto.INT32, TensorProto.INT64)
    if tensor.data_type not in kinds or tensor.external_data or tensor.data_location != TensorProto.DEFAULT:
        raise ValueError(f"the tensor {tensor.name[:40]!r} of another type, or in another file")
    if any(not 0 <= side <= MAX_ONNX for side in tensor.dims) or math.prod(tensor.dims) > tensor.ByteSize():
        raise ValueError(f"the tensor {tensor.name[:40]!r} is smaller than its shape")
    check_values(numpy_helper.to_array(tensor), tensor.name)


def check_values(values: np.ndarray, name: str, sizes: tuple[Any, ...] = (np.int64,)) -> None:
    """Raise `ValueError` where constants are not finite or, of the types in `sizes`, which say how to cut or pad, too large."""
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        raise ValueError(f"{name[:40]!r} holds values that are no numbers")
    if values.dtype in sizes:
        far = values[(values > MAX_WHOLE) | (values < -MAX_WHOLE)]
        if not np.isin(far, ENDS).all():
            raise ValueError(f"{name[:40]!r} holds a number beyond {MAX_WHOLE}")


def _check_attribute(attribute: Any) -> None:
    kind = attribute.AttributeType.Name(attribute.type)
    fine = {
        "INT": lambda: abs(attribute.i) <= MAX_WHOLE,
        "INTS": lambda: all(abs(value) <= MAX_SHAPE for value in attribute.ints),
        "FLOAT": lambda: math.isfinite(attribute.f),
        "STRING": lambda: attribute.s in WORDS,
    }
    if kind not in fine or attribute.ref_attr_name or not fine[kind]():
        raise ValueError(f"the attribute {attribute.name[:40]!r}, which no exported network needs")


def check_onnx_size(proto: Any, header: Header, path: Path) -> None:
    """Raise `InputError` where a tensor of the graph is larger than those of the network of the header, from its shapes."""
    import onnx

    sides = (1, *header.preprocess.size, header.preprocess.in_chans)
    room = Room.of(header.spec, header.preprocess)
    with foreign(path, AGAIN):
        tried = onnx.ModelProto()
        tried.CopyFrom(proto)
        axes = tried.graph.input[0].type.tensor_type.shape.dim
        if len(axes) != len(sides):
            raise ValueError("its input is no picture")
        for axis, side in zip(axes, sides, strict=True):
            axis.dim_value = side
        tried.graph.output[0].type.tensor_type.ClearField("shape")
        found = onnx.shape_inference.infer_shapes(tried, strict_mode=True, data_prop=True)
        known = {entry.name: entry.type.tensor_type.shape.dim for entry in found.graph.value_info}
        for node in tried.graph.node:
            for output in node.output:
                dims = known.get(output)
                if dims is not None and all(dim.HasField("dim_value") for dim in dims):
                    room.add(math.prod(dim.dim_value for dim in dims))
                elif node.op_type not in FLAT:
                    raise ValueError(f"the size of {output[:40]!r} cannot be told")


# --- OpenVINO ---------------------------------------------------------------------------------------------------------------

LAYERS = frozenset({
    "Add", "AvgPool", "Clamp", "Concat", "Const", "Convert", "Convolution", "Divide", "FakeQuantize", "Floor", "Gather",
    "GroupConvolution", "MVN", "MatMul", "MaxPool", "Multiply", "PReLU", "Pad", "Parameter", "ReLU", "ReduceMean", "Reshape",
    "Result", "ShapeOf", "Sigmoid", "Slice", "Sqrt", "Squeeze", "Subtract", "Transpose", "Unsqueeze",
})  # fmt: skip
ELEMENTS = {"f32": np.float32, "i64": np.int64, "i32": np.int32, "i8": np.int8, "u8": np.uint8}
FEW, FLAG, NUMBER, TYPE = r"-?\d{1,2}(, ?-?\d{1,2})*", "true|false", r"-?\d{1,5}", "|".join(ELEMENTS)
ATTRIBUTES = {  # of <data>: what each may hold
    "shape": r"|(\d{1,10}|\?|-1)(, ?(\d{1,10}|\?|-1)){0,5}", "element_type": TYPE, "destination_type": TYPE,
    "index_element_type": TYPE, "output_type": TYPE, "offset": r"\d{1,12}", "size": r"\d{1,12}", "auto_broadcast": "numpy",
    "m_pythondiv": FLAG, "strides": FEW, "dilations": FEW, "pads_begin": FEW, "pads_end": FEW, "kernel": FEW,
    "auto_pad": "explicit", "rounding_type": "floor|ceil|ceil_torch", "axis": NUMBER, "exclude-pad": FLAG,
    "batch_dims": NUMBER, "special_zero": FLAG, "keep_dims": FLAG, "transpose_a": FLAG, "transpose_b": FLAG,
    "pad_mode": "constant", "levels": NUMBER, "eps": r"[\d.e-]{1,24}", "eps_mode": "(?i)(in|out)side_sqrt",
    "normalize_variance": FLAG,
}  # fmt: skip
OPSET = re.compile("opset([1-9]|1[0-9])")
PRECISION = re.compile("FP32|I64|I32|I8|U8")
CHILDREN = {"net": {"layers", "edges"}, "layers": {"layer"}, "layer": {"data", "input", "output"}, "edges": {"edge"}}
CHILDREN |= {"input": {"port"}, "output": {"port"}, "port": {"dim"}}
NAMES = {
    "net": {"name", "version"},
    "layer": {"id", "name", "type", "version", "output_names"},
    "port": {"id", "precision", "names"},
}
NAMES |= {"data": set(ATTRIBUTES), "edge": {"from-layer", "from-port", "to-layer", "to-port"}}
IDS = ("id", "from-layer", "from-port", "to-layer", "to-port")
MAX_XML_DEPTH = 16


class _Builder(ElementTree.TreeBuilder):
    """No document types, which could expand without limit, and no deep nesting."""

    depth = 0

    def doctype(self, name: str, pubid: str | None, system: str | None) -> None:
        raise ValueError("a document type")

    def start(self, tag: Any, attrs: Any) -> Any:
        self.depth += 1
        if self.depth > MAX_XML_DEPTH:
            raise ValueError(f"nested more than {MAX_XML_DEPTH} deep")
        return super().start(tag, attrs)

    def end(self, tag: Any) -> Any:
        self.depth -= 1
        return super().end(tag)


def read_openvino(path: Path) -> tuple[bytes, np.ndarray, dict[str, str]]:
    """A pair of files as OpenVINO is to read it: the XML written anew, and the bytes of the weights; and its metadata.

    Raises:
        InputError: where it is no such pair, or has what `resnets export` does not write.
    """
    beside = path.with_suffix(".bin")
    text = read_bytes(path, most=MAX_XML)
    with open_file(beside) as file, foreign(beside, AGAIN):
        weights = np.frombuffer(file.read(), np.uint8)
    with foreign(path, AGAIN):
        net = ElementTree.fromstring(text, ElementTree.XMLParser(target=_Builder()))
        told = {entry.tag: entry.get("value", "") for entry in net.findall(f"rt_info/{HEADER}/*")}
        for entry in net.findall("rt_info"):  # would set how it runs
            net.remove(entry)
        _check_element(net, "net")
        layers = net.findall("layers/layer")
        if len(layers) > MAX_NODES:
            raise ValueError("more layers than any network needs")
        for layer in layers:
            _check_layer(layer, weights)
        _check_edges(net)
        return ElementTree.tostring(net), weights, told


def _check_element(entry: ElementTree.Element, tag: str) -> None:
    strange = set(entry.keys()) - NAMES.get(tag, set())
    if entry.tag != tag or strange:
        raise ValueError(f"<{str(entry.tag)[:40]}> with {', '.join(sorted(strange))[:80] or 'nothing strange'}, not <{tag}>")
    for name in IDS:
        if not re.fullmatch(r"\d{1,6}", entry.get(name, "0")):
            raise ValueError(f"{name}={entry.get(name, '')[:40]!r}")
    if tag == "port" and not PRECISION.fullmatch(entry.get("precision", "FP32")):
        raise ValueError(f"precision={entry.get('precision', '')[:40]!r}")
    if tag == "dim" and not re.fullmatch(r"-1|\d{1,7}", entry.text or ""):
        raise ValueError(f"an axis of {(entry.text or '')[:40]!r}")
    for child in entry:
        if child.tag not in CHILDREN.get(tag, ()):
            raise ValueError(f"<{str(child.tag)[:40]}> in <{tag}>")
        _check_element(child, str(child.tag))


def _check_edges(net: ElementTree.Element) -> None:
    """Raise `ValueError` where layers take from each other in a circle."""
    edges = TopologicalSorter[str]()
    for edge in net.findall("edges/edge"):
        edges.add(edge.get("to-layer", ""), edge.get("from-layer", ""))
    edges.prepare()  # a CycleError is a ValueError


def _check_layer(layer: ElementTree.Element, weights: np.ndarray) -> None:
    kind, name = layer.get("type", ""), layer.get("name", "")
    if kind not in LAYERS or not OPSET.fullmatch(layer.get("version", "")):
        raise ValueError(f"the layer {kind[:40]!r} of {layer.get('version', '')[:40]!r}, which no exported network needs")
    for data in layer.findall("data"):
        for key, value in data.items():
            if not re.fullmatch(ATTRIBUTES[key], value):
                raise ValueError(f"{name[:40]!r} has {key}={value[:40]!r}, which no exported network needs")
        if kind == "Const":
            element = np.dtype(ELEMENTS[data.get("element_type", "")])
            sides = [int(side) for side in data.get("shape", "").split(",") if side.strip()]
            offset, size = int(data.get("offset", "")), int(data.get("size", ""))
            if min(sides, default=1) < 1 or math.prod(sides) * element.itemsize != size or offset + size > len(weights):
                raise ValueError(f"{name[:40]!r} is of another size than its shape, or beyond the end of the weights")
            check_values(weights[offset : offset + size].view(element), name, (np.int64, np.int32))


def check_openvino_size(model: Any, header: Header, path: Path) -> None:
    """Raise `InputError` where a tensor of the graph is larger than those of the network of the header, from its shapes."""
    room = Room.of(header.spec, header.preprocess)
    with foreign(path, AGAIN):
        tried = model.clone()
        tried.reshape([1, *header.preprocess.size, header.preprocess.in_chans])
        for node in tried.get_ops():
            for output in node.outputs():
                if output.get_partial_shape().is_dynamic:
                    raise ValueError(f"the size of {node.get_friendly_name()[:40]!r} cannot be told")
                if node.get_type_name() != "Constant":
                    room.add(math.prod(output.get_partial_shape().get_shape()))
