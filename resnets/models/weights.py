"""Reading and writing `.safetensors` files of tensors with a header. Nothing in such a file can run code.

The header's `metadata` has these keys, each value as JSON: `format`, `spec`, `task`, `preprocess`, `labels`, `metrics`,
`provenance`; where they are not empty also `head` (settings of the task's head), `decision` (how outputs become answers) and
`plugins` (what it needs of users' files).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors
import torch
from torch import Tensor, nn

from resnets.errors import InputError
from resnets.files import check_file, foreign, open_file, parse_json, replacing
from resnets.models import header as saved
from resnets.models.model import Model
from resnets.models.nn.layers import NORMS
from resnets.models.spec import ResNetSpec

MAX_HEADER_BYTES = 100_000_000  # bytes; the format's own limit


def save(model: Model, path: str | Path) -> Path:
    """Write `model`, for which `check_unchanged` holds, to `path`, a `.safetensors` file, atomically; returns `path`.

    Raises:
        InputError: if `path` cannot be written.
    """
    return write_tensors(path, model.state_dict(), model.header.to_json())


def check_unchanged(model: nn.Module) -> None:
    """Raise `InputError` where parts of a model were replaced: a file holds tensors, and a header from which the network is
    built anew, and would not load, or load as another network. The first changes are named."""
    kind: Any = next((kind for kind in type(model).__mro__ if kind.__module__.startswith("resnets.")), None)
    if kind is None:
        raise InputError(
            f"{type(model).__name__} is no model of resnets and cannot be saved; of one that is wrapped give what is inside, "
            "model.module or model._orig_mod"
        )
    whole: Any = model
    names = ("preprocess", "labels", "head_config", "decision")
    with torch.device("meta"):
        twin = kind(whole.spec, whole.task, **{name: getattr(whole, name) for name in names})
    own, theirs = dict(model.named_modules()), dict(twin.named_modules())
    found: dict[str, str] = {}
    for name in {**theirs, **own}:
        (kind, settings), (usual, expected) = (_described(modules.get(name)) for modules in (own, theirs))
        inside_another = any(name.startswith(f"{before}.") for before in found if before)
        if (kind, settings) != (usual, expected) and not inside_another:
            words = (f"{kind}({settings})", f"{usual}({expected})") if kind == usual else (kind, usual)
            found[name] = f"{name or 'the model'} is {words[0]}, not {words[1]}"
    changes = "; ".join(list(found.values())[:3]) + (f" and {len(found) - 3} more" if len(found) > 3 else "")
    if changes := changes or faults(twin.state_dict(), model.state_dict()):
        raise InputError(
            f"the model was changed, and its saved file would be another network: {changes}; give it another head by "
            "model.reset_classifier, or keep it by torch.save(model.state_dict(), FILE) and the code that builds it"
        )


def is_unchanged(model: nn.Module) -> bool:
    """Whether no part of a model was replaced; see `check_unchanged`."""
    try:
        check_unchanged(model)
    except InputError:
        return False
    return True


def _described(module: nn.Module | None) -> tuple[str, str]:
    """The type of a module, and its settings as far as they concern what it computes in evaluation."""
    if module is None:
        return "nothing", ""
    kind = "BatchNorm" if type(module) in NORMS else type(module).__name__  # also of several processes together
    settings = re.sub(r"\b(inplace|momentum|p)=[^,]*(, )?", "", module.extra_repr()).removesuffix(", ")
    return kind + " with another forward" * ("forward" in vars(module)), settings


def write_tensors(path: str | Path, tensors: dict[str, Tensor], header: dict[str, Any]) -> Path:
    """Write tensors and a header, whose values must be convertible to JSON, to one file, atomically; returns `path`."""
    return write_plain(path, tensors, {key: json.dumps(value) for key, value in header.items()})


def write_plain(path: str | Path, tensors: dict[str, Tensor], metadata: dict[str, str]) -> Path:
    """Write a safetensors file with `metadata` unchanged, for other programs, atomically; returns `path`."""
    from safetensors.torch import save_file

    path = Path(path)
    flat, seen = {}, set()
    for name, tensor in tensors.items():
        plain = tensor.detach().cpu().contiguous()
        storage = plain.untyped_storage().data_ptr()
        flat[name] = plain.clone() if plain.numel() and storage in seen else plain  # safetensors holds no tensor twice
        seen.add(storage)
    with replacing(path) as temporary:
        save_file(flat, temporary, metadata)
    return path


def read_tensors(path: str | Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The tensors of a file that `write_tensors` wrote, by name, and its header, decoded from JSON.

    Raises:
        InputError: if the file does not exist, is truncated, or is not safetensors (a pickle, for example).
    """
    with _opened(path) as file:
        return _tensors(file, path), _metadata(file, path)


def read_header(path: str | Path) -> saved.Header:
    """The header of a saved model, without reading its tensors. Raises `InputError` as `read`."""
    with _opened(path) as file:
        return saved.parse(_metadata(file, path), path)


