"""What a file is that holds no weights, by its first bytes, and objects that stand for those of other libraries in pickles."""

from __future__ import annotations

import re
import zipfile
from pathlib import Path
from typing import Any

from resnets.files import foreign, open_file

START_BYTES = 512
AGAIN = "the download failed; download the weights again"
# (pattern of the first bytes, what the file is and what to do)
KINDS: tuple[tuple[bytes, str], ...] = (
    (rb"$", f"it is empty: {AGAIN}"),
    (rb"version https?://git-lfs", "a Git LFS pointer, not the weights themselves; fetch them by `git lfs pull`"),
    (
        rb"(?i)\s*<(!doctype html|html|head|body|!--)",
        "a web page, not weights: the download failed, or needs a login; download the weights again",
    ),
    (rb"\s*<\?xml|\s*<Error>", f"XML, such as a server's error, not weights: {AGAIN}"),
    (rb"\s*[{\[]", "JSON, not weights; give the .safetensors or .bin file itself, or its folder"),
    (rb"\x1f\x8b", "a gzip archive; unpack it, and give the file inside"),
    (rb"Rar!|7z\xbc\xaf|BZh|\xfd7zXZ|(?s:.{257})ustar", "an archive; unpack it, and give the weights inside"),
    (rb"(?s:.{4})TFL3", "TensorFlow Lite, which cannot be read; give the weights that it was converted from"),
    (rb"\x93NUMPY", "a NumPy array, not the tensors of a network"),
)
# Members of zip archives that torch.save does not write.
MEMBERS: tuple[tuple[str, str], ...] = (
    (
        r"[^/]+/(constants\.pkl|code/.*)",
        "TorchScript (torch.jit.save), a program beside its weights, which is not run; who trusts it saves the weights alone: "
        "python -c \"import torch; torch.save(torch.jit.load('FILE').state_dict(), 'weights.pth')\"",
    ),
    (r"model\.weights\.h5|.*data\.pkl", ""),  # Keras, torch.save
    (r".*\.npy", "NumPy arrays (.npz), which are not read; save the tensors by torch.save or as safetensors"),
    (r".*\.(pth?|pt|bin|ckpt|safetensors|h5)", "a zip archive with weights inside; unpack it, and give that file"),
)


def what_it_is(path: Path) -> str:
    """What the file is, and what to do, if it is something else than weights that people take for them; else ""."""
    with open_file(path) as file:
        start = file.read(START_BYTES)
        if start[:2] != b"PK":
            return next((words for pattern, words in KINDS if re.match(pattern, start)), "")
        with foreign(path):
            if not zipfile.is_zipfile(file):
                return ""
            with zipfile.ZipFile(file) as archive:
                names = archive.namelist()
    found = (words for pattern, words in MEMBERS if any(re.fullmatch(pattern, name) for name in names))
    return next(found, "").replace("FILE", path.name)


class Inert:
    """Stands for an object of another library in a pickle, such as the NumPy number of a best score: it keeps and does nothing.

    The library's own classes would read their state from bytes of a stranger; a checkpoint's tensors do not need them.
    """

    def __new__(cls, *args: Any, **named: Any) -> Inert:
        return super().__new__(cls)

    def __init__(self, *args: Any, **named: Any) -> None: ...

    def __setstate__(self, state: Any) -> None: ...


# Names in pickles that become `Inert`: data that training scripts keep beside the tensors.
NUMPY = tuple(f"numpy.{core}.multiarray.{name}" for core in ("core", "_core") for name in ("scalar", "_reconstruct"))
STOOD_FOR = (
    *NUMPY,
    *("numpy.dtype", "numpy.ndarray"),
    *(f"pathlib.{module}{kind}Path" for module in ("", "_local.") for kind in ("", "Posix", "Windows", "PurePosix", "Pure")),
    *(f"datetime.{kind}" for kind in ("datetime", "date", "timedelta")),
)
