"""The check of labels names file, object and rule, counts them, and says what real sets hold."""

import json
import os
import re
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from resnets.cli.main import cli
from resnets.data.check.findings import lines
from resnets.data.check.labels import check_labels
from resnets.data.sources import open_source
from resnets.errors import InputError
from resnets.tasks import get
from tests.data.made_dense import coco, save, voc
from tests.data.readers.test_masks import broken_masks, folder, mask

CAT = ("cat", 2, 3, 9, 8)
REAL = Path(os.environ.get("RESNETS_DENSE_DATA", "/nowhere"))


def of(findings):
    return {finding.kind: finding for finding in findings.findings}


def faulty(root):
    return voc(
        root, {"train": ["a", "b", "c"], "val": ["d", "e"]},
        a=[CAT, ("cat", 5, 5, 5, 9), CAT], b=[("dog", 30, 1, 45, 9), ("dog", 9, 9, 1, 1, True)], c=[], d=[CAT], e="<cut off",
    )  # fmt: skip


def test_every_fault_is_counted_and_named(tmp_path):
    seen = []
    findings = check_labels(open_source(faulty(tmp_path), None), progress=lambda done, total: seen.append((done, total)))
    found = of(findings)
    assert findings.num_images == 5 and seen[-1] == (5, 5)
    alike = {"leakage": "error", "duplicates": "warning", "not_compared": "note"}  # all pictures are one grey
    assert {kind: finding.level for kind, finding in found.items()} == alike | {
        "bad_annotation": "error", "empty": "warning", "past_edge": "warning", "inverted": "warning", "duplicate": "warning",
        "missing_classes": "warning", "tiny_classes": "warning", "negative": "note", "ignored": "note", "classes": "note",
        "objects": "note",
    }  # fmt: skip
    (item,) = found["empty"].items
    assert item["name"].endswith("a.jpg") and item["split"] == "train" and item["what"] == "object 2 (cat): x 5 to 5, y 5 to 9"
    assert found["classes"].items == [{"label": "cat", "train": 1, "val": 1}, {"label": "dog", "train": 1, "val": 0}]
    assert found["missing_classes"].items == [{"label": "dog", "missing in": "val"}]
    assert any("empty 1: box without width or height; counts neither" in line for line in lines(findings))


def test_masks(tmp_path):
    found = of(check_labels(open_source(broken_masks(tmp_path), None)))
    errors = {kind: len(finding.items) for kind, finding in found.items() if finding.level == "error"}
    assert errors == {"bad_annotation": 2, "unknown_index": 1, "missing_annotation": 1, "missing_picture": 1, "wrong_size": 1}
    assert found["classes"].items == [{"label": "a", "train": 600}, {"label": "b", "train": 600}]


def test_a_picture_that_cannot_be_read(tmp_path):
    root = folder(tmp_path, a=mask(0, 1), b=mask(0, 1))
    (root / "images/b.jpg").write_text("no picture")
    assert [item["name"] for item in of(check_labels(open_source(root, None)))["unreadable"].items] == [
        str(root / "images/b.jpg")
    ]


def test_the_command(tmp_path):
    run = CliRunner().invoke(cli, ["data", "check", str(faulty(tmp_path / "set")), "--json"])
    found = json.loads(run.stdout)
    assert run.exit_code == 2 and found["num_errors"] == 2 and found["num_warnings"] == 7
    run = CliRunner().invoke(cli, ["data", "check", str(folder(tmp_path / "masks", a=mask(0, 1, 2, 2))), "--ignore-index", "2"])
    assert run.exit_code == 0 and "2 classes, pixels of each" in run.stdout
    save(tmp_path / "pets/cat/a.png", np.zeros((4, 4), np.uint8))
    save(tmp_path / "pets/dog/a.png", np.ones((4, 4), np.uint8))
    run = CliRunner().invoke(cli, ["data", "check", str(tmp_path / "pets"), "--ignore-index", "2"])
    assert isinstance(run.exception, InputError) and "--ignore-index and --masks are for these" in str(run.exception)


def test_which_labels_are_looked_at_can_be_said(tmp_path):
    """A folder with boxes and masks of classes: boxes first; and with masks, those of objects."""
    both = voc(tmp_path / "both", {"train": ["a"]}, a=[("cat", 1, 1, 9, 9)])
    save(both / "SegmentationClass/a.png", np.zeros((7, 7), np.uint8) + np.arange(7, dtype=np.uint8) % 2)
    for words, told in (([], "objects of each"), (["--task", "segment"], "wrong_size 1")):
        assert told in CliRunner().invoke(cli, ["data", "check", str(both), *words]).stdout
    plain = coco(tmp_path / "plain", [{"image_id": 1, "category_id": 7, "bbox": [1, 1, 9, 9]}])
    found = [CliRunner().invoke(cli, ["data", "check", str(plain), *words]).stdout for words in ([], ["--masks"])]
    assert "no_mask" not in found[0] and "no_mask 1" in found[1]


def test_volumes(tmp_path):
    pytest.importorskip("nibabel")
    from tests.data import made_volumes
    from tests.data.pictures.test_volumes import CLASSES, labelled

    source = open_source(labelled(tmp_path, CLASSES), None)
    found = of(check_labels(source))
    assert "3 classes, voxels of each" in found["classes"].text and len(found) == 2
    assert found["spacings"].text.endswith("(slices, rows, columns): median 3 x 1 x 0.5, from 3 x 1 x 0.5 to 3 x 1 x 0.5")
    made_volumes.folder(tmp_path / "cut", train=2, val=1)
    path = tmp_path / "cut/train/images/0.nii.gz"
    path.write_bytes(path.read_bytes()[:-900])
    source = open_source(tmp_path / "cut", None)
    assert "unreadable" in of(check_labels(source)) and "unreadable" not in of(check_labels(source, voxels=False))


