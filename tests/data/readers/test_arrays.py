"""Arrays in memory as a dataset."""

import numpy as np
import pytest

from resnets.data.sources import open_source
from resnets.errors import InputError

X = np.random.default_rng(0).integers(0, 256, (12, 8, 9, 3), dtype=np.uint8)
Y = np.arange(12) % 3 + 9  # 9, 10, 11: as text they would be sorted otherwise


def test_integers_keep_their_order_and_names_are_sorted():
    source = open_source((X, Y))
    assert source.labels == ("9", "10", "11") and source.in_chans == 3 and source.size == (8, 9)
    assert source.splits["train"].targets.values.tolist() == (Y - 9).tolist()
    pixels, target = source.splits["train"][4]
    assert np.array_equal(pixels, X[4]) and target == 1
    assert open_source((X, ["b", "a", "c"] * 4)).labels == ("a", "b", "c")
    assert open_source((X, Y[:, None])).fingerprint() == source.fingerprint() != open_source((X[::-1], Y)).fingerprint()


def test_splits_and_channels():
    source = open_source({"test": (X[:3, :, :, 0], Y[:3]), "train": (X[:, :, :, 0], Y)})
    assert list(source.splits) == ["train", "test"] and source.in_chans == 1
    assert open_source((X, Y), in_chans=1).splits["train"].images[0].shape == (8, 9, 1)
    assert open_source({"test": (X, [10] * 12)}, labels=("9", "10")).splits["test"].targets.values.tolist() == [1] * 12


@pytest.mark.parametrize(
    "data, words",
    [
        ((X / 255, Y), "float64.*give uint8.*255"), ((X.transpose(0, 3, 1, 2), Y), r"X\.transpose\(0, 2, 3, 1\)"),
        ((X, Y[:5]), r"\(5,\); give \(X, y\)"), ((X, Y / 2), "classes float64"), ((X, [None] * 12), "classes object"),
        ((X,), "tuple is no data; give"), (X, "ndarray is no data"), (3, "int"), ({}, "splits none"),
        ({"all": (X, Y)}, "splits all"),
        ({"train": (X, Y), "val": (X[:, :4], Y)}, "sizes"), ((X, np.zeros(12, int)), "one class only"),
    ],
    ids=range(12),
)  # fmt: skip
def test_what_is_no_data_is_told_with_what_is(data, words):
    with pytest.raises(InputError, match=words):
        open_source(data)


def test_other_tasks_need_a_path():
    with pytest.raises(InputError, match="give a folder"):
        open_source((X, Y), "boxes")
    with pytest.raises(InputError, match="give them again"):
        open_source("arrays")
