"""Reading tensors from other programs' files. The format is recognised by content; every file is treated as untrusted.

Pickles are read only by `torch.load(weights_only=True)`, links inside files are not followed, and a file whose tensors claim
to be larger than the file is refused, so that memory use is at most a few times the file's size.
"""

from __future__ import annotations

import json
import pickle  # only for torch's exception class
import re
import warnings
import zipfile
from argparse import Namespace
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from resnets.errors import InputError
from resnets.models import weights

NESTED_KEYS = (
    # Averaged weights first: they are the ones that those programs evaluate.
    *("state_dict_ema", "model_ema", "params_ema"),
    *("state_dict", "model_state_dict", "model", "net", "network", "params", "weights"),
)
KERAS_MEMBER = "model.weights.h5"
HDF5 = b"\x89HDF\r\n\x1a\n"
MAX_DEPTH = 24  # limit of nested groups in an HDF5 file
MAX_JSON_BYTES = 1 << 22
PLAIN = "save only the tensors, by torch.save(model.state_dict(), FILE) or as safetensors, and give that file"


@dataclass(frozen=True)
class Foreign:
    """The content of another program's file.

    Args:
        path: the file.
        kind: "safetensors", "torch" or "hdf5".
        tensors: tensors by the file's names; for HDF5 "layer/variable", with Keras' names or numbers of variables.
        part: key of the tensors in a nested checkpoint, such as "state_dict"; "" at the top level.
        configs: config.json and preprocessor_config.json beside the file, by name without suffix.
    """

    path: Path
    kind: str
    tensors: dict[str, Tensor]
    part: str = ""
    configs: dict[str, Any] = field(default_factory=dict)


def read(path: Path) -> Foreign:
    """The content of a weights file of another program.

    Raises:
        InputError: if it holds anything besides tensors, is truncated, or is of an unknown format.
    """
    with path.open("rb") as file:
        start = file.read(8)
    if weights.is_safetensors(path):
        tensors, part, kind = weights.read_plain(path), "", "safetensors"
    elif start == HDF5:
        tensors, part, kind = _hdf5(path, path), "", "hdf5"
    elif start[:2] == b"PK" and KERAS_MEMBER in (members := _members(path)):
        tensors, part, kind = _keras_archive(path, members[KERAS_MEMBER]), KERAS_MEMBER, "hdf5"
    elif start[:2] == b"PK" or start[:1] == b"\x80":
        (tensors, part), kind = _torch(path), "torch"
    else:
        raise InputError(f"{path}: not a weights file that can be read; give .safetensors, a torch.save file, .h5 or .keras")
    if not tensors:
        raise InputError(f"{path}: it contains no tensors")
    return Foreign(path, kind, tensors, part, _configs(path.parent))


def read_json(path: Path) -> Any:
    """The content of a JSON file; {} if it cannot be read, is too large, or is not JSON."""
    try:
        return json.loads(path.read_text(encoding="utf-8")) if path.stat().st_size < MAX_JSON_BYTES else {}
    except (OSError, ValueError, RecursionError):
        return {}


def _configs(folder: Path) -> dict[str, Any]:
    found = {name: read_json(folder / f"{name}.json") for name in ("config", "preprocessor_config")}
    return {name: config for name, config in found.items() if isinstance(config, dict) and config}


# --- torch.save -------------------------------------------------------------------------------------------------------------


def _torch(path: Path) -> tuple[dict[str, Tensor], str]:
    _members(path)
    try:
        # argparse.Namespace holds a script's flags and runs no code. The open file, because torch also considers the suffix.
        with torch.serialization.safe_globals([Namespace]), path.open("rb") as file, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about old protocols
            whole = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # a malformed file can raise any exception
        if found := re.search(r"GLOBAL ([\w.]+)|[Cc]lass ([\w.]+)|function ([\w.]+)", str(error)):
            named = next(filter(None, found.groups())).rstrip(".")
            raise InputError(
                f"{path}: a pickle that asks for {named}, which could run code, so it was not opened; {PLAIN}"
            ) from None
        if isinstance(error, pickle.UnpicklingError):
            raise InputError(
                f"{path}: a pickle with more than tensors, which could run code, so it was not opened; {PLAIN}"
            ) from None
        raise InputError(f"{path}: truncated, damaged, or not written by torch.save; copy it again") from error
    tensors, part = _nested(whole)
    if not tensors:
        raise InputError(f"{path}: contains no dictionary of tensors, also not under {', '.join(NESTED_KEYS)}; {PLAIN}")
    plain = all(tensor.layout == torch.strided and not tensor.is_quantized for tensor in tensors.values())
    if not plain or sum(tensor.numel() * tensor.element_size() for tensor in tensors.values()) > path.stat().st_size:
        raise InputError(f"{path}: its tensors claim to be larger than the file, or are sparse or quantised; {PLAIN}")
    return {name: tensor.detach().contiguous() for name, tensor in tensors.items()}, part


