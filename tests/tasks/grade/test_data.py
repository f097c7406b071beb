"""Numbers and grades of pictures: lists, folders and counts, and what is refused."""

import json
import unicodedata

import numpy as np
import pytest
from PIL import Image

from resnets.data.splits import cut_val
from resnets.data.types import Split
from resnets.errors import InputError
from resnets.tasks.grade import data
from tests.data.made_dense import objects, save


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in "abc":
        Image.fromarray(np.full((4, 4, 3), ord(name), np.uint8)).save(f"{name}.png")

    def written(text, name="list.csv"):
        (tmp_path / name).write_text(text, encoding="utf-8")
        return name

    return written


def read(path, target=None, loss="auto", scale="linear", labels=None):
    return data.read(str(path), target=target, loss=loss, scale=scale, in_chans=3, labels=labels, data_dir=None)


def test_a_list_and_its_other_columns(here):
    source = read(here("path,target,patient,split\na.png,1.5,x,train\nb.png,-2e1,y,train\nc.png,3,z,val\n"))
    assert source.labels == ("target",) and source.kind == "classes"
    train = source.splits["train"]
    assert train.targets.values.tolist() == [1.5, -20] and train.targets.values.dtype == np.float32
    assert train.columns["patient"].tolist() == ["x", "y"] and source.splits["val"].targets.values.tolist() == [3]


@pytest.mark.parametrize("target", [None, "age"])
def test_the_only_column_or_the_one_that_is_named(here, target):
    text = "path,age\na.png,1\nb.png,2\n" if target is None else "path,age,bmi\na.png,1,5\nb.png,2,x\n"
    source = read(here(text), target)
    assert source.labels == ("age",) and source.splits["train"].targets.values.tolist() == [1, 2]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("path,age,bmi\na.png,1,2\n", "list.csv: which column is to be learnt? Name one by --target: 'age', 'bmi'"),
        ("path,split\na.png,train\n", "no column of targets"),
        ("file,target\na.png,1\n", "must name path,target"),
        ("path,target,Target\na.png,1,2\n", "each column once"),
        ("path,target\na.png,1\nb.png,old\n", "line 3: target is 'old', no number"),
        ("path,target\na.png,1\nb.png,\n", "line 3: target is empty"),
        ("path,target\na.png,nan\nb.png,1\n", "line 2: target is 'nan'; give a finite number"),
        ("path,target\na.png,1e300\nb.png,1\n", "line 2: target is '1e300'; give a finite number of at most 3.4e"),
        ("path,target\na.png,1\nb.png,-inf\n", "line 3: target is '-inf'; give a finite"),
        ("path,target\na.png,1e39\nb.png,1\n", "line 2: target is '1e39'; give a finite"),
        ("path,target\na.png,3\nb.png,3\n", "list: in the training split target of all 2 is 3; there is nothing to learn"),
        ("path,target\na.png,1,2\n", "line 2: 3 cells under 2 columns"),
        ("path,target\na.png,1\n./a.png,2\n", "line 3: ./a.png is there already"),
        ("path,target\na.png,1\nd.png,2\n", "1 of its pictures not found: 'd.png'"),
        ("path,target\n,1\n", "line 2: the path is missing"),
        ("path,target,split\na.png,1,later\n", "split 'later' is not known"),
        ("path,target,split\na.png,1,\n", "line 2: the split is missing"),
        ("path,target,split\na.png,1,val\n", "no training split, only val"),
        ("path,target\n", "no training split, only nothing"),
    ],
)
def test_what_cannot_be_learnt_is_refused_with_the_line(here, text, words):
    with pytest.raises(InputError) as caught:
        read(here(text))
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("settings", "text", "words"),
    [
        ({"target": "weight"}, "path,age\na.png,1\n", "target=weight: list.csv has no such column; it has 'age'"),
        ({"loss": "corn"}, "path,s\na.png,1\nb.png,2.5\n", "line 3: s 2.5 is no grade; --loss corn is for whole numbers"),
        ({"loss": "corn"}, "path,s\na.png,1\nb.png,1000\n", "grades from 1 to 1000"),
        (
            {"loss": "corn"},
            "path,s,split\na.png,1,train\nb.png,2,train\nc.png,3,val\n",
            "line 4: s 3 is no grade that",
        ),
        ({"scale": "log"}, "path,s\na.png,1\nb.png,-2\n", "line 3: s -2 is negative; --target-scale log"),
        (
            {"loss": "corn", "labels": ("1", "2")},
            "path,s\na.png,7\n",
            "s 7 is no grade that the model knows, which are 1 to 2",
        ),
    ],
)
def test_what_does_not_suit_the_settings_or_the_model(here, settings, text, words):
    with pytest.raises(InputError) as caught:
        read(here(text), **settings)
    assert words in str(caught.value)


def test_grades_of_a_list_are_all_from_the_lowest_to_the_highest(here):
    source = read(here("path,s\na.png,3\nb.png,1\nc.png,4\n"), loss="corn")
    assert source.labels == ("1", "2", "3", "4")
    assert source.splits["train"].targets.values.tolist() == [2, 0, 3]


