"""`resnets predict`: tables, JSON and CSV, into files, and on from where it was cut."""

import csv
import io
import json
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from tests.cli.made import said


def test_predict_in_three_forms(place, capsys):
    Path("colours/deep/er").mkdir(parents=True)
    Path("colours/red/0.png").rename('colours/deep/er/a, "b".png')
    Path("colours/zz.jpg").write_text("no picture")
    paths = [str(path) for path in (
        "colours/zz.jpg", "colours/blue/0.png", "colours/blue/1.png", "colours/blue/2.png", 'colours/deep/er/a, "b".png',
        "colours/green/0.png", "colours/green/1.png", "colours/green/2.png", "colours/red/1.png", "colours/red/2.png",
    )]  # fmt: skip
    words = "predict model.safetensors colours -j 0 --topk 2"
    table, err = said(capsys, words)
    assert [line.split("  ")[0] for line in table.splitlines()] == paths
    assert "error: not an image of a known format" in table.splitlines()[0]
    assert err == "1 of 10 pictures could not be read; their rows say why\n"

    rows = [json.loads(line) for line in said(capsys, f"{words} --format json")[0].splitlines()]
    assert [row["path"] for row in rows] == paths and set(rows[0]) == {"path", "error"}
    assert all(len(row["top"]) == 2 and row["top"][0]["label"] == row["label"] for row in rows[1:])

    out, _ = said(capsys, f"{words} --format csv")
    lines = list(csv.DictReader(io.StringIO(out, newline="")))
    assert [line["path"] for line in lines] == paths
    for line, row in zip(lines[1:], rows[1:], strict=True):
        assert (line["label"], line["label2"], line["error"]) == (row["top"][0]["label"], row["top"][1]["label"], "")
        assert float(line["probability2"]) == row["top"][1]["probability"]
    assert lines[0]["label"] == "" and lines[0]["error"] == rows[0]["error"]


def test_predict_with_workers_says_the_same(place, capsys):
    Path("colours/zz.jpg").write_text("no picture")
    words = "predict model.safetensors colours colours/red/1.png --format json -b 4"
    alone, together = (said(capsys, f"{words} -j {workers}")[0] for workers in (0, 2))
    assert alone == together and alone.count("\n") == 11


def test_predict_more_answers_than_classes(place, capsys):
    out, _ = said(capsys, "predict model.safetensors colours/red/1.png --topk 99 --format csv -j 0")
    assert out.splitlines()[0] == "path,label,probability,label2,probability2,label3,probability3,answer,error"


@pytest.mark.parametrize("form", ["json", "csv"])
def test_predict_into_a_file_and_on_from_where_it_was_cut(form, place, capsys):
    """What has a row is not read again; bad pictures have one too. Nothing is left to do at the end, however often."""
    Path("colours/a.jpg").write_text("no picture")
    picture = Path("colours/green/1.png")
    picture.rename(picture.with_name('two\n"lines",\r.png'))
    words = "predict model.safetensors colours -j 2 -b 2 --topk 2"
    whole = said(capsys, f"{words} --format {form}")[0].encode()
    out, err = said(capsys, f"{words} --out answers/all.{form}")
    file = Path(f"answers/all.{form}")
    assert (
        file.read_bytes() == whole and out == f"rows of 10 pictures written to {file}\n" and err.startswith("1 of 10 pictures")
    )

    for left in (7, 0):
        file.write_bytes(whole[: whole.index(b"colours/green/0.png") + 3])
        had = len(whole.split(b"\n")) - left
        for name in ("a.jpg", "blue/0.png"):  # a row they have, so that nobody looks at them
            Path("colours", name).write_text("no picture any more")
        out, err = said(capsys, f"{words} --out {file} --resume")
        assert file.read_bytes() == whole and out == f"rows of 6 pictures written to {file}\n" and err == "", had
    assert said(capsys, f"{words} --out {file} --resume")[0] == (
        f"nothing left to do: {file} has a row of each of the 10 pictures\n"
    )
    assert file.read_bytes() == whole

    Image.new("RGB", (8, 8)).save("colours/zz.png")
    assert said(capsys, f"{words} --out {file} --resume")[0] == f"rows of 1 pictures written to {file}\n"
    Path("colours/zzz.png").write_text("no picture")
    out, err = said(capsys, f"{words} --out {file} --resume")  # not the end of the world, for others could be read before
    assert err == "1 of 1 pictures could not be read; their rows say why\n"
    assert file.read_bytes().startswith(whole) and b"colours/zzz.png" in file.read_bytes()


def test_predict_with_resume_begins_where_there_is_nothing_yet(place, capsys):
    out, _ = said(capsys, "predict model.safetensors colours -j 0 --out new.csv --resume")
    assert out == "rows of 9 pictures written to new.csv\n" and len(Path("new.csv").read_text().splitlines()) == 10


def test_predict_of_a_table_into_a_file(place, capsys):
    table = said(capsys, "predict model.safetensors colours -j 0")[0]
    said(capsys, "predict model.safetensors colours -j 0 --out table.txt")
    assert Path("table.txt").read_text() == table


@pytest.mark.slow
@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
def test_predict_in_another_runtime(runtime, place, capsys):
    pytest.importorskip(runtime)
    pytest.importorskip("onnxscript")
    words = "predict model.safetensors colours --topk 1 --format json"
    rows, others = (
        [json.loads(line) for line in said(capsys, f"{words} --runtime {name}")[0].splitlines()] for name in ("auto", runtime)
    )
    for row, other in zip(rows, others, strict=True):
        assert (row["path"], row["label"]) == (other["path"], other["label"])
        assert row["probability"] == pytest.approx(other["probability"], abs=1e-5)


def test_predict_imports_no_torch_where_another_runtime_computes(place):
    code = """
import sys
from resnets.data.preprocess import Preprocess
from resnets.models import zoo
from resnets.cli.main import main
from resnets.models.header import Header
from resnets.ship import sessions
spec = zoo.get("resnet20_cifar", num_classes=3)
rule = Preprocess(size=(8, 8), crop_pct=1.0)
header = Header(spec=spec, task="classify", preprocess=rule, labels=("a", "b", "c"), metrics={}, provenance={})
run = lambda pixels: pixels[:, :, 0, 0].astype("float32")
sessions.open_session = lambda *args, **options: sessions.Session(header=header, runtime="none", run=run, streams=2)
try:
    main(["predict", "model.onnx", "colours", "--out", "out.csv", "--resume"])
finally:
    print([name for name in ("torch", "torchvision", "sklearn", "matplotlib", "pandas") if name in sys.modules])
"""
    Path("model.onnx").touch()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout == "rows of 9 pictures written to out.csv\n[]\n", done.stderr
