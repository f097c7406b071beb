"""Tensors in requests and answers of the Open Inference Protocol (KServe's V2), as JSON and as binary data.

Source: the protocol's REST specification of KServe, and Triton's extension "binary tensor data". With it a body is a JSON
object of `Inference-Header-Content-Length` bytes, and then the data of the inputs, one after the other, little-endian; an
element of the type BYTES is its length in 4 bytes, and its content.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from resnets.errors import InputError
from resnets.files import parse_json, short

HEADER = "Inference-Header-Content-Length"
BYTES = "BYTES"
KINDS: dict[str, np.dtype[Any]] = {"UINT8": np.dtype("u1"), "FP32": np.dtype("<f4")}  # those that models here take or give
DATA = "binary_data_size"


@dataclass(frozen=True)
class Asked:
    """A request of the protocol.

    Args:
        inputs: by name, an array, or of the type BYTES a list of bytes.
        outputs: the names of the outputs that are wanted, and whether as binary data; None: all.
        binary: whether outputs that are not named are wanted as binary data.
        parameters: of the request.
        id: of the request, told back.
    """

    inputs: Mapping[str, np.ndarray | list[bytes]]
    outputs: Mapping[str, bool] | None
    binary: bool
    parameters: Mapping[str, Any]
    id: str | None


def read(body: bytes, header_bytes: str | None, most: int) -> Asked:
    """A request from its body; `header_bytes` is the value of `HEADER`, and `most` the largest number of elements of BYTES.

    Raises:
        InputError: where it is none.
    """
    if header_bytes is not None and not (header_bytes.isascii() and header_bytes.isdigit() and int(header_bytes) <= len(body)):
        raise InputError(f"{HEADER} is {short(header_bytes)[:40]!r}, and the body has {len(body)} bytes")
    end = len(body) if header_bytes is None else int(header_bytes)
    request, rest = parse_json(body[:end], "the request"), memoryview(body)[end:]
    listed = request.get("inputs")
    if not isinstance(listed, list) or not listed or not all(isinstance(each, dict) for each in listed):
        raise InputError('the request has no "inputs": give a list of tensors')
    inputs: dict[str, np.ndarray | list[bytes]] = {}
    for each in listed:
        name = each.get("name")
        if not isinstance(name, str) or name in inputs:
            raise InputError('each of "inputs" needs a "name" of its own')
        size = _parameters(each).get(DATA)
        if size is None:
            inputs[name] = _from_json(name, each, most)
            continue
        if not _is_whole(size) or size > len(rest):
            raise InputError(f"input {name[:80]!r}: {DATA} is {short(size)}, and {len(rest)} bytes are left")
        inputs[name] = _from_binary(name, each, rest[:size], most)
        rest = rest[size:]
    if len(rest):
        raise InputError(f"{len(rest)} bytes of the body belong to no input")
    parameters = _parameters(request)
    binary, told = parameters.get("binary_data_output") is True, request.get("id")
    return Asked(inputs, _outputs(request, binary), binary, parameters, told if isinstance(told, str) else None)


def _outputs(request: Mapping[str, Any], binary: bool) -> dict[str, bool] | None:
    listed = request.get("outputs")
    if listed is None:
        return None
    if not isinstance(listed, list) or not all(isinstance(each, dict) and isinstance(each.get("name"), str) for each in listed):
        raise InputError('"outputs" must be a list of objects, each with a "name"')
    return {each["name"]: bool(_parameters(each).get("binary_data", binary)) for each in listed} or None


def _parameters(part: Mapping[str, Any]) -> Mapping[str, Any]:
    found = part.get("parameters") or {}
    if not isinstance(found, dict):
        raise InputError('"parameters" must be an object')
    return found


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _shape(name: str, tensor: Mapping[str, Any]) -> list[int]:
    shape = tensor.get("shape")
    if not isinstance(shape, list) or not all(_is_whole(side) and side < 1 << 31 for side in shape) or len(shape) > 8:
        raise InputError(f'input {name[:80]!r}: its "shape" must be a list of whole numbers')
    return shape


def _kind(name: str, tensor: Mapping[str, Any]) -> np.dtype[Any]:
    kind = tensor.get("datatype")
    if not isinstance(kind, str) or kind not in KINDS:
        raise InputError(f"input {name[:80]!r}: the datatype {short(kind)} is not taken; use {', '.join([BYTES, *KINDS])}")
    return KINDS[kind]


def _num(shape: Sequence[int]) -> int:
    num = 1
    for side in shape:
        num *= side
    return num


def _from_json(name: str, tensor: Mapping[str, Any], most: int) -> np.ndarray | list[bytes]:
    shape, data = _shape(name, tensor), tensor.get("data")
    if not isinstance(data, list):
        raise InputError(f'input {name[:80]!r}: it has neither "data" nor {DATA}')
    if tensor.get("datatype") == BYTES:
        if len(data) != _num(shape) or len(data) > most:
            raise InputError(f"input {name[:80]!r}: {len(data)} elements, its shape says {_num(shape)}, and {most} may be sent")
        return [_of_base64(name, text) for text in data]
    kind = _kind(name, tensor)
    try:
        values = np.array(data)
    except ValueError:
        raise InputError(f"input {name[:80]!r}: its data are lists of different lengths") from None
    if values.dtype.kind not in "iuf" or values.size != _num(shape):
        raise InputError(f"input {name[:80]!r}: {values.size} numbers do not fill the shape {short(shape)}")
    if kind.kind == "u" and (values.dtype.kind == "f" or not values.size or values.min() < 0 or values.max() > 255):
        raise InputError(f"input {name[:80]!r}: {tensor['datatype']} has whole numbers from 0 to 255")
    return values.astype(kind).reshape(shape)


def _of_base64(name: str, text: Any) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError, TypeError):
        raise InputError(f"input {name[:80]!r}: as JSON, an element of {BYTES} is text in base64") from None


def _from_binary(name: str, tensor: Mapping[str, Any], data: memoryview, most: int) -> np.ndarray | list[bytes]:
    shape = _shape(name, tensor)
    if tensor.get("datatype") == BYTES:
        return _elements(name, data, _num(shape), most)
    kind = _kind(name, tensor)
    if _num(shape) * kind.itemsize != len(data):
        raise InputError(f"input {name[:80]!r}: {len(data)} bytes do not fill the shape {short(shape)}")
    return np.frombuffer(data, kind).reshape(shape)


def _elements(name: str, data: memoryview, num: int, most: int) -> list[bytes]:
    found: list[bytes] = []
    at = 0
    while at < len(data) and len(found) < min(num, most):
        size = int.from_bytes(data[at : at + 4], "little")
        if at + 4 + size > len(data):
            raise InputError(f"input {name[:80]!r}: element {len(found)} reaches past the end of the data")
        found.append(bytes(data[at + 4 : at + 4 + size]))
        at += 4 + size
    if at != len(data) or len(found) != num:
        raise InputError(f"input {name[:80]!r}: the data do not hold the {num} elements of its shape; {most} may be sent")
    return found


# --- answers ------------------------------------------------------------------------------------------------------------------


def written(
    head: Mapping[str, Any], outputs: Mapping[str, np.ndarray | list[bytes]], binary: Mapping[str, bool]
) -> tuple[bytes, int | None]:
    """The body of an answer, and the value of `HEADER`; None where all outputs are JSON.

    Args:
        head: the keys beside "outputs".
        outputs: float32 arrays, and lists of bytes, which as JSON are text.
        binary: which of them are binary data.
    """
    listed, data = [], []
    for name, value in outputs.items():
        shape, kind = ([len(value)], BYTES) if isinstance(value, list) else (list(value.shape), "FP32")
        tensor: dict[str, Any] = {"name": name, "datatype": kind, "shape": shape}
        if binary.get(name):
            data.append(_raw(value))
            tensor["parameters"] = {DATA: len(data[-1])}
        else:
            tensor["data"] = [each.decode() for each in value] if isinstance(value, list) else value.reshape(-1).tolist()
        listed.append(tensor)
    text = json.dumps({**head, "outputs": listed}, ensure_ascii=False).encode()
    return b"".join([text, *data]), len(text) if data else None


def _raw(value: np.ndarray | list[bytes]) -> bytes:
    if isinstance(value, list):
        return b"".join(len(each).to_bytes(4, "little") + each for each in value)
    return np.ascontiguousarray(value, "<f4").tobytes()
