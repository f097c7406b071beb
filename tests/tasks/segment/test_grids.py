"""Volumes of several spacings, and CT: from training to a mask on the file's own grid."""

import json

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from click.testing import CliRunner

import resnets
from resnets.cli.main import cli
from resnets.data.inputs import INPUTS
from resnets.data.pictures.stored import FileImages
from resnets.data.preprocess import Preprocess
from resnets.engine.plan import continued
from resnets.engine.recipe import Recipe
from resnets.engine.run import RunDir
from resnets.errors import InputError
from resnets.tasks.segment import inference
from resnets.tasks.segment.settings import SegmentSettings
from resnets.tasks.segment.task import Segment
from resnets.verbs.train import prepare, train
from tests.data.made_volumes import BALL, BOX, BRIGHTNESS, nibabel, phantom, save
from tests.engine.running import says_no_pictures

TINY = {
    "task": "segment", "model": "resnet20_cifar", "depths": "1,1", "width": 4, "batch_size": 2, "train_size": 8, "workers": 0,
    "device": "cpu", "precision": "float32", "val_fraction": 0.34, "epochs": 1, "repeats": 1,
}  # fmt: skip
RANGE = (-50.0, 250.0, 150.0, 40.0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """CT of two spacings."""
    root = tmp_path_factory.mktemp("ct")
    for number in range(3):
        values, classes = phantom(number)
        spacing = (1.0, 1.5, 2.0 if number else 3.0)
        save(root / f"imagesTr/{number}.nii.gz", values, spacing=spacing, order="LPI")
        save(root / f"labelsTr/{number}.nii.gz", classes, spacing=spacing, order="LPI")
    content = {"modality": {"0": "CT"}, "labels": {"background": 0, "ball": 1, "box": 2}}
    (root / "dataset.json").write_text(json.dumps(content))
    return root


@pytest.fixture(scope="module")
def run(folder):
    return train(str(folder), out=folder / "run", surface_tolerance=2.0, **TINY)


def nearest_brightness(x):
    """What a perfect network says of air and a box: the class whose brightness is nearest, of values as CT is scaled."""
    levels = torch.from_numpy((BRIGHTNESS[[0, BOX]] - RANGE[2]) / RANGE[3]).reshape(1, 2, 1, 1, 1)
    return -((torch.as_tensor(x) - levels) ** 2)


@pytest.mark.parametrize("most", [2**21, 4000], ids=["whole", "window"])
@pytest.mark.parametrize("spacing", [(1.0, 0.8, 0.6), (2.5, 1.5, 1.3)], ids=["finer", "coarser"])
def test_answers_come_back_to_the_grid_of_the_file(tmp_path, monkeypatch, spacing, most):
    monkeypatch.setattr(inference, "WHOLE", most)
    values, classes = phantom(7)
    values[classes == BALL] = 0
    scan = save(tmp_path / "scan.nii.gz", values, order="PIL")
    preprocess = Preprocess(size=(8, 8, 8), resize="keep", mean=(0.0,), std=(1.0,), spacing=spacing, ranges=(RANGE,))
    fitted = INPUTS[3].fitted(INPUTS[3].opened(FileImages([scan], 1), 1), 0, preprocess, True)
    assert fitted.size == (16, 18, 20) != fitted.pixels.shape[1:] and np.allclose(fitted.image.spacing, spacing, rtol=0.05)
    model = resnets.create_model(
        "resnet20_cifar", task="segment", dims=3, in_chans=1, depths=(1, 1), width=4, labels=["air", "box"],
        preprocess=preprocess,
    )  # fmt: skip
    (found,) = Segment().infer(nearest_brightness, fitted.pixels[None], [fitted.size], model.header)
    truth = classes.transpose(2, 1, 0) == BOX
    assert found.shape == truth.shape
    assert 2 * ((found == 1) & truth).sum() / ((found == 1).sum() + truth.sum()) > 0.9
    Segment().masked(fitted.image, found, ["air", "box"], None, tmp_path / "mask.nii.gz")
    mask = nibabel.load(tmp_path / "mask.nii.gz")
    assert (mask.affine == nibabel.load(scan).affine).all() and mask.shape == nibabel.load(scan).shape


def test_scores_are_stretched_slab_by_slab_as_at_once(monkeypatch):
    monkeypatch.setattr(inference, "WHOLE", 500)
    scores = np.random.default_rng(0).normal(size=(3, 20, 5, 7)).astype(np.float32)
    slabs = [(slice(a, b), scores[:, a:b]) for a, b in ((0, 5), (5, 6), (6, 14), (14, 20))]
    for whole in ((47, 11, 9), (9, 5, 4), (20, 5, 7), (1, 5, 7)):
        parts = list(inference.stretched(slabs, scores.shape[1:], whole))
        assert [row for part, _ in parts for row in range(part.start, part.stop)] == list(range(whole[0]))
        expected = F.interpolate(torch.from_numpy(scores)[None], size=whole, mode="trilinear", align_corners=False)[0]
        assert np.allclose(np.concatenate([values for _, values in parts], 1), expected, atol=1e-5)


def test_the_file_keeps_spacing_and_values(run, folder):
    preprocess = resnets.load(folder / "run").preprocess
    assert preprocess.spacing == (2.0, 1.5, 1.0)
    low, high, mean, std = preprocess.ranges[0]
    assert 70 < low < 100 < mean < 200 < high < 230 and 20 < std < 60
    assert resnets.load(folder / "run").header.head["surface_tolerance"] == 2 == run.result["surface_tolerance_mm"]
    assert run.result["images"] == "volumes" and says_no_pictures(run)
    assert "voxel accuracy" in (folder / "run/report.html").read_text(encoding="utf-8")
    words = json.loads((folder / "run/provenance.json").read_text())["data"]["inputs"]
    assert words.startswith("resampled to 2 x 1.5 x 1 mm, patches of 8 x 8 x 8 in training; CT: ")


def test_predict_and_eval_are_on_the_files_grids(run, folder, tmp_path):
    scan = folder / "imagesTr/0.nii.gz"  # of the other spacing
    words = ["predict", folder / "run", scan, "--masks", tmp_path, "--draw", tmp_path / "drawn", "--format", "json"]
    row = json.loads(CliRunner().invoke(cli, list(map(str, words)), catch_exceptions=False).stdout)
    mask, there = nibabel.load(tmp_path / "0.nii.gz"), nibabel.load(scan)
    assert (row["depth"], row["height"], row["width"]) == (16, 18, 20)
    assert mask.shape == there.shape and (mask.affine == there.affine).all() and (tmp_path / "drawn/0.png").is_file()
    (split,) = {run.result["split"]}
    result = resnets.evaluate(folder / "run", str(folder), split=split, device="cpu")
    assert {name: result[name] for name in ("dice", "surface_dice")} == pytest.approx(
        {name: run.result[name] for name in ("dice", "surface_dice")}
    )
    assert sum(map(sum, result["confusion"])) == result["num_images"] * 16 * 18 * 20, "voxels of the files"
    ml = {case["label"]: case["true_ml"] for case in result["per_class"]}
    assert ml["box"] in [pytest.approx(6**3 * length * 1.5 / 1000, rel=0.25) for length in (2.0, 3.0)]


@pytest.mark.parametrize(
    ("asked", "spacing", "has_ranges"),
    [({"spacing": "none"}, None, True), ({"spacing": "4,3,2", "modality": "other"}, (4, 3, 2), False),
     ({"window": "brain"}, (2.0, 1.5, 1.0), False)],
)  # fmt: skip
def test_what_is_asked_for_goes_before(folder, tmp_path, asked, spacing, has_ranges):
    _, plan = prepare(str(folder), out=tmp_path / "run", **TINY, **asked)
    assert plan.preprocess.spacing == spacing and (plan.preprocess.ranges is not None) == has_ranges
    assert Preprocess(**json.loads(json.dumps(plan.preprocess.to_json()))) == plan.preprocess


def test_runs_of_before_stay_as_they_were(tmp_path):
    for schema, expected in ((SegmentSettings, ("none", "other")), (Recipe, (None, None))):
        (layer,) = continued(RunDir(tmp_path), schema, {"seed": 1}, {}).values()
        assert (layer.get("spacing"), layer.get("modality")) == expected


WRONG = {
    "spacing": ({"spacing": "1,1"}, "spacing=1,1: give auto, none, or mm between slices, rows and columns"),
    "a modality": ({"modality": "x-ray"}, "modality='x-ray': use one of auto, ct, other"),
}


@pytest.mark.parametrize("case", sorted(WRONG))
def test_what_is_refused(folder, tmp_path, case):
    changes, words = WRONG[case]
    with pytest.raises(InputError, match=words):
        train(str(folder), out=tmp_path / "run", **TINY, **changes)


@pytest.mark.parametrize(
    "wrong",
    [{"spacing": (1, 1)}, {"spacing": (0, 1, 1)}, {"ranges": ()}, {"ranges": ((1, 0, 0, 1),)}, {"ranges": ((0, 1, 0, 0),)},
     {"ranges": "a"}],
    ids=str,
)  # fmt: skip
def test_files_of_anyone_are_checked(wrong):
    with pytest.raises(InputError, match=r"give|not below"):
        Preprocess(size=(8, 8, 8), mean=(0.0,), std=(1.0,), **wrong)
