"""Several models and mirrored inputs as one answer: by hand, in memory for two outputs, and what is refused."""

import json

import numpy as np
import pytest
import torch
from scipy.special import expit, softmax

import resnets
from resnets.data.inputs import INPUTS
from resnets.data.preprocess import Preprocess
from resnets.engine.plan import settle
from resnets.errors import InputError
from resnets.models import zoo
from resnets.ship import hub, several
from resnets.ship.sessions import open_session
from resnets.tasks import get
from resnets.verbs.predict import find_files
from tests.data import made_scans
from tests.data.made_dense import save, segments
from tests.data.made_volumes import phantom
from tests.data.made_volumes import save as save_volume
from tests.data.series.made import bumps
from tests.tasks.contract.made import classes, tagged
from tests.tasks.segment import made

MIRRORED = {"recipe": {"hflip": 0.5, "vflip": 0.5, "dflip": 0.5}}


def volumes(seed, **changes):
    torch.manual_seed(seed)
    spec = zoo.get("resenc54", depths=(1, 1), width=4, num_classes=3, **changes)
    preprocess = Preprocess(size=(8, 8, 8), resize="keep", mean=(0.0,), std=(1.0,))
    settings = {"labels": made.LABELS, "preprocess": preprocess, "head_config": {"head": "deep_unet"}}
    model = hub.create_model(spec, task="segment", **settings).eval()
    model.metadata = {"provenance": MIRRORED}
    return model


def folder(root, models, name="folds.json"):
    for number, model in enumerate(models, start=1):
        (root / f"fold{number}").mkdir(parents=True)
        resnets.save(model, root / f"fold{number}/best.safetensors")
    rows = [{"fold": number, "run": f"fold{number}"} for number in range(1, len(models) + 1)]
    (root / name).write_text(json.dumps({"folds": len(models), "runs": rows}))
    return root


def chances(model, x):
    with torch.inference_mode():
        return model(torch.from_numpy(np.ascontiguousarray(x))).softmax(1).numpy()


def test_models_of_folds_answer_by_the_mean_of_their_probabilities(tmp_path):
    models = [volumes(seed) for seed in range(3)]
    session = several.open_one_or_several(folder(tmp_path / "runs", models), device="cpu")
    x = np.random.default_rng(0).normal(size=(1, 1, 9, 8, 7)).astype(np.float32)
    found = session.run(x)
    assert found.shape == (1, 3, 9, 8, 7) and found.dtype == np.float32
    assert np.allclose(softmax(found, 1), np.mean([chances(model, x) for model in models], 0), atol=1e-5)
    assert several.members(tmp_path / "runs/fold1") == [] == several.members(models[0])


def test_eight_mirrors_of_a_volume_are_turned_back(tmp_path):
    model = volumes(0)
    session = several.open_one_or_several(model, tta=True, device="cpu")
    x = np.random.default_rng(0).normal(size=(1, 1, 9, 8, 7)).astype(np.float32)
    expected = [np.flip(chances(model, np.flip(x, way)), way)
                for way in ((), (2,), (3,), (4,), (2, 3), (2, 4), (3, 4), (2, 3, 4))]  # fmt: skip
    assert np.allclose(softmax(session.run(x), 1), np.mean(expected, 0), atol=1e-5)
    assert np.allclose(session.run(np.flip(x, 2).copy()), np.flip(session.run(x), 2), atol=1e-4)  # the order tells nothing


def test_pictures_of_classes_and_tags(tmp_path):
    x = np.random.default_rng(0).integers(0, 255, (2, 3, 32, 32), dtype=np.uint8)
    for task, mean in (("classify", lambda logits: softmax(logits, -1)), ("tag", expit)):
        model = hub.create_model("resnet20_cifar", task=task, num_classes=4).eval()
        plain = open_session(model)
        both = [mean(plain.run(pixels)) for pixels in (x, x[..., ::-1].copy())]
        assert np.allclose(mean(several.mirrored(plain).run(x)), np.mean(both, 0), atol=1e-6)


# --- folds of each kind of data ---


