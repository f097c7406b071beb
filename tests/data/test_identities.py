"""Identities: cut, never through one; and what cannot be trained on is refused."""

import numpy as np
import pytest

from resnets.data import identities
from resnets.data.check import check
from resnets.data.groups import grouped
from resnets.data.identities import Identities
from resnets.data.sources import open_source
from resnets.data.splits import words_of
from resnets.errors import InputError
from tests.data.made_dense import save


def people(root, counts, split=""):
    """A folder for each person, with so many pictures."""
    for name, num in counts.items():
        for number in range(num):
            random = np.random.default_rng([number, *name.encode()])
            save(root / split / name / f"{number}.png", random.integers(0, 255, (9, 8, 3)).astype(np.uint8))
    return root


def opened(root):
    return open_source(str(root), "identities")


def names_in(source):
    return {name: set(split.targets.by_name.tolist()) for name, split in source.splits.items()}


# --- reading ---


def test_every_split_has_its_own(tmp_path):
    people(tmp_path, {"ann": 2, "bob": 3}, "train")
    people(tmp_path, {"cy": 2, "dee": 2}, "test")
    source = opened(tmp_path)
    assert source.labels == ("ann", "bob", "cy", "dee") and source.kind == "identities"
    assert names_in(source) == {"train": {"ann", "bob"}, "test": {"cy", "dee"}}
    assert source.splits["test"].targets.values.tolist() == [2, 2, 3, 3]
    trained = identities.of_training(identities.cut(source, 0.5, 0) if "val" in source.splits else _with_val(source))
    assert trained.labels == ("ann", "bob") and trained.splits["train"].targets.values.tolist() == [0, 0, 1, 1, 1]


def _with_val(source):
    from dataclasses import replace

    return replace(source, splits={**source.splits, "val": source.splits["test"]})


def test_arrays_have_identities_too():
    pictures = np.zeros((4, 9, 8, 3), np.uint8)
    source = open_source((pictures, np.array(["a", "a", "b", "b"])), "identities")
    assert source.splits["train"].targets.by_name.tolist() == ["a", "a", "b", "b"]


@pytest.mark.parametrize("check_it", [identities.check_apart, None])
def test_one_in_two_splits_is_refused_and_named(tmp_path, check_it):
    people(tmp_path, {"ann": 2, "bob": 2}, "train")
    people(tmp_path, {"bob": 2, "cy": 2}, "test")
    source = opened(tmp_path)
    if check_it is None:
        found = {each.kind: each for each in check(source).findings}
        assert found["identities_across"].level == "error" and "'bob' (train, test)" in found["identities_across"].text
        return
    with pytest.raises(InputError, match=r"1 identity has pictures in more than one split.*'bob' \(train, test\); put all"):
        check_it(source)


def test_a_look_counts_them(tmp_path):
    source = opened(people(tmp_path, {"ann": 3, "bob": 2, "cy": 1}))
    found = {each.kind: each for each in check(source).findings}
    assert found["identities"].text.startswith("3 identities; by split, of so many pictures: train 3 of 6")
    assert found["single_pictures"].items == [{"label": "cy", "train": 1}]
    alone = {each.kind: each for each in check(opened(people(tmp_path / "x", {"ann": 1, "bob": 1}))).findings}
    assert alone["few_identities"].level == "error"


# --- cutting ---


def test_a_fraction_of_the_identities_goes_to_each_of_val_and_test(tmp_path):
    counts = {f"p{number:02}": 2 + number % 3 for number in range(20)}
    source = opened(people(tmp_path, counts))
    cut = identities.cut(source, 0.2, 0)
    found = names_in(cut)
    assert [len(found[name]) for name in ("train", "val", "test")] == [12, 4, 4]
    assert set.union(*found.values()) == set(counts) and sum(map(len, found.values())) == 20
    assert sum(map(len, cut.splits.values())) == sum(counts.values())
    assert cut.cut == {"fraction": 0.2, "seed": 0, "with_test": True}
    assert words_of(cut.cut) == "val and test cut from train: 20% each, seed 0"
    assert names_in(identities.cut(source, 0.2, 0)) == found != names_in(identities.cut(source, 0.2, 1))


