"""The command as people run it: its verbs, what goes to stdout and what to stderr, and how it ends."""

import csv
import io
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from PIL import Image

from resnets import __version__
from resnets.cli.main import cli, main
from resnets.data.preprocess import Preprocess
from resnets.engine.recipe import FIELDS
from resnets.models import header as saved
from resnets.models import zoo
from resnets.ship import hub
from resnets.ship.formats import FORMATS
from resnets.ship.sessions import RUNTIMES

SPEC = zoo.get("resnet20_cifar", depths=(1, 1, 1), width=4)
FAST = "--model resnet20_cifar --depths 1,1,1 --width 4 --batch-size 32 --device cpu"
VERBS = ("train", "eval", "convert", "predict", "export", "models", "info", "data", "bench", "paper")


def said(capsys, words):
    """What the command says on stdout, and on stderr; it must end well."""
    with pytest.raises(SystemExit) as stopped:
        main(shlex.split(words))
    out, err = capsys.readouterr()
    assert stopped.value.code == 0, err
    return out, err


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder with a model of three colours and pictures of them."""
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    model = hub.create_model(
        zoo.change(SPEC, num_classes=3), labels=("blue", "green", "red"), preprocess=Preprocess(size=(8, 8), crop_pct=1.0)
    )
    hub.save(model, "model.safetensors")
    for name, colour in (("blue", (0, 0, 250)), ("green", (0, 250, 0)), ("red", (250, 0, 0))):
        for n in range(3):
            path = Path("colours", name, f"{n}.png")
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (9, 7), tuple(max(0, value - 20 * n) for value in colour)).save(path)
    return tmp_path


# --- help ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("words", ["", *VERBS, "data check", "data preview", "data get", "bench predict", "bench train"])
@pytest.mark.parametrize("flag", ["--help", "-h"])
def test_help_of_every_verb(words, flag, capsys):
    out, err = said(capsys, f"{words} {flag}")
    assert err == "" and out.startswith(f"Usage: resnets {words}".rstrip())
    assert "--debug" in out and max(map(len, out.splitlines())) <= 120


def test_help_of_train_has_every_setting(capsys):
    out, _ = said(capsys, "train --help")
    for name in FIELDS.keys() - {"data"}:
        assert f"--{name.replace('_', '-')}" in out, name
    for short in ("-b,", "-j,", "--wd", "--imgsz"):
        assert short in out, short


def test_version(capsys):
    assert said(capsys, "-V") == said(capsys, "--version") == (f"resnets {__version__}\n", "")


def choices(verb, name):
    return next(list(p.type.choices) for p in cli.commands[verb].params if p.name == name)


def test_choices_are_those_of_the_tables():
    for verb in ("predict", "eval"):
        assert choices(verb, "runtime") == ["auto", *RUNTIMES]
    assert sorted(choices("export", "form")) == sorted(FORMATS)


def test_verbs_are_those_of_the_contract():
    assert set(cli.commands) == set(VERBS) and set(cli.commands["data"].commands) == {"check", "preview", "get"}


@pytest.mark.parametrize(
    "words", ["--help", "train --help", "-V", "models", "models cifar --json", "info resnet50", "info resnet50 --json"]
)
def test_what_needs_no_torch_imports_none(words):
    code = f"""
import sys
from resnets.cli.main import main
try:
    main({shlex.split(words)!r})
except SystemExit as stopped:
    assert not stopped.code