def read(path: str | Path) -> tuple[saved.Header, dict[str, Tensor]]:
    """The header and the state dict of a saved model; 16-bit floats are converted to float32.

    Raises:
        InputError: as `read_tensors`, or if the header is of another format version or incomplete, or a value is no number.
    """
    tensors, metadata = read_tensors(path)
    halves = (torch.float16, torch.bfloat16)
    whole = {name: tensor.float() if tensor.dtype in halves else tensor for name, tensor in tensors.items()}
    check_finite(whole, path)
    return saved.parse(metadata, path), whole


def read_plain(path: str | Path) -> dict[str, Tensor]:
    """The tensors of any safetensors file, by name; its header is ignored. Raises as `read_tensors`."""
    with _opened(path) as file:
        return _tensors(file, path)


def is_safetensors(path: str | Path) -> bool:
    """Whether the file begins as a safetensors file does: eight bytes with the header's length, then its JSON ("{")."""
    with open_file(path) as file:
        start = file.read(9)
    return start[8:] == b"{" and int.from_bytes(start[:8], "little") <= MAX_HEADER_BYTES


def is_ours(path: str | Path) -> bool:
    """Whether the file is a saved model of this package, of any version. True also if there is no such file."""
    if not Path(path).is_file():
        return True
    return format_of(path).startswith(tuple(name.partition("/")[0] + "/" for name in (saved.FORMAT, saved.EXTERNAL)))


def format_of(path: str | Path) -> str:
    """The `format` in the file's metadata, such as "resnets/1"; "" if there is none, or it is not a safetensors file."""
    if not is_safetensors(path):
        return ""
    with _opened(path) as file:
        return str((file.metadata() or {}).get("format", "")).strip('"')


def check_size(spec: ResNetSpec, tensors: dict[str, Tensor], path: str | Path) -> None:
    """Raise `InputError` if `spec` needs more parameters than `tensors` hold, before memory is allocated for the network."""
    held = sum(tensor.numel() for tensor in tensors.values())
    trunk = sum(row.num_params for row in spec.table()[:-1])  # heads are counted by their tasks
    if sum(spec.depths) > len(tensors) or trunk > held:
        raise InputError(f"{path}: the header describes a larger network than its {len(tensors)} tensors; the file is damaged")


def fill(model: Model, tensors: dict[str, Tensor], path: str | Path) -> None:
    """Load `tensors` into `model`. Raises `InputError` unless every name and shape agrees; `path` is for the message."""
    if found := faults(model.state_dict(), tensors):
        raise InputError(f"{path}: the tensors are not those of its network ({found}); the file is damaged")
    model.load_state_dict(tensors)


def faults(own: Mapping[str, Tensor], tensors: Mapping[str, Tensor]) -> str:
    """How `tensors` differ from the state dict `own` in names and shapes: the first three differences, or ""."""
    found = [f"{name} is missing" for name in own if name not in tensors]
    found += [f"{name} is not part of the network" for name in tensors if name not in own]
    found += [
        f"{name} is {tuple(tensors[name].shape)}, expected {tuple(own[name].shape)}"
        for name in own
        if name in tensors and own[name].shape != tensors[name].shape
    ]
    return "; ".join(found[:3]) + (f" and {len(found) - 3} more" if len(found) > 3 else "")


def _opened(path: str | Path) -> Any:
    path = check_file(path)
    if path.as_posix().encode(errors="replace").decode() != path.as_posix():
        raise InputError(f"{path}: the name is not UTF-8, which safetensors needs; rename it")
    # A header's length may begin with the same bytes as a pickle, so only files that are not safetensors are checked for it.
    if not is_safetensors(path):
        with open_file(path) as file:
            start = file.read(2)
        if start == b"PK" or start[:1] == b"\x80":
            raise InputError(
                f"{path}: this is a pickle (torch.save), which can run code when it is opened; only .safetensors files are read"
            )
        raise InputError(f"{path}: not a safetensors file; give one that `resnets train` or `resnets.save` wrote")
    with foreign(path, "it is truncated or damaged; copy it again, or use another of the run's files"):
        return safetensors.safe_open(str(path), "pt")


def _tensors(file: Any, path: str | Path) -> dict[str, Tensor]:
    with foreign(path, "it is damaged; copy it again, or use another of the run's files"):
        return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118


def _metadata(file: Any, path: str | Path) -> dict[str, Any]:
    with foreign(path):
        texts = dict(file.metadata() or {})
    if not str(texts.get("format", '"')).startswith('"'):  # ours is JSON; others write the bare word "pt"
        raise InputError(f"{path}: the header does not hold JSON, so another program wrote it; resnets cannot tell what it is")
    return {key: parse_json(text, f"{path}, {key}", object, strict=False) for key, text in texts.items()}


def check_finite(tensors: Mapping[str, Tensor], path: str | Path) -> None:
    """Raise `InputError` where a tensor holds NaN or infinity, from which every answer would be NaN."""
    if (name := not_finite(tensors)) is not None:
        raise InputError(f"{path}: {name} holds values that are no numbers (NaN or infinite); use weights of an earlier step")


def not_finite(tensors: Mapping[str, Tensor]) -> str | None:
    """The first tensor that holds NaN or infinity, by name."""
    return next((name for name, x in tensors.items() if x.is_floating_point() and not x.isfinite().all()), None)
