"""CSV lists are strict: every line that may mean something else is named with its number."""

import unicodedata

import pytest

from resnets.data.groups import grouped
from resnets.data.sources import open_source
from resnets.errors import InputError
from tests.data.made_folders import csv, names, picture

LINES = [f"{number}.png,{'ab'[number % 2]}" for number in range(8)]


@pytest.fixture
def root(tmp_path):
    for number in range(8):
        picture(tmp_path / f"{number}.png")
    return tmp_path


FAULTS = {
    "a quote to the end": ([*LINES[:5], '5.png,"b', *LINES[6:]], r"line 7: cannot be read as CSV .*quote that is opened there"),
    "two quotes": ([*LINES[:2], '2.png,"a', "3.png,b", '4.png,a"', *LINES[5:]], "line 4: a quote is open, and the next lines"),
    "a comma in a label": ([*LINES, "0.png,black, white"], "line 10: 3 cells under 2 columns"),
    "a cell too few": ([*LINES, "0.png"], "line 10: the path or the label is missing"),
    "no label": ([*LINES, "0.png, "], "line 10: the path or the label is missing"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_lines_that_mean_something_else(root, fault):
    content, message = FAULTS[fault]
    with pytest.raises(InputError, match=message):
        open_source(csv(root / "l.csv", "path,label", *content))


def test_a_missing_split_is_not_training(root):
    content = [f"{line},{'val' if number > 5 else 'train'}" for number, line in enumerate(LINES)]
    with pytest.raises(InputError, match="line 4: the split is missing; write train, val or test"):
        open_source(csv(root / "l.csv", "path,label,split", *content[:2], f"{LINES[2]},", *content[3:]))
    with pytest.raises(InputError, match="names a column twice"):
        open_source(csv(root / "l.csv", "path,label,Label", "0.png,a,b"))


@pytest.mark.parametrize("sign", [";", "\t"])
def test_other_signs_than_commas_are_named(root, sign):
    with pytest.raises(InputError, match=r"separated by '.{1,2}'; save it with commas"):
        open_source(csv(root / "l.csv", f"path{sign}label", *(line.replace(",", sign) for line in LINES)))


@pytest.mark.parametrize("spelling", ["./0.png", "{root}/0.png", "../{name}/0.png", "x/../0.png"])
def test_a_file_has_one_label_and_one_split_however_it_is_written(root, spelling):
    again = spelling.format(root=root, name=root.name)
    for line in (f"{again},b,train", f"{again},a,val"):
        with pytest.raises(InputError, match=r"line 10: .*above it is in train with label 'a'; give each image one"):
            open_source(csv(root / "l.csv", "path,label,split", *(f"{line},train" for line in LINES), line))
    source = open_source(csv(root / "l.csv", "path,label,split", *(f"{line},train" for line in LINES), f"{again},a,train"))
    assert len(source.splits["train"]) == 8 and [note.kind for note in source.notes] == ["repeated"]
    assert "1 lines name an image again, as" in source.notes[0].text


def test_columns_that_are_not_used_are_named(root):
    content = [f"{line},p{number},3" for number, line in enumerate(LINES)]
    source = open_source(csv(root / "l.csv", "path,label,Patient,age", *content))
    assert source.unused == ("Patient", "age")
    assert [note.text for note in source.told] == ["columns that are not used: 'Patient', 'age'"]
    assert grouped(source, "Patient").unused == ("age",)
    assert not open_source(csv(root / "m.csv", "path,label", *LINES)).told
    (root / "l.csv").rename(root / "train.csv")
    assert open_source(root).unused == ("Patient", "age")


def test_notes_over_several_lines_belong_to_their_column(root):
    source = open_source(csv(root / "l.csv", "path,label,remark", *(f'{line},"one\ntwo"' for line in LINES)))
    assert len(source.splits["train"]) == 8
    with pytest.raises(InputError, match=r"line 10: the path or the label"):
        open_source(csv(root / "l.csv", "path,label,remark", *(f'{line},"one\ntwo"' for line in LINES[:4]), ",a,"))


def test_paths_in_another_form_of_unicode_are_found_and_said(root):
    apart = unicodedata.normalize("NFD", "é.png")
    (root / "0.png").rename(root / apart)
    source = open_source(csv(root / "l.csv", "path,label", "é.png,a", *LINES[1:]))
    assert names(source.splits["train"])[0] == apart
    assert source.notes[0].text.startswith("1 paths are spelled in another form of Unicode (NFC, NFD) than the files: 'é.png'")
