"""A model in the words of the Open Inference Protocol: its tensors, pictures of a request, and the answer.

A picture comes as `image`, BYTES, an encoded file that is read and resized as by `resnets predict`; or as `pixels`, UINT8
(N, H, W, C), resized by the sender, which is the input of exported files; of series and volumes FP32 (N, L, C) and
(N, D, H, W, C) likewise. The answer is `rows`, BYTES, the JSON of each
picture's row, and where it has one size `outputs`, FP32, which exported files give too.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from resnets.data.pictures.sent import Encoded
from resnets.errors import InputError
from resnets.models.answering import Wanted
from resnets.verbs.serve import tensors
from resnets.verbs.serve.served import Opened, Outcome, Work

IMAGE, PIXELS, ROWS, OUTPUTS = "image", "pixels", "rows", "outputs"


def metadata(opened: Opened) -> dict[str, Any]:
    """What the protocol's metadata say beside the name and the versions."""
    header = opened.header
    inputs = [{"name": IMAGE, "datatype": tensors.BYTES, "shape": [-1]}]
    outputs = [{"name": ROWS, "datatype": tensors.BYTES, "shape": [-1]}]
    if opened.takes_tensors:
        inputs.append({"name": PIXELS, "datatype": datatype(opened), "shape": [-1, *opened.shape]})
        outputs.append({"name": OUTPUTS, "datatype": "FP32", "shape": [-1, -1]})
    parameters = {"task": header.task, "labels": header.labels, "inputs": f"give one of {IMAGE} and {PIXELS}"}
    return {"platform": f"resnets_{opened.session.runtime}", "inputs": inputs, "outputs": outputs, "parameters": parameters}


def datatype(opened: Opened) -> str:
    """That of `PIXELS`."""
    return next(name for name, kind in tensors.KINDS.items() if kind == opened.dtype)


def outputs_of(opened: Opened) -> tuple[str, ...]:
    return (ROWS, OUTPUTS) if opened.takes_tensors else (ROWS,)


def works_of(opened: Opened, asked: tensors.Asked, wanted: Wanted, most: int) -> list[Work]:
    """The pictures of a request.

    Raises:
        InputError: where the tensors are not those of the model, or there are more than `most` pictures.
    """
    known = (IMAGE, PIXELS) if opened.takes_tensors else (IMAGE,)
    if len(asked.inputs) != 1 or not asked.inputs.keys() <= set(known):
        given = ", ".join(asked.inputs)[:200]
        raise InputError(f"the model takes one input, named {' or '.join(known)}; this request has {given}")
    if unknown := sorted((asked.outputs or {}).keys() - set(outputs_of(opened))):
        raise InputError(f"the model has no output {unknown[0][:80]!r}; it has: {', '.join(outputs_of(opened))}")
    value = next(iter(asked.inputs.values()))
    num = len(value) if isinstance(value, list) or value.ndim else 0
    if not 1 <= num <= most:
        raise InputError(f"{num} pictures; send 1 to {most}")
    if IMAGE in asked.inputs:
        if not isinstance(value, list):
            raise InputError(f"{IMAGE} has the datatype {tensors.BYTES}")
        return [Work(Encoded(f"picture {number}", content), wanted) for number, content in enumerate(value, 1)]
    if isinstance(value, list) or value.dtype != opened.dtype or value.shape[1:] != opened.shape:
        raise InputError(f"{PIXELS} has the datatype {datatype(opened)} and the shape {[num, *opened.shape]}")
    if not np.isfinite(value).all():
        raise InputError(f"{PIXELS} has values that are not finite")
    return [Work(None, wanted, pixels) for pixels in value]


def inference(
    opened: Opened, asked: tensors.Asked, head: Mapping[str, Any], outcomes: Sequence[Outcome]
) -> tuple[bytes, int | None]:
    """The body of an answer, and the length of its JSON where binary data follow.

    Raises:
        InputError: where outputs are wanted of pictures of which one cannot be read.
    """
    names = tuple(asked.outputs) if asked.outputs else outputs_of(opened)
    found: dict[str, np.ndarray | list[bytes]] = {}
    if ROWS in names:
        found[ROWS] = [json.dumps(outcome.row, ensure_ascii=False).encode() for outcome in outcomes]
    if OUTPUTS in names:
        if (bad := next((outcome.row for outcome in outcomes if outcome.failed), None)) is not None:
            raise InputError(f"{bad['path']}: {bad['error']}; ask for {ROWS} alone to have the others")
        found[OUTPUTS] = np.stack([np.asarray(outcome.outputs, np.float32) for outcome in outcomes])
    binary = asked.outputs or dict.fromkeys(names, asked.binary)
    return tensors.written(head, {name: found[name] for name in names}, binary)
