"""Whole volumes from the data to the exported file: trained, resumed, evaluated, predicted, explained, exported and drawn."""

import json

import numpy as np
import pytest
from click.testing import CliRunner

import resnets
from resnets.cli.main import cli
from resnets.engine.plan import settle
from resnets.errors import InputError
from resnets.ship import hub
from resnets.tasks import get
from resnets.tasks.image_level.volumes import size_of
from resnets.verbs.embed import embed
from resnets.verbs.evaluate import evaluate
from resnets.verbs.explain import explain
from resnets.verbs.export import export
from resnets.verbs.predict import predict
from resnets.verbs.preview import preview
from resnets.verbs.train import train
from tests.data.made_scans import ball, classes, listed, series
from tests.data.made_volumes import save
from tests.engine.running import assert_same, says_no_pictures, stopping

NARROW = {"width": 8, "depths": "1,1", "batch_size": 4, "workers": 0, "device": "cpu", "precision": "float32", "seed": 3}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return classes(tmp_path_factory.mktemp("scans"), train=16, val=6, test=6)


@pytest.fixture(scope="module")
def run(data, tmp_path_factory):
    return train(str(data), out=tmp_path_factory.mktemp("run") / "run", epochs=6, lr=0.01, **NARROW)


def planned(data, given=None, **settings):
    return settle(get(settings.pop("task", "classify")), {"flag": {"data": str(data), **settings}}, None, data=given)


def test_the_network_and_the_inputs_follow_from_the_data(run):
    header = run.model.header
    assert (header.spec.name, header.spec.dims, header.spec.in_chans, header.task) == ("resnet20_cifar", 3, 1, "classify")
    assert (header.preprocess.size, header.preprocess.resize) == ((10, 11, 14), "pad")
    assert run.result["top1"] == 1 and run.result["num_images"] == 6
    assert (run.path / "report.html").is_file() and (run.path / "plots/confusion.png").is_file()
    assert run.result["images"] == "volumes" and says_no_pictures(run)
    told = json.loads((run.path / "provenance.json").read_text())["data"]["inputs"]
    assert told.startswith("10 x 11 x 14 voxels (depth, height, width), voxels as they are: larger volumes cut")


def test_a_resumed_run_has_the_same_bits(data, run, tmp_path):
    with stopping(step=7):
        train(str(data), out=tmp_path / "run", epochs=6, lr=0.01, **NARROW)
    train(out=tmp_path / "run", resume=True)
    assert_same(run.path, tmp_path / "run")


def test_evaluated_and_predicted_alike(data, run, tmp_path):
    assert evaluate(run.path, str(data), workers=0)["top1"] == run.result["top1"]
    save(tmp_path / "other.nii", ball(1, (20, 9, 12)))
    (tmp_path / "bad.nii.gz").write_bytes(b"nothing")
    bad, *rows = predict(run.path, [tmp_path, data / "test"], workers=0)
    several = [str(data / "test/large/0.nii.gz"), data / "test/small/1.nii.gz"]
    assert [row["label"] for row in run.model.predict(several)] == ["large", "small"]
    assert run.model.inputs(several).shape == (2, 1, 10, 11, 14)
    with pytest.raises(InputError, match="ndarray: no volume; give paths of NIfTI files"):
        run.model.predict([ball(0)])
    assert "cannot be read as NIfTI" in bad["error"] and len(rows) == 7
    assert [row["label"] for row in rows[1:]] == ["large"] * 3 + ["small"] * 3
    with pytest.raises(InputError, match="volumes of 2 channels, and the model takes 1"):
        for number in range(2):
            save(tmp_path / f"two/{('large', 'small')[number]}/0.nii.gz", np.stack([ball(0)] * 2, -1))
        evaluate(hub.load(run.path), str(tmp_path / "two"))
    with pytest.raises(InputError, match="digits: the model does not know"):
        evaluate(run.path, "digits")
    assert embed(run.path, [str(data / "test")], tmp_path / "a.npz", workers=0)["num_images"] == 6


def test_a_series_in_dicom_is_answered_and_grouped_by_patient(run, tmp_path):
    root = series(tmp_path / "studies", num=8, patients=[0, 0, 1, 1, 2, 2, 3, 3])
    (tmp_path / "studies/large/study0/IM000").unlink()
    rows = list(predict(run.path, str(root), workers=0))
    assert len(rows) == 8 and "label" in rows[1] and sum("error" in row for row in rows) == 0
    plan = planned(root, val_fraction=0.25)
    assert plan.recipe.group_by == "PatientID" and plan.origins["group_by"] == "DICOM"
    both = [set(plan.source.splits[name].groups) for name in ("train", "val")]
    assert not both[0] & both[1] and all(group.startswith("patient-") for group in both[0] | both[1])


def test_explained_and_drawn(run, data, tmp_path):
    report = explain(run.path, num=2, out=tmp_path, device="cpu")
    assert (tmp_path / "explain.html").is_file() and len(list(tmp_path.glob("000*.png"))) == 2
    assert report.rows[0]["answers"][0]["label"] in ("large", "small")
    (found,) = explain(run.model, [data / "test/large/0.nii.gz"], method="occlusion").explanations
    assert found.values.shape == (10, 11, 14)
    assert preview(str(data), out=tmp_path / "a.png").stat().st_size > 10_000


