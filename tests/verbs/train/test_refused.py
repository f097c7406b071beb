"""What is refused before a step, with a reason and without a folder."""

import pytest
import torch

from resnets.errors import InputError
from resnets.verbs import train as training
from resnets.verbs.train import train
from tests.verbs.train.made import TINY, arrays


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"batch_size": 1}, "batch_size=1: batch norm .*--accumulate"),
        ({"num_classes": 2}, "num_classes=2, and the data has 3 classes; .*at least 3"),
        ({"dims": 3}, "dims=3: pictures have 2 spatial axes"),
        ({"in_chans": 2}, r"in_chans=2: images have 1 \(grey\), 3"),
        ({"in_chans": 4, "auto_augment": "randaugment"}, "use none with 4 channels"),
        ({"epochs": 0}, "epochs=0: give at least 1"),
        ({"steps": 5}, "^epochs and steps exclude each other"),
        ({"model": "resnet19"}, "no network is called 'resnet19'; did you mean"),
        ({"recipe": "he2016"}, "there is no recipe 'he2016'; use one of"),
        ({"recipe": "gone.yaml"}, "gone.yaml: cannot be read as a recipe"),
        ({"task": "sing"}, "there is no task 'sing'"),
        ({"task": ""}, "there is no task ''; this version has: classify, detect, segment"),
        ({"head": "unet"}, "head='unet': use one of linear, or one of your own"),
        ({"masks": True}, "masks=True: the task classify has no such setting, only detect; leave it out"),
        ({"jitter": 0.2}, "jitter=0.2: is for series and volumes, and these are pictures; leave it out"),
        ({"scales": "0.5,1"}, "scales=0.5,1: the task classify has no such setting, only detect and segment; leave it out"),
        ({"loss": "dice"}, "loss='dice': use one of ce, bce"),
        ({"resize": "keep"}, "resize='keep': use one of crop, pad, squash"),
        ({"device": "cuda:99"}, "device='cuda:99' is not available"),
        ({"epoch": 3}, "there is no setting 'epoch'; did you mean epochs"),
        ({"learning_rate": 3}, "there is no setting 'learning_rate'; did you mean lr"),
        ({"task": "detection"}, r"there is no task 'detection' \(did you mean detect\?\); this version has: classify"),
        ({"depths": "1,0"}, "depths="),
        ({"group_width": 4}, "group_width=4: with block='basic'"),
    ],
    ids=str,
)
def test_refused_with_a_reason_and_without_a_folder(settings, said, tmp_path):
    with pytest.raises(InputError, match=said):
        train(arrays(tmp_path / "d.npz"), out=tmp_path / "run", **TINY | settings)
    assert not (tmp_path / "run").exists()


def test_an_occupied_folder_is_refused_and_left_alone(first):
    before = {path: path.stat().st_mtime_ns for path in first.path.rglob("*")}
    with pytest.raises(InputError, match="exists and is not empty; go on with it by --resume, or choose another --out"):
        train(first.data, out=first.path, **TINY)
    assert {path: path.stat().st_mtime_ns for path in first.path.rglob("*")} == before


def test_memory_that_is_not_enough_has_a_remedy(tmp_path, monkeypatch):
    def fit(job, resume):
        raise torch.OutOfMemoryError("out of memory")

    monkeypatch.setattr(training, "fit", fit)
    with pytest.raises(InputError, match="is out of memory; use a --batch-size below 8, with --accumulate"):
        train(arrays(tmp_path / "d.npz"), out=tmp_path / "run", **TINY)
