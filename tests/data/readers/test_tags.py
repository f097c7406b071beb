"""Several labels per picture: the ways to write them, and what is refused; the categories of boxes as presence."""

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from resnets.data.check import check
from resnets.data.groups import grouped
from resnets.data.readers import tags
from resnets.data.sources import open_source
from resnets.errors import InputError
from tests.data.made_dense import coco, voc


def read(data, in_chans=None, labels=None):
    return open_source(data, "tags", in_chans=in_chans, labels=labels)


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in "abc":
        Image.fromarray(np.full((4, 4, 3), ord(name), np.uint8)).save(f"{name}.png")

    def written(text, name="list.csv"):
        (tmp_path / name).write_text(text, encoding="utf-8")
        return name

    return written


def test_labels_in_a_cell_and_labels_in_columns_are_the_same(here):
    bars = read(here("path,labels,split\na.png,dog|cat,train\nb.png,,train\nc.png,dog,val\n"))
    columns = read(here("path,cat,dog,split\na.png,1,1.0,train\nb.png,0,0.0,train\nc.png,0,yes,val\n"))
    assert bars.labels == columns.labels == ("cat", "dog") and bars.kind == "tags"
    for split, rows in {"train": [[1, 1], [0, 0]], "val": [[0, 1]]}.items():
        assert bars.splits[split].targets.values.tolist() == columns.splits[split].targets.values.tolist() == rows
    assert bars.fingerprint() == columns.fingerprint()


def test_a_model_matches_labels_by_name(here):
    source = read(here("path,labels\na.png,cat\n"), 1, ("bird", "cat"))
    assert source.splits["train"].targets.values.tolist() == [[0, 1]] and source.in_chans == 1
    with pytest.raises(InputError, match=r"list\.csv line 3: the model does not know 'dog'; it has 'bird', 'cat'"):
        read(here("path,labels\na.png,cat\nb.png,dog\n"), 1, ("bird", "cat"))


