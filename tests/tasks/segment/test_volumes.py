"""Volumes from training to a NIfTI of what was found, on phantoms with a known answer."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from click.testing import CliRunner

import resnets
from resnets.cli.main import cli
from resnets.data.pictures.volumes import open_volume
from resnets.errors import InputError
from resnets.tasks.segment import volumes
from resnets.verbs import evaluate as evaluation
from resnets.verbs import train as training
from resnets.verbs.explain import explain
from resnets.verbs.train import train
from tests.data import made_volumes
from tests.data.made_volumes import BALL, BOX, phantom, save
from tests.engine.running import assert_same, stopping

nibabel = pytest.importorskip("nibabel")

TINY = {
    "task": "segment", "model": "resnet20_cifar", "depths": "1,1", "width": 8, "batch_size": 4, "train_size": 12,
    "workers": 0, "device": "cpu", "precision": "float32", "val_fraction": 0.5,
}  # fmt: skip


@pytest.fixture(scope="module")
def first(tmp_path_factory):
    """A network that has learnt phantoms, and their folder."""
    root = tmp_path_factory.mktemp("volumes")
    data = made_volumes.folder(root / "phantoms", train=6)
    run = train(str(data), out=root / "run", epochs=3, repeats=24, lr=0.01, **TINY)
    return SimpleNamespace(run=run, data=data, path=run.path, root=root)


def invoke(*words):
    result = CliRunner().invoke(cli, [str(word) for word in words], catch_exceptions=True)
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


# --- training -----------------------------------------------------------------------------------------------------------


def test_phantoms_are_learnt(first):
    result = first.run.result
    assert result["split"] == "val" and result["num_images"] == 2 and result["dice"] > 0.9
    assert [row["label"] for row in result["per_class"]] == ["background", "ball", "box"]
    assert all(row["dice"] > 0.85 for row in result["per_class"])
    spec, preprocess = first.run.model.spec, first.run.model.preprocess
    assert (spec.dims, spec.in_chans, preprocess.size) == (3, 1, (12, 12, 12))
    assert (preprocess.mean, preprocess.std, preprocess.resize) == ((0.0,), (1.0,), "keep")
    assert (first.path / "plots/worst.png").is_file() and (first.path / "report.html").is_file()
    provenance = json.loads((first.path / "provenance.json").read_text())
    assert "patches of 12 x 12 x 12" in provenance["data"]["inputs"]
    assert provenance["model"]["num_macs"] == spec.num_macs((12, 12, 12))


@pytest.mark.parametrize("stop", [{"step": 5}, {"validation": 1}], ids=["middle of an epoch", "validation"])
def test_a_run_goes_on_as_if_it_had_not_stopped(first, tmp_path, monkeypatch, stop):
    monkeypatch.setattr(training, "finish", lambda job, source, best_epoch: None)
    settings = {**TINY, "epochs": 2, "repeats": 2, "ema": 0.9}  # two epochs of three steps
    train(str(first.data), out=tmp_path / "whole", **settings)
    with stopping(**stop):
        train(str(first.data), out=tmp_path / "halves", **settings)
    train(None, out=tmp_path / "halves", resume=True)
    assert_same(tmp_path / "whole", tmp_path / "halves")


def test_weights_of_pictures_begin_a_network_of_volumes(first):
    flat = resnets.create_model("resnet20_cifar", depths=(1, 1), width=8, num_classes=4)
    resnets.save(flat, first.root / "flat.safetensors")
    settings = {name: value for name, value in TINY.items() if name not in ("model", "depths", "width")}
    job, plan = training.prepare(
        str(first.data), out=first.root / "from_flat", weights=str(first.root / "flat.safetensors"), epochs=1, **settings
    )
    assert (plan.spec.dims, plan.spec.in_chans) == (3, 1) and plan.preprocess.mean == (0.0,)
    kernel = flat.conv1.weight.sum(1, keepdim=True)[:, :, None].expand(-1, -1, 3, -1, -1) / 3
    assert torch.allclose(job.model.conv1.weight, kernel, atol=1e-6)


WRONG = {
    "dims": ({"dims": 2}, "volumes have 3 spatial axes; leave --dims out"),
    "in_chans": ({"in_chans": 3}, "the volumes have 1; leave it out"),
    "img_size": ({"img_size": 32}, "img_size=32: volumes cannot use it"),
    "resize": ({"resize": "shorter"}, "resize=shorter: volumes cannot use it"),
    "train_size": ({"train_size": "8,8"}, "train_size=8,8: give one side, or 3"),
    "scales": ({"scales": "0.5,1"}, "volumes cannot use it"),
    "normalise": ({"normalise": "imagenet"}, "normalise=imagenet: volumes cannot use it"),
    "mixup": ({"mixup": 0.2}, "mixup=0.2: the task segment has no such setting, only classify"),
}


@pytest.mark.parametrize("case", sorted(WRONG))
def test_settings_that_volumes_cannot_use(first, tmp_path, case):
    changes, words = WRONG[case]
    with pytest.raises(InputError, match=words):
        train(str(first.data), out=tmp_path / "run", epochs=1, **{**TINY, **changes})
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("side", "lengths", "size"),
    [(None, (100, 90, 80), (64, 64, 64)), (None, (20, 70, 50), (20, 64, 32)), (48, (100, 40, 33), (48, 32, 32)),
     (None, (64, 63, 31), (64, 32, 31)), (100, (100, 128, 99), (100, 100, 96))],
)  # fmt: skip
def test_size_of_patches(side, lengths, size, monkeypatch):
    monkeypatch.setattr(volumes, "sizes", lambda source: [lengths] * 3)
    spec = resnets.models.zoo.get("resnet18", dims=3)
    assert volumes.patch_size(None, spec, side and (side,)) == size
    assert volumes.patch_size(None, spec, (side or 64,)) == size  # as the recipe that is kept says it
    assert volumes.patch_size(None, spec, (24, 40, 7)) == (24, 40, 7)


# --- evaluation ---------------------------------------------------------------------------------------------------------


def by_hand(model, data, split="val"):
    """Dice of each class over all voxels of the split, and what was found in the files' own axes."""
    counts, found = np.zeros((2, 3)), []
    for path in sorted((data / split / "images").iterdir()):
        volume = nibabel.as_closest_canonical(nibabel.load(path)).get_fdata()
        truth = np.asarray(nibabel.as_closest_canonical(nibabel.load(path.parents[1] / "labels" / path.name)).dataobj)
        x = torch.tensor((volume - volume.mean()) / volume.std(), dtype=torch.float32).permute(2, 1, 0)
        with torch.inference_mode():
            found.append(model(x[None, None])[0].argmax(0).permute(2, 1, 0).numpy())
        for index in range(3):
            counts[0, index] += 2 * ((found[-1] == index) & (truth == index)).sum()
            counts[1, index] += (found[-1] == index).sum() + (truth == index).sum()
    return counts[0] / counts[1], found


