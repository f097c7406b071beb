"""Parts of many images: the rows of one process, whole or not there, gone on with, and never mixed with others'."""

import csv
import json
import re

import numpy as np
import pytest
import torch
from PIL import Image

from resnets import create_model, save
from resnets.cli.main import main
from resnets.data.preprocess import Preprocess
from resnets.errors import InputError
from resnets.fleet import engines, local
from resnets.ship.vectors import open_npz
from resnets.verbs import blocks, in_blocks
from resnets.verbs.blocks import cut
from resnets.verbs.embed import Part

parquet = pytest.importorskip("pyarrow.parquet", reason="needs pyarrow: pip install 'resnets[parquet]'")
NUM, BAD = 11, 4


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with a model and pictures, of which one cannot be read."""
    folder = tmp_path_factory.mktemp("place")
    torch.manual_seed(0)
    tiny = {"depths": (1, 1, 1), "width": 8, "num_classes": 3, "labels": ["ant", "bee", "cow"]}
    save(create_model("resnet20_cifar", **tiny, preprocess=Preprocess(size=(8, 8), crop_pct=1.0)), folder / "m.safetensors")
    random = np.random.default_rng(0)
    for number in range(NUM):
        path = folder / "pictures" / f"{number:02d}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(random.integers(0, 256, (8, 8, 3), np.uint8)).save(path)
    (folder / "pictures" / f"{BAD:02d}.png").write_bytes(b"no picture")
    return folder


@pytest.fixture(autouse=True)
def here(place, tmp_path, monkeypatch):
    for name in ("m.safetensors", "pictures"):
        (tmp_path / name).symlink_to(place / name)
    monkeypatch.chdir(tmp_path)


def run(words):
    """The exit code of a command."""
    with pytest.raises(SystemExit) as ended:
        main(words.split())
    return ended.value.code


def rows_in(folder):
    return [row for path in sorted(folder.glob("part-*.parquet")) for row in parquet.read_table(path).to_pylist()]


PREDICT = "predict m.safetensors pictures -j 2 -b 2"


def test_a_folder_of_parts_has_the_rows_of_one_process(tmp_path, capsys):
    assert run(f"{PREDICT} --out one.jsonl") == 0
    assert run(f"{PREDICT} --engine local --block-size 3 -o parts") == 0
    assert "rows of 11 pictures written to parts\n1 of 11 pictures could not be read" in "".join(capsys.readouterr())
    rows = rows_in(tmp_path / "parts")
    assert [row["row"] for row in rows] == (tmp_path / "one.jsonl").read_text().splitlines()
    assert [row["position"] for row in rows] == list(range(NUM))
    assert [row["position"] for row in rows if row["error"]] == [BAD]
    # Rounded up to whole batches: 4, 4 and 3.
    assert [parquet.read_metadata(path).num_rows for path in sorted((tmp_path / "parts").glob("*.parquet"))] == [4, 4, 3]


def test_a_file_is_that_of_one_process(tmp_path):
    for suffix in ("csv", "json"):
        assert run(f"{PREDICT} --out one.{suffix} --topk 2") == 0
        assert run(f"{PREDICT} --engine local --block-size 4 -o parts.{suffix} --topk 2") == 0
        assert (tmp_path / f"one.{suffix}").read_bytes() == (tmp_path / f"parts.{suffix}").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir() if "part" in path.name) == ["parts.csv", "parts.json"]
    with (tmp_path / "parts.csv").open(newline="") as file:
        assert len(list(csv.DictReader(file))) == NUM


def test_vectors_are_those_of_one_process(tmp_path):
    assert run("embed m.safetensors pictures -o one.npz -j 2 -b 2") == 0
    for words in ("-o parts.npz", "-o folder"):
        assert run(f"embed m.safetensors pictures -j 2 -b 2 --engine local --block-size 4 {words}") == 0
    one, parts, rows = open_npz(tmp_path / "one.npz"), open_npz(tmp_path / "parts.npz"), rows_in(tmp_path / "folder")
    assert one.header == parts.header and one.paths.tolist() == parts.paths.tolist()
    assert np.array_equal(one.vectors, parts.vectors)
    assert np.array_equal(one.vectors, np.array([row["vector"] for row in rows if row["vector"]], np.float32))
    assert [row["path"] for row in rows] == [str(tmp_path / f"pictures/{number:02d}.png") for number in range(NUM)]


def test_blocks_end_with_splits():
    data = [Part("train", range(5), [""] * 5), Part("val", range(3), [""] * 3)]
    found = [(number, start, part.split, len(indices)) for number, start, part, indices in cut(data, 4)]
    assert found == [(0, 0, "train", 4), (1, 4, "train", 1), (2, 5, "val", 3)]


# --- gone on with ---


def test_only_missing_parts_are_made(tmp_path, monkeypatch):
    assert run(f"{PREDICT} --engine local --block-size 4 -o parts") == 0
    wanted, before = rows_in(tmp_path / "parts"), (tmp_path / "parts/part-00000.parquet").stat().st_mtime_ns
    (tmp_path / "parts/part-00001.parquet").unlink()
    (tmp_path / "parts/.part-00001.99.parquet").write_bytes(b"half of a part, of a worker that was killed")
    made = []
    monkeypatch.setattr(blocks, "make_part", lambda *given: made.append(given[-1].number) or MAKE_PART(*given))
    assert run(f"{PREDICT} --engine local --block-size 4 -o parts --resume") == 0
    assert made == [1] and rows_in(tmp_path / "parts") == wanted
    assert (tmp_path / "parts/part-00000.parquet").stat().st_mtime_ns == before


MAKE_PART = blocks.make_part


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (PREDICT, "parts: has parts already; go on with them by --resume, remove it, or choose another place with -o"),
        (f"{PREDICT} --resume --topk 2", "its parts were made with other options (topk); give the same"),
        (f"{PREDICT} --resume --block-size 6", "its parts were made with other options (block_size)"),
        ("predict m.safetensors pictures/00.png -b 2 --resume", "its parts were made on other images (num_images, sha256)"),
        ("predict other.safetensors pictures -b 2 --resume", "its parts were made by another model (sha256)"),
        ("embed m.safetensors pictures -b 2 --resume", "its parts were made by another command"),
    ],
)
def test_parts_are_not_mixed(words, said, tmp_path, capsys):
    assert run(f"{PREDICT} --engine local --block-size 4 -o parts") == 0
    if "other" in words:
        tiny = {"depths": (1, 1, 1), "width": 8, "num_classes": 3}
        save(create_model("resnet20_cifar", **tiny, preprocess=Preprocess(size=(8, 8))), tmp_path / "other.safetensors")
    capsys.readouterr()
    assert run(f"{words}{' --block-size 4' * ('block' not in words)} --engine local -o parts") == 2
    assert said in capsys.readouterr().err


def test_damaged_and_foreign_parts_are_named(tmp_path, capsys):
    assert run(f"{PREDICT} --engine local --block-size 4 -o parts") == 0
    whole = (tmp_path / "parts/part-00001.parquet").read_bytes()
    (tmp_path / "parts/part-00001.parquet").write_bytes(whole[:-20])
    assert run(f"{PREDICT} --engine local --block-size 4 -o parts --resume") == 2
    assert re.search(
        r"part-00001.parquet: cannot be read as a part \(.*; remove it, and it is made again", capsys.readouterr().err
    )
    assert run(f"{PREDICT} --engine local --block-size 4 -o others --topk 1") == 0
    (tmp_path / "others/part-00001.parquet").replace(tmp_path / "parts/part-00001.parquet")
    assert run(f"{PREDICT} --engine local --block-size 4 -o parts --resume") == 2
    assert "another call has made it" in capsys.readouterr().err


# --- refused ---


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--engine local", "--engine writes a folder of Parquet parts, or a file; name it with --out"),
        ("--engine local -o parts --fps 2", "--fps is not for --engine"),
        ("--engine local -o pictures", "pictures: exists, and is no folder of parts"),
        ("--engine local -o m.safetensors", "m.safetensors: exists already; remove it"),
        ("--engine local -o parts --num-workers 2", "--num-workers is for --engine ray"),
        ("-o rows.json --num-workers 2", "--num-workers is for --engine ray"),
    ],
)
def test_refused(words, said, capsys):
    assert run(f"{PREDICT} {words}") == 2
    assert said in capsys.readouterr().err


def test_another_model_in_a_worker_is_refused(tmp_path):
    assert run(f"{PREDICT} --engine local --block-size 4 -o parts") == 0
    manifest = json.loads((tmp_path / "parts/manifest.json").read_text())
    manifest["model"]["sha256"] = ["0" * 64]
    with pytest.raises(InputError, match="a worker finds another model under this name"):
        blocks.opened(json.dumps(manifest))


def test_lost_blocks_are_named_and_the_others_kept(tmp_path, monkeypatch, capsys):
    """An engine that loses the second block in every try."""

    class Losing(local.Local):
        def each(self, work, items):
            for item in items:
                yield item, engines.Lost("its worker died") if item.number == 1 else work(item)

    monkeypatch.setattr(in_blocks, "opened", lambda name, **given: Losing(None, True, print))
    assert run(f"{PREDICT} --engine local --block-size 4 -o parts") == 2
    assert "1 of 3 blocks have no rows" in (err := capsys.readouterr().err)
    assert "block 1 (images 4 to 7): its worker died" in err and "go on by --resume" in err
    assert sorted(path.name for path in (tmp_path / "parts").glob("*.parquet")) == ["part-00000.parquet", "part-00002.parquet"]


def test_no_engine_by_that_name():
    with pytest.raises(InputError, match="there is no engine 'dask'; use one of: local, ray"):
        engines.engine("dask")
