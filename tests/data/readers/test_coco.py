"""COCO's JSON as it lies on disk, its crowds and masks, and every fault of the file."""

import json

import numpy as np
import pytest

from resnets.data.readers.label_rules import BadLabel
from resnets.data.readers.outlines import _polygons, object_masks
from resnets.data.sources import open_source
from resnets.errors import InputError
from tests.data.made_dense import coco, picture, rules


def box(image=1, category=7, bbox=(1, 2, 8, 6), **rest):
    return {"image_id": image, "category_id": category, "bbox": list(bbox)} | rest


def test_boxes_crowds_and_negatives(tmp_path):
    source = open_source(coco(tmp_path / "pets", [box(), box(category=3, bbox=(0, 0, 40, 30), iscrowd=1)]), None)
    assert (source.kind, source.labels) == ("boxes", ("dog", "cat"))  # by their ids
    _, boxes = source.splits["train"][0]
    assert boxes.xyxy.tolist() == [[1, 2, 9, 8], [0, 0, 40, 30]]
    assert boxes.labels.tolist() == [1, 0] and boxes.ignore.tolist() == [False, True]
    assert rules(source.splits["train"].read(1).faults) == ["negative"]


def test_validation_is_matched_by_name(tmp_path):
    coco(tmp_path, [box()])
    source = open_source(coco(tmp_path, [box(category=1)], "val", categories=((1, "cat"),)), None)
    assert source.splits["val"][0][1].labels.tolist() == [1]
    with pytest.raises(InputError, match=r"objects called 'cow', and .*train2017.json has only 'dog', 'cat'"):
        open_source(coco(tmp_path, [box(category=1)], "val", categories=((1, "cow"),)), None)


def test_roboflows_layout_and_pictures_in_images(tmp_path):
    coco(tmp_path / "a", [box()])
    (tmp_path / "a/train2017").rename(tmp_path / "a/images")
    assert len(open_source(tmp_path / "a", None).splits["train"]) == 2
    coco(tmp_path / "b", [box()])
    (tmp_path / "b/train2017").rename(tmp_path / "b/valid")
    (tmp_path / "b/annotations/instances_train2017.json").rename(tmp_path / "b/valid/_annotations.coco.json")
    assert list(open_source(tmp_path / "b", None).splits) == ["val"]


FAULTS = {
    "no width": ((1, 2, 0, 6), ["empty"]),
    "negative width": ((9, 2, -8, 6), ["inverted"]),
    "text": (("1", "x", "8", "6"), ["not_finite"]),
    "three numbers": ((1, 2, 3), ["not_finite"]),
    "NaN": ((1, 2, float("nan"), 6), ["not_finite"]),
    "past the edge": ((35, 2, 8, 6), ["past_edge"]),
}


@pytest.mark.parametrize("case", FAULTS)
def test_boxes_that_cannot_be_right(tmp_path, case):
    bbox, applied = FAULTS[case]
    split = open_source(coco(tmp_path, [box(bbox=bbox), box(bbox=(3, 3, 5, 5))]), None).splits["train"]
    if applied == ["not_finite"]:
        with pytest.raises(BadLabel, match=r"object 1 \(cat\) has no place"):
            split.read(0)
    else:
        assert rules(split.read(0).faults) == applied


def test_an_annotation_of_no_picture_and_a_picture_that_is_not_there(tmp_path):
    root = coco(tmp_path, [box(), box(99)])
    (root / "train2017/2.jpg").unlink()
    split = open_source(root, None).splits["train"]
    assert len(split) == 3 and len(split[0][1].labels) == 1
    for index in (1, 2):
        with pytest.raises(BadLabel) as bad:
            split[index]
        assert bad.value.rule == "missing_picture"


def image(**changes):
    return [{"id": 1, "file_name": "1.jpg", "width": 40, "height": 30} | changes]


