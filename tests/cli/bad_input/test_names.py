"""Odd names of classes and files, from training to predictions."""

import csv
import json
import os
import shlex
import shutil
import struct
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from resnets.ship import hub
from tests.cli.bad_input.made import FAST, command, folder, picture, text, told, truncated


def bomb(path):
    """A small PNG whose header promises 50,000 x 50,000 pixels."""

    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 50_000, 50_000, 8, 2, 0, 0, 0))
    content = chunk(b"IDAT", zlib.compress(bytes(10_000)))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + header + content + chunk(b"IEND", b""))


def nan_tiff(path):
    Image.fromarray(np.full((8, 8), np.nan, dtype=np.float32)).save(path)


LABELS = ('naïve, "x"', "two\nlines", "<script>alert(1)<b>", "$\\bad{$", "日本語", "=1+1", "\x1b[31mred")


def test_bad_pictures_and_odd_names_are_skipped_counted_and_named(tmp_path, capsys):
    root = tmp_path / "odd pets"
    for index, label in enumerate(LABELS):
        for n in range(3):
            picture(root / label / f'{n}, "{n}"\n<b>.png', value=30 * index + n)
    cat = root / LABELS[0]
    text(cat / "text.jpg")
    (cat / "zero.jpg").touch()
    truncated(cat / "cut.jpg")
    bomb(cat / "bomb.png")
    nan_tiff(cat / "nan.tif")
    os.mkfifo(cat / "pipe.jpg")
    (cat / "again").symlink_to(root, target_is_directory=True)
    (cat / "broken.png").symlink_to("nowhere.png")
    picture(cat / "good.png").rename(cat / os.fsdecode(b"caf\xe9.png"))
    code, out, err = command(f"train 'odd pets' --out 'my run' {FAST}", capsys)
    assert code == 0, err
    with (tmp_path / "my run/bad_images.csv").open(newline="", encoding="utf-8") as file:
        bad = {Path(row["path"]).name: row["reason"] for row in csv.DictReader(file)}
    assert set(bad) == {"text.jpg", "zero.jpg", "cut.jpg", "bomb.png", "nan.tif", "broken.png"}
    assert "truncated" in bad["cut.jpg"] and "pixels" in bad["bomb.png"] and "NaN" in bad["nan.tif"]
    assert hub.load(tmp_path / "my run").labels == tuple(sorted(LABELS))
    assert err.splitlines()[-1] == "6 pictures could not be read and were skipped; my run/bad_images.csv names them"
    page = (tmp_path / "my run/report.html").read_text(encoding="utf-8")
    assert "<script>alert" not in page and "&lt;script&gt;alert" in page

    code, out, err = command("eval 'my run' 'odd pets' -j 0 --split train", capsys)
    assert code == 0, err
    assert "\x1b" not in out + err, "the name of a class reaches the terminal as it is"
    code, out, err = command("predict 'my run' 'odd pets' -j 0 --topk 1", capsys)
    assert code == 0 and "\x1b" not in out
    assert len(out.splitlines()) == 3 * len(LABELS) + 1 + 5 + 1, (
        "one line a picture"
    )  # pictures, café, bad ones, the broken link


def test_names_that_are_no_utf8(tmp_path, capsys, monkeypatch):
    """Data may be called so; a run and a model may not, for safetensors opens no such file."""
    name = os.fsdecode(b"caf\xe9")
    try:
        folder(tmp_path / name, cat=3, dog=3)
    except OSError:
        pytest.skip("the file system takes UTF-8 only")
    words = ["train", name, "--out", "run", *shlex.split(FAST)]
    monkeypatch.setattr(sys, "argv", ["resnets", *words])  # it is recorded
    code, _, err = command(words, capsys)
    assert code == 0, err
    code, out, err = command(["eval", "run", name, "-j", "0", "--json", "--split", "val"], capsys)
    assert code == 0 and json.loads(out)["num_images"] == 2, err
    code, out, err = command(["predict", "run", name, "-j", "0", "--format", "csv"], capsys)
    assert code == 0 and len(out.splitlines()) == 7 and r"caf\udce9" in out, err
    code, _, err = command(["train", "--resume", "--out", "run"], capsys)
    assert code == 0, err
    shutil.copy("run/best.safetensors", f"{name}.safetensors")
    for words, said in ((["info", f"{name}.safetensors"], "not UTF-8"), (["predict", "run", f"{name}.jpg"], "no such file")):
        code, _, err = command(words, capsys)
        assert code == 2 and r"caf\udce9" in told(err) and said in err, err
