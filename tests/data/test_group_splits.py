"""Splits of groups: none is cut through, classes keep their shares, and the same split comes again."""

import numpy as np
import pytest
from sklearn.model_selection import GroupKFold, StratifiedGroupKFold

from resnets.data.group_splits import chosen_for_val, dealt
from resnets.data.groups import grouped
from resnets.data.pictures.stored import ArrayImages
from resnets.data.sources import open_source
from resnets.data.splits import cut_again, cut_as_trained, cut_fold, cut_val
from resnets.data.types import Source, Split
from resnets.errors import InputError
from tests.data.made_folders import csv, names, picture


def made(codes, groups, **more):
    def split(codes, groups):
        images = ArrayImages(np.zeros((len(codes), 1, 1, 1), np.uint8), "train")
        return Split(images, np.asarray(codes), groups=np.asarray(groups))

    splits = {"train": split(codes, groups)} | {name: split(*both) for name, both in more.items()}
    return Source("made", ("a", "b", "c", "d", "e", "f"), splits, 1)


def drawn(random):
    """Pictures of up to six classes in groups of very different sizes; classes lean towards some groups."""
    num, num_groups, num_classes = random.integers(30, 200), random.integers(6, 40), random.integers(2, 7)
    groups = random.choice(num_groups, num, p=random.dirichlet(np.ones(num_groups)))
    likely = random.dirichlet(np.ones(num_classes), num_groups)
    codes = np.array([random.choice(num_classes, p=likely[group]) for group in groups])
    codes = np.unique(codes, return_inverse=True)[1]
    return codes, np.array([f"g{group}" for group in groups])


def test_no_group_is_ever_cut_through_and_training_keeps_each_class():
    random = np.random.default_rng(0)
    for number in range(30):
        codes, groups = drawn(random)
        fraction = float(random.uniform(0.05, 0.7))
        is_val = chosen_for_val(codes, groups, fraction, seed=number)
        assert not set(groups[is_val]) & set(groups[~is_val])
        assert set(codes[~is_val]) == set(codes), "each class is trained"
        for code in np.unique(codes):
            own = np.unique(groups[codes == code])
            assert len(own) < 3 or code in codes[is_val]
        part = dealt(codes, groups, 3, seed=number)
        assert all(len(np.unique(part[groups == group])) == 1 for group in np.unique(groups))


def unevenness(codes, part, num):
    shares = np.array([np.bincount(codes[part == n], minlength=codes.max() + 1) for n in range(num)]) / np.bincount(codes)
    return abs(shares - 1 / num).mean()


@pytest.mark.filterwarnings("ignore:The least populated class")
def test_classes_are_as_even_as_scikit_learns():
    random, ours, theirs, plain = np.random.default_rng(1), [], [], []
    for number in range(15):
        codes, groups = drawn(random)
        if np.bincount(codes).max() < 5 or len(np.unique(groups)) < 5:
            continue
        ours.append(unevenness(codes, dealt(codes, groups, 5, seed=number), 5))
        rows = ((theirs, StratifiedGroupKFold(5, shuffle=True, random_state=number)), (plain, GroupKFold(5)))
        for found, kind in rows:
            part = np.zeros(len(codes), int)
            for n, (_, there) in enumerate(kind.split(codes[:, None], codes, groups)):
                part[there] = n
            found.append(unevenness(codes, part, 5))
    assert np.mean(ours) <= 1.05 * np.mean(theirs) and np.mean(ours) < np.mean(plain)


def test_val_is_near_the_fraction_of_each_class():
    codes = np.arange(3000) % 3
    groups = np.array([f"g{n}" for n in np.random.default_rng(0).integers(0, 100, 3000)])
    for fraction in (0.1, 0.25, 0.4, 0.7):
        is_val = chosen_for_val(codes, groups, fraction, 0)
        assert np.bincount(codes[is_val]) / 1000 == pytest.approx(fraction, abs=0.03)
    first, again, other = (chosen_for_val(codes, groups, 0.1, seed) for seed in (0, 0, 1))
    assert (first == again).all() and (first != other).any()


def test_groups_of_one_picture_are_split_like_pictures():
    codes = np.arange(200) % 2
    is_val = chosen_for_val(codes, np.arange(200).astype(str), 0.1, 0)
    assert np.bincount(codes[is_val]).tolist() == [10, 10]


def test_three_groups_of_a_class_give_one_to_validation():
    """As three pictures do without groups; two do not."""
    codes = np.repeat([0, 1], [90, 8])
    groups = np.concatenate([np.arange(90) % 30, np.array([40, 40, 41, 41, 42, 42, 42, 42])]).astype(str)
    for seed in range(5):
        is_val = chosen_for_val(codes, groups, 0.1, seed)
        assert set(codes[is_val]) == set(codes[~is_val]) == {0, 1}


def test_cut_val_and_folds_of_a_source():
    codes, groups = np.arange(60) % 2, np.repeat([f"g{n}" for n in range(12)], 5)
    source = made(codes[:40], groups[:40], val=(codes[40:], groups[40:]), test=([0, 1], ["t", "t"]))
    assert cut_val(source) is source
    seen = []
    for fold in (1, 2, 3):
        cut = cut_fold(source, 3, fold, seed=1)
        assert not set(cut.splits["train"].groups) & set(cut.splits["val"].groups)
        seen += cut.splits["val"].groups.tolist()
        assert cut_again(source, cut.cut).cut == cut.cut and len(cut.cut["groups"]) == 16
    assert sorted(seen) == sorted(groups)
    with pytest.raises(InputError, match="deals groups out otherwise"):
        cut_again(source, cut.cut | {"groups": "0" * 16})


@pytest.mark.parametrize(
    ("codes", "groups", "words"),
    [
        ([0, 1, 0, 1], "xxxx", r"1 groups only \('x'\), too few for training and validation"),
        ([0, 0, 0, 1, 1, 1], "xxxyyz", r"1 of 6 classes have all pictures in one group.*'a' of 'x'; add pictures of"),
        ([0, 0, 1, 1], "xxyy", "each group has the last pictures of a class"),
    ],
)
def test_groups_that_cannot_be_split(codes, groups, words):
    with pytest.raises(InputError, match=words):
        cut_val(made(codes, list(groups)))


def test_too_few_groups_for_the_folds():
    with pytest.raises(InputError, match=r"2 groups only \('x', 'y'\), too few for 3 folds"):
        cut_fold(made([0, 1, 0, 1], list("xxyy")), 3, 1)


def test_eval_cuts_the_same_groups_again(tmp_path):
    for n in range(24):
        picture(tmp_path / f"{n}.png", value=n)
    lines = [f"{n}.png,{['cat', 'dog'][n % 2]},p{n // 4}" for n in range(24)]
    path = csv(tmp_path / "list.csv", "path,label,patient", *lines)
    source = grouped(open_source(path), "patient")
    cut = cut_val(source, 0.3, seed=2)
    trained = {"labels": list(source.labels), "fingerprint": source.fingerprint(), "cut": cut.cut, "group_by": "patient"}
    found = cut_as_trained(open_source(path), trained)
    assert names(found.splits["val"]) == names(cut.splits["val"]) and found.splits["val"].groups is not None
    other = open_source(csv(tmp_path / "other.csv", "path,label", *(line.rpartition(",")[0] for line in lines)))
    assert cut_as_trained(other, trained) is other, "without the column it is other data"
    moved = [line[:-1] + "9" if line.startswith("5.") else line for line in lines]
    assert "val" not in cut_as_trained(open_source(csv(path, "path,label,patient", *moved)), trained).splits