def test_dice_by_organ_is_that_by_hand(first):
    result = json.loads(
        invoke("eval", first.path, first.data, "--json", "--device", "cpu", "--out", first.root / "scored").output
    )
    expected, _ = by_hand(first.run.model, first.data)
    assert [row["dice"] for row in result["per_class"]] == pytest.approx(list(expected), abs=2e-3)
    assert result["dice"] == pytest.approx(np.mean([row["dice"] for row in result["per_class"][1:]]))
    assert (first.root / "scored/plots/worst.png").is_file()


def test_other_data_than_the_models(first, tmp_path):
    picture = tmp_path / "pictures/images/a.png"
    for path in (picture, tmp_path / "pictures/masks/a.png"):
        made_picture(path)
    with pytest.raises(InputError, match="pictures here, and the model takes volumes"):
        evaluation.evaluate(first.path, str(tmp_path / "pictures"), device="cpu")
    flat = resnets.create_model("resnet20_cifar", task="segment", depths=(1, 1), width=8, labels=["background", "1"])
    with pytest.raises(InputError, match="volumes here, and the model takes pictures"):
        evaluation.evaluate(flat, str(first.data))
    two = tmp_path / "two"
    save(two / "images/a.nii", np.stack([phantom(0)[0]] * 2, -1))
    save(two / "labels/a.nii", phantom(0)[1])
    with pytest.raises(InputError, match="volumes of 2 channels, and the model takes 1"):
        evaluation.evaluate(first.path, str(two), device="cpu")


def made_picture(path):
    from PIL import Image

    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.arange(64, dtype=np.uint8).reshape(8, 8) % 2).save(path)


# --- prediction ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", ["RAS", "LPI", "SAR", "PIL"])
def test_what_is_found_lies_where_it_is_whatever_the_order_of_the_axes(first, tmp_path, order):
    values, classes = phantom(500)
    scan = save(tmp_path / "scan.nii.gz", values, order=order)
    truth = nibabel.load(save(tmp_path / "truth.nii.gz", classes, order=order))
    run = invoke("predict", first.path, scan, "--masks", tmp_path / "masks", "--draw", tmp_path / "drawn", "--format", "json")
    row = json.loads(run.output)
    found = nibabel.load(tmp_path / "masks/scan.nii.gz")
    assert row["mask"] == str(tmp_path / "masks/scan.nii.gz") and (row["depth"], row["height"], row["width"]) == (16, 18, 20)
    assert found.shape == truth.shape == nibabel.load(scan).shape and (found.affine == truth.affine).all()
    assert found.get_data_dtype() == np.uint8
    ours, theirs = np.asarray(found.dataobj), np.asarray(truth.dataobj)
    for index in (BALL, BOX):
        assert 2 * ((ours == index) & (theirs == index)).sum() / ((ours == index).sum() + (theirs == index).sum()) > 0.8
    shares = {entry["label"]: entry["share"] for entry in row["classes"]}
    assert shares["ball"] == pytest.approx((ours == BALL).mean(), abs=1e-6)
    assert (tmp_path / "drawn/scan.png").is_file()


