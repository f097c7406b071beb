"""What `group_by` means: columns, patterns, expressions, folders, bursts; and what it cannot mean."""

import numpy as np
import pytest
from PIL import Image

from resnets.data import groups
from resnets.data.groups import check_apart, grouped
from resnets.data.sources import open_source
from resnets.errors import InputError
from tests.data.made_folders import csv, folder, picture


def of(source, by, split="train"):
    return grouped(source, by).splits[split].groups.tolist()


@pytest.fixture
def files(tmp_path):
    for name in ("a/x1/p1_0.png", "a/x1/p1_1.png", "a/x2/p2_0_b.png", "b/x1/p1_2.png", "b/x3/p-3_0.png"):
        picture(tmp_path / name)
    return open_source(tmp_path)


@pytest.mark.parametrize(
    ("by", "expected"),
    [
        ("{patient}_*.png", ["p1", "p1", "p2", "p1", "p-3"]),
        ("{patient}_*", ["p1", "p1", "p2", "p1", "p-3"]),
        ("{site}/{patient}_*", ["x1/p1", "x1/p1", "x2/p2", "x1/p1", "x3/p-3"]),
        ("{site}/*", ["x1", "x1", "x2", "x1", "x3"]),
        (r"(\w+)/", ["a", "a", "a", "b", "b"]),
        (r"(\w+)/[^/]+$", ["x1", "x1", "x2", "x1", "x3"]),
        (r"p-?(\d)_", ["1", "1", "2", "1", "3"]),
        ("folder", ["x1", "x1", "x2", "x1", "x3"]),
        ("folder:2", ["a", "a", "a", "b", "b"]),
    ],
)
def test_paths(by, expected, files):
    assert of(files, by) == expected


@pytest.mark.parametrize(
    ("by", "words"),
    [
        ("{p}_*_*.png", r"4 of 5 pictures without a group by .*; for example a/x1/p1_0.png, a/x1/p1_1.png, b/"),
        ("folder:4", "5 of 5 pictures without a group"),
        ("patient", "no column of that name; give a column of the list; a pattern"),
        ("PatientID", "only DICOM files have one of their own"),
        ("(a", "not a regular expression"),
        (r"(\w)(\w)", "2 groups; put one pair of brackets"),
        ("{p}_{p}.png", "a name comes twice"),
        ("burst", "no picture says when it was taken"),
        ("", "no column of that name"),
    ],
)
def test_what_means_nothing_is_refused_with_examples(by, words, files):
    with pytest.raises(InputError, match=words):
        grouped(files, by)


def test_columns_of_a_list(tmp_path):
    for name in "abcd":
        picture(tmp_path / f"{name}.png")
    lines = ["path,label,Patient,split", "a.png,cat,p 1,train", "b.png,dog,p 1,train", "c.png,dog,,train", "d.png,cat,p2,test"]
    source = open_source(csv(tmp_path / "list.csv", *lines))
    assert source.splits["test"].columns["Patient"].tolist() == ["p2"]
    with pytest.raises(InputError, match=r"1 of 4 pictures without a cell in the column 'Patient'.*c.png"):
        grouped(source, "Patient")
    with pytest.raises(InputError, match=r"no column of that name \(it has Patient\)"):
        grouped(source, "patients")
    source = open_source(csv(tmp_path / "list.csv", *lines[:3], *lines[4:]))
    assert of(source, "Patient") == ["p 1", "p 1"] and of(source, "Patient", "test") == ["p2"]
    csv(tmp_path / "f" / "train.csv", "path,label,Patient", "../a.png,cat,1", "../b.png,dog,2")
    csv(tmp_path / "f" / "test.csv", "path,label", "../c.png,cat")
    with pytest.raises(InputError, match="no column 'Patient' in test"):
        grouped(open_source(tmp_path / "f"), "Patient")


def test_arrays_have_no_paths():
    with pytest.raises(InputError, match="no paths or columns"):
        grouped(open_source("digits"), "folder")


def test_bursts(tmp_path):
    times = {"a/0": "12:00:00", "a/1": "12:00:40", "b/2": "12:01:30", "b/3": "12:05:00", "b/4": None, "a/5": "nonsense"}
    for name, time in times.items():
        path = tmp_path / f"{name}.jpg"
        path.parent.mkdir(exist_ok=True)
        exif = Image.Exif()
        if time:
            exif.get_ifd(groups.EXIF_IFD)[groups.TAKEN] = f"2026:05:01 {time}"
        Image.new("L", (8, 8)).save(path, exif=exif)
    source = open_source(tmp_path)
    names = [source.splits["train"].images.relative(n) for n in range(6)]
    by_name = dict(zip(names, of(source, "burst"), strict=True))
    assert by_name["a/0.jpg"] == by_name["a/1.jpg"] == by_name["b/2.jpg"] == "2026-05-01 12:00:00"
    assert len(set(by_name.values())) == 4 and by_name["b/4.jpg"] == "b/4.jpg"
    assert len(set(of(source, "burst:45"))) == 5, "50 seconds are too many"


def test_groups_are_part_of_the_fingerprint_and_of_subsets(files):
    assert grouped(files, None) is files
    found = grouped(files, "folder")
    assert found.fingerprint() != files.fingerprint() == grouped(files, None).fingerprint()
    assert found.splits["train"].subset(np.array([4, 0])).groups.tolist() == ["x3", "x1"]


def test_a_group_in_two_splits(tmp_path):
    source = open_source(folder(tmp_path, train__a=3, train__b=2, test__a=1, test__b=2))
    check_apart(grouped(source, "folder:2"), "folder:2")
    with pytest.raises(InputError, match=r"2 groups of group_by='folder'.*'a' \(train 3, test 1\).*put each group"):
        check_apart(grouped(source, "folder"), "folder")
