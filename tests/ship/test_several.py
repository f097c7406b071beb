"""Several models and mirrored inputs as one answer: by hand, in memory for two outputs, and what is refused."""

import json

import numpy as np
import pytest
import torch
from scipy.special import expit, softmax

import resnets
from resnets.data.preprocess import Preprocess
from resnets.errors import InputError
from resnets.models import zoo
from resnets.ship import hub, several
from resnets.ship.sessions import open_session
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


def test_what_is_not_averaged_is_refused(tmp_path):
    head = {"task": "detect", "labels": ("a",)}
    detector = hub.create_model("resnet20_cifar", depths=(1, 1), width=8, **head).eval()
    with pytest.raises(InputError, match="answers of the task detect are not averaged"):
        several.open_one_or_several(detector, tta=True).run(np.zeros((1, 3, 32, 32), np.uint8))
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
