"""Pascal VOC as it lies on disk, with every fault of a file or a folder."""

import os

import numpy as np
import pytest

from resnets.data.readers.boxes import MAX_XML_BYTES
from resnets.data.readers.label_rules import BadLabel
from resnets.data.sources import open_source, recognised
from resnets.data.splits import cut_val
from resnets.errors import InputError
from tests.data.made_dense import picture, rules, voc, xml

CAT = ("cat", 2, 3, 9, 8)


def test_splits_names_and_boxes(tmp_path):
    root = voc(tmp_path / "pets", {"train": ["a", "b"], "val": ["c"]}, a=[CAT, ("dog", 1, 1, 40, 30, True)], b=[], c=[CAT])
    assert recognised(root)[1].holds == "boxes"
    source = open_source(root, None)
    assert (source.name, source.kind, source.labels, source.in_chans) == ("pets", "boxes", ("cat", "dog"), 3)
    assert {split: len(part) for split, part in source.splits.items()} == {"train": 2, "val": 1}
    pixels, boxes = source.splits["train"][0]
    assert pixels.shape == (30, 40, 3) and pixels.dtype == np.uint8
    assert boxes.xyxy.tolist() == [[1, 2, 9, 8], [0, 0, 40, 30]]
    assert boxes.labels.tolist() == [0, 1] and boxes.ignore.tolist() == [False, True] and boxes.masks is None
    assert rules(source.splits["train"].read(1).faults) == ["negative"]
    assert source.splits["val"].images.name(0).endswith("c.jpg")


def test_without_lists_all_is_for_training_and_trainval_stands_in(tmp_path):
    assert len(open_source(voc(tmp_path / "a", a=[CAT], b=[CAT]), None).splits["train"]) == 2
    source = open_source(voc(tmp_path / "b", {"trainval": ["a  1", "b -1"], "test": ["c"]}, a=[CAT], b=[CAT], c=[CAT]), None)
    assert {split: len(part) for split, part in source.splits.items()} == {"train": 2, "test": 1}


@pytest.mark.parametrize("end", ["", ".jpg", ".xml"])
def test_lists_name_files_as_people_do(tmp_path, end):
    """Names may end in a number of their own, which is not VOC's sign of presence, or in a suffix."""
    stems = ["cell", *(f"cell {number}" for number in range(4))]
    lists = {"train": [f"{stem}{end}" for stem in stems[1:]]}
    source = open_source(voc(tmp_path, lists, **{stem: [CAT] for stem in stems}), None)
    images = source.splits["train"].images
    assert [images.path(index).stem for index in range(len(images))] == stems[1:]
    assert source.notes[0].text == "1 file left out: 1 images that no list names (cell)"


def test_the_reason_comes_first_where_all_fail_alike(tmp_path):
    text = '<?xml version="1.0" encoding="{}"?>' + xml([("红", 1, 1, 9, 9)])
    for number, (stated, real) in enumerate((("gb2312", "gb2312"), ("utf-8", "gb2312"))):
        root = voc(tmp_path / str(number), a=[CAT], b=[CAT])
        for stem in "ab":
            (root / f"Annotations/{stem}.xml").write_bytes(text.format(stated).encode(real))
        with pytest.raises(InputError, match=r"and 2 cannot be used; the first: Annotations/a.xml cannot be read .*as UTF-8"):
            open_source(root, None)


def test_files_that_begin_with_a_dot_are_none_of_ours(tmp_path):
    """macOS leaves such beside those that it copies."""
    root = voc(tmp_path, a=[("cat", 1, 1, 9, 9)])
    for path in ("JPEGImages/._a.jpg", "Annotations/._a.xml"):
        (root / path).write_bytes(b"\x00")
    assert len(open_source(root, None).splits["train"]) == 1


def test_names_of_a_file_or_a_model_decide(tmp_path):
    root = voc(tmp_path, a=[CAT])
    (root / "classes.txt").write_text("dog\ncat\n")
    assert open_source(root, None).splits["train"][0][1].labels.tolist() == [1]
    assert open_source(root, None, labels=["cat"]).labels == ("cat",)
    with pytest.raises(InputError, match=r"objects called 'cat', and the classes given has only 'cow'; rename"):
        open_source(root, None, labels=["cow"])
    (root / "classes.txt").write_text("dog\ndog\n")
    with pytest.raises(InputError, match="a name twice"):
        open_source(root, None)


