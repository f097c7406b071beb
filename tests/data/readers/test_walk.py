"""One walk for all who read folders: what is entered, what is counted as left out, and what cannot be meant."""

import os
import unicodedata

import pytest

from resnets.data.check import check
from resnets.data.check.findings import lines
from resnets.data.readers.walk import Left, Spelled, is_run, walk
from resnets.data.sources import open_source
from resnets.errors import InputError
from tests.data.made_folders import csv, folder, names, picture


def notes(source):
    return {note.kind: note.text for note in source.told}


def run_directory(root):
    for name in ("recipe.yaml", "provenance.json"):
        csv(root / name, "{}")
    picture(root / "plots/curves.png")
    return root


# --- the walk ---


def test_what_is_entered_and_what_is_counted(tmp_path):
    picture(tmp_path / "b.PNG")
    picture(tmp_path / "a/x.jpg")
    for hidden in (".hidden/a.png", "__MACOSX/a/x.jpg", "a/.ipynb_checkpoints/x.jpg", "a/@eaDir/x.jpg", "a/._x.jpg"):
        picture(tmp_path / hidden)
    csv(tmp_path / "Thumbs.db")
    for other in ("a/1.HEIC", "a/2.heic", "a/notes.txt", "README"):
        csv(tmp_path / other)
    os.mkfifo(tmp_path / "a/pipe.png")
    run_directory(tmp_path / "runs/classify/train1")
    left = Left()
    assert list(walk(tmp_path, "top", left)) == ["top/b.PNG", "top/a/x.jpg"]
    kinds = {kind: num for kind, (num, _) in left.kinds.items()}
    assert kinds == {".heic": 2, ".txt": 1, "without a suffix": 1, "pipes or devices": 1, "run directories of resnets": 1}
    (note,) = left.notes()
    assert note.text.startswith("5 files left out: 2 .heic (top/a/1.HEIC, ...)") and note.text.endswith(
        "convert .heic to JPEG or PNG to use them"
    )


def test_links_are_followed_once(tmp_path):
    root = folder(tmp_path / "root", a=1)
    picture(tmp_path / "elsewhere/z.png")
    (root / "a/beyond").symlink_to(tmp_path / "elsewhere")
    (root / "a/round").symlink_to(root)
    assert list(walk(root, "", Left())) == ["a/0.png", "a/beyond/z.png"]


def test_names_in_another_form_of_unicode(tmp_path):
    composed, apart = (unicodedata.normalize(form, "é/ü.png") for form in ("NFC", "NFD"))
    picture(tmp_path / apart)
    assert Spelled(tmp_path)(apart) == apart and Spelled(tmp_path)(composed) == apart
    assert Spelled(tmp_path)("é/other.png") is None and Spelled(tmp_path)("plain.png") is None


# --- folders of classes ---


@pytest.mark.parametrize("word", ["validate", "dev", "eval", "Validation set", "val_images", "holdout", "test2017"])
def test_a_split_by_another_word_is_refused(tmp_path, word):
    root = folder(tmp_path, **{"train__a": 2, "train__b": 2, f"{word}__a": 1, f"{word}__b": 1})
    with pytest.raises(InputError, match=rf"'{word}' looks like a split.*call it train, val or test"):
        open_source(root)


@pytest.mark.parametrize(
    "words", [("Train Set", "Val Set"), ("training_set", "test_set"), ("train2017", "val2017"), ("dev", "eval")]
)
def test_splits_never_become_classes(tmp_path, words):
    root = folder(tmp_path, **{f"{word}__{name}": 1 for word in words for name in "ab"})
    with pytest.raises(InputError, match=rf"'{min(words)}', '{max(words)}' look like splits"):
        open_source(root)


def test_a_class_may_be_called_as_it_likes(tmp_path):
    assert open_source(folder(tmp_path / "x", train=1, bus=1)).labels == ("bus", "train")
    assert open_source(folder(tmp_path / "y", development=1, production=1)).labels == ("development", "production")


