"""Lists of pictures with several labels: both ways to write them, and what is refused."""

import numpy as np
import pytest
from PIL import Image

from resnets.data.groups import grouped
from resnets.errors import InputError
from resnets.tasks.tag import data


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
    bars = data.read(here("path,labels,split\na.png,dog|cat,train\nb.png,,train\nc.png,dog,val\n"), None, None)
    columns = data.read(here("path,cat,dog,split\na.png,1,1,train\nb.png,0,0,train\nc.png,0,yes,val\n"), None, None)
    assert bars.labels == columns.labels == ("cat", "dog")
    for split, rows in {"train": [[1, 1], [0, 0]], "val": [[0, 1]]}.items():
        assert bars.splits[split].targets.values.tolist() == columns.splits[split].targets.values.tolist() == rows
    assert bars.fingerprint() == columns.fingerprint()


def test_a_model_matches_labels_by_name(here):
    source = data.read(here("path,labels\na.png,cat\n"), 1, ("bird", "cat"))
    assert source.splits["train"].targets.values.tolist() == [[0, 1]] and source.in_chans == 1


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("path,label\na.png,cat\n", "label is 'cat'; write 1"),
        ("file,labels\na.png,cat\n", "must name path,labels"),
        ("path,labels,cat\na.png,cat,1\n", "must name path,labels"),
        ("path,labels\na.png,cat,dog\n", "line 2: 3 cells under 2 columns"),
        ("path,labels\na.png,cat\n./a.png,dog\n", "line 3: ./a.png is there already"),
        ("path,labels\nmissing.png,cat\n", "1 of its pictures not found: 'missing.png'; paths are relative to the list"),
        ("path,labels\n,cat\n", "line 2: the path is missing"),
        ("path,labels,split\na.png,cat,later\n", "split 'later' is not known"),
        ("path,labels\na.png,\n", "no label in the training split"),
        ("path,labels,split\na.png,cat,train\nb.png,dog,val\n", "the training split does not have 'dog'"),
        ('path,labels\n"a.png,cat\n', "cannot be read as CSV"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_the_line(here, text, words):
    with pytest.raises(InputError, match=words.replace("(", "[(]")):
        data.read(here(text), None, None)


def test_other_data_is_refused(here, tmp_path):
    with pytest.raises(InputError, match="not a list; give a CSV"):
        data.read(str(tmp_path), None, None)


@pytest.mark.parametrize(
    "text", ["path,labels,who\na.png,dog|cat,p 1\nb.png,,p2\n", "path,cat,who,dog\na.png,1,p 1,1\nb.png,0,p2,0\n"]
)
def test_the_column_that_groups_are_made_by_is_no_label(here, text):
    source = grouped(data.read(here(text), None, None, "who"), "who")
    assert source.labels == ("cat", "dog") and source.splits["train"].groups.tolist() == ["p 1", "p2"]
