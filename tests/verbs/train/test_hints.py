"""What a person is told that may spoil a run, or is left unused."""

import re
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from resnets.engine import threads
from resnets.tasks import get
from resnets.verbs.introduce import mirrored
from resnets.verbs.train import prepare
from tests.engine.made import TINY


def told(tmp_path, labels=("a", "b"), shape=(80, 100), **settings):
    """The hints before training on a folder of noise."""
    for label in labels:
        (tmp_path / "d" / label).mkdir(parents=True)
        for number in range(8):
            pixels = np.random.default_rng(number).integers(0, 256, (*shape, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "d" / label / f"{number}.png")
    said = []
    prepare(str(tmp_path / "d"), out=tmp_path / "run", reporter=SimpleNamespace(say=said.append), **TINY | settings)
    return [line for line in said if line.startswith("hint")]


def test_threads_that_are_left_to_other_programs(tmp_path, monkeypatch):
    most = torch.get_num_threads() + 1
    monkeypatch.setattr(threads, "most", lambda: most)
    monkeypatch.setattr(threads, "choose", torch.get_num_threads)
    said = []
    prepare("digits", out=tmp_path / "run", reporter=SimpleNamespace(say=said.append), **TINY)
    assert [line for line in said if line.startswith("threads")] == [
        f"threads  {most - 1} of {most}: other programs use the rest, which is looked at again (--threads {most} takes all)"
    ]


def test_few_photographs_from_random_weights(tmp_path):
    (hint,) = told(tmp_path, img_size=96)
    assert "14 pictures are few" in hint and "--weights torchvision/resnet18" in hint


def test_small_pictures_of_usual_shape_need_no_hint(tmp_path):
    assert told(tmp_path, img_size=32) == []


def test_left_and_right_are_mirrored(tmp_path):
    (hint,) = told(tmp_path, ("Turn left", "turn right"), img_size=32)
    assert "'Turn left' and 'turn right'" in hint and "--hflip 0" in hint


def test_not_where_nothing_is_mirrored(tmp_path):
    assert told(tmp_path, ("left", "right"), img_size=32, hflip=0) == []


def test_long_pictures_are_cut(tmp_path):
    (hint,) = told(tmp_path, shape=(30, 100), img_size=32)
    assert "14 of 14" in hint and "--resize pad" in hint


@pytest.mark.parametrize(
    ("labels", "found"),
    [(["Left eye", "right eye"], ("Left eye", "right eye")), (["left", "up"], None), (["cleft", "cat"], None), ([], None)],
)
def test_what_is_called_a_mirror_image(labels, found):
    assert mirrored(labels) == found


@pytest.mark.parametrize(
    ("top1", "interval", "hflip", "words"),
    [
        (0.52, [0.4, 0.6], 0.5, "above chance: the commonest class alone is 50.0%; .*--hflip 0"),
        (0.52, [0.4, 0.6], 0.0, "above chance.*; look at the labels"), (0.9, [0.8, 0.95], 0.5, "^$"),
    ],
)  # fmt: skip
def test_a_run_that_ends_at_chance(top1, interval, hflip, words):
    task = get("classify")
    result = {"top1": top1, "top1_interval": interval, "num_images": 20, "per_class": [{"support": 10}, {"support": 10}]}
    assert re.search(words, task.doubt(result, task.settings(hflip=hflip)))