def test_where_there_is_a_test_split_validation_alone_is_cut(tmp_path):
    people(tmp_path, {f"p{number}": 2 for number in range(8)}, "train")
    people(tmp_path, {"x": 2, "y": 2}, "test")
    cut = identities.cut(opened(tmp_path), 0.2, 0)
    assert {name: len(each) for name, each in names_in(cut).items()} == {"train": 6, "val": 2, "test": 2}
    assert identities.cut(cut, 0.2, 0) is cut


def test_few_have_no_test_split_and_fewer_are_refused(tmp_path):
    few = identities.cut(opened(people(tmp_path / "few", dict.fromkeys("abcd", 2))), 0.2, 0)
    assert {name: len(each) for name, each in names_in(few).items()} == {"train": 2, "val": 2}
    with pytest.raises(InputError, match="3 identities have two training pictures or more, and it takes 4"):
        identities.cut(opened(people(tmp_path / "fewer", dict.fromkeys("abc", 2))), 0.2, 0)
    with pytest.raises(InputError, match="0 identities have two training pictures"):
        identities.cut(opened(people(tmp_path / "single", dict.fromkeys("abcdef", 1))), 0.2, 0)


def test_those_of_one_picture_are_dealt_out_too(tmp_path):
    counts = {f"p{number}": 2 for number in range(10)} | {f"s{number}": 1 for number in range(10)}
    cut = identities.cut(opened(people(tmp_path, counts)), 0.2, 0)
    assert {name: identities.num_several(split.targets) for name, split in cut.splits.items()} == {
        "val": 2,
        "test": 2,
        "train": 6,
    }
    assert {name: len(each) for name, each in names_in(cut).items()} == {"val": 4, "test": 4, "train": 12}


def test_groups_stay_together(tmp_path):
    """Such as families: the first letter of the name."""
    source = opened(people(tmp_path, {f"{family}{number}": 2 for family in "abcdefgh" for number in range(3)}))
    cut = identities.cut(grouped(source, r"(\w)\d/"), 0.25, 0)
    families = {name: {each[0] for each in found} for name, found in names_in(cut).items()}
    assert sum(map(len, families.values())) == 8 and len(families["val"]) == 2


def test_folds_have_each_identity_once(tmp_path):
    source = opened(people(tmp_path, dict.fromkeys("abcdefgh", 2)))
    parts = [names_in(identities.cut_fold(source, 4, fold, 0))["val"] for fold in (1, 2, 3, 4)]
    assert sorted(name for part in parts for name in part) == list("abcdefgh")
    with pytest.raises(InputError, match="folds=5 take 10 identities, and there are 8"):
        identities.cut_fold(source, 5, 1, 0)


def test_the_same_data_is_cut_again_and_other_data_with_the_same_people_is_noted(tmp_path):
    source = opened(people(tmp_path, {f"p{number}": 2 for number in range(10)}))
    cut = identities.cut(source, 0.2, 3)
    trained = {"fingerprint": source.fingerprint(), "cut": dict(cut.cut)}
    labels = tuple(sorted(names_in(cut)["train"]))
    assert names_in(identities.cut_as_trained(source, trained, labels)) == names_in(cut)
    other = identities.cut_as_trained(source, {"fingerprint": "another"}, ("p1", "zoe"))
    assert [note.kind for note in other.notes] == ["trained_on"] and "1 identities by the name" in other.notes[0].text


@pytest.mark.parametrize(
    ("train", "val", "words"),
    [
        ({"a": 3}, {"x": 2, "y": 2}, r"train has 1 identity \('a'\), 1 of them with two"),
        ({"a": 2, "b": 2}, {"x": 4}, r"val has 1 identity \('x'\)"),
        ({"a": 2, "b": 2}, {"x": 1, "y": 1}, r"val has 2 identities \('x', 'y'\), 0 of them"),
    ],
)
def test_what_cannot_be_trained_or_validated_on_is_refused(tmp_path, train, val, words):
    people(people(tmp_path, train, "train"), val, "val")
    with pytest.raises(InputError, match=words):
        identities.of_training(opened(tmp_path))


def test_names_are_joined():
    both = Identities(np.array([0, 1]), ["b", "c"]).joined(Identities(np.array([0, 0]), ["a"]))
    assert both.by_name.tolist() == ["b", "c", "a", "a"] and both.names == ("a", "b", "c")