slow = ("torch", "torchvision", "numpy", "sklearn", "matplotlib", "PIL", "pandas")
print([name for name in slow if name in sys.modules], file=sys.stderr)
"""
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stderr == "[]\n"


# --- train -----------------------------------------------------------------------------------------------------------


def test_train_without_data_learns_digits(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    out, err = said(capsys, f"train --epochs 1 {FAST}")
    folder = Path("runs/classify/train1")
    assert out.splitlines()[-1] == f"use it: resnets predict {folder} PICTURE..." and str(folder / "report.html") in out
    assert "digits: 10 classes" in err
    wanted = {"recipe.yaml", "provenance.json", "metrics.csv", "best.safetensors", "last.safetensors", "report.html", "plots"}
    assert wanted | {"resume.safetensors", "resume.json", "evaluation.json"} == {path.name for path in folder.iterdir()}
    assert (folder / "plots/curves.png").is_file() and (folder / "plots/confusion.png").is_file()


def test_train_as_json_and_a_path_with_spaces(place, capsys):
    out, err = said(
        capsys, f"train colours --out 'my runs/first one' --json --epochs 1 {FAST} --img-size 8 -j 0 --batch-size 4"
    )
    result = json.loads(out)
    assert out.count("\n") == 1 and result["run"] == "my runs/first one"
    assert {"split", "num_images", "loss", "top1", "top5", "seconds", "selected"} <= set(result)
    assert "epoch 1 " in err
    out, _ = said(capsys, "predict 'my runs/first one' colours/red/0.png -j 0")
    assert out.startswith("colours/red/0.png  ")


def test_runs_are_counted_and_resume_takes_the_newest(place, capsys):
    for _ in range(2):
        said(capsys, f"train colours --epochs 1 {FAST} --img-size 8 -j 0 --batch-size 4")
    assert {path.name for path in Path("runs/classify").iterdir()} == {"train1", "train2"}
    assert json.loads(said(capsys, "train --resume --json")[0])["run"] == "runs/classify/train2"


# --- evaluate --------------------------------------------------------------------------------------------------------


def test_eval_as_json_is_one_object_and_nothing_else(place, capsys):
    out, err = said(capsys, "eval model.safetensors colours -j 0 --json")
    result = json.loads(out)
    assert out.count("\n") == 1 and err == ""
    assert (result["split"], result["num_images"], result["model"], result["data"]) == (
        "train",
        9,
        "model.safetensors",
        "colours",
    )
    assert 0 <= result["top1"] <= result["top5"] == 1 and result["loss"] > 0
    assert result["top1_interval"][0] <= result["top1"] <= result["top1_interval"][1]
    assert [row["label"] for row in result["per_class"]] == ["blue", "green", "red"]


def test_eval_in_words(place, capsys):
    out, err = said(capsys, "eval model.safetensors colours -j 0 --out there")
    lines = out.splitlines()
    assert lines[0].startswith("train accuracy ") and "on 9 pictures" in lines[0] and err == ""
    assert [line.split()[0] for line in lines[2:6]] == ["class", "blue", "green", "red"]
    assert lines[-1].startswith("commonest mistakes: ")
    assert (place / "there/evaluation.json").is_file() and (place / "there/plots/confusion.png").is_file()


def test_eval_of_the_validation_split_that_was_cut_is_the_number_of_training(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    said(capsys, f"train digits --out run --epochs 2 --no-amp {FAST}")
    result = json.loads(said(capsys, "eval run digits --split val --json --device cpu")[0])
    with Path("run/metrics.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    epoch = hub.load("run").metadata["metrics"]["epoch"]
    (row,) = [row for row in rows if int(row["epoch"]) == epoch]
    assert result["num_images"] == json.loads(Path("run/provenance.json").read_text())["data"]["num_images"]["val"] < 150
    assert result["top1"] == pytest.approx(float(row["val_top1"]), abs=1e-6)
    assert result["loss"] == pytest.approx(float(row["val_loss"]), abs=1e-5)


# --- predict ---------------------------------------------------------------------------------------------------------


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
    assert "error: not a picture" in table.splitlines()[0]
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
    assert out.splitlines()[0] == "path,label,probability,label2,probability2,label3,probability3,error"


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
    assert file.read_bytes() == whole and out == f"10 rows written to {file}\n" and err.startswith("1 of 10 pictures")

    for left in (7, 0):
        file.write_bytes(whole[: whole.index(b"colours/green/0.png") + 3])
        had = len(whole.split(b"\n")) - left
        for name in ("a.jpg", "blue/0.png"):  # a row they have, so that nobody looks at them
            Path("colours", name).write_text("no picture any more")
        out, err = said(capsys, f"{words} --out {file} --resume")
        assert file.read_bytes() == whole and out == f"6 rows written to {file}\n" and err == "", had
    assert said(capsys, f"{words} --out {file} --resume")[0] == (
        f"nothing left to do: {file} has a row of each of the 10 pictures\n"
    )
    assert file.read_bytes() == whole

    Image.new("RGB", (8, 8)).save("colours/zz.png")
    assert said(capsys, f"{words} --out {file} --resume")[0] == f"1 rows written to {file}\n"
    Path("colours/zzz.png").write_text("no picture")
    out, err = said(capsys, f"{words} --out {file} --resume")  # not the end of the world, for others could be read before
    assert err == "1 of 1 pictures could not be read; their rows say why\n"
    assert file.read_bytes().startswith(whole) and b"colours/zzz.png" in file.read_bytes()


def test_predict_with_resume_begins_where_there_is_nothing_yet(place, capsys):
    out, _ = said(capsys, "predict model.safetensors colours -j 0 --out new.csv --resume")
    assert out == "9 rows written to new.csv\n" and len(Path("new.csv").read_text().splitlines()) == 10


def test_predict_of_a_table_into_a_file(place, capsys):
    table = said(capsys, "predict model.safetensors colours -j 0")[0]
    said(capsys, "predict model.safetensors colours -j 0 --out table.txt")
    assert Path("table.txt").read_text() == table


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
from resnets import ResNetSpec, zoo, Preprocess
from resnets.cli.main import main
from resnets.saved import Header
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
    assert done.stdout == "9 rows written to out.csv\n[]\n", done.stderr


# --- data ------------------------------------------------------------------------------------------------------------


def test_data_check_of_a_folder_with_problems_ends_with_2(place, capsys):
    Path("colours/red/bad.jpg").write_text("no picture")
    Path("colours/red/same.png").write_bytes(Path("colours/blue/1.png").read_bytes())
    for form in ("", "--json"):
        with pytest.raises(SystemExit) as stopped:
            main(shlex.split(f"data check colours {form}"))
        out, err = capsys.readouterr()
        assert (stopped.value.code, err) == (2, "")
        if form:
            found = json.loads(out)
            assert found["num_errors"] == 2 and {"unreadable", "disputed"} <= {row["kind"] for row in found["findings"]}
        else:
            assert "error: 1 picture cannot be read; mend or remove them" in out and "colours/red/bad.jpg" in out


def test_data_check_without_problems_ends_with_0(place, capsys):
    out, _ = said(capsys, "data check colours")
    assert "error:" not in out and out.splitlines()[-1].startswith("colours: 9 pictures, 0 errors")


def test_data_check_prints_names_as_one_line(place, capsys):
    Path("colours/red/two\nlines \x1b[31m.jpg").write_text("no picture")
    with pytest.raises(SystemExit):
        main(["data", "check", "colours"])
    assert r"colours/red/two\nlines \x1b[31m.jpg" in capsys.readouterr().out


def test_data_preview_draws_what_training_would_see(place, capsys):
    out, _ = said(capsys, f"data preview colours --out drawn.png --epochs 1 {FAST} --img-size 8 -j 0")
    assert out == "drawn.png\n" and Image.open("drawn.png").width > 100
    assert not Path("runs").exists()


# --- how it ends -----------------------------------------------------------------------------------------------------


def started(words, folder, **options):
    return subprocess.Popen(
        [sys.executable, "-u", "-m", "resnets", *shlex.split(words)],
        cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options,
    )  # fmt: skip


def stopped_after_an_epoch(words, folder, number):
    """Exit status and stderr of a run that gets the signal `number` when its first epoch is done."""
    process = started(words, folder)
    seen = []
    for line in process.stderr:
        seen.append(line)
        if line.startswith("epoch 1 "):
            process.send_signal(number)
            break
    _, rest = process.communicate(timeout=120)
    return process.returncode, "".join(seen) + rest


def test_ctrl_c_saves_and_says_how_to_go_on_which_works(place):
    """The line is typed as it stands, in the folder that the run was started in."""
    words = f"train --out 'my runs/a b' --epochs 10 {FAST}"
    code, err = stopped_after_an_epoch(words, place, signal.SIGINT)
    assert code == 130 and "Traceback" not in err, err
    found = re.fullmatch(r"stopped, and saved; to go on: (resnets train --resume .*)", err.splitlines()[-1])
    assert found, err
    done_before = json.loads(Path("my runs/a b/resume.json").read_text())["step"]
    assert 0 < done_before < 10 * 41
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    if subprocess.run("command -v resnets", shell=True, env=environment, capture_output=True, check=False).returncode:
        pytest.skip("the command is not installed")
    done = subprocess.run(
        found[1], shell=True, cwd=place, env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    assert len(Path("my runs/a b/metrics.csv").read_text().splitlines()) == 11


def test_sigterm_saves_and_ends_with_143(place):
    code, err = stopped_after_an_epoch(f"train --out run --epochs 200 {FAST}", place, signal.SIGTERM)
    assert code == 143 and "Traceback" not in err
    assert err.splitlines()[-1] == "stopped, and saved; to go on: resnets train --resume --out run"
    assert hub.load("run").labels == tuple("0123456789")


def test_ctrl_c_elsewhere_is_130_without_a_traceback(place):
    """Before anything has begun there is nothing to save."""
    code = """
