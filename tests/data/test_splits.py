"""Validation splits and folds are stratified, seeded and complete; one of each class stays in training."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from resnets.data.sources import open_source
from resnets.data.splits import cut_as_trained, cut_fold, cut_val
from resnets.errors import InputError
from tests.data.made_dense import save
from tests.data.made_folders import folder, names


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
    with pytest.raises(InputError, match="can be spared for validation, for each is the only one"):
        cut_val(source)
    with pytest.raises(InputError, match="between 0 and 1"):
        cut_val(source, 1.0)
    with pytest.raises(InputError, match="no training split"):
        cut_val(open_source(folder(tmp_path / "t", test__a=1), labels=["a", "b"]))


# --- folds -----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """31 training and 8 validation pictures of three classes, and a test split."""
    random, found = np.random.default_rng(0), {}
    for split, num in (("train", 31), ("val", 8), ("test", 6)):
        found |= {f"{split}_images": random.integers(0, 256, (num, 8, 8), np.uint8), f"{split}_labels": np.arange(num) % 3}
    path = tmp_path_factory.mktemp("data") / "d.npz"
    np.savez(path, **found)
    return str(path)


def pictures(root):
    for split, num in (("train", 14), ("val", 5)):
        for index in range(num):
            path = root / split / "ab"[index % 2] / f"{index}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.full((6, 6), 10 * index + (split == "val"), np.uint8)).save(path)
    return str(root)


@pytest.mark.parametrize("num_folds", [2, 5, 39])
def test_every_picture_is_validated_once_and_trains_otherwise(num_folds, data):
    source = open_source(data)
    whole = np.concatenate([source.splits[name].images.array for name in ("train", "val")])
    seen, counts = [], []
    for fold in range(1, num_folds + 1):
        cut = cut_fold(source, num_folds, fold, seed=4)
        train, val = cut.splits["train"], cut.splits["val"]
        assert len(train.targets) + len(val.targets) == 39
        assert not {p.tobytes() for p in train.images.array} & {p.tobytes() for p in val.images.array}
        seen += [pixels.tobytes() for pixels in val.images.array]
        counts.append(np.bincount(val.targets, minlength=3))
        assert len(cut.splits["test"].targets) == 6
    assert sorted(seen) == sorted(pixels.tobytes() for pixels in whole)
    assert np.ptp(np.array(counts), axis=0).max() <= 1 and np.ptp(np.sum(counts, axis=1)) <= 1
    again, other = (cut_fold(source, num_folds, 1, seed=seed).splits["val"].images.array for seed in (4, 5))
    assert np.array_equal(again, cut_fold(source, num_folds, 1, seed=4).splits["val"].images.array)
    assert not np.array_equal(again, other)


def test_files_keep_their_names_targets_and_pixels(tmp_path):
    source = open_source(pictures(tmp_path / "f"))
    seen = []
    for fold in (1, 2, 3):
        for name, split in cut_fold(source, 3, fold).splits.items():
            for index, target in enumerate(split.targets):
                path = split.images.name(index)
                assert Path(path).parent.name == "ab"[target]
                assert split.images[index][0, 0, 0] == np.array(Image.open(path))[0, 0]
                seen += [path] * (name == "val")
    assert len(seen) == len(set(seen)) == 19
    parts = [cut_fold(source, 3, fold).splits["val"].images for fold in (1, 1, 2)]
    assert parts[0].digest() == parts[1].digest() != parts[2].digest()
    assert parts[0].state() == parts[1].state() != parts[2].state()
    assert parts[0].quickly()[0].shape == (6, 6, 3)


# --- as it was trained -----------------------------------------------------------------------------------------------


def trained(source):
    """What a training on `source` records of its data."""
    return {"labels": list(source.labels), "fingerprint": source.fingerprint()}


@pytest.mark.parametrize("cut", [{"fraction": 0.3, "seed": 2}, {"folds": 3, "fold": 2, "seed": 1}], ids=["val", "fold"])
def test_the_same_data_is_cut_as_it_was_trained(cut, tmp_path):
    source = open_source(folder(tmp_path, a=8, b=6))
    expected = (cut_fold if "folds" in cut else cut_val)(source, **cut)
    found = cut_as_trained(source, trained(source) | {"cut": cut})
    assert found.cut == cut and found.fingerprint() == expected.fingerprint() != source.fingerprint()
    assert names(found.splits["val"]) == names(expected.splits["val"])
    for other in ({"cut": None}, {"cut": cut, "fingerprint": "0" * 64}, {"cut": cut, "labels": ["b", "a"]}):
        assert cut_as_trained(source, trained(source) | other) is source


def test_a_model_may_know_classes_that_no_mask_has(tmp_path):
    for number in range(6):
        save(tmp_path / f"images/{number}.png", np.zeros((6, 8, 3), np.uint8))
        save(tmp_path / f"masks/{number}.png", np.arange(48, dtype=np.uint8).reshape(6, 8) % 2)
    source = open_source(tmp_path, "masks")
    more = open_source(tmp_path, "masks", labels=["background", "object", "more"])
    data = trained(source) | {"cut": {"fraction": 0.3, "seed": 2}}
    found = cut_as_trained(more, data, lambda labels: open_source(tmp_path, "masks", labels=labels))
    assert found.labels == more.labels and len(found.splits["val"]) == 2
