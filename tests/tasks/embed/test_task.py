"""Embedding from settings to a saved file: what is found out from the data, what is refused, and networks as they are."""

import numpy as np
import pytest

import resnets
from resnets import tasks
from resnets.engine.plan import settle
from resnets.errors import InputError
from resnets.models import zoo
from resnets.ship import hub
from resnets.verbs.evaluate import evaluate
from tests.data.test_identities import people
from tests.tasks.contract.made import NARROW

TASK = tasks.get("embed")
FREE = {name: value for name, value in NARROW.items() if name != "batch_size"}


def planned(data, **settings):
    return settle(TASK, {"flag": {"data": str(data), "task": "embed", **FREE, **settings}}, None)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return people(tmp_path_factory.mktemp("people"), {f"p{number}": 3 for number in range(10)})


def test_batches_fit_the_identities(folder):
    plan = planned(folder)
    assert plan.labels == plan.source.labels and len(plan.labels) == plan.spec.num_classes == 6
    assert (plan.recipe.batch_size, plan.origins["batch_size"]) == (24, "the data")
    assert plan.head_config == {"size": 128, "normalised": True, "distance": "cosine", "neck": True, "loss": "arcface"}
    assert planned(folder, batch_size=8, embedding=16).head_config["size"] == 16
    assert {name: len(split) for name, split in plan.source.splits.items()} == {"train": 18, "val": 6, "test": 6}


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"batch_size": 10}, "no multiple of per_identity=4.*give 8"),
        ({"batch_size": 64}, "takes 16 identities, and training has 6; give at most 24"),
        ({"batch_size": 4, "loss": "supcon"}, "4 pictures of one identity, and loss=supcon compares"),
        ({"num_classes": 20}, "num_classes=20 is for classes"),
        ({"loss": "triplet", "scale": 10}, "scale=10 has no effect here"),
        ({"fold": 3, "folds": 2}, "a single run is one fold"),
        ({"val_fraction": 0.5}, r"give a fraction between 0 and 0\.5"),
    ],
)
def test_what_does_not_fit_is_refused(folder, settings, words):
    with pytest.raises(InputError, match=words):
        planned(folder, **settings)


def test_what_pictures_are_of_decides_how_they_are_augmented(folder):
    faces, things, none = (planned(folder, augment=each).recipe for each in ("faces", "things", "none"))
    assert (faces.crop, faces.auto_augment, things.crop, things.auto_augment) == ("pad", "none", "resized", "randaugment-m6")
    assert (none.crop, none.hflip) == ("none", 0.0)
    assert planned(folder, augment="things", crop="none").recipe.crop == "none"
    assert (faces.resize, faces.crop_pct) == ("squash", 1.0)


def test_one_in_two_splits_is_refused(tmp_path):
    people(people(tmp_path, {"a": 2, "b": 2}, "train"), {"b": 2, "c": 2}, "val")
    with pytest.raises(InputError, match=r"'b' \(train, val\)"):
        planned(tmp_path)


def test_built_in_sets_have_the_same_classes_in_both_splits():
    with pytest.raises(InputError, match="10 identities have pictures in more than one split"):
        planned("digits")


# --- networks as they are ---


@pytest.fixture(scope="module")
def as_it_is(tmp_path_factory):
    """A classifier, and the file of its pooled features."""
    folder = tmp_path_factory.mktemp("models")
    model = hub.create_model(zoo.get("resnet20_cifar", depths=(1, 1), width=4, num_classes=3)).eval()
    hub.save(model, folder / "classifier.safetensors")
    hub.convert(folder / "classifier.safetensors", folder / "embed.safetensors", task="embed")
    return model, folder / "embed.safetensors"


def test_pooled_features_are_an_embedding_of_length_one(as_it_is, folder):
    model, file = as_it_is
    pictures = sorted(map(str, folder.glob("p0/*.png")))
    rows = resnets.load(file).predict(pictures)
    pooled = model.avgpool(model.features(model.inputs(pictures))).detach().numpy()
    expected = pooled / np.linalg.norm(pooled, axis=1, keepdims=True)
    assert [row["embedding"] for row in rows] == [pytest.approx(vector.tolist(), abs=1e-4) for vector in expected]


def test_they_are_measured_without_training(as_it_is, folder):
    result = evaluate(as_it_is[1], str(folder), workers=0, device="cpu")
    assert (result["num_identities"], result["num_genuine"], result["num_impostor"]) == (10, 30, 405)
    assert result["threshold"] is None and result["num_folds"] == 5 and 0 < result["map_at_r"] < 1
    assert result["tar_at_1e-3"] is None and result["tar_at_1e-2"] is not None
    words = TASK.rows.told(result, True)
    assert "FAR 1e-3, 1e-4 cannot be measured with 405 pairs" in words and "no threshold was chosen" in words


def test_errors_are_told_by_group(as_it_is, folder):
    result = evaluate(as_it_is[1], str(folder), workers=0, device="cpu", group_by=r"p(\d)[/\\]")
    assert len(result["by_group"]) == 10
    halves = evaluate(as_it_is[1], str(folder), workers=0, device="cpu", group_by=r"(\d)\.png")
    assert [row["num_impostor"] for row in halves["by_group"]] == [45] * 3
    assert "group" in TASK.rows.told(halves, True)


def test_one_person_alone_has_no_figures_of_pairs(as_it_is, tmp_path):
    result = evaluate(as_it_is[1], str(people(tmp_path, {"ann": 3})), workers=0, device="cpu")
    assert (result["auc"], result["eer"], result["accuracy"], result["num_enrolled"]) == (None, None, None, 0)
    assert "1 identity" in TASK.rows.told(result, True)


def test_one_picture_each_has_none_either(as_it_is, tmp_path):
    result = evaluate(as_it_is[1], str(people(tmp_path, {"a": 1, "b": 1, "c": 1})), workers=0, device="cpu")
    assert (result["map_at_r"], result["rank_1"], result["num_genuine"]) == (None, None, 0)
    assert TASK.rows.told(result, True)


def test_a_task_that_must_be_trained_is_refused(as_it_is, tmp_path):
    with pytest.raises(InputError, match="the task tag learns its answers: resnets train DATA --task tag --weights"):
        hub.convert(as_it_is[1], tmp_path / "tag.safetensors", task="tag")


def test_vectors_that_are_no_numbers_are_refused(as_it_is, folder, tmp_path):
    model = resnets.load(as_it_is[1])
    model.bn1.bias.data.fill_(float("nan"))
    with pytest.raises(InputError, match="outputs are no numbers"):
        evaluate(model, str(folder), workers=0, device="cpu")
