"""Segmentation in several processes."""

import json

import pytest

from tests.data.made_dense import segments
from tests.engine.running import flags, largest_difference, torchrun
from tests.tasks.dense.made import TINY, rows, train


@pytest.mark.slow
def test_two_processes_segment_as_one_does_with_their_pictures_together(tmp_path, undrawn):
    """Of pictures with as many known pixels each, all of one weight: a mean over pixels is then that over pictures. 8 in
    batches of 4."""
    data = segments(tmp_path / "data", train=8, val=3)
    same = TINY | {"loss": "ce", "balance": "none", "scales": "1", "jitter": 0.0, "opt": "sgd", "lr": 0.05}
    train(data, tmp_path / "one", "segment", **same | {"batch_size": 4})
    words = ["-m", "resnets", "train", data, "--out", "two", *flags(same | {"task": "segment"})]
    ended = torchrun(2, *words, cwd=tmp_path)
    assert ended.returncode == 0, ended.stderr
    for one, two in zip(rows(tmp_path / "one"), rows(tmp_path / "two"), strict=True):
        assert [float(one[name]) for name in SHARED] == pytest.approx([float(two[name]) for name in SHARED], abs=2e-3)
    assert largest_difference(tmp_path / "one", tmp_path / "two", "last.safetensors") < 1e-3
    assert json.loads((tmp_path / "two/evaluation.json").read_text())["num_images"] == 3


SHARED = ("step", "lr", "train_loss", "train_miou", "val_miou", "val_dice")
