"""What every task does with a run: its directory, resuming, evaluation, rows, drawings, the report, other runtimes."""

import csv
import html
import io
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import resnets
from resnets.attribution.methods import METHODS
from resnets.data.loader import Loader
from resnets.data.transforms import to_input
from resnets.data.workers import BadImages
from resnets.engine.run import RunDir, score_column
from resnets.engine.values import Headline, Question
from resnets.errors import InputError
from resnets.models import weights
from resnets.models.answering import Wanted, run_model
from resnets.ship.formats import FORMATS
from resnets.ship.sessions import RUNTIMES, open_session
from resnets.verbs import export
from resnets.verbs.compare import compare, told
from resnets.verbs.evaluate import evaluate, judge
from resnets.verbs.predict import find_files, predict, stream
from resnets.verbs.preview import preview
from resnets.verbs.report.folders import answers
from resnets.verbs.report.values import percent
from resnets.verbs.train import train
from tests.engine.running import assert_same, stopping

ALL = Wanted(topk=2, threshold=0.0)


def files(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def found_in(model, paths, **options):
    session = open_session(model, device="cpu", **options)
    return list(stream(session, find_files(session.header, paths), wanted=ALL, workers=0))


# --- the run ---


def test_the_listing_of_its_directory(done):
    assert files(done.path) == [
        "best.safetensors", "evaluation.json", "last.safetensors", "metrics.csv", "metrics.jsonl",
        *(f"plots/{name}.png" for name in done.row.plots),
        "predictions.csv", "provenance.json", "recipe.yaml", "report.html", "resume.json", "resume.safetensors",
        "slices.json",
    ]  # fmt: skip


def test_four_epochs_are_two_and_resumed_two_more(done, tmp_path):
    with done.row.within():
        with stopping(step=6):
            train(str(done.data), out=tmp_path / "run", **done.settings)
        assert json.loads((tmp_path / "run/resume.json").read_text())["step"] == 6
        run = train(out=tmp_path / "run", resume=True)
    assert_same(done.path, tmp_path / "run")
    assert run.result == done.result and files(tmp_path / "run") == files(done.path)


def test_metrics_have_its_scores(done):
    rows, keys = RunDir(done.path).read_metrics(), [score.key for score in done.task.scores]
    assert [row["epoch"] for row in rows] == [1, 2, 3, 4] and rows[-1]["step"] == 12
    assert all(np.isfinite(row[f"val_{key}"]) and row[f"val_{key}"] <= 1 for row in rows for key in keys)
    assert all(np.isfinite(row["train_loss"]) and row["train_loss"] > 0 for row in rows)
    header = weights.read_header(done.path / "best.safetensors")
    assert header.task == done.task.name == header.provenance["recipe"]["task"]
    assert header.metrics == {key: rows[int(header.metrics["epoch"]) - 1][key] for key in header.metrics}
    assert {f"val_{key}" for key in keys} <= header.metrics.keys()


def low(done):
    """The threshold from which all is named, of a task that has one."""
    return {"threshold": 0.0} if "threshold" in done.task.wanted else {}


def test_the_saved_model_is_the_runs(done):
    again = resnets.load(done.path)
    assert again.header == done.model.header and json.loads(json.dumps(again.header.to_json()))
    assert again.predict(done.pictures, **low(done)) == done.model.predict(done.pictures, **low(done))


def test_the_report_has_the_headline_and_says_what_eval_says(done):
    page, table = (done.path / "report.html").read_text(encoding="utf-8"), done.task.report_table
    first = table.headline(done.result) if table.headline else Headline(done.task.scores[0].key, done.task.scores[0].words)
    value = percent(done.result[first.key]) if first.is_fraction else f"{done.result[first.key]:.4g}"
    assert f"<strong>{value}</strong>validation {first.words}" in page
    words = html.unescape(page)
    assert all(line in words for line in done.task.rows.told(done.result, False).splitlines())
    (row, *_) = done.result.get("per_class") or [{}]
    assert all(f">{heading}</th>" in page for key, heading in table.columns.items() if key in row)
    assert all(words in page for key, words in table.facts.items() if isinstance(done.result.get(key), float))


def test_the_report_shows_its_slices_and_of_answers_for_whole_pictures_these(done):
    found = json.loads((done.path / "slices.json").read_text())
    assert found["split"] == "val" and np.isfinite(found["value"])
    page = (done.path / "report.html").read_text(encoding="utf-8")
    outcomes = judge(done.model, done.source, "val", workers=0).meter.outcomes() is not None
    assert outcomes == (done.task.name in ("classify", "tag", "grade"))
    assert all((f'<section id="{name}">' in page) == outcomes for name in ("plane", "typical"))
    assert ("data:image/webp" in page) == outcomes


def test_what_training_will_see_is_drawn(done, tmp_path):
    path = preview(str(done.data), out=tmp_path / "seen.png", **done.settings)
    with Image.open(path) as image:
        assert image.format == "PNG" and image.width > 300


# --- evaluation ---


def test_an_evaluation_later_is_that_of_the_run(done):
    kept = json.loads((done.path / "evaluation.json").read_text())
    assert kept.keys() >= {"task", "split", "num_images", "bad_images", *(score.key for score in done.task.scores)}
    assert (kept["task"], kept["split"], kept["num_images"]) == (done.task.name, "val", 3)
    again = evaluate(done.path, str(done.data), workers=0, device="cpu")
    assert {key: again[key] for key in kept} == kept == {key: done.result[key] for key in kept}


def test_every_answer_is_on_file(done, tmp_path):
    with (done.path / "predictions.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    images = done.source.splits["val"].images
    assert {row["path"] for row in rows} == {images.name(index) for index in range(len(images))}
    assert {(row["split"], row["group"]) for row in rows} == {("val", "")}
    evaluate(done.path, str(done.data), workers=0, device="cpu", out=tmp_path)
    assert (tmp_path / "predictions.csv").read_text() == (done.path / "predictions.csv").read_text()


def test_two_models_are_compared(done, tmp_path):
    """A model does not differ from itself; whatever its figure is, it is that of all images at once."""
    found = compare(done.path, done.model, str(done.data), workers=0, device="cpu", out=tmp_path)
    assert (found["difference"], found["interval"], found["p_value"]) == (0.0, [0.0, 0.0], 1.0)
    assert json.loads((tmp_path / "comparison.json").read_text())["score"] == found["score"] in told(found)
    assert (tmp_path / "first/predictions.csv").read_bytes() == (tmp_path / "second/predictions.csv").read_bytes()
    assert "the difference may be chance" in told(found)


def test_the_figure_of_predictions_csv_is_the_meters(done):
    """Whatever images are drawn: comparisons of runs go by the file."""
    judged = judge(done.model, done.source, "val", workers=0)
    sample, records = judged.meter.sample(), answers(RunDir(done.path), "val")
    told = done.task.rows.sample([records[judged.part.images.name(at)] for at in sample.positions])
    assert told.name == sample.name and (told.right is None) == (sample.right is None)
    assert told.right is None or (told.right == sample.right).all()
    num = len(sample.positions)
    for at in (np.arange(num), *np.random.default_rng(0).integers(num, size=(20, num))):
        assert told.figure(at) == pytest.approx(sample.figure(at), abs=1e-6, nan_ok=True)


def test_the_first_score_is_the_first_column_of_validation_that_is_no_loss(done):
    rows = RunDir(done.path).read_metrics()
    assert {score_column(row) for row in rows} == {f"val_{done.task.scores[0].key}"}


def test_what_is_decided_is_in_the_file(done):
    assert weights.read_header(done.path / "best.safetensors").decision == done.model.decision
    assert json.loads(json.dumps(done.model.decision)) == done.model.decision


def test_an_evaluation_as_text(done):
    result, score = done.result, done.task.scores[0]
    (line, *_), whole = done.task.rows.told(result, False).splitlines(), done.task.rows.told(result, True)
    assert line.startswith("val ") and score.words in line and f"{result[score.key]:.2%}" in line
    assert whole.startswith(line) and all(label in whole for label in result["labels"])
    bad = done.task.rows.told(result | {"bad_images": {"torn.png": "truncated"}}, False)
    assert "1 pictures could not be read: torn.png" in bad.splitlines()


# --- prediction ---


@pytest.fixture
def found(done, tmp_path):
    """What is found in the pictures of the validation split, and in a file that is no picture."""
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no picture")
    return found_in(done.path, [*done.pictures, broken])


def test_rows_are_json(done, found):
    rows, own = [each.row for each in found], done.task.rows
    assert [json.loads(json.dumps(row)) for row in rows] == rows
    assert [row["path"] for row in rows[:-1]] == list(done.pictures)
    assert all(own.KEYS & row.keys() and "error" not in row for row in rows[:-1])
    assert rows[-1].keys() == {"path", "error"}
    assert rows == list(predict(done.path, [row["path"] for row in rows], topk=2, **low(done), device="cpu"))
    answers = done.model.predict(done.pictures, topk=2, **low(done))
    assert [{"path": path} | answer for path, answer in zip(done.pictures, answers, strict=True)] == rows[:-1]
    lines = [own.line(row) for row in rows]
    assert all(line.startswith(row["path"]) and line.isprintable() for line, row in zip(lines, rows, strict=True))


def test_rows_are_csv(done, found):
    own = done.task.rows
    head = own.csv_head(ALL.topk).split(",")
    assert head[0] == "path" and head[-1] == "error"
    for row in (each.row for each in found):
        line = own.csv_lines(row, ALL.topk)
        cells = list(csv.reader(io.StringIO(line, newline="")))
        assert cells and all(len(record) == len(head) and record[0] == row["path"] for record in cells)
        assert cells[0][-1] == row.get("error", "")
        assert own.csv_path is None or own.csv_path(line, ALL.topk) == row["path"]
    assert own.csv_path is None or len(cells) == 1


@pytest.mark.parametrize("asked", ["draw", "masks"])
def test_an_answer_is_drawn_or_it_is_refused_beforehand(done, found, asked, tmp_path):
    header, path = done.model.header, tmp_path / "made" / "picture.png"
    try:
        done.task.check_asked(header, **{"draw": False, "masks": False} | {asked: True})
    except InputError as error:
        assert f"--{asked}" in str(error)
        return
    for _, image, answer in found[:-1]:
        if asked == "draw":
            assert done.task.drawn(image, answer, header.labels, ALL, path) == path
        else:
            assert done.task.masked(image, answer, header.labels, ALL, path) == path
        with Image.open(path) as made:
            assert made.format == "PNG"
            assert asked == "draw" or (made.height, made.width) == image.shape[:2]


def test_answers_agree_with_themselves_and_not_with_others(done, found):
    answers = [each.answer for each in found[:-1]]
    assert [done.task.same(answer, answer) for answer in answers] == [1.0] * len(answers)
    agreed = [done.task.same(answer, done.row.other(answer)) for answer in answers]
    assert min(agreed) == 0 and max(agreed) <= 1, "1 where nothing was found in either"


# --- other runtimes ---


def test_a_runtime_that_it_does_not_run_in_is_refused_by_name(done):
    for runtime in RUNTIMES.keys() - set(done.task.runtimes):
        with pytest.raises(InputError, match=f"the task {done.task.name} runs in .* only.*--runtime {runtime}"):
            open_session(done.path, runtime=runtime)


# The others export first; that the answers of a task's file are the model's is quick below.
@pytest.mark.parametrize("runtime", [pytest.param(name, marks=[pytest.mark.slow] * (name != "torch")) for name in RUNTIMES])
def test_a_runtime_gives_the_same_answers(done, found, runtime):
    if runtime not in done.task.runtimes:
        pytest.skip(f"the task {done.task.name} is refused")
    again = found_in(done.path, done.pictures, runtime=runtime)
    assert len(again) == len(done.pictures)
    assert [done.task.same(one.answer, two.answer) for one, two in zip(found, again, strict=False)] == [1.0] * len(again)


def test_an_exported_file_is_the_model_or_it_is_refused_by_name(done, tmp_path):
    form = "onnx"
    out = tmp_path / f"model{FORMATS[form].suffix}"
    if "onnxruntime" not in done.task.runtimes:
        with pytest.raises(InputError, match=f"is for the task {done.task.name}, which is exported as html only"):
            export.export(done.path, format=form, out=out)
        assert not out.exists()
        return
    result = export.export(done.path, format=form, data=str(done.data), out=out)
    assert open_session(out).header.decision == done.model.decision
    assert (
        result["equal"] == pytest.approx(1.0, abs=1e-9) and not result["faults"] and result["num_images"] == len(done.pictures)
    )
    score = done.task.scores[0]
    assert result["score"] == score.words
    expected = pytest.approx(done.result[score.key], abs=1e-6)  # float32, in batches of another size
    assert result["before"]["score"] == expected == result["after"]["score"]


def test_answers_can_be_explained(done):
    """Each by a number that has a gradient, and a chance that any runtime tells."""
    header, network = done.model.header, done.model.eval()
    assert done.task.map_method in METHODS
    assert set(done.task.map_layers(network)) <= set(dict(network.named_modules()))
    samples = done.task.samples(done.source.splits["val"], header.preprocess, len(header.labels))
    batch = next(Loader(samples=samples, batch_size=1, bad=BadImages(0)).epoch(0))
    pixels = batch.images.numpy()
    output = run_model(network, pixels)[0]
    found = done.task.explained(output, header, Question(threshold=0.0))
    for what in found:
        x = to_input(pixels, header.preprocess, torch.device("cpu")).requires_grad_()
        number = what.evidence(network, x)
        assert number.shape == (1,) and torch.autograd.grad(number.sum(), x)[0].isfinite().all()
        assert 0 <= what.chance(output) <= 1 and what.name and what.label in (None, *range(len(header.labels)))
    with pytest.raises(InputError, match=r"--class|has no class 'x y z'"):
        done.task.explained(output, header, Question(label="x y z"))


def test_it_is_served_with_the_answers_of_predict(done):
    """The server's answer to the bytes of a file is the row of `predict` to the file."""
    pytest.importorskip("uvicorn")
    from tests.verbs.serve.made import Rows, form, serving

    names = {path: f"{number}{Path(path).suffix}" for number, path in enumerate(done.pictures[:2])}
    with serving({"model": done.path}) as server:
        body, headers = form(*((name, Path(path).read_bytes()) for path, name in names.items()))
        answer = server.ask("POST", "/predict", body, headers)
    expected = [{**row, "path": names[row["path"]]} for row in predict(done.path, list(names), device="cpu")]
    assert answer.status == 200 and answer.json["rows"] == Rows(expected)
