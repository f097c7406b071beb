"""Volumes and the network that is planned for them: planned, trained, taken up again, and answered by all folds together."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
import yaml
from click.testing import CliRunner

import resnets
from resnets.cli.main import cli
from resnets.errors import InputError
from resnets.tasks.segment.head import DeepUNet
from resnets.verbs import evaluate as evaluation
from resnets.verbs import repeats
from resnets.verbs import train as training
from resnets.verbs.predict import predict
from resnets.verbs.train import train
from tests.data import made_volumes
from tests.engine.running import assert_same, stopping

nibabel = pytest.importorskip("nibabel")

TINY = {
    "task": "segment", "model": "resenc54", "depths": "1,1", "width": 4, "batch_size": 2, "workers": 0, "device": "cpu",
    "precision": "float32", "lr": 0.01,
}  # fmt: skip
STEADY = {"rotation": 0, "zoom": 0, "intensity": 0}


@pytest.fixture(scope="module")
def folds(tmp_path_factory):
    """Two folds of four phantoms, a little trained."""
    root = tmp_path_factory.mktemp("planned")
    data = made_volumes.folder(root / "phantoms", train=4, val=0)
    found = repeats.repeat(str(data), out=root / "folds", folds=2, epochs=2, repeats=40, **TINY, **STEADY)
    return SimpleNamespace(path=found.path, data=data, root=root, rows=found.rows)


@pytest.mark.slow
def test_the_plan_is_kept_in_the_recipe_and_the_file(folds):
    recipe = yaml.safe_load((folds.path / "fold1/recipe.yaml").read_text())
    planned = {"model": "resenc54", "depths": [1, 1], "strides": ["111", "122"], "width": 4, "batch_size": 2}
    assert planned | {"train_size": [16, 18, 20]} == {name: recipe[name] for name in (*planned, "train_size")}
    model = resnets.load(folds.path / "fold1")
    assert isinstance(model.head, DeepUNet) and model.preprocess.size == (16, 18, 20)
    assert (model.spec.norm, model.spec.activation, model.spec.strides) == ("instance", "leaky", ("111", "122"))
    assert json.loads((folds.path / "folds.json").read_text())["folds"] == 2
    assert all(row["val_miou"] > 0.5 for row in folds.rows), folds.rows


@pytest.mark.parametrize("stop", [{"step": 5}, {"validation": 1}], ids=["middle of an epoch", "validation"])
def test_a_run_goes_on_as_if_it_had_not_stopped(folds, tmp_path, monkeypatch, stop):
    monkeypatch.setattr(training, "finish", lambda job, source, best_epoch: None)
    settings = {**TINY, "epochs": 2, "repeats": 2, "val_fraction": 0.25}  # two epochs of three steps, all changes of patches
    train(str(folds.data), out=tmp_path / "whole", **settings)
    with stopping(**stop):
        train(str(folds.data), out=tmp_path / "halves", **settings)
    train(None, out=tmp_path / "halves", resume=True)
    assert_same(tmp_path / "whole", tmp_path / "halves")


def test_a_file_says_what_the_model_says(folds):
    """Of odd sizes too, larger and smaller than the patches of training."""
    import torch

    model = resnets.load(folds.path / "fold2").eval()
    with torch.inference_mode():
        for size in ((16, 18, 20), (7, 5, 30), (1, 1, 1)):
            assert model(torch.randn(1, 1, *size)).shape == (1, 3, *size)


def test_all_folds_answer_together(folds, tmp_path):
    values, classes = made_volumes.phantom(500)
    scan = made_volumes.save(tmp_path / "other/test/images/scan.nii.gz", values)
    made_volumes.save(tmp_path / "other/test/labels/scan.nii.gz", classes)
    (tmp_path / "other/classes.txt").write_text("background\nball\nbox\n")
    words = ["predict", folds.path, scan, "--masks", tmp_path / "masks", "--tta", "--device", "cpu", "--format", "json"]
    run = CliRunner().invoke(cli, [str(word) for word in words], catch_exceptions=False)
    assert run.exit_code == 0, run.output
    row = json.loads(run.output.splitlines()[-1])
    found = np.asarray(nibabel.load(tmp_path / "masks/scan.nii.gz").dataobj)
    shares = {entry["label"]: entry["share"] for entry in row["classes"]}
    for index, label in enumerate(("background", "ball", "box")):
        assert shares.get(label, 0) == pytest.approx((found == index).mean(), abs=1e-6)
    result = evaluation.evaluate(folds.path, str(tmp_path / "other"), device="cpu", tta=True)
    counts = [
        ((found == index) & (classes == index)).sum() * 2 / ((found == index).sum() + (classes == index).sum())
        for index in (1, 2)
    ]
    assert [each["dice"] for each in result["per_class"][1:]] == pytest.approx(counts, abs=1e-6)
    alone = list(predict(folds.path / "fold1", scan, device="cpu"))
    assert alone[0]["classes"] != row["classes"]


def test_models_are_not_judged_by_what_they_were_trained_on(folds):
    with pytest.raises(InputError, match="some of these models were trained on images of phantoms"):
        evaluation.evaluate(folds.path, str(folds.data), device="cpu")
    with pytest.raises(InputError, match="trained on images"):
        evaluation.evaluate(folds.path, str(folds.data), split="train", device="cpu")


def test_another_network_is_trained_as_ever(folds, tmp_path):
    settings = {**TINY, "model": "resnet20_cifar", "train_size": "8,12,16", "val_fraction": 0.25}
    job, plan = training.prepare(str(folds.data), out=tmp_path / "run", steps=1, **settings)
    assert plan.recipe.train_size == (8, 12, 16) == job.model.preprocess.size
    assert (plan.head_config["head"], plan.recipe.channels_last, plan.recipe.intensity) == ("unet", True, 0.0)
    assert plan.recipe.strides is None and plan.spec.norm == "batch"