def test_names_in_another_form_of_unicode_and_columns_that_are_not_used(here, tmp_path):
    apart = unicodedata.normalize("NFD", "é.png")
    (tmp_path / "a.png").rename(tmp_path / apart)
    source = read(here("path,target,patient,age\né.png,1,x,3\nb.png,2,y,4\n"), "target")
    assert source.splits["train"].images.name(0).endswith(apart) and source.unused == ("patient", "age")
    with pytest.raises(InputError, match=r"line 3: .* is there already"):
        read(here(f"path,target\né.png,1\n{tmp_path / apart},2\n"))


def folders(root, names, per_class=2):
    for name in names:
        for number in range(per_class):
            save(root / name / f"{number}.png", np.full((4, 4, 3), number, np.uint8))
    return root


def test_folders_named_by_whole_numbers_are_grades_in_their_order(tmp_path):
    source = read(folders(tmp_path / "eyes", ["0", "2", "10"]))
    assert source.labels == tuple(map(str, range(11)))
    assert [source.splits["train"].targets.values[i] for i in range(6)] == [0, 0, 10, 10, 2, 2]  # as folders are sorted
    assert read(tmp_path / "eyes", loss="huber").labels == ("grade",)


def test_folders_of_words_are_refused(tmp_path):
    with pytest.raises(InputError, match="eyes: its classes are called 'mild', 'none'; name them by grades"):
        read(folders(tmp_path / "eyes", ["mild", "none"]))


# --- counts ---


def test_objects_are_counted_as_detection_reads_them(tmp_path):
    folder = objects(tmp_path / "cells", train=5, val=3)
    source = read(folder)
    boxes = data.open_source(folder, "boxes")
    for split, part in boxes.splits.items():
        expected = [int((~target.ignore).sum()) for _, target in part]
        assert source.splits[split].targets.values.tolist() == expected and source.labels == ("count",)
    name = boxes.labels[0]
    one = read(folder, f"count:{name}").splits["train"].targets.values
    assert one.tolist() == [int((~target.ignore & (target.labels == 0)).sum()) for _, target in boxes.splits["train"]]
    with pytest.raises(InputError, match="target=area: cells has objects; give one of 'count', 'count:"):
        read(folder, "area")


def instances(root, counts):
    for number, count in enumerate(counts):
        mask = np.zeros((8, 8), np.uint16)
        mask.flat[:count] = np.arange(3, 3 + count)
        save(root / "images" / f"{number}.png", np.zeros((8, 8, 3), np.uint8))
        save(root / "instances" / f"{number}.png", mask)
    return root


def test_instances_are_counted(tmp_path):
    assert read(instances(tmp_path / "nuclei", [2, 0, 5])).splits["train"].targets.values.tolist() == [2, 0, 5]


def test_a_mask_that_cannot_be_read_is_named(tmp_path):
    root = instances(tmp_path / "nuclei", [2, 3])
    (root / "instances" / "1.png").write_bytes(b"torn")
    with pytest.raises(InputError, match=r"instances/1\.png: the mask cannot be read.*cannot be counted: mend the annotation"):
        read(root)


def test_a_box_without_a_place_is_named(tmp_path):
    save(tmp_path / "train/1.png", np.zeros((8, 8, 3), np.uint8))
    content = {
        "images": [{"id": 1, "file_name": "1.png", "height": 8, "width": 8}],
        "categories": [{"id": 1, "name": "cell"}],
        "annotations": [{"image_id": 1, "category_id": 1, "bbox": [1, 2, float("nan"), 3]}],
    }
    (tmp_path / "annotations").mkdir()
    (tmp_path / "annotations/instances_train.json").write_text(json.dumps(content))
    with pytest.raises(InputError, match=r"1\.png: object 1 \(cell\) has no place.*cannot be counted"):
        read(tmp_path)


# --- validation ---


def test_validation_is_stratified_by_tenths_of_the_target():
    values = np.random.default_rng(0).gamma(2, 20, 200).astype(np.float32)

    class Pictures:
        def subset(self, indices):
            return self

    split = Split(Pictures(), data.Targets(values, "age"))
    cut = cut_val(data.Source("ages", ("age",), {"train": split}, 3), 0.1, seed=3)
    chosen, edges = cut.splits["val"].targets, np.quantile(values, np.arange(1, 10) / 10)
    assert np.bincount(np.searchsorted(edges, chosen.values), minlength=10).tolist() == [2] * 10
    assert chosen.name == "age" and len(cut.splits["train"]) == 180


def test_few_or_equal_numbers_can_be_cut():
    assert data.Targets(np.array([1, 2, 3], np.float32), "age").codes().tolist() == [0, 0, 0]
    same = data.Targets(np.array([0] * 95 + [1] * 5, np.float32), "age").codes()
    assert len(np.unique(same)) <= 2 and same.dtype == np.int64
    grades = data.Targets(np.array([2, 0, 1]), "grade")
    assert grades.codes().tolist() == [2, 0, 1] and grades.joined(grades).name == "grade"
