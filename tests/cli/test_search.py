"""`resnets embed`, `index`, `search` and `cluster` from the command line."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from resnets import create_model, save
from resnets.cli.main import main
from resnets.data.preprocess import Preprocess
from tests.cli.made import said


@pytest.fixture(autouse=True)
def workplace(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    random = np.random.default_rng(0)
    for number in range(9):
        path = Path("data", "abc"[number % 3], f"{number}.png")
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(random.integers(0, 256, (8, 8, 3), np.uint8)).save(path)
    save(create_model("resnet20_cifar", depths=(1, 1, 1), width=8, preprocess=Preprocess(size=(8, 8))), "m.safetensors")


def test_from_pictures_to_neighbours(capsys):
    out, _ = said(capsys, "index m.safetensors data -o shop.npz -j 0")
    assert out == "9 vectors of 32 numbers written to shop.npz\n"
    out, _ = said(capsys, "search shop.npz data/a/0.png --topk 2 --draw found.png")
    lines = out.splitlines()
    assert lines[0] == "data/a/0.png: nearest of 9 images by cosine distance" and len(lines) == 4
    assert lines[1].split() == ["0.0000", "a", str(Path("data/a/0.png").absolute())]
    found, _ = said(capsys, "search shop.npz data --topk 3 --json")
    rows = json.loads(found)
    assert rows["metric"] == "cosine" and [row["nearest"][0]["path"] for row in rows["pictures"]] == [
        str(Path(row["path"]).absolute()) for row in rows["pictures"]
    ]
    Path("data/b/1.png").rename("new.png")
    out, err = said(capsys, "index shop.npz --remove data/a --add new.png -j 0")
    assert out.startswith("7 vectors") and "3 images taken out" in err
    out, err = said(capsys, "search shop.npz new.png --topk 2")
    assert "(not there)" in out and "1 of these images are not there any more" in err


def test_embed_and_cluster(capsys):
    Path("data/a/bad.png").write_bytes(b"none")
    out, _ = said(capsys, "embed m.safetensors data -o v.npz --stage c3 --json -j 0")
    assert json.loads(out) == {"file": "v.npz", "num_images": 9, "num_features": 16, "num_unreadable": 1}
    out, _ = said(capsys, "cluster v.npz -o c.csv --threshold 0.9")
    lines = out.splitlines()
    assert lines[0] == "9 images: 1 clusters, 0 images by themselves (average linkage up to 0.9)"
    assert lines[1] == "largest: 9" and lines[2].startswith("pairwise: precision 0.25") and lines[-1] == "written: c.csv"
    out, _ = said(capsys, "cluster v.npz -o d.csv --threshold 0.9 --json")
    assert json.loads(out)["agreement"]["bcubed_recall"] == 1


def test_a_file_of_features_exported(capsys):
    said(capsys, "export m.safetensors --format torch --features --stage c3 --num-check 8")
    said(capsys, "index m.safetensors data -o i.npz --stage c3 -j 0")
    out, _ = said(capsys, "search i.npz data/c/2.png --model m.pt2 --topk 1")
    assert out.splitlines()[1].split()[1:] == ["c", str(Path("data/c/2.png").absolute())]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("index m.safetensors data", "name the file to write by -o"),
        ("index m.safetensors -o i.npz", "give MODEL, DATA and -o FILE"),
        ("index m.safetensors data -o i.npz --add data", "give MODEL, DATA and -o FILE"),
        ("index m.safetensors data -o i.index", "an index is an .npz; name it so"),
        ("index none.npz --add data", "none.npz: no such file"),
        ("index i.npz --add data --stage c3", "--stage and --metric are settled when an index is made"),
        ("search m.safetensors data/a/0.png", "cannot be read as an .npz of vectors"),
        ("cluster data -o c.csv", "is a folder"),
        ("embed m.safetensors data -o v.txt", "name the file to write v.npz or v.parquet"),
        ("embed m.safetensors data -o v.npz --stage c9", "has c1, c2, c3, c4; give one of these"),
        ("embed m.safetensors none -o v.npz", "no file or folder 'none'"),
        ("export m.safetensors --format torch --stage c3", "has an effect with features only"),
    ],
)
def test_wrong_words(capsys, words, expected):
    with pytest.raises(SystemExit) as stopped:
        main(words.split())
    out, err = capsys.readouterr()
    assert stopped.value.code == 2 and out == "" and expected in err and len(err.splitlines()) <= 2