@pytest.mark.parametrize(("format", "suffix"), [("onnx", ".onnx"), pytest.param("openvino", ".xml", marks=pytest.mark.slow)])
def test_exported_files_agree(run, tmp_path, format, suffix):
    result = export(run.path, format=format, out=tmp_path / f"model{suffix}", data_dir=tmp_path)
    assert result["equal"] == 1 and result["largest_difference"] < 1e-4 and "val split" in result["pictures"]


def test_exported_without_its_data_on_noise_and_never_as_a_page(run, tmp_path):
    model = hub.load(run.path)
    model.metadata = {}
    result = export(resnets.save(model, tmp_path / "a.safetensors"), format="torch")
    assert result["equal"] == 1 and result["pictures"].startswith("noise")
    with pytest.raises(InputError, match="a page takes pictures, and the model inputs with 3 spatial axes"):
        export(run.path, format="html", out=tmp_path / "a.html")


# --- settings ---


def test_the_size_follows_from_the_data_and_settings(data):
    alike = np.array([[30, 40, 50], [32, 44, 50], [34, 40, 52]])
    assert size_of(alike, None) == ((34, 44, 52), "pad") and size_of(alike, "squash") == ((32, 40, 50), "squash")
    size, rule = size_of(np.array([[30, 512, 512], [60, 512, 512], [90, 512, 512]]), None)
    assert rule == "squash" and np.prod(size) <= 64**3 and abs(size[1] / size[0] - 512 / 60) < 0.3
    plan = planned(data, volume_size="8,9,10", resize="squash", window="brain")
    assert plan.preprocess.size == (8, 9, 10) and plan.inputs == (
        "8 x 9 x 10 voxels (depth, height, width), others resampled to that, bilinear; clipped from 0 to 80, then each by "
        "its own mean and standard deviation"
    )
    assert planned(data, img_size=32).spec.levels[0].stride == 2 and planned(data, img_size=12).spec.levels[0].stride == 1
    assert planned(data, img_size=32, stem_stride=1).spec.levels[0].stride == 1
    recipe = planned(data).recipe
    assert (recipe.hflip, recipe.vflip, recipe.zoom, recipe.volume_size) == (0.0, 0.0, 0.0, (10, 11, 14))


def test_settings_of_pictures_are_refused_and_those_of_volumes_for_pictures(data):
    refused = {"auto_augment": "randaugment", "cutmix": 1.0, "window_warp": 0.5, "crop": "resized", "normalise": "pixel",
               "resize": "crop", "volume_size": "1,2"}  # fmt: skip
    for name, value in refused.items():
        with pytest.raises(InputError, match=f"{name}="):
            planned(data, **{name: value})
    for name, value in {"rotation": 5, "zoom": 0.1, "vflip": 0.5, "volume_size": "8,8,8"}.items():
        with pytest.raises(InputError, match=f"{name}=.*is for volumes, and these are pictures"):
            planned("digits", **{name: value})
    with pytest.raises(InputError, match="img_size=8 and volume_size=8,9,10 exclude each other"):
        planned(data, img_size=8, volume_size="8,9,10")
    with pytest.raises(InputError, match="volumes, and identities are of pictures"):
        planned(data, task="embed")


# --- weights ---


def test_weights_of_pictures_start_a_network_of_volumes_and_not_the_reverse(data, run, tmp_path):
    flat = resnets.create_model("resnet20_cifar", width=8, depths=(1, 1), num_classes=4)
    path = resnets.save(flat, tmp_path / "flat.safetensors")
    plan = planned(data, weights=str(path))
    assert (plan.spec.dims, plan.spec.in_chans, plan.preprocess.size) == (3, 1, (10, 11, 14))
    lines = CliRunner().invoke(
        cli, ["train", str(data), "--weights", str(path), "--steps", "1", "-j", "0", "--out", str(tmp_path / "run")]
    )
    assert "conv1.weight (3 channels to 1 by their sum, 2 axes to 3, repeated over depth)" in lines.output
    again = planned(data, weights=str(run.path), img_size=12)
    assert again.preprocess.size == (12, 12, 12) and again.preprocess.resize == "pad"
    words = (
        r"of a network for inputs with 3 spatial axes, and pictures have 2; weights of pictures can start .* not the reverse"
    )
    with pytest.raises(InputError, match=words):
        planned("digits", weights=str(run.path))


# --- other tasks ---


def test_numbers_grades_and_several_labels(tmp_path):
    path = listed(tmp_path / "numbers", "path,target,who", lambda n: f"{40 - 9 * (n % 2)},{n // 2}")
    plan = planned(path, task="grade", group_by="who", val_fraction=0.25)
    assert (plan.source.kind, plan.spec.dims, plan.preprocess.resize) == ("volume_classes", 3, "pad")
    assert not {*plan.source.splits["train"].groups} & {*plan.source.splits["val"].groups}
    done = train(str(path), task="grade", out=tmp_path / "run", epochs=1, **NARROW)
    assert done.model.labels == ("target",) and (done.path / "plots/worst.png").is_file()
    path = listed(tmp_path / "tags", "path,small,even", lambda n: f"{n % 2},{n // 2 % 2}")
    own = {"task": "tag", "mixup": 0.2, "vflip": 0.5, "dflip": 0.5, "zoom": 0.1, "val_fraction": 0.5}
    done = train(str(path), out=tmp_path / "tagged", epochs=1, **own, **NARROW)
    assert done.model.labels == ("small", "even") and (done.path / "report.html").is_file()
    folder = classes(tmp_path / "grades", train=6)
    for name, number in (("small", 0), ("large", 1)):
        (folder / "train" / name).rename(folder / "train" / str(number))
    assert planned(folder / "train", task="grade").source.labels == ("0", "1")