import os, signal
from resnets.cli import main
main.tables.model_rows = lambda pattern: os.kill(os.getpid(), signal.SIGINT)
main.main(["models"])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr.strip()) == (130, "")


@pytest.mark.parametrize("form", ["json", "csv"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_predict_is_stopped_and_goes_on_as_if_it_had_not_been(number, form, place):
    for n in range(3000):
        os.link("colours/red/0.png", f"colours/green/{n + 10:04}.png")
    file = place / f"answers.{form}"
    words = f"predict model.safetensors colours -j 2 -b 8 --out {file.name}"
    process = started(words, place)
    while process.poll() is None and (not file.exists() or file.stat().st_size < 5000):
        time.sleep(0.002)
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    content = file.read_text()
    assert out == "" and "Traceback" not in err and process.returncode == (130 if number == signal.SIGINT else -number), err
    if number == signal.SIGINT:
        assert content.endswith("\n")
        assert err.strip() == f"stopped; {file.name} is whole as far as it goes; to go on: the same command with --resume"
    process = started(f"{words} --resume", place)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0 and file.read_text().startswith(content.rpartition("\n")[0]), err
    with file.open(newline="") as lines:
        rows = list(csv.DictReader(lines)) if form == "csv" else [json.loads(line) for line in lines]
    assert [row["path"] for row in rows] == [str(path.relative_to(place)) for path in sorted(place.glob("colours/*/*.png"))]
    assert int(out.split()[0]) < len(rows) == 3009


@pytest.mark.parametrize("workers", [0, 2])
def test_a_reader_that_has_seen_enough_ends_it_quietly(workers, place):
    """As `resnets predict ... | head -1` does."""
    for n in range(2000):
        os.link("colours/red/0.png", f"colours/green/{n + 10}.png")
    process = started(f"predict model.safetensors colours -j {workers} -b 16", place)
    first = process.stdout.readline()
    process.stdout.close()
    err = process.stderr.read()
    assert first.startswith("colours/blue/0.png") and (process.wait(timeout=60), err) == (0, "")


def test_models_into_head(place):
    process = started("models", place)
    process.stdout.close()
    assert (process.stderr.read(), process.wait(timeout=60)) == ("", 0)


# --- other libraries' weights ------------------------------------------------------------------------------------------


def test_convert_says_what_it_knows_and_back_again(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    model = hub.create_model("resnet18", depths=(1, 1, 1, 1), num_classes=3)
    torch.save(model.state_dict(), "theirs.pth")
    Path("names.txt").write_text("red\ngreen\nblue\n")
    out, _ = said(capsys, "convert theirs.pth -o ours.safetensors --mean 0.5,0.5,0.5 --std 1,1,1 --labels names.txt")
    for words in (
        "red, green, blue",
        "family      torchvision",
        "licence     not stated",
        "normalised  you",
        "ours.safetensors",
    ):
        assert words in out
    assert "family      torchvision" in said(capsys, "info ours.safetensors")[0]
    result = json.loads(said(capsys, "convert ours.safetensors -o back.pth --to torchvision --json")[0])
    assert result["family"] == "torchvision" and result["file"] == "back.pth"
    back = torch.load("back.pth", weights_only=True)
    assert all(torch.equal(tensor, back[name]) for name, tensor in model.state_dict().items())
    assert "family      torchvision" in said(capsys, "info theirs.pth")[0]


def test_bundled_models_are_listed_and_known_by_name(place, monkeypatch, capsys):
    monkeypatch.setattr(saved, "BOXED", place / "boxed")
    hub.save(hub.load("model.safetensors"), "boxed/tiny_colours.safetensors")
    Path("boxed/tiny_colours.md").write_text("# Three colours\n")
    out, _ = said(capsys, "models colour")
    assert out == "trained, in this package\ntiny_colours              Three colours\n"
    assert json.loads(said(capsys, "models colour --json")[0])["bundled"][0]["name"] == "tiny_colours"
    assert "labels      blue, green, red" in said(capsys, "info tiny_colours")[0]
    assert len(said(capsys, "predict tiny_colours colours/red/0.png")[0].splitlines()) == 1


def test_training_from_other_weights_says_and_keeps_their_terms(place, capsys):
    torch.save(hub.load("model.safetensors").state_dict(), "theirs.pth")
    said(capsys, "convert theirs.pth -o theirs.safetensors --mean 0.5,0.4,0.3 --std 1,1,1")
    flags = "--epochs 1 --batch-size 4 -j 0 --device cpu --img-size 8"
    _, err = said(capsys, f"train colours --weights theirs.safetensors --in-chans 1 --out run {flags}")
    assert "adapted           1 tensors  conv1.weight (3 channels to 1 by their sum)" in err
    assert "licence not stated" in err and "re-initialised    2 tensors  fc.weight, fc.bias" in err
    tuned = hub.load("run")
    assert tuned.preprocess.mean == pytest.approx((0.4,)) and tuned.spec.in_chans == 1
    assert tuned.metadata["provenance"]["weights"]["licence"].startswith("not stated")
    assert "licence     not stated" in said(capsys, "info run")[0]
