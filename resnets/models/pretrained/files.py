"""Reading tensors from other programs' files. The format is recognised by content; every file is treated as untrusted.

Pickles are read only by `torch.load(weights_only=True)`, after their opcodes were checked, and HDF5 in a process of its own.
Links inside files are not followed, and a file whose tensors claim to be larger than the file is refused, so that memory use
is at most a few times the file's size.
"""

from __future__ import annotations

import importlib.util
import io
import pickle  # only for torch's exception class
import pickletools
import re
import warnings
import zipfile
from argparse import Namespace
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from resnets.errors import InputError
from resnets.files import foreign, open_file, read_json, temporary_folder
from resnets.models import weights
from resnets.models.pretrained import content, hdf5

NESTED_KEYS = (
    # Averaged weights first: they are the ones that those programs evaluate.
    *("state_dict_ema", "model_ema", "params_ema"),
    *("state_dict", "model_state_dict", "model_state", "model", "net", "network", "params", "weights"),
)
KERAS_MEMBER = "model.weights.h5"
HDF5 = b"\x89HDF\r\n\x1a\n"
MAX_PICKLE_BYTES = 1 << 28
LEGACY_PICKLES, MAX_NESTED = 5, 16
# What torch.save writes for tensors, optimisers and settings.
GLOBALS = (
    r"collections\.(OrderedDict|Counter)|torch\._utils\._rebuild_(tensor|tensor_v2|parameter|parameter_with_state)"
    r"|torch(\.cuda)?\.\w+Storage|torch\.storage\.\w+Storage|torch\.nn\.parameter\.Parameter|torch\.(Size|device)"
    r"|torch\.(b?float|u?int|bool|complex)\d*|argparse\.Namespace|_codecs\.encode|__builtin__\.set|builtins\.set"
    r"|torch\.serialization\._get_layout|" + "|".join(re.escape(name) for name in content.STOOD_FOR)
)
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


def read(path: Path, prefix: str | None = None) -> Foreign:
    """The content of a weights file of another program.

    Args:
        prefix: what names of tensors begin with that are wanted; in a checkpoint of several networks it says which.

    Raises:
        InputError: if it holds anything besides tensors, is truncated, or is of an unknown format.
    """
    with open_file(path) as file:
        start = file.read(8)
    if weights.is_safetensors(path):
        tensors, part, kind = weights.read_plain(path), "", "safetensors"
    elif words := content.what_it_is(path):
        raise InputError(f"{path}: {words}")
    elif start == HDF5:
        tensors, part, kind = _hdf5(path, path), "", "hdf5"
    elif start[:2] == b"PK" and KERAS_MEMBER in (members := _members(path)):
        tensors, part, kind = _keras_archive(path, members[KERAS_MEMBER]), KERAS_MEMBER, "hdf5"
    elif start[:2] == b"PK" or start[:1] == b"\x80":
        (tensors, part), kind = _torch(path, prefix), "torch"
    else:
        raise InputError(f"{path}: not a weights file that can be read; give .safetensors, a torch.save file, .h5 or .keras")
    if not tensors:
        raise InputError(f"{path}: it contains no tensors")
    return Foreign(path, kind, tensors, part, _configs(path.parent))


def _configs(folder: Path) -> dict[str, Any]:
    found = {}
    for name in ("config", "preprocessor_config"):
        with suppress(InputError):  # what else lies there need not be the weights'
            found[name] = read_json(folder / f"{name}.json")
    return {name: config for name, config in found.items() if config}


# --- torch.save -------------------------------------------------------------------------------------------------------------


def _torch(path: Path, prefix: str | None) -> tuple[dict[str, Tensor], str]:
    _check_pickles(path, _members(path))
    try:
        # argparse.Namespace holds a script's flags and runs no code. The open file, because torch also considers the suffix.
        known: list[Any] = [Namespace, *((content.Inert, name) for name in content.STOOD_FOR)]
        with torch.serialization.safe_globals(known), open_file(path) as file, warnings.catch_warnings():
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
    every = _all(whole) if not tensors or prefix else {}
    if not tensors or not any(name.startswith(prefix or "") for name in tensors):
        tensors, part = every, ""
    if not tensors and _holds_numpy(whole):
        raise InputError(f"{path}: its weights are NumPy arrays, which are not read; {PLAIN}")
    if not tensors:
        raise InputError(f"{path}: contains no dictionary of tensors, also not under {', '.join(NESTED_KEYS)}; {PLAIN}")
    plain = all(tensor.layout == torch.strided and not tensor.is_quantized for tensor in tensors.values())
    if not plain or _num_bytes(tensors) > path.stat().st_size:
        raise InputError(f"{path}: its tensors claim to be larger than the file, or are sparse or quantised; {PLAIN}")
    return {name: tensor.detach().contiguous() for name, tensor in tensors.items()}, part


def _num_bytes(tensors: Mapping[str, Tensor]) -> int:
    """The memory of the tensors; what several share (a teacher's and a student's) is counted once."""
    shared = [tensor.untyped_storage() for tensor in tensors.values()]
    spread = [tensor.numel() * tensor.element_size() for tensor in tensors.values() if not tensor.is_contiguous()]
    return sum({storage.data_ptr(): storage.nbytes() for storage in shared}.values()) + sum(spread)


