"""A validation split is stratified, seeded and complete; one of each class stays in training."""

import numpy as np
import pytest

from resnets.data.sources import open_source
from resnets.data.splits import cut_val
from resnets.errors import InputError
from tests.data.made_folders import folder


def test_cut_val_is_stratified_seeded_and_complete():
    source = open_source("digits")
    cut = cut_val(source, 0.2, seed=3)
    train, val = cut.splits["train"], cut.splits["val"]
    counts = np.bincount(source.splits["train"].targets)
    assert np.bincount(val.targets).tolist() == np.rint(counts * 0.2).astype(int).tolist()
    everything = np.concatenate([train.images.positions, val.images.positions])
    assert sorted(everything) == list(range(len(source.splits["train"].images)))
    position = val.images.positions[5]
    assert val.images.name(5) == f"train[{position}]"
    assert (val.images[5] == source.splits["train"].images[position]).all()
    assert val.targets[5] == source.splits["train"].targets[position]
    assert cut.cut == {"fraction": 0.2, "seed": 3} and list(cut.splits) == ["train", "val", "test"]
    assert (cut_val(source, 0.2, seed=3).splits["val"].images.positions == val.images.positions).all()
    assert (cut_val(source, 0.2, seed=4).splits["val"].images.positions != val.images.positions).any()
    assert cut_val(cut) is cut


@pytest.mark.parametrize(
    ("train", "val"),
    [
        ({"a": 30, "b": 5, "c": 3, "d": 2, "e": 1}, [3, 1, 1, 0, 0]),  # one of three or more, none of fewer
        ({"a": 2, "b": 1, "c": 2}, [1, 0, 1]),  # nothing else to be had: one of two
    ],
)
def test_cut_val_of_small_classes(tmp_path, train, val):
    source = cut_val(open_source(folder(tmp_path, **train)))
    assert np.bincount(source.splits["val"].targets, minlength=len(val)).tolist() == val
    assert np.bincount(source.splits["train"].targets).min() >= 1


def test_cut_val_leaves_one_of_each_class_to_train(tmp_path):
    source = cut_val(open_source(folder(tmp_path, a=4, b=1)), fraction=0.99)
    assert np.bincount(source.splits["train"].targets).tolist() == [1, 1]


def test_cut_val_faults(tmp_path):
    source = open_source(folder(tmp_path, a=1, b=1))
    with pytest.raises(InputError, match="one image per class, none to spare"):
        cut_val(source)
    with pytest.raises(InputError, match="between 0 and 1"):
        cut_val(source, 1.0)
    with pytest.raises(InputError, match="no training split"):
        cut_val(open_source(folder(tmp_path / "t", test__a=1), labels=["a", "b"]))