BROKEN = {
    "cut off": (xml([CAT])[:-20], "bad_annotation"),
    "entities": ('<!DOCTYPE a [<!ENTITY x "cat">]>' + xml([("&x;", 1, 1, 9, 9)]), "bad_annotation"),
    "no name": (xml([("", 1, 1, 9, 9)]), "bad_annotation"),
    "huge": (" " * (MAX_XML_BYTES + 1), "bad_annotation"),
    "odd encoding": ('<?xml version="1.0" encoding="nonsense"?>' + xml([CAT]), "bad_annotation"),
    "other size": (xml([CAT], (30, 40)), "wrong_size"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_file_costs_its_picture_alone(tmp_path, case):
    text, rule = BROKEN[case]
    split = open_source(voc(tmp_path, a=text, b=[CAT]), None).splits["train"]
    with pytest.raises(BadLabel) as bad:
        split[0]
    assert bad.value.rule == rule and bad.value.path.endswith("a.jpg")
    assert split[1][1].xyxy.tolist() == [[1, 2, 9, 8]]


def test_what_is_missing_is_named(tmp_path):
    root = voc(tmp_path, {"train": ["a", "b", "c"]}, a=[CAT], b=[CAT], c=[CAT])
    (root / "JPEGImages/a.jpg").unlink()
    (root / "Annotations/b.xml").unlink()
    split = open_source(root, None).splits["train"]
    for index, rule in enumerate(["missing_picture", "missing_annotation"]):
        with pytest.raises(BadLabel) as bad:
            split[index]
        assert bad.value.rule == rule
    assert len(split[2][1].labels) == 1


def test_a_corner_that_is_no_number_costs_its_picture(tmp_path):
    """The object may be anywhere in it, and the rest is not known to be background."""
    with pytest.raises(BadLabel, match=r"object 1 \(cat\) has no place") as caught:
        open_source(voc(tmp_path, a=[("cat", "", 1, 9, 9), CAT]), None).splits["train"].read(0)
    assert caught.value.rule == "not_finite"


def test_a_size_of_nought_is_taken_from_the_picture(tmp_path):
    labelled = open_source(voc(tmp_path, size=(0, 0), a=[CAT]), None).splits["train"].read(0)
    assert rules(labelled.faults) == ["no_size"] and len(labelled.target.labels) == 1


REFUSED = {
    "leads out": (["../a"], "leads out of its folder"),
    "absolute": (["/etc/passwd"], "leads out of its folder"),
    "in both": (["a", "b"], "b is in more than one of train, val"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_lists_that_are_refused(tmp_path, case):
    train, words = REFUSED[case]
    with pytest.raises(InputError, match=words):
        open_source(voc(tmp_path, {"train": train, "val": ["b"]}, a=[CAT], b=[CAT]), None)


def test_no_object_anywhere_and_masks_are_refused(tmp_path):
    root = voc(tmp_path, a=[])
    with pytest.raises(InputError, match="no object is named"):
        open_source(root, None)
    with pytest.raises(InputError, match="xml holds no masks"):
        open_source(root, None, masks=True)


def test_fingerprint_follows_boxes_not_the_place(tmp_path):
    one, other = (voc(tmp_path / name, a=[CAT], b=[CAT]) for name in ("x", "y"))
    assert open_source(one, None).fingerprint() == open_source(other, None).fingerprint()
    (other / "Annotations/a.xml").write_text(xml([("cat", 2, 3, 9, 9)]))
    assert open_source(one, None).fingerprint() != open_source(other, None).fingerprint()


def test_val_is_cut_by_the_commonest_class(tmp_path):
    files = {f"{name}{n}": [(name, 1, 1, 9, 9)] for name in ("cat", "dog") for n in range(10)} | {
        f"no{n}": [] for n in range(10)
    }
    source = cut_val(open_source(voc(tmp_path, **files), None), 0.2, seed=3)
    val = source.splits["val"]
    assert [boxes.labels.tolist() for _, boxes in val] == [[0], [0], [1], [1], [], []]
    assert len(source.splits["train"]) == 24 and source.cut == {"fraction": 0.2, "seed": 3}
    again = cut_val(open_source(tmp_path, None), 0.2, seed=3).splits["val"]
    assert [again.images.name(n) for n in range(6)] == [val.images.name(n) for n in range(6)]
    assert cut_val(source, 0.5) is source
    picture(tmp_path / "other/JPEGImages/x.jpg")
    with pytest.raises(InputError, match="can be spared for validation, for each is the only one"):
        cut_val(open_source(voc(tmp_path / "other", x=[CAT]), None))


def test_annotations_that_are_pipes_or_devices_or_without_end(tmp_path):
    cat = [("cat", 1, 1, 9, 9)]
    root = voc(tmp_path, a=cat, b=cat, c=cat, d=cat)
    for stem in "abc":
        (root / f"Annotations/{stem}.xml").unlink()
    os.mkfifo(root / "Annotations/a.xml")
    (root / "Annotations/b.xml").symlink_to("/dev/zero")
    with (root / "Annotations/c.xml").open("wb") as file:
        file.truncate(2**40)
    train = open_source(root, "boxes").splits["train"]
    for index, words in enumerate(("a (pipe|device), not a file", "a (pipe|device), not a file", "bytes, more than")):
        with pytest.raises(BadLabel, match=words):
            train.read(index)
    assert len(train.read(3).target.labels) == 1


def test_a_list_with_a_name_that_no_file_can_have(tmp_path):
    with pytest.raises(InputError, match="longer than a file name can be"):
        open_source(voc(tmp_path, {"train": ["a", "b" * 5000]}, a=[("cat", 1, 1, 9, 9)]), "boxes")