def _nested(whole: Any, depth: int = 3) -> tuple[dict[str, Tensor], str]:
    """The dictionary of tensors in a checkpoint, and its key ("a.b" where nested); {} and "" if there is none."""
    if not isinstance(whole, Mapping):
        return {}, ""
    for key in NESTED_KEYS if depth else ():
        tensors, inner = _nested(whole.get(key), depth - 1)
        if tensors:
            return tensors, f"{key}.{inner}".rstrip(".")
    return {key: value for key, value in whole.items() if isinstance(key, str) and isinstance(value, Tensor)}, ""


def _members(path: Path) -> dict[str, zipfile.ZipInfo]:
    """The members of a zip archive by name; empty for other files. Raises `InputError` if it is damaged or compressed."""
    if not zipfile.is_zipfile(path):
        return {}
    try:
        with zipfile.ZipFile(path) as archive:
            members = {info.filename: info for info in archive.infolist()}
    except (zipfile.BadZipFile, ValueError, NotImplementedError) as error:
        raise InputError(f"{path}: truncated or damaged ({error}); copy it again") from None
    if sum(info.file_size for info in members.values()) > path.stat().st_size:
        raise InputError(f"{path}: a compressed archive, which neither torch nor Keras writes; {PLAIN}")
    return members


# --- HDF5 -------------------------------------------------------------------------------------------------------------------


def _keras_archive(path: Path, member: zipfile.ZipInfo) -> dict[str, Tensor]:
    with zipfile.ZipFile(path) as archive, archive.open(member) as file:
        return _hdf5(file, path)


def _hdf5(source: Any, path: Path) -> dict[str, Tensor]:
    """ "layer/variable" -> tensor, from both of Keras' layouts: one group per layer, or numbered variables with a name."""
    with needing("h5py", "keras", f"{path} is an HDF5 file"):
        import h5py
    import numpy as np

    tensors: dict[str, Tensor] = {}
    left = path.stat().st_size
    try:
        with h5py.File(source, "r") as file:
            for name, dataset in _datasets(file, h5py, set()):
                left -= dataset.nbytes
                if left < 0 or dataset.external or dataset.is_virtual:
                    raise InputError(f"{path}: {name} claims to be larger than the file, or is in another file; save it again")
                if dataset.dtype.kind != "f":
                    continue
                *groups, variable = name.removesuffix(":0").split("/")
                group = dataset.parent.attrs.get("name")
                numbered = groups[-1:] == ["vars"]
                layer = group if isinstance(group, str) else groups[-1 - numbered] if len(groups) > numbered else ""
                tensors[f"{layer}/{variable}"] = torch.from_numpy(np.asarray(dataset[()], np.float32))
    except InputError:
        raise
    except Exception as error:  # a malformed file can raise any exception
        raise InputError(f"{path}: truncated or damaged ({error}); copy it again") from None
    return tensors


def _datasets(group: Any, h5py: Any, seen: set[Any], prefix: str = "", depth: int = MAX_DEPTH) -> Iterator[tuple[str, Any]]:
    """Path and dataset of each dataset below `group`, each once, without the optimiser's. Links are not followed."""
    seen.add(h5py.h5o.get_info(group.id).addr)
    for name in group:
        if not isinstance(group.get(name, getlink=True), h5py.HardLink) or (not prefix and name.startswith("optimizer")):
            continue
        below = group[name]
        if isinstance(below, h5py.Dataset):
            yield f"{prefix}{name}", below
        elif depth and h5py.h5o.get_info(below.id).addr not in seen:
            yield from _datasets(below, h5py, seen, f"{prefix}{name}/", depth - 1)


@contextmanager
def needing(package: str, extra: str, why: str) -> Iterator[None]:
    """Inside, an ImportError becomes an `InputError` that says which extra installs `package`."""
    try:
        yield
    except ImportError as error:
        raise InputError(f"{why}; reading it needs {package}: pip install 'resnets[{extra}]' ({error})") from None