def _check_pickles(path: Path, members: Mapping[str, zipfile.ZipInfo]) -> None:
    """Raise `InputError` where a file's pickles ask for more than dictionaries of tensors need.

    torch runs nothing that is not on its own list, but that list has calls that allot any memory (`bytearray(10**9)`), and
    tuples of tuples take for ever to be a key. The pickles are read here as opcodes; nothing is called.
    """
    with open_file(path) as file, foreign(path):
        if members:
            names = [name for name in members if name.endswith("data.pkl")]
            if len(names) != 1 or members[names[0]].file_size > MAX_PICKLE_BYTES:
                raise InputError(f"{path}: no torch.save file, or one with too much beside its tensors; {PLAIN}")
            with zipfile.ZipFile(file) as archive:
                _check_opcodes(io.BytesIO(archive.read(names[0])), path)
            return
        for _ in range(
            LEGACY_PICKLES
        ):  # of torch before 1.6: a number, a version, the system, the tensors' records, their keys
            if file.peek(1):  # another program's pickle is one
                _check_opcodes(file, path)


def _check_opcodes(file: Any, path: Path) -> None:
    depths: dict[Any, int] = {}  # of remembered tuples: how deep tuples are nested that were remembered before
    depth, last, found = 0, "", 0
    for opcode, value, _ in pickletools.genops(file):
        if opcode.name == "GLOBAL" and not re.fullmatch(GLOBALS, str(value).replace(" ", ".")):
            raise InputError(
                f"{path}: a pickle that asks for {str(value).replace(' ', '.')[:80]}, which could run code, or take any amount "
                f"of memory, so it was not opened; {PLAIN}"
            )
        if opcode.name.startswith("TUPLE"):
            found, depth = depth + 1, 0
        elif opcode.name.endswith("PUT") and last.startswith("TUPLE"):
            depths[value] = found
        elif opcode.name.endswith("GET"):
            depth = max(depth, depths.get(value, 0))
            if depth > MAX_NESTED:
                raise InputError(f"{path}: a pickle of tuples within tuples; {PLAIN}")
        last = opcode.name


def _nested(whole: Any, depth: int = 3) -> tuple[dict[str, Tensor], str]:
    """The dictionary of tensors in a checkpoint, and its key ("a.b" where nested); {} and "" if there is none."""
    if not isinstance(whole, Mapping):
        return {}, ""
    for key in NESTED_KEYS if depth else ():
        tensors, inner = _nested(whole.get(key), depth - 1)
        if tensors:
            return tensors, f"{key}.{inner}".rstrip(".")
    return {key: value for key, value in whole.items() if isinstance(key, str) and isinstance(value, Tensor)}, ""


def _all(whole: Any) -> dict[str, Tensor]:
    """All tensors in a checkpoint's dictionaries, by the keys that lead to them with dots between: "student.conv1.weight"."""
    return {
        f"{start}{key}": value
        for start, mapping in _mappings(whole)
        for key, value in mapping.items()
        if isinstance(key, str) and isinstance(value, Tensor)
    }


def _holds_numpy(whole: Any) -> bool:
    return any(isinstance(value, content.Inert) for _, mapping in _mappings(whole) for value in mapping.values())


def _mappings(whole: Any, depth: int = 4) -> Iterator[tuple[str, Mapping[Any, Any]]]:
    """A checkpoint's dictionaries within dictionaries, each once, with the keys that lead to it: "", "student.", ..."""
    seen: set[int] = set()
    level = [("", whole)]
    for _ in range(depth):
        below = []
        for start, held in level:
            if isinstance(held, Mapping) and id(held) not in seen:
                seen.add(id(held))
                yield start, held
                below += [(f"{start}{key}.", value) for key, value in held.items() if isinstance(key, str)]
        level = below


def _members(path: Path) -> dict[str, zipfile.ZipInfo]:
    """The members of a zip archive by name; empty for other files. Raises `InputError` if it is damaged or compressed."""
    with open_file(path) as file, foreign(path):
        if not zipfile.is_zipfile(file):
            return {}
        with zipfile.ZipFile(file) as archive:
            members = {info.filename: info for info in archive.infolist()}
    if sum(info.file_size for info in members.values()) > path.stat().st_size:
        raise InputError(f"{path}: a compressed archive, which neither torch nor Keras writes; {PLAIN}")
    return members


# --- HDF5 -------------------------------------------------------------------------------------------------------------------


def _keras_archive(path: Path, member: zipfile.ZipInfo) -> dict[str, Tensor]:
    with temporary_folder() as folder, foreign(path):
        inside = Path(folder, "inside.h5")
        with zipfile.ZipFile(path) as archive:
            inside.write_bytes(archive.read(member))
        return _hdf5(inside, path)


def _hdf5(source: Path, path: Path) -> dict[str, Tensor]:
    """ "layer/variable" -> tensor, from both of Keras' layouts: one group per layer, or numbered variables with a name."""
    with needing("h5py", "keras", f"{path} is an HDF5 file"):
        if importlib.util.find_spec("h5py") is None:
            raise ImportError("h5py is not installed")
    with temporary_folder() as folder:
        target = Path(folder, "tensors.safetensors")
        if wrong := hdf5.to_safetensors(source, target):
            raise InputError(f"{path}: {wrong}; copy it again, or save it again in Keras")
        return weights.read_plain(target)


@contextmanager
def needing(package: str, extra: str, why: str) -> Iterator[None]:
    """Inside, an ImportError becomes an `InputError` that says which extra installs `package`."""
    try:
        yield
    except ImportError as error:
        raise InputError(f"{why}; reading it needs {package}: pip install 'resnets[{extra}]' ({error})") from None
