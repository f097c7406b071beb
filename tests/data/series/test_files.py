"""Files with one series: every WAV format that SciPy writes, tables, and files from anyone."""

import io
import struct

import numpy as np
import pytest

from resnets.data.pictures.images import BadPicture
from resnets.data.pictures.sent import Encoded
from resnets.data.preprocess import Preprocess
from resnets.data.series import files
from resnets.data.series.sent import SentSeries
from resnets.errors import InputError
from tests.data.series.made import save_wav


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (np.array([0, 128, 255], np.uint8), [-1, 0, 127 / 128]),
        (np.array([-32768, 0, 16384], np.int16), [-1, 0, 0.5]),
        (np.array([-(2**31), 0, 2**30], np.int32), [-1, 0, 0.5]),
        (np.array([-1, 0.25, 2], np.float32), [-1, 0.25, 2]),
        (np.array([-1, 0.25, 2], np.float64), [-1, 0.25, 2]),
    ],
)
def test_wav(values, expected, tmp_path):
    path = save_wav(tmp_path / "a.wav", values, rate=16000)
    np.testing.assert_allclose(files.read(path), [expected])
    assert files.header_of(path) == (16000, 1, 3)
    stereo = save_wav(tmp_path / "b.wav", np.stack([values, values], 1))
    assert files.read(stereo).shape == (2, 3) and files.header_of(stereo) == (8000, 2, 3)


def test_wav_of_24_bits(tmp_path):
    """Which SciPy reads, and does not write."""
    sound = b"".join(struct.pack("<i", value)[:3] for value in (-(2**23), 0, 2**22))
    head = struct.pack(
        "<4sI4s4sIHHIIHH4sI", b"RIFF", 36 + len(sound), b"WAVE", b"fmt ", 16, 1, 1, 8000, 24000, 3, 24, b"data", len(sound)
    )
    (tmp_path / "a.wav").write_bytes(head + sound)
    np.testing.assert_allclose(files.read(tmp_path / "a.wav"), [[-1, 0, 0.5]])
    assert files.header_of(tmp_path / "a.wav") == (8000, 1, 3)


def test_another_rate_is_refused(tmp_path):
    with pytest.raises(BadPicture, match="sampled at 8,000 Hz, and the others at 16,000"):
        files.read(save_wav(tmp_path / "a.wav", np.zeros(3, np.int16)), rate=16000)
    headers = {"a": files.Header(8000, 1, 3), "b": files.Header(16000, 1, 3), "c": files.Header(8000, 1, 9)}
    with pytest.raises(InputError, match=r"sampling rates \(Hz\) \(8000: 2, as a; 16000: 1, as b\)"):
        files.need_same(headers, "words")


def test_what_was_sent_is_refused_as_files_are(tmp_path):
    content = save_wav(tmp_path / "a.wav", np.zeros(40, np.int16), rate=8000).read_bytes()
    for rate, reason in ((8000, None), (None, None), (16000, "sampled at 8,000 Hz, and the others at 16,000")):
        rule = Preprocess(size=(40,), resize="pad", mean=(0.0,), std=(1.0,), rate=rate)
        sent = SentSeries([Encoded("a.wav", content)], rule, 1000)
        if reason is None:
            assert sent[0].shape == (1, 40)
        else:
            with pytest.raises(BadPicture, match=f"^a.wav: {reason}"):
                sent[0]
        sent.close()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1,4\n2,5\n", [[1, 2], [4, 5]]),
        ("x,y\n1,4\n,5\n", [[1, np.nan], [4, 5]]),
        ("time,x\n0.1,7\n0.2,8\n", [[7, 8]]),
    ],
)
def test_table(text, expected, tmp_path):
    (tmp_path / "a.csv").write_text(text)
    np.testing.assert_array_equal(files.read(tmp_path / "a.csv"), expected)


def truncated(path):
    whole = io.BytesIO()
    from scipy.io import wavfile

    wavfile.write(whole, 8000, np.zeros(100, np.int16))
    path.write_bytes(whole.getvalue()[:30])


BROKEN = {
    "truncated.wav": truncated,
    "text.wav": lambda path: path.write_text("no sound"),
    "empty.wav": lambda path: path.write_bytes(b""),
    "huge.wav": lambda path: path.write_bytes(b"RIFF\xff\xff\xff\xffWAVEfmt \xff\xff\xff\xff"),
    "no_rate.wav": lambda path: path.write_bytes(
        struct.pack("<4sI4s4sIHHIIHH4sI", b"RIFF", 40, b"WAVE", b"fmt ", 16, 1, 1, 0, 0, 2, 16, b"data", 4) + b"\0" * 4
    ),
    "text.csv": lambda path: path.write_text("a,b\nc,d\n"),
    "ragged.csv": lambda path: path.write_text("1,2\n3\n"),
    "empty.csv": lambda path: path.write_text(""),
    "missing.csv": lambda path: path.write_text("x\n?\n?\n"),
    "infinite.csv": lambda path: path.write_text("1\ninf\n"),
    "beyond.csv": lambda path: path.write_text("1\n1e39\n"),
    "folder.csv": lambda path: path.mkdir(),
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_cannot_be_read_is_said(name, tmp_path):
    BROKEN[name](tmp_path / name)
    with pytest.raises(BadPicture, match=name):
        files.read(tmp_path / name)


def test_large_series_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "MAX_VALUES", 5)
    (tmp_path / "a.csv").write_text("1\n" * 9)
    with pytest.raises(BadPicture, match="more than the 5 values"):
        files.read(tmp_path / "a.csv")
