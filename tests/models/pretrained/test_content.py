"""Files that people take for weights are named as what they are, and data of other libraries beside weights do no harm."""

import datetime
import io
import os
import pathlib
import zipfile

import numpy as np
import pytest
import torch

from resnets.errors import InputError
from resnets.models.pretrained.opening import open_weights
from tests.models.pretrained.theirs import CifarNet, randomise

NET = CifarNet(1, "A", "linear")


def zipped(**members):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return stream.getvalue()


def arrays():
    stream = io.BytesIO()
    np.savez(stream, a=np.zeros(3))
    return stream.getvalue()


def script():
    stream = io.BytesIO()
    torch.jit.save(torch.jit.script(torch.nn.Linear(2, 2)), stream)
    return stream.getvalue()


FILES = {
    "lfs": (
        lambda: b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 46830571\n",
        "Git LFS pointer.*git lfs pull",
    ),
    "a page": (lambda: b"\n<!DOCTYPE html><html></html>", "a web page, not weights: the download failed"),
    "an error": (lambda: b"<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>", "XML, such as a server's error"),
    "an index": (lambda: b'{"weight_map": {}}', "JSON, not weights"),
    "nothing": (lambda: b"", "it is empty"),
    "gzip": (lambda: b"\x1f\x8b\x08\x00", "a gzip archive"),
    "tar": (lambda: bytes(257) + b"ustar" + bytes(250), "an archive; unpack it"),
    "tflite": (lambda: b"\x1c\x00\x00\x00TFL3", "TensorFlow Lite"),
    "npz": (arrays, r"NumPy arrays \(\.npz\)"),
    "zip": (lambda: zipped(**{"a/theirs.pth": b"x"}), "a zip archive with weights inside"),
    "TorchScript": (script, r"TorchScript.*not run.*torch\.jit\.load\('odd\.pth'\)"),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", FILES)
@pytest.mark.parametrize("name", ["odd.pth", "odd.safetensors"])
def test_what_is_no_weights_file_is_named(kind, name, tmp_path):
    make, words = FILES[kind]
    (tmp_path / name).write_bytes(make())
    with pytest.raises(InputError, match=words.replace(r"odd\.pth", name)):
        open_weights(tmp_path / name)


DATA = {"best": np.float64(91.2), "counts": np.arange(5), "type": np.dtype("f4"), "out": pathlib.PurePosixPath("runs"),
        "at": datetime.datetime(2026, 1, 1)}  # fmt: skip


@pytest.mark.parametrize("legacy", [False, True])
def test_numbers_of_numpy_paths_and_dates_beside_weights_are_passed_over(legacy, tmp_path):
    torch.save({"state_dict": NET.state_dict(), **DATA}, tmp_path / "a.pth", _use_new_zipfile_serialization=not legacy)
    assert open_weights(tmp_path / "a.pth").header.spec.depths == (1, 1, 1)
    torch.save({name: tensor.numpy() for name, tensor in randomise(NET).state_dict().items()}, tmp_path / "a.pth")
    with pytest.raises(InputError, match="its weights are NumPy arrays"):
        open_weights(tmp_path / "a.pth")


class Told:
    """Pickled as a call of `call` and a state."""

    def __init__(self, call, args, state=None):
        self.told = (call, args, *([state] if state is not None else []))

    def __reduce__(self):
        return self.told


def test_numpys_own_classes_are_never_reached(tmp_path):
    """A dtype built from a stranger's state can crash the interpreter, and an array's can ask for any memory."""
    odd = {
        "dtype": Told(np.dtype, ("O",), (4, "|", None, None, None, -1, -1, 63)),
        "array": Told(np.ndarray, ((10**12,), "f8")),
    }
    torch.save({"state_dict": NET.state_dict(), **odd}, tmp_path / "a.pth")
    assert open_weights(tmp_path / "a.pth").header.spec.depths == (1, 1, 1)
    torch.save({"state_dict": NET.state_dict(), "x": Told(os.getcwd, ())}, tmp_path / "a.pth")
    with pytest.raises(InputError, match=r"asks for posix\.getcwd"):
        open_weights(tmp_path / "a.pth")


def test_dictionaries_that_hold_each_other_many_times_are_read_once(tmp_path):
    held = {"a": torch.zeros(1)}
    for _ in range(3):
        held = {f"{number}": held for number in range(2000)}
    torch.save(held, tmp_path / "a.pth")
    with pytest.raises(InputError, match="not the tensors of a supported library"):
        open_weights(tmp_path / "a.pth")
