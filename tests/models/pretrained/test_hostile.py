"""Weights of other programs that would take all memory or time, or crash the library that reads them."""

import io
import pickle
import zipfile

import pytest
import torch

from resnets.errors import InputError
from resnets.models.pretrained import hdf5
from resnets.models.pretrained.opening import open_weights


def saved(pickled):
    """A torch.save archive with this pickle."""
    stream = io.BytesIO()
    torch.save({"a": torch.zeros(2)}, stream)
    out = io.BytesIO()
    with zipfile.ZipFile(stream) as old, zipfile.ZipFile(out, "w") as new:
        for name in old.namelist():
            new.writestr(name, pickled if name.endswith("data.pkl") else old.read(name))
    return out.getvalue()


class Asks:
    def __init__(self, call, *args):
        self.told = call, args

    def __reduce__(self):
        return self.told


def a_key_of_tuples():
    """{((..., ...), (..., ...)): 1}, 60 levels deep: its hash would take for ever."""
    levels = b"".join(b"h" + bytes([n]) + b"h" + bytes([n]) + b"\x86q" + bytes([n + 1]) for n in range(60))
    return b"\x80\x02}K\x01\x85q\x000" + levels + b"K\x01s."


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (saved(pickle.dumps({"a": Asks(bytearray, 4 * 10**9)}, protocol=2)), "asks for __builtin__.bytearray"),
        (saved(pickle.dumps({"a": Asks(torch.Tensor, 10**12)}, protocol=2)), "asks for torch.*Tensor"),
        (saved(a_key_of_tuples()), "tuples within tuples"),
        (saved(b"\x80\x02" + b"(" * 100_000), "truncated"),
    ],
)
def test_pickles_that_would_take_all_memory_or_time(content, words, tmp_path):
    path = tmp_path / "odd.pth"
    path.write_bytes(content)
    with pytest.raises(InputError, match=words):
        open_weights(path)


def test_a_crash_or_a_hang_of_the_hdf5_library_is_an_error(tmp_path, monkeypatch):
    path = tmp_path / "model.h5"
    path.write_bytes(hdf5_start := b"\x89HDF\r\n\x1a\n" + bytes(100))
    with pytest.raises(InputError, match=r"model\.h5: truncated or damaged"):
        open_weights(path)
    child = tmp_path / "child.py"
    monkeypatch.setattr(hdf5, "__file__", str(child))
    child.write_text("import os; os.kill(os.getpid(), 11)")
    with pytest.raises(InputError, match="ended with signal 11"):
        open_weights(path)
    child.write_text("import time; time.sleep(60)")
    monkeypatch.setattr(hdf5, "SECONDS", 1)
    with pytest.raises(InputError, match="not read after 1 seconds"):
        open_weights(path)
    assert path.read_bytes() == hdf5_start
