"""Corrections laid over open data: what they change, what they leave, and the lists that are refused."""

import unicodedata

import numpy as np
import pytest

from resnets.data.corrections import corrected, path_of
from resnets.data.sources import open_source
from resnets.data.splits import cut_fold, cut_val
from resnets.errors import InputError
from resnets.tasks import get
from tests.data.made_dense import coco
from tests.data.made_folders import csv, folder


@pytest.fixture
def pets(tmp_path):
    return folder(tmp_path / "pets", train__cat=6, train__dog=6, train__owl=1, test__cat=2, test__dog=2)


def labels(source, split):
    part = source.splits[split]
    return {path_of(part.images, i): source.labels[part.targets[i]] for i in range(len(part))}


def test_labels_change_and_images_go_in_all_splits_however_a_path_is_written(pets, tmp_path):
    before = open_source(pets)
    file = csv(
        tmp_path / "fixed.csv",
        "path,given,action,label",
        "train/cat/0.png,cat,relabel,dog",
        f"{pets}/train/cat/1.png,cat,drop,",
        "./train/../train/cat/2.png,cat,keep,cat",
        "train/dog/0.png,dog,relabel,dog",
        "test/dog/1.png,,relabel,cat",
    )
    after = corrected(before, file)
    train = labels(before, "train") | {"train/cat/0.png": "dog"}
    del train["train/cat/1.png"]
    assert labels(after, "train") == train
    assert labels(after, "test") == labels(before, "test") | {"test/dog/1.png": "cat"}
    record = dict(after.corrections)
    assert len(record.pop("sha256")) == 64
    assert record == {"file": "fixed.csv", "num_relabelled": 2, "num_dropped": 1, "num_lines": 5}
    assert [note.text for note in after.notes if note.kind == "corrections"] == [
        "corrections of fixed.csv: 2 labels, 1 left out"
    ]
    assert labels(before, "train")["train/cat/0.png"] == "cat", "the source that was given stays as it is"
    assert corrected(before, None) is before


def test_the_validation_split_and_folds_are_of_the_same_images_as_without(pets, tmp_path):
    file = csv(tmp_path / "fixed.csv", "path,action,label", "train/cat/0.png,relabel,dog", "train/dog/3.png,drop,")
    for cut in (lambda source: cut_val(source, 0.3, 1), lambda source: cut_fold(source, 3, 2)):
        plain = cut(open_source(pets))
        fixed = corrected(plain, file)
        for split in ("train", "val"):
            assert labels(fixed, split).keys() == labels(plain, split).keys() - {"train/dog/3.png"}
        assert fixed.cut == plain.cut
        assert (labels(fixed, "train") | labels(fixed, "val"))["train/cat/0.png"] == "dog"


def test_arrays_by_their_positions_in_folds_too(tmp_path):
    random = np.random.default_rng(0)
    data = {split: (random.integers(0, 256, (8, 4, 4, 1), np.uint8), np.arange(8) % 2) for split in ("train", "val")}
    file = csv(tmp_path / "fixed.csv", "path,label", "train[1],0", "val[2],1")
    for fold in (1, 2):
        source = cut_fold(open_source(data), 2, fold)
        pixels = {path_of(part.images, i): part.images[i] for part in source.splits.values() for i in range(len(part))}
        assert all(np.array_equal(pixels[f"{s}[{i}]"], data[s][0][i]) for s in data for i in range(8)), "names stay"
        fixed = corrected(source, file)
        now = labels(fixed, "train") | labels(fixed, "val")
        assert {name for name in now if now[name] != "01"[int(name[-2]) % 2]} == {"train[1]", "val[2]"}