def test_a_column_that_is_no_label_is_kept_apart(here):
    list_ = here("path,cat,patient\na.png,1,p1\nb.png,0,p2\n")
    source = tags.read_list(Path(list_), 3, None, leave_out=("patient",))
    assert source.labels == ("cat",) and source.splits["train"].columns["patient"].tolist() == ["p1", "p2"]
    assert source.splits["train"].subset(np.array([1])).columns["patient"].tolist() == ["p2"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("path,label\na.png,cat\n", "line 1: a column label is one class per picture, for --task classify"),
        ("path,label,fold\na.png,cat,1\n", "line 1: a column label is one class per picture, for --task classify"),
        ("file,labels\na.png,cat\n", "line 1: no column path; name path,labels"),
        ("path,split\na.png,train\n", "line 1: no labels; name path,labels"),
        ("path,labels,cat\na.png,cat,1\n", "line 1: labels in one cell, and columns of their own ('cat'); keep one"),
        ("path,cat,Cat\na.png,1,1\n", "line 1: two columns are called 'cat'"),
        ("path,cat,\na.png,1,1\n", "line 1: column 3 has no name"),
        ("path,labels\na.png,cat,dog\n", "line 2: 3 cells under 2 columns"),
        ("path,labels\na.png,cat\n./a.png,dog\n", "line 3: ./a.png is there already (list.csv line 2)"),
        ("path,labels\na.png,cat\nx.png,cat\ny.png,\n", "line 3: there is no 'x.png', and 1 pictures more; paths are rel"),
        ("path,labels\n,cat\n", "line 2: the path is missing"),
        ("path,labels,split\na.png,cat,later\n", "line 2: split 'later' is not known"),
        ("path,labels,split\na.png,cat,\n", "line 2: the split is missing; write train, val or test"),
        ("path,labels\na.png,\n", "no label in the training split"),
        ("path,labels,split\na.png,cat,val\n", "no training pictures"),
        ("path,labels,split\na.png,cat,train\nb.png,dog,val\n", "line 3: the training split does not have 'dog'"),
        ('path,labels\n"a.png,cat\n', "cannot be read as CSV"),
        ("path,cat\na.png,1\nb.png,NaN\n", "line 3: cat is 'NaN'; write 1 where the picture has the label, else 0"),
        ("path,cat\na.png,1\nb.png,\n", "line 3: cat is empty; write 1 where the picture has the label, else 0"),
        ("path,cat\na.png,1\nb.png,0.4\n", "line 3: cat is '0.4'; write 1"),
        ("path,labels\na.png,cat| |dog\n", "line 2: labels are 'cat| |dog', and between two bars there is no label"),
        ("path,labels\na.png,cat\nb.png,nan\n", "line 3: labels are 'nan'; leave the cell empty"),
        ("path,cat,dog\na.png,1,0\nb.png,1,0\n", "all 2 training pictures have the same labels; add pictures with and"),
        ("path,cat\na.png,1\n", "one training picture has the same labels"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_the_line(here, text, words):
    with pytest.raises(InputError, match=re.escape(words)):
        read(here(text))


def test_other_data_is_refused(here, tmp_path):
    with pytest.raises(InputError, match=r"not a layout that is known; give one of: a list: \.csv with path,labels"):
        read(str(tmp_path))
    with pytest.raises(InputError, match="--ignore-index and --masks are for these"):
        open_source(here("path,labels\na.png,cat\nb.png,\n"), "tags", ignore=3)


def test_a_list_is_known_by_its_first_line(here):
    assert open_source(here("path,labels\na.png,cat\nb.png,\n"), None).kind == "tags"
    assert open_source(here("path,cat,dog\na.png,1,0\nb.png,0,1\n"), None).kind == "tags"
    assert open_source(here("path,label,fold\na.png,cat,1\nb.png,dog,2\n"), None).kind == "classes"


# --- boxes ---


def test_the_categories_of_coco_are_labels_where_the_picture_has_an_object(tmp_path):
    box = {"bbox": [0, 0, 20, 20]}
    entries = [
        {"image_id": 1, "category_id": 3},
        {"image_id": 1, "category_id": 3},
        {"image_id": 3, "category_id": 7, "iscrowd": 1},
    ]
    images = [{"id": number, "file_name": f"{number}.jpg"} for number in (1, 2, 3)]
    source = read(str(coco(tmp_path, [entry | box for entry in entries], images=images)))
    assert source.labels == ("dog", "cat") and source.splits["train"].targets.values.tolist() == [[1, 0], [0, 0], [0, 1]]
    assert source.splits["train"].images.path(0).name == "1.jpg"
    assert open_source(str(tmp_path), None).kind == "boxes"


def test_pascal_vocs_too_and_what_is_not_known_is_an_error(tmp_path):
    box = (1, 1, 9, 9)
    lists = {"train": ["a", "b"], "val": ["c"]}
    folder = voc(tmp_path, lists, a=[("cat", *box), ("dog", *box, 1)], b=[], c=[("dog", *box)])
    source = read(str(folder))
    assert source.labels == ("cat", "dog")
    assert [source.splits[split].targets.values.tolist() for split in lists] == [[[1, 1], [0, 0]], [[0, 1]]]
    (folder / "Annotations" / "b.xml").unlink()
    with pytest.raises(InputError, match=r"b\.jpg: there is no Annotations/b\.xml; mend it, or take"):
        read(str(folder))


# --- a look beforehand ---


def test_a_look_counts_labels_and_names_pictures_by_theirs(here):
    Image.open("a.png").save("d.png")
    (Path("e.png")).write_bytes(b"no picture")
    list_ = here("path,labels,split\na.png,cat|dog,train\nb.png,,train\nc.png,dog,val\nd.png,dog,train\ne.png,cat,train\n")
    findings = {finding.kind: finding for finding in check(read(list_)).findings}
    assert [item["name"].endswith("e.png") for item in findings["unreadable"].items] == [True]
    (pair,) = findings["disputed"].items
    assert [picture["label"] for picture in pair] == ["cat|dog", "dog"]
    assert findings["labels"].items == [{"label": "cat", "train": 1, "val": 0}, {"label": "dog", "train": 2, "val": 1}]
    assert "1.0 labels a picture, 1 picture without any; readable pictures: train 3, val 1" in findings["labels"].text
    assert findings["one_valued_labels"].items == [{"label": "cat", "val": "0 of 1"}, {"label": "dog", "val": "1 of 1"}]
    assert findings["tiny_labels"].items == [{"label": "cat", "train": 1}, {"label": "dog", "train": 2}]


@pytest.mark.parametrize(
    "text", ["path,labels,who\na.png,dog|cat,p 1\nb.png,,p2\n", "path,cat,who,dog\na.png,1,p 1,1\nb.png,0,p2,0\n"]
)
def test_the_column_that_groups_are_made_by_is_no_label(here, text):
    source = grouped(open_source(here(text), "tags", leave_out=["who"]), "who")
    assert source.labels == ("cat", "dog") and source.splits["train"].groups.tolist() == ["p 1", "p2"]
