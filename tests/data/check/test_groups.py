"""Likely groups are found where names and looks agree, are told with evidence, and what is suggested works when pasted."""

import shlex

import numpy as np
import pytest
from PIL import Image

from resnets.data.check import check, groups, leaks
from resnets.data.check.findings import LEAKAGE
from resnets.data.check.groups import look
from resnets.data.groups import grouped
from resnets.data.sources import open_source
from tests.data.made_folders import csv


def save(path, seed, shade=0):
    """Blobs of a seed, of which some are brighter."""
    rough = np.random.default_rng(seed).integers(0, 200, (4, 4, 3), dtype=np.uint8) + np.uint8(shade)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(rough).resize((40, 40), Image.Resampling.BICUBIC).save(path)


def series(root, *splits, alike=True):
    """Twelve series of four pictures, of two classes; those of a series look alike, or no more than any others."""
    for n in range(48):
        split = f"{splits[n % len(splits)]}/" if splits else ""
        save(root / f"{split}{['cat', 'dog'][n // 4 % 2]}/s{n // 4:02}_{n}.png", n // 4 if alike else n, n % 4)
    return root


@pytest.mark.parametrize("when", ["2024:05:01 10:00:{:02}", "none {}"])
def test_bursts_are_looked_for_where_a_picture_of_a_sample_has_a_date(when, tmp_path):
    for n in range(6):
        (tmp_path / "ab"[n % 2]).mkdir(exist_ok=True)
        exif = Image.Exif()
        exif[groups.groups.WRITTEN] = when.format(n)
        Image.new("RGB", (8, 8), (n, 0, 0)).save(tmp_path / "ab"[n % 2] / f"{n}.jpg", exif=exif)
    assert groups.dated(open_source(tmp_path)) is when.startswith("2024")


def found(root):
    (finding,) = look(open_source(root))
    return finding


def test_a_series_is_suggested_in_a_form_that_works(tmp_path):
    finding = found(series(tmp_path))
    assert (finding.level, finding.kind) == ("warning", "likely_groups")
    assert "12 likely groups by '{series}_*'" in finding.text and "of the same group for 100%" in finding.text
    words = shlex.split(finding.text)
    by = words[words.index("--group-by") + 1]
    assert sorted(set(grouped(open_source(tmp_path), by).splits["train"].groups)) == [f"s{n:02}" for n in range(12)]
    assert finding.items[0] == {"label": "s00", "train": 4}


def test_a_series_across_splits_is_an_error_and_apart_it_is_none(tmp_path):
    finding = found(series(tmp_path / "a", "train", "val"))
    assert (finding.level, finding.kind) == ("error", "groups_across")
    assert "12 of 12 likely groups" in finding.text and "'s00' (train 2, val 2)" in finding.text
    assert "--group-by '{series}_*'" in finding.text
    root = series(tmp_path / "b", "train")
    for label in "cat", "dog":
        for path in (root / "train" / label).glob("s0[0-3]*"):
            (root / "val" / label).mkdir(parents=True, exist_ok=True)
            path.rename(root / "val" / label / path.name)
    assert found(root).level == "note" and "each in one split" in found(root).text


def test_names_alone_are_no_evidence(tmp_path):
    finding = found(series(tmp_path, alike=False))
    assert (finding.level, finding.kind) == ("note", "names") and "look no more alike than others" in finding.text


@pytest.mark.parametrize("name", ["{label}_{n}.png", "{n}.png", "img_{n}.png"])
def test_classes_and_counters_are_no_groups(name, tmp_path):
    for n in range(24):
        label = ["cat", "dog"][n % 2]
        save(tmp_path / label / name.format(label=label, n=n), n)
    assert not list(look(open_source(tmp_path)))


def test_the_coarsest_likely_way_is_suggested_and_columns_are_tried(tmp_path):
    for n in range(48):
        save(tmp_path / f"{n}.png", n // 8, n % 8)
    rows = [f"{n}.png,{'ab'[n // 8 % 2]},p{n // 8},q{n // 4}" for n in range(48)]
    finding = found(csv(tmp_path / "list.csv", "path,label,patient,visit", *rows))
    assert "6 likely groups by 'patient'" in finding.text and "'visit' (12)" in finding.text


def test_given_groups_are_checked_instead(tmp_path):
    source = grouped(open_source(series(tmp_path, "train", "test")), "{series}_*")
    findings = {one.kind: one for one in check(source).findings}
    assert findings["groups_across"].level == "error" and findings["groups_across"].items[0] == {
        "label": "s00",
        "train": 2,
        "test": 2,
    }
    (finding,) = look(grouped(open_source(tmp_path), r"_(\d+)\.png"))
    assert finding.level == "note" and "none stands in more than one split" in finding.text


def test_volumes_and_unreadable_pictures_are_no_evidence(tmp_path):
    for path in series(tmp_path).rglob("*.png"):
        path.write_bytes(b"")
    assert found(tmp_path).kind == "names"
    assert groups.thumbnail(open_source(tmp_path), 99) is None


def test_identical_files_across_splits(tmp_path):
    source = open_source(series(tmp_path, "train", "val"))
    assert leaks.leaks(source) is None
    first = next((tmp_path / "train" / "cat").glob("*.png"))
    (tmp_path / "val" / "dog" / "s99_9.png").write_bytes(first.read_bytes())
    assert leaks.leaks(open_source(tmp_path)) == f"1 group (2 pictures) {LEAKAGE}"
    kinds = {one.kind: one.level for one in check(open_source(tmp_path)).findings}
    assert kinds["leakage"] == kinds["near_leakage"] == kinds["groups_across"] == "error"
    assert leaks.leaks(open_source("digits")) is None