def test_a_split_or_a_class_beside_others(tmp_path):
    """Vehicles, each by its city: not a training split of the classes de and fr."""
    root = folder(tmp_path, train__de=1, train__fr=1, bus__de=1, bus__fr=1, car=2)
    with pytest.raises(InputError, match=r"'train' is a split, or a class beside 'bus', 'car'; if a class.*'trains'"):
        open_source(root)


def test_splits_within_classes_are_refused(tmp_path):
    with pytest.raises(InputError, match=r"holds 'test', 'train', which would all be for training; splits come first"):
        open_source(folder(tmp_path, cat__train=1, cat__test=1, dog__train=1, dog__test=1))


def test_an_unlabelled_test_folder(tmp_path):
    source = open_source(folder(tmp_path / "x", train__a=2, train__b=2, test=3))
    assert list(source.splits) == ["train"] and "3 images without a class (test/, ...)" in notes(source)["left_out"]
    with pytest.raises(InputError, match=r"'test' would be a class beside 'cat', 'dog'; if it holds images to predict"):
        open_source(folder(tmp_path / "y", cat=1, dog=1, test=3))


def test_images_beside_the_folders_and_in_other_formats(tmp_path):
    root = folder(tmp_path, train__a=2, train__b=2, val__a=1, extra__q=3)
    picture(root / "loose.png")
    picture(root / "train/loose.png")
    for number in range(4):
        csv(root / f"train/a/{number}.HEIC")
    csv(root / "val/b/0.heic")
    source = open_source(root)
    assert notes(source)["left_out"] == (
        "10 files left out: 5 .heic (train/a/0.HEIC, ...), 4 images beside the splits (extra/, ...), "
        "1 images beside the class folders (loose.png); convert .heic to JPEG or PNG to use them"
    )
    assert any(line.startswith("warning: 10 files left out") for line in lines(check(source)))


def test_runs_beside_the_classes_are_no_class(tmp_path):
    root = folder(tmp_path, a=2, b=2)
    before = open_source(root)
    run_directory(root / "runs/classify/train1")
    run_directory(root / "a/runs/classify/train1")
    (root / "runs/classify/train2").mkdir()
    source = open_source(root)
    assert source.labels == before.labels and source.fingerprint() == before.fingerprint()
    assert "2 run directories of resnets" in notes(source)["left_out"]
    assert is_run(root / "runs/classify/train1") and not is_run(root)
    with pytest.raises(InputError, match="a run directory of resnets; give the data"):
        open_source(root / "runs/classify/train1")


def test_runs_beside_the_splits_are_none(tmp_path):
    root = folder(tmp_path, train__a=2, train__b=2)
    run_directory(root / "runs/classify/train1")
    assert list(open_source(root).splits) == ["train"]


def test_a_folder_too_many(tmp_path):
    root = folder(tmp_path, pets__a=2, pets__b=2)
    with pytest.raises(InputError, match=r"one class only, 'pets'; add pictures of another, or give .*/pets"):
        open_source(root)
    assert open_source(root, labels=("pets",)).labels == ("pets",)


def test_classes_in_two_forms_of_unicode_are_one(tmp_path):
    composed, apart = (unicodedata.normalize(form, "café") for form in ("NFC", "NFD"))
    root = folder(tmp_path, **{f"train__{composed}": 2, "train__dog": 2, f"val__{apart}": 1, f"train__{apart}": 1})
    source = open_source(root)
    assert source.labels in ((apart, "dog"), (composed, "dog"))
    assert source.splits["train"].targets.values.tolist() == [0, 0, 0, 1, 1] and len(names(source.splits["train"])) == 5
    assert source.splits["val"].targets.values.tolist() == [0]
    assert "another form of Unicode" in notes(source)["spelling"]
    assert "spelling" not in notes(open_source(folder(tmp_path / "plain", a=1, b=1)))


def test_classes_that_differ_in_capitals_are_said(tmp_path):
    assert "'Cat', 'cat'" in notes(open_source(folder(tmp_path, cat=1, Cat=1, dog=1)))["alike_names"]