def test_a_map_lies_where_its_volume_lies_whatever_the_order_of_the_axes(first, tmp_path):
    values, classes = phantom(500)
    maps = {}
    for order in ("RAS", "PIL"):
        scan, out = nibabel.load(save(tmp_path / f"{order}.nii.gz", values, order=order)), tmp_path / order
        report = explain(first.path, [tmp_path / f"{order}.nii.gz"], class_name="ball", trust=False, arrays=True, out=out)
        found = nibabel.load(out / f"0001_{order}_1.nii.gz")
        assert report.rows[0]["files"] == [f"0001_{order}{end}" for end in (".png", "_1.nii.gz", "_1.npy")]
        assert found.shape == scan.shape and (found.affine == scan.affine).all() and found.get_data_dtype() == np.float32
        maps[order] = np.asarray(nibabel.as_closest_canonical(found).dataobj)
        assert np.array_equal(np.load(out / f"0001_{order}_1.npy").transpose(2, 1, 0), maps[order])  # (D, H, W) is z, y, x
    assert np.array_equal(maps["RAS"], maps["PIL"]) and maps["RAS"].max() > 0.5
    near = np.stack(np.nonzero(classes == BALL)).mean(1) - np.unravel_index(maps["RAS"].argmax(), maps["RAS"].shape)
    assert np.abs(near).max() <= 4  # voxels: a position of the map is as wide


def test_prediction_is_the_evaluations(first):
    _, expected = by_hand(first.run.model, first.data)
    scans, rows = first.data / "val/images", first.root / "rows.jsonl"
    invoke("predict", first.path, scans, "--masks", first.root / "found", "--out", rows)
    for number, there in enumerate(expected):
        found = nibabel.as_closest_canonical(nibabel.load(first.root / f"found/{number}.nii.gz"))
        assert (np.asarray(found.dataobj) != there).mean() < 1e-3  # the mean of float32 values, and of float64 ones
    again = invoke("predict", first.path, scans, "--out", rows, "--resume")
    assert "nothing left to do" in again.output


def test_files_that_the_model_does_not_take(first, tmp_path):
    made_picture(tmp_path / "photo.png")
    with pytest.raises(InputError, match=r"photo.png: no volume .* and the model takes volumes"):
        invoke("predict", first.path, tmp_path / "photo.png")
    with pytest.raises(InputError, match=r"no volumes here \(.nii.gz, .nii, .dcm, .dicom, .ima\)"):
        invoke("predict", first.path, tmp_path)
    flat = resnets.create_model("resnet20_cifar", task="segment", depths=(1, 1), width=8, labels=["background", "1"])
    resnets.save(flat, tmp_path / "flat.safetensors")
    scan = save(tmp_path / "scan.nii.gz", phantom(0)[0])
    for model in (tmp_path / "flat.safetensors", "resnet20_cifar10"):
        with pytest.raises(InputError, match=r"scan.nii.gz: a volume .* and the model takes images"):
            invoke("predict", model, scan)
    (tmp_path / "cut.nii.gz").write_bytes(scan.read_bytes()[:-900])
    rows = invoke("predict", first.path, scan, tmp_path / "cut.nii.gz", "--format", "json").output.splitlines()
    assert "classes" in json.loads(rows[0]) and "truncated" in json.loads(rows[1])["error"]


def test_saved_like_a_file_of_the_second_version(tmp_path):
    nibabel.Nifti2Image(phantom(0)[0], np.diag([-2, 2, 3, 1.0])).to_filename(tmp_path / "a.nii")
    volume = open_volume(tmp_path / "a.nii")
    volume.save_like((volume[:] > 50).astype(np.uint8), tmp_path / "found.nii")
    found = nibabel.load(tmp_path / "found.nii")
    assert isinstance(found, nibabel.Nifti2Image) and (found.affine == np.diag([-2, 2, 3, 1.0])).all()
    assert (np.asarray(found.dataobj) == (phantom(0)[0] > 50)).all()
