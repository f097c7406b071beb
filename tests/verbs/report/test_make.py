"""A page made again: with pictures where model and data are there; else of what is there, and what is missing is said."""

import json

import pytest

from resnets.errors import InputError
from resnets.verbs.report.make import report
from tests.verbs.report import made


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return made.colours(tmp_path_factory.mktemp("data") / "colours")


@pytest.fixture
def run(tmp_path, data):
    return made.run_of(tmp_path / "run", data)


@pytest.mark.slow
def test_an_interrupted_run_is_shown_by_its_validation_split(run):
    said = []
    page = report([run], workers=0, say=said.append).read_text(encoding="utf-8")
    assert said == ["report   the val split of colours, 12 pictures"]
    assert 'id="confusion"' in page and 'id="plane"' in page and "data:image/webp" in page
    assert json.loads((run / "slices.json").read_text())["split"] == "val"
    assert not (run / "evaluation.json").exists()  # looking at a run is not to finish it


def test_a_finished_run_is_shown_by_the_split_that_it_was_judged_by_and_its_robustness(run, monkeypatch):
    monkeypatch.setattr("resnets.verbs.report.robustness.NUM_IMAGES", 6)
    (run / "evaluation.json").write_text(json.dumps({"split": "test", "num_images": 30}))
    said = []
    page = report([run], robustness=True, workers=0, say=said.append).read_text(encoding="utf-8")
    assert said[0] == "report   the test split of colours, 30 pictures" and len(said) == 6
    found = json.loads((run / "robustness.json").read_text())
    assert [row["change"] for row in found["rows"]] == ["noise", "blur", "JPEG", "brightness", "rotation"]
    assert found["num_images"] == 6 and all(len(row["values"]) == 5 for row in found["rows"])
    assert all(0 <= value <= 1 for row in found["rows"] for value in row["values"])
    assert (run / "plots/robustness.png").exists() and 'id="robustness"' in page
    kept = report([run], workers=0).read_text(encoding="utf-8")
    assert 'id="robustness"' in kept  # as it was measured


@pytest.mark.parametrize("missing", ["model", "data"])
def test_what_is_missing_is_said_and_the_page_is_of_the_rest(run, missing):
    if missing == "model":
        (run / "best.safetensors").unlink()
    else:
        network = made.model()
        network.metadata["provenance"] = {"recipe": {"data": "/nowhere/at/all"}}
        made.weights.save(network, run / "best.safetensors")
    said = []
    page = report([run], workers=0, say=said.append).read_text(encoding="utf-8")
    assert len(said) == 1 and said[0].startswith("note     without pictures: ")
    assert "No pictures: " in page and 'id="plane"' not in page and "<h1>resnet20" in page


def test_a_folder_without_anything_of_a_run_is_refused_and_left_alone(tmp_path):
    (tmp_path / "cats").mkdir()
    with pytest.raises(InputError, match="nothing of a run is here, such as recipe"):
        report([tmp_path])
    assert [path.name for path in tmp_path.iterdir()] == ["cats"]


@pytest.mark.parametrize("name", ["evaluation.json", "recipe.yaml", "metrics.csv", "provenance.json"])
def test_of_a_run_with_a_damaged_file_the_page_has_the_rest(run, name):
    (run / name).write_text("epoch,{[\n1\n", encoding="utf-8")
    page = report([run], workers=0).read_text(encoding="utf-8")
    assert "Left out: " in page and name in page


def test_a_damaged_file_of_the_run_is_named(run):
    (run / "best.safetensors").write_bytes(b"damaged")
    said = []
    report([run], say=said.append)
    assert "best.safetensors" in said[0]


def test_what_is_asked_for_and_cannot_be_had_is_refused(run, data, tmp_path):
    with pytest.raises(InputError, match="no such run directory"):
        report([tmp_path / "none"])
    with pytest.raises(InputError, match="nowhere"):
        report([run], data="/nowhere/at/all")
    (run / "best.safetensors").unlink()
    with pytest.raises(InputError):
        report([run], robustness=True)