def test_several_labels_numbers_and_drops_of_boxes(tmp_path):
    folder(tmp_path, a=4)
    tags = csv(tmp_path / "list.csv", "path,labels", "a/0.png,cat|dog", "a/1.png,", "a/2.png,dog", "a/3.png,cat")
    file = csv(
        tmp_path / "fixed.csv", "path,given,action,label", "a/0.png,dog | cat,relabel,dog", "a/2.png,dog,relabel,",
        "a/1.png,,relabel,dog|cat",
    )  # fmt: skip
    fixed = corrected(open_source(tags, "tags"), file)
    assert fixed.splits["train"].targets.values.tolist() == [[0, 1], [1, 1], [0, 0], [1, 0]]

    grades = csv(tmp_path / "ages.csv", "path,target", *(f"a/{i}.png,{10 * i + 0.5}" for i in range(4)))
    source = get("grade").open(str(grades), {}, in_chans=None, data_dir=None)
    file = csv(tmp_path / "fixed.csv", "path,given,action,label", "a/2.png,20.5,relabel,99", "a/3.png,30.5,drop,")
    assert corrected(source, file).splits["train"].targets.values.tolist() == [0.5, 10.5, 99]
    assert type(corrected(source, file).splits["train"].targets) is type(source.splits["train"].targets)


def test_names_in_another_form_of_unicode(tmp_path):
    name = "Käfer"
    root = folder(tmp_path / "pets", **{unicodedata.normalize("NFD", name): 2, "dog": 2})
    file = csv(tmp_path / "fixed.csv", "path,label", f"dog/0.png,{name}", f"{name}/0.png,dog")
    train = labels(corrected(open_source(root), file), "train")
    assert train["dog/0.png"] == unicodedata.normalize("NFD", name) and list(train.values()).count("dog") == 2


CAT = "train/cat/0.png"
ALL = [f"test/{label}/{n}.png,drop" for label in ("cat", "dog") for n in (0, 1)]
REFUSED = {
    "no header": ([f"{CAT},dog"], r"line 1: no list of corrections.*write path,action,label"),
    "no such image": (["path,label", "", "a.png,dog", "b.png,dog"], r"line 3: there is no image 'a.png'.* 1 lines more"),
    "no such class": (["path,label", f"{CAT},cow"], r"line 2: there is no class 'cow' in pets; it has 'cat', 'dog', 'owl'"),
    "no such action": (["path,action,label", f"{CAT},delete,"], r"line 2: the action is 'delete'; write one of relabel"),
    "no label": (["path,action,label", f"{CAT},relabel,"], r"line 2: there is no class ''"),
    "a label of nothing": (["path,action,label", f"{CAT},drop,dog"], r"line 2: the action is drop, and there is a label"),
    "twice": (["path,label", f"{CAT},dog", f"./{CAT},dog"], r"line 3: ./train/cat/0.png is there already \(.*line 2\)"),
    "another label by now": (["path,given,label", f"{CAT},dog,owl"], r"line 2: .* looked at with the label 'dog'"),
    "too many cells": (["path,label", f"{CAT},dog,owl"], r"line 2: 3 cells under 2 columns"),
    "an empty split": (["path,action", *ALL], "drops all images of test"),
    "an empty class": (["path,action", "train/owl/0.png,drop"], r"leaves no training image of 'owl'"),
    "out of the folder": (["path,label", "../../etc/passwd,dog"], r"line 2: there is no image"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_lists_that_are_refused_with_the_line(name, pets, tmp_path):
    lines, words = REFUSED[name]
    with pytest.raises(InputError, match=f"(?s){words}"):
        corrected(open_source(pets), csv(tmp_path / "fixed.csv", *lines))
    with pytest.raises(InputError, match="no such file"):
        corrected(open_source(pets), tmp_path / "missing.csv")


def test_boxes_have_no_label_of_the_whole_image(tmp_path):
    boxes = [{"image_id": n, "category_id": 7, "bbox": [1, 1, 9, 9]} for n in (1, 2)]
    root = coco(tmp_path / "boxes", boxes)
    source = open_source(root, "boxes")
    name = path_of(source.splits["train"].images, 0)
    num = len(source.splits["train"])
    fixed = corrected(source, csv(tmp_path / "fixed.csv", "path,action", f"{name},drop"))
    assert len(fixed.splits["train"]) == num - 1
    with pytest.raises(InputError, match="line 2: boxes and masks have no label of the whole image"):
        corrected(source, csv(tmp_path / "fixed.csv", "path,label", f"{name},{source.labels[0]}"))