# What real sets hold, as their authors left them.
SETS = {
    "bccd": ({}, {"train": 205, "val": 87}, {"empty": 2}, [2381 + 967, 209 + 83, 214 + 87]),
    "camvid": ({"ignore": 11}, {"train": 367, "val": 101}, {}, None),
    "nuclei": ({}, {"train": 400, "val": 100}, {}, [17708 + 4204]),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", SETS)
def test_real_sets(name):
    if not (REAL / name).is_dir():
        pytest.skip(f"{name} is not there; $RESNETS_DENSE_DATA is the folder of bccd, camvid and nuclei")
    settings, pictures, faults, objects = SETS[name]
    source = open_source(REAL / name, None, **settings)
    found = of(check_labels(source))
    assert {split: len(part) for split, part in source.splits.items()} == pictures
    assert {kind: len(f.items) for kind, f in found.items() if f.level != "note"} == faults
    if objects:
        assert sorted(item["train"] + item["val"] for item in found["classes"].items) == sorted(objects)


# --- nothing to learn, and pictures that are there twice ---


def objects_of(root, bbox, num=6, **more):
    images = [{"id": n, "file_name": f"{n}.jpg", "width": 40, "height": 30} for n in range(num)]
    boxes = [{"image_id": n, "category_id": 7, "bbox": bbox, **more} for n in range(num)]
    return coco(root, boxes, images=images, categories=((7, "cell"),))


NOTHING = {
    "fractions": ([0.2, 0.3, 0.3, 0.4], r"no usable object of 'cell' in the training split; its coordinates lie from 0 to 1"),
    "no corners": ([None] * 4, r"no object has all of its corners \(rotated boxes"),
    "elsewhere": ([90, 90, 5, 5], r"the faults found: outside 6"),
}


@pytest.mark.parametrize("case", NOTHING)
def test_nothing_to_learn_is_an_error_with_its_cause(tmp_path, case):
    bbox, words = NOTHING[case]
    root = objects_of(tmp_path, bbox)
    (finding,) = [f for f in check_labels(open_source(root, None)).findings if f.kind == "nothing"]
    assert finding.level == "error" and re.search(words, finding.text)
    run = CliRunner().invoke(cli, ["data", "check", str(root)])
    assert run.exit_code == 2 and finding.text in run.stdout
    source = open_source(root, None)
    with pytest.raises(InputError, match=words):
        get("detect").check_counts(source, np.zeros(1, int))
    get("detect").check_counts(source, np.ones(1, int))


def test_corners_where_coco_has_sides(tmp_path):
    (finding,) = [
        f for f in check_labels(open_source(objects_of(tmp_path, [20, 12, 36, 28]), None)).findings if f.kind == "cause"
    ]
    assert finding.level == "error"
    assert finding.text.startswith("6 of 6 boxes reach past their image, and none would if bbox were x0, y0, x1, y1")
    assert "cause" not in of(check_labels(open_source(objects_of(tmp_path / "right", [2, 2, 36, 28]), None)))


def test_pixels_of_one_class_alone_are_an_error(tmp_path):
    root = folder(tmp_path, train__a=mask(0, 255), val__b=mask(0, 2))
    (root / "classes.txt").write_text("a\nb\nc\n")
    assert of(check_labels(open_source(root, None)))["nothing"].text.startswith("no usable pixel of 'b', 'c' in the training")
    save(root / "train/masks/a.png", mask(0, 2))
    assert of(check_labels(open_source(root, None)))["missing_classes"].level == "warning"


def test_the_same_pictures_in_two_splits_are_found_as_in_classification(tmp_path):
    for split, num in (("train", 3), ("val", 2)):
        for number in range(num):
            noise = np.random.default_rng(number).integers(0, 255, (40, 48, 3), np.uint8)
            save(
                tmp_path / split / f"images/{number}.png",
                np.clip(noise + (number == 1 and split == "val"), 0, 255).astype(np.uint8),
            )
            save(tmp_path / split / f"masks/{number}.png", np.arange(1920).reshape(40, 48).astype(np.uint8) % 2)
    found = of(check_labels(open_source(tmp_path, None)))
    assert found["leakage"].level == "error" and found["leakage"].text.startswith("1 group (2 pictures) of identical pictures")
    assert found["near_leakage"].level == "error"
    assert any(line.endswith("val/images/0.png") for line in lines(check_labels(open_source(tmp_path, None))))


def test_a_file_is_one_image_of_one_split(tmp_path):
    images = [{"id": n, "file_name": "0.jpg", "width": 40, "height": 30} for n in (1, 2)]
    with pytest.raises(InputError, match=r"1 files are more than one image of train, as .*0.jpg; put all labels"):
        open_source(coco(tmp_path / "a", [], images=images), None)
    root = coco(tmp_path / "b", [])
    content = (root / "annotations/instances_train2017.json").read_text()
    (root / "annotations/instances_val2017.json").write_text(content)
    (root / "train2017").rename(root / "images")
    with pytest.raises(InputError, match=r"2 files are in train and in val, as .*1.jpg, which makes scores too good"):
        open_source(root, None)