REFUSED = {
    "unknown category": ({"annotations": [box(category=5)]}, "annotation 1 has category 5; there are '3', '7' only"),
    "leads out": ({"annotations": [box()], "images": image(file_name="../1.jpg")}, "leads out of its folder"),
    "same id": ({"annotations": [box()], "images": image() + image()}, "two images have the same id"),
    "same name": ({"annotations": [box()], "categories": ((1, "a"), (2, "a"))}, "a name or an id twice"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_files_that_are_refused(tmp_path, case):
    given, words = REFUSED[case]
    with pytest.raises(InputError, match=words):
        open_source(coco(tmp_path / "set", **given), None)


@pytest.mark.parametrize(
    "text", ["{", "[1]", '{"images": 3}', '{"images": [3]}', "[" * 100_000, '{"images": [{"id": "x", "file_name": 3}]}']
)
def test_text_that_is_no_annotation(tmp_path, text):
    path = coco(tmp_path, [box()]) / "annotations/instances_train2017.json"
    path.write_text(text)
    with pytest.raises(InputError, match=r"cannot be read as COCO's JSON|not COCO's instances"):
        open_source(tmp_path, None)


def test_a_size_that_the_picture_has_not(tmp_path):
    split = open_source(coco(tmp_path, [box()], images=image(width=41)), None).splits["train"]
    picture(tmp_path / "train2017/1.jpg")
    with pytest.raises(BadLabel, match="41 x 30 pixels, the image has 40 x 30"):
        split[0]


# --- masks -----------------------------------------------------------------------------------------------------------

MASK = np.array([[0, 1, 1, 0], [0, 1, 0, 0], [0, 0, 0, 1]], bool)


def runs(mask):
    """Lengths of runs of 0, 1, 0, ... down the columns."""
    flat = mask.T.ravel().astype(int)
    edges = np.flatnonzero(np.diff(flat)) + 1
    lengths = np.diff([0, *edges, flat.size]).tolist()
    return lengths if flat[0] == 0 else [0, *lengths]


def text(lengths):
    """COCO's text for them, written anew from its definition."""
    out = ""
    for index, length in enumerate(lengths):
        value, more = length - (lengths[index - 2] if index > 2 else 0), True
        while more:
            bits, value = value & 31, value >> 5
            more = value != (-1 if bits & 16 else 0)
            out += chr(48 + (bits | (32 if more else 0)))
    return out


@pytest.mark.parametrize("seed", range(4))
def test_run_lengths_as_numbers_and_as_text(seed):
    mask = MASK if seed == 0 else np.random.default_rng(seed).random((37, 53 * seed)) < 0.02 * seed
    segments = [{"size": list(mask.shape), "counts": counts} for counts in (runs(mask), text(runs(mask)))]
    found = object_masks(segments, mask.shape, "a")
    assert (found == mask).all() and found.dtype == bool


@pytest.mark.parametrize(
    "segment",
    [None, [], [[1, 2]], [["x"] * 6], [[0, 0, 1e9, 0, 1e9, 1e9]], [[0, 0, float("nan"), 0, 3, 3]], {"size": [3, 4]},
     {"size": [3, 4], "counts": [5]}, {"size": [3, 4], "counts": [-1, 13]}, {"size": [4, 3], "counts": [12]},
     {"size": [3, 4], "counts": "\u1234"}, {"size": [3, 4], "counts": "o" * 99}, {"size": [3, 4], "counts": [1e9]}, 7],
    ids=str,
)  # fmt: skip
def test_masks_that_are_none(segment):
    assert not object_masks([segment], (3, 4), "a").any()


def test_masks_beyond_memory_are_refused():
    with pytest.raises(BadLabel, match="are more than"):
        object_masks([None] * 1000, (2000, 2000), "a")


def test_an_object_without_a_mask_is_neither_hit_nor_miss(tmp_path):
    rle = {"size": [30, 40], "counts": [100, 5, 1095]}
    root = coco(tmp_path, [box(segmentation=rle), box(bbox=(3, 3, 5, 5))])
    _, boxes, faults = open_source(root, None, masks=True).splits["train"].read(0)
    assert boxes.masks.shape == (2, 30, 40) and boxes.masks.sum((1, 2)).tolist() == [5, 0]
    assert boxes.ignore.tolist() == [False, True] and [tuple(fault[:2]) for fault in faults] == [("no_mask", "object 2 (cat)")]
    assert open_source(root, None).splits["train"][0][1].masks is None


@pytest.mark.parametrize("name", ["pycocotools.mask", "faster_coco_eval.core.mask"])
def test_outlines_are_filled(monkeypatch, name):
    from resnets.data.readers import outlines

    pytest.importorskip(name)
    monkeypatch.setattr(outlines, "LIBRARY", name)
    found = object_masks([[[2, 1, 6, 1, 6, 4, 2, 4], [8, 0, 9, 0, 9, 1, 8, 1]]], (6, 10), "a")[0]
    expected = np.zeros((6, 10), bool)
    expected[1:4, 2:6] = expected[0:1, 8:9] = True
    assert (found == expected).all()


def test_json_of_several_files_for_a_split(tmp_path):
    root = coco(tmp_path, [box()])
    (root / "annotations/instances_train2014.json").write_text(json.dumps({}))
    with pytest.raises(InputError, match="are both for train"):
        open_source(root, None)


@pytest.mark.parametrize(
    "text",
    [
        "[" * 100_000, '{"images": ' * 100_000,
        '{"images": [], "annotations": [], "categories": [{"id": 9, "name": "a"}]}'.replace("9", 5000 * "9"),
        '{"images": [], "annotations": [], "categories": [{"id": 9, "name": "a"}]}'.replace("9", 400 * "9"),
        '{"images": [{"id": Infinity, "file_name": "a"}], "annotations": [], "categories": []}',
        '{"images": {"id": 1}, "annotations": 7, "categories": []}', '{"images": [[]], "annotations": [], "categories": []}',
    ],
    ids=range(7),
)  # fmt: skip
def test_json_that_is_deep_large_or_of_other_types(tmp_path, text):
    root = coco(tmp_path, [])
    (root / "annotations/instances_train2017.json").write_text(text)
    with pytest.raises(InputError, match=r"instances_train2017\.json: (cannot be read|not COCO)") as raised:
        open_source(root, "boxes")
    assert len(str(raised.value)) < 600


@pytest.mark.parametrize("name", ["a" * 5000 + ".jpg", "\ud800.jpg"])
def test_file_names_that_no_file_can_have(tmp_path, name):
    images = [{"id": 1, "file_name": "1.jpg"}]
    root = coco(tmp_path, [], images=images)
    path = root / "annotations/instances_train2017.json"
    path.write_text(path.read_text().replace("1.jpg", json.dumps(name)[1:-1]))
    with pytest.raises(InputError, match=r"longer than a file name|not valid Unicode"):
        open_source(root, "boxes")


def test_a_category_whose_name_is_not_unicode_can_be_printed(tmp_path):
    source = open_source(coco(tmp_path, [box()], categories=((7, "cat\ud800"), (3, "dog"))), "boxes")
    assert source.labels == ("dog", "cat\\ud800") and source.fingerprint()


@pytest.mark.parametrize("size", [(10, 10**8), (300, 300)])
def test_outlines_that_would_take_gigabytes_are_no_masks(size):
    """Long ways to far corners, by a few of them or by many; the libraries keep every pixel on the way."""
    ring = [0, 0, size[1], size[0]] * (3 if size[1] > 1000 else 20_000)
    assert _polygons([ring], size) is None and _polygons([[10**400, 1, 2, 3, 4, 5]], size) is None


# --- as programs export it ---


def content_of(root):
    return root / "annotations/instances_train2017.json"


@pytest.mark.parametrize("name", ["annotations/instances_default.json", "annotations/train.json", "result.json"])
def test_a_single_file_is_for_training(tmp_path, name):
    """CVAT, Label Studio and others."""
    root = coco(tmp_path, [box()])
    (root / "train2017").rename(root / "images")
    content_of(root).rename(root / name)
    source = open_source(root, None)
    assert list(source.splits) == ["train"] and len(source.splits["train"][0][1].labels) == 1


def test_a_file_for_no_split_is_named(tmp_path):
    root = coco(tmp_path, [box()])
    content_of(root).rename(root / "annotations/instances_batch.json")
    with pytest.raises(InputError, match=r"annotations/instances_batch.json is for no split; call it annotations/inst"):
        open_source(root, None)


def test_a_root_category_is_no_class(tmp_path):
    root = coco(tmp_path, [box()])
    content = json.loads(content_of(root).read_text())
    content["categories"] = [{"id": 0, "name": "pets", "supercategory": "none"}] + [
        entry | {"supercategory": "pets"} for entry in content["categories"]
    ]
    content_of(root).write_text(json.dumps(content))
    source = open_source(root, None)
    assert source.labels == ("dog", "cat") and "'pets': a category of categories" in source.notes[0].text
    assert open_source(root, None, labels=("pets", "dog", "cat")).labels == ("pets", "dog", "cat")
    content["annotations"][0]["category_id"] = 0
    content_of(root).write_text(json.dumps(content))
    assert open_source(root, None).labels == ("pets", "dog", "cat")


def test_ids_in_text_and_names_of_windows_and_absolute_ones(tmp_path):
    root = coco(tmp_path, [box(), box(2)])
    content = json.loads(content_of(root).read_text())
    content["images"][0] |= {"id": "img_1", "file_name": str((root / "train2017/1.jpg").resolve())}
    content["images"][1] |= {"file_name": "train2017\\2.jpg"}
    content["annotations"][0] |= {"image_id": "img_1", "category_id": "7"}
    content["annotations"][1] |= {"image_id": "2"}
    content_of(root).write_text(json.dumps(content))
    split = open_source(root, None).splits["train"]
    assert [split.images.path(index).name for index in range(2)] == ["1.jpg", "2.jpg"]
    assert [split[index][1].labels.tolist() for index in range(2)] == [[1], [1]]
    content["images"][0]["file_name"] = "/elsewhere/1.jpg"
    content_of(root).write_text(json.dumps(content))
    with pytest.raises(InputError, match=r"names '/elsewhere/1.jpg', which leads out of its folder"):
        open_source(root, None)


def test_images_that_no_file_names_are_counted(tmp_path):
    root = coco(tmp_path, [box()])
    picture(root / "train2017/3.jpg")
    (root / "train2017/4.HEIC").touch()
    (note,) = open_source(root, None).notes
    assert "1 images that instances_train2017.json does not name (3.jpg)" in note.text and "1 .heic" in note.text


def test_a_ring_without_brackets_of_its_own_is_a_mask(tmp_path):
    split = open_source(coco(tmp_path, [box(segmentation=[2, 2, 12, 2, 12, 9, 2, 9])]), None, masks=True).splits["train"]
    assert rules(split.read(0).faults) == [] and split[0][1].masks.sum() > 40
