"""The answers to validation: counted at the end of a training, kept in the file, and the same as those of predictions.csv."""

import dataclasses

import pytest

from resnets import tasks
from resnets.engine.run import RunDir
from resnets.errors import InputError
from resnets.models.weights import read_header
from resnets.verbs import expected
from resnets.verbs.train import train


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    out = tmp_path_factory.mktemp("expected") / "run"
    train(data="digits", model="resnet20_cifar", depths=(1, 1, 1), steps=3, out=out, workers=0, device="cpu")
    return RunDir(out)


def test_a_file_keeps_what_predictions_csv_says(run):
    header = read_header(run.best)
    kept = expected.of_header(header)
    assert kept == expected.of_file(run.predictions, tasks.get(header.task), header.decision)
    assert sum(kept["classes"].values()) == sum(kept["scores"]) > 100


def test_another_file_is_refused(run):
    with pytest.raises(InputError, match=r"predictions.csv"):
        expected.of_file(run.path / "metrics.csv", tasks.get("classify"), {})


@pytest.mark.parametrize("kept", [3, {}, {"classes": 3, "scores": []}, {"classes": {"a": -1}, "scores": [0] * 10}])
def test_damaged_counts_are_refused(run, kept):
    header = dataclasses.replace(read_header(run.best), provenance={"answers": kept})
    with pytest.raises(InputError, match="damaged"):
        expected.of_header(header)


def test_a_file_without_counts(run):
    assert expected.of_header(dataclasses.replace(read_header(run.best), provenance={})) is None
