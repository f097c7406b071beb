"""Detection and segmentation that start from saved models."""

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from resnets import tasks
from resnets.engine.settings import fields_of
from resnets.models import weights, zoo
from resnets.models.pretrained.opening import Opened
from resnets.ship import hub
from resnets.verbs import train as training
from tests.tasks.dense.made import KINDS, TINY, train

STILL = {"lr": 0.0, "weight_decay": 0.0, "epochs": None, "steps": 1}


def told(data, out, task, **settings):
    """A job, and the names of tensors that the start of the run tells of, by what became of them."""
    names, transfer = {}, training.hub.transfer

    def noted(*of):
        names.update(found := transfer(*of))
        return found

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training.hub, "transfer", noted)
        network = dict.fromkeys(("model", "depths", "width"))
        given = {name: value for name, value in (TINY | network | settings).items() if value is not None}
        return training.train(str(data), out=out, task=task, **given), names


@pytest.fixture(scope="module")
def classified(tmp_path_factory):
    """A classifier's run on pictures of 16 pixels."""
    folder = tmp_path_factory.mktemp("classified")
    random = np.random.default_rng(0)
    train, val = (random.integers(0, 256, (num, 16, 16, 3), dtype=np.uint8) for num in (8, 4))
    np.savez(folder / "d.npz", train_images=train, val_images=val, train_labels=np.arange(8) % 2, val_labels=np.arange(4) % 2)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "finish", lambda job, source, best_epoch: job)
        training.train(str(folder / "d.npz"), out=folder / "run", **TINY)
    return folder / "run"


@pytest.mark.parametrize("name", ["unet", "pyramid", "c4"])
def test_a_classifiers_trunk_gets_a_new_head(name, classified, tmp_path, undrawn):
    task, make, settings = KINDS[name]
    data = make(tmp_path / "data", train=4, val=2)
    job, names = told(data, tmp_path / "run", task, weights=str(classified), **settings | STILL)
    old = weights.read_header(classified / "best.safetensors")
    assert sorted(names["ignored"]) == ["fc.bias", "fc.weight"] and not names["adapted"]
    assert all(tensor.startswith("head.") for tensor in names["re-initialised"])
    assert job.model.preprocess.mean == pytest.approx(old.preprocess.mean) and job.model.preprocess.resize == "keep"
    before, after = load_file(classified / "best.safetensors"), job.model.state_dict()
    learnt = [key for key in names["loaded"] if "running" not in key and "num_batches" not in key]
    assert len(learnt) > 10 and all(torch.equal(before[key], after[key]) for key in learnt)


@pytest.mark.parametrize("name", ["fcn", "c4"])
def test_the_same_task_and_classes_keep_the_head(name, tmp_path, undrawn):
    task, make, settings = KINDS[name]
    data = make(tmp_path / "data", train=4, val=2)
    train(data, tmp_path / "first", task, **settings | {"epochs": 1})
    more = {key: value for key, value in settings.items() if key != "head"}
    job, names = told(data, tmp_path / "again", task, weights=str(tmp_path / "first"), **more | STILL)
    assert not names["re-initialised"] and not names["ignored"]
    assert job.model.head_config == weights.read_header(tmp_path / "first/best.safetensors").head
    other = next(iter(fields_of(tasks.settings(task))["head"].metadata["choices"]))
    job, names = told(data, tmp_path / "other", task, weights=str(tmp_path / "first"), **more | STILL | {"head": other})
    assert other in job.model.head_config.values() and names["re-initialised"]


LAST = {
    "unet": ["head.logits."],
    "deeplabv3": ["head.logits."],
    "c4": ["head.roi_heads.box_predictor."],
    "masks": ["head.roi_heads.box_predictor.", "head.roi_heads.mask_predictor.mask_fcn_logits."],
}


@pytest.mark.parametrize("name", LAST)
def test_for_other_classes_only_what_tells_them_apart_is_new(name):
    """Even where they are as many."""
    task, _, settings = KINDS[name]
    config = tasks.get(task).head_config(zoo.get("resnet20_cifar"), tasks.settings(task)(task=task, **settings), {})
    one, two, same = (
        hub.create_model("resnet20_cifar", depths=(1, 1, 1), width=8, task=task, labels=labels, head_config=config)
        for labels in ("ab", "cd", "ab")
    )
    opened = Opened(Path("m.safetensors"), one.header, one.state_dict())
    anew = hub.transfer(two, opened)["re-initialised"]
    assert all(key.startswith(tuple(LAST[name])) for key in anew)
    assert all(any(key.startswith(part) for key in anew) for part in LAST[name])
    assert not hub.transfer(same, opened)["re-initialised"]


@pytest.mark.parametrize("name", ["unet", "pyramid"])
def test_a_frozen_trunk_stays_as_it_is_and_the_head_learns(name, classified, tmp_path, undrawn):
    task, make, settings = KINDS[name]
    data = make(tmp_path / "data", train=4, val=2)
    common = settings | {"weights": str(classified), "freeze": "trunk"}
    job, names = told(data, tmp_path / "run", task, **common, epochs=1)
    before, after = load_file(classified / "best.safetensors"), job.model.state_dict()
    assert all(torch.equal(before[key], after[key]) for key in names["loaded"]), "statistics of norms too"
    still, _ = told(data, tmp_path / "still", task, **common | STILL)
    learnt = [key for key, value in still.model.named_parameters() if not torch.equal(value, after[key])]
    assert len(learnt) > 5 and all(key.startswith("head.") for key in learnt)