def ct(root):
    """CT whose contrast differs from case to case, some with thicker slices, as nnU-Net's folders have it."""
    for number in range(6):
        values, classes = phantom(number)
        spacing = (1.0, 1.5, 3.0 if number < 2 else 2.0)
        save_volume(root / f"imagesTr/{number}.nii.gz", values * (number + 2) // 4, spacing=spacing)
        save_volume(root / f"labelsTr/{number}.nii.gz", classes, spacing=spacing)
    content = {"modality": {"0": "CT"}, "labels": {"background": 0, "ball": 1, "box": 2}}
    (root / "dataset.json").write_text(json.dumps(content))
    return root, root / "imagesTr/5.nii.gz"


def deep(root):
    """Pictures of 16 bits, one of which alone needs all of them."""
    for number in range(6):
        pixels = np.random.default_rng(number).integers(0, 65535 if number == 3 else 4095, (24, 20)).astype(np.uint16)
        save(root / "ab"[number % 2] / f"{number}.png", pixels)
    return root, root / "b/3.png"


def sound(root):
    root.mkdir()
    x, y = bumps(12, chans=2)
    np.savez(root / "series.npz", X=x, y=y)
    np.savez(root / "new.npz", X=x[:1])
    return root / "series.npz", root / "new.npz"


FOLDS = {
    "pictures": ("classify", lambda root: (classes(root, train=6), root / "train/a/0.png"), {}, ("mean", "std")),
    "tags": ("tag", lambda root: (tagged(root, train=8), root / "train/1.png"), {}, ("mean", "std")),
    "16 bits": ("classify", deep, {"in_chans": 1}, ("mean", "std")),
    "masks": ("segment", lambda root: (segments(root, train=6), root / "train/images/0.png"), {}, ("mean", "std")),
    "series": ("classify", sound, {}, ("mean", "std")),
    "volumes": ("classify", lambda root: (made_scans.classes(root, train=6), root / "train/large/0.nii.gz"), {}, ()),
    "CT": ("segment", ct, {"train_size": 8}, ("ranges",)),
    "CT, planned": ("segment", ct, {"model": "resenc54", "train_size": 8}, ("ranges",)),
}


@pytest.mark.parametrize("kind", FOLDS)
def test_folds_answer_together_each_by_the_numbers_of_its_own_training_split(tmp_path, kind):
    task, make, asked, differ = FOLDS[kind]
    data, image = make(tmp_path / "data")
    asked = {"model": "resnet20_cifar", "depths": "1,1", "width": 4, "folds": 2} | asked
    plans = [settle(get(task), {"flag": {"data": str(data), "fold": fold, "device": "cpu", **asked}}, None) for fold in (1, 2)]
    rules = [plan.preprocess.to_json() for plan in plans]
    assert {name for name in rules[0] if rules[0][name] != rules[1][name]} == set(differ)
    models = []
    for plan in plans:
        torch.manual_seed(len(models))
        settings = {"labels": plan.labels, "preprocess": plan.preprocess, "head_config": plan.head_config}
        models.append(hub.create_model(plan.spec, task=task, **settings).eval())
    together = several.open_one_or_several(folder(tmp_path / "runs", models), device="cpu")

    def said(session):
        """Probabilities for the image, as the session prepares it."""
        header = session.header
        inputs = INPUTS[header.spec.dims]
        images = inputs.opened(find_files(header, [image]), header.spec.in_chans)
        outputs = session.run(inputs.fitted(images, 0, header.preprocess, False).pixels[None])
        return expit(outputs) if task == "tag" else softmax(outputs, 1)

    each = [said(open_session(model)) for model in models]
    assert not np.allclose(*each, atol=1e-3)
    assert np.allclose(said(together), np.mean(each, 0), atol=2e-5)


def test_volumes_are_clipped_to_no_less_than_any_fold_clips_them_to():
    own = [Preprocess(size=(8, 8, 8), mean=(0.0,) * 2, std=(1.0,) * 2, ranges=(each, None))
           for each in ((-100.0, 200.0, 50.0, 40.0), (-50.0, 300.0, 80.0, 20.0))]  # fmt: skip
    shared = several.widest(own)
    assert shared.ranges == ((-100.0, 300.0, 50.0, 40.0), None)
    values = np.random.default_rng(0).normal(50, 200, (1, 2, 3, 4, 5)).astype(np.float32)

    def scaled(rule):
        low, high, mean, std = rule.ranges[0]
        return np.stack([(values[:, 0].clip(low, high) - mean) / std, values[:, 1]], 1)

    for rule in own:
        assert np.allclose(several.rescaled(scaled(shared), shared, rule), scaled(rule), atol=1e-4)
    assert several.rescaled(values, shared, shared) is values


def test_what_is_not_averaged_is_refused(tmp_path):
    head = {"task": "detect", "labels": ("a",)}
    detector = hub.create_model("resnet20_cifar", depths=(1, 1), width=8, **head).eval()
    with pytest.raises(InputError, match="answers of the task detect are not averaged"):
        several.open_one_or_several(detector, tta=True)
    head = {"loss": "huber", "std": 1.0}
    grade = {"task": "grade", "labels": ("size",), "depths": (1, 1), "width": 8}
    graders = [hub.create_model("resnet20_cifar", head_config=head | {"mean": mean}, **grade) for mean in (1.0, 2.0)]
    with pytest.raises(InputError, match="answers of the task grade are not averaged"):
        several.open_one_or_several(folder(tmp_path / "grades", graders))
    one_sided = volumes(0)
    one_sided.metadata = {"provenance": {"recipe": {"hflip": 0.0}}}
    with pytest.raises(InputError, match="trained without mirrored images"):
        several.open_one_or_several(one_sided, tta=True)
    other = volumes(1)
    other.preprocess = Preprocess(size=(8, 8, 10), resize="keep", mean=(0.0,), std=(1.0,))
    with pytest.raises(InputError, match="differ in preprocessing"):
        several.open_one_or_several(folder(tmp_path / "unlike", [volumes(0), other]))
    runs = folder(tmp_path / "gone", [volumes(0), volumes(1)])
    (runs / "fold2").rename(tmp_path / "fold2")
    with pytest.raises(InputError, match="names no runs, or runs that are not beside it"):
        several.open_one_or_several(runs)
    (runs / "folds.json").write_text('{"runs": [{"run": "../fold2"}, {"run": "fold1"}]}')
    with pytest.raises(InputError, match="names no runs"):
        several.open_one_or_several(runs)
