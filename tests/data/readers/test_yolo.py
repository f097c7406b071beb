"""YOLO's folders as they are exported, with every fault of a label file."""

import numpy as np
import pytest

from resnets.data.check.labels import check_labels
from resnets.data.pictures.images import BadPicture
from resnets.data.readers.label_rules import BadLabel
from resnets.data.sources import open_source, recognised
from resnets.errors import InputError
from resnets.tasks.grade.data import read
from tests.data.made_dense import picture, rules

LINE = "1 0.5 0.5 0.5 0.2"  # in 40 x 30: x 10 to 30, y 12 to 18


def yolo(root, order="split first", names="names: [cat, dog]", lines=(LINE,), **splits):
    """yolo(root, train=2, val=1): images of 40 x 30 with texts, and a data.yaml unless `names` is empty."""
    for split, num in splits.items():
        for number in range(num):
            stem = f"{split}{number}"
            image, label = (f"{split}/{kind}" if order == "split first" else f"{kind}/{split}" for kind in ("images", "labels"))
            picture(root / image / f"{stem}.jpg")
            (root / label).mkdir(parents=True, exist_ok=True)
            (root / label / f"{stem}.txt").write_text("\n".join(lines))
    if names:
        folder = {"split first": "../{}/images", "split last": "images/{}"}[order]
        places = "".join(f"{split}: {folder.format(split)}\n" for split in splits)
        (root / "data.yaml").write_text(f"path: /elsewhere\n{places}test: ../test/images\nnc: 2\n{names}\n")
    return root


@pytest.mark.parametrize("order", ["split first", "split last"])
@pytest.mark.parametrize("names", ["names: [cat, dog]", "names: {0: cat, 1: dog}", ""])
def test_exports_of_many_programs(tmp_path, order, names):
    root = yolo(tmp_path / "pets", order, names, train=2, val=1)
    if not names:
        (root / "classes.txt").write_text("cat\ndog\n")
    assert recognised(root)[1].form.startswith("YOLO")
    for data in (root, root / "data.yaml") if names else (root,):
        source = open_source(data, None)
        assert (source.kind, source.labels) == ("boxes", ("cat", "dog"))
        assert {split: len(part) for split, part in source.splits.items()} == {"train": 2, "val": 1}
        labelled = source.splits["train"].read(1)
        assert labelled.target.xyxy.round(4).tolist() == [[10, 12, 30, 18]] and labelled.target.labels.tolist() == [1]
        assert rules(labelled.faults) == [] and not source.told
        assert source.splits["train"].images.name(1).endswith("train1.jpg")
    assert open_source(root, None, labels=("dog", "cat")).splits["train"][0][1].labels.tolist() == [0]


def test_words_of_splits_lists_and_numbers_of_years(tmp_path):
    yolo(tmp_path / "a", "split last", "", train2017=2, val2017=1)
    assert list(open_source(tmp_path / "a", None).splits) == ["train", "val"]
    root = yolo(tmp_path / "b", "split last", train=3)
    (root / "data.yaml").write_text("train: images/list.txt\nnames: [a, b]\n")
    (root / "images/list.txt").write_text(f"../images/train/train2.jpg\n{root}/images/train/train0.jpg\n")
    split = open_source(root, None).splits["train"]
    assert [split.images.path(index).stem for index in range(2)] == ["train2", "train0"] and len(split[0][1].labels) == 1
    (root / "images/list.txt").write_text("../../elsewhere.jpg\n")
    with pytest.raises(InputError, match=r"elsewhere.jpg', which leads out of its folder"):
        open_source(root, None)


def test_an_image_without_a_file_has_no_objects_and_that_is_said(tmp_path):
    root = yolo(tmp_path, train=3)
    (root / "train/labels/train1.txt").unlink()
    (root / "train/labels/train2.txt").write_text("\n")
    (root / "train/images/late.HEIC").touch()
    source = open_source(root, None)
    assert [len(source.splits["train"][index][1].labels) for index in range(3)] == [1, 0, 0]
    told = {note.kind: note.text for note in source.told}
    assert told["negative"].startswith("1 images without a label file: taken as images without objects")
    assert told["left_out"].startswith("1 file left out: 1 .heic")


def test_polygons_are_boxes_and_masks(tmp_path):
    root = yolo(tmp_path, lines=("0 0.25 0.2 0.5 0.2 0.5 0.6 0.25 0.6", LINE), train=1)
    _, target = open_source(root, None).splits["train"][0]
    assert target.xyxy.round(4).tolist() == [[10, 6, 20, 18], [10, 12, 30, 18]] and target.masks is None
    labelled = open_source(root, None, masks=True).splits["train"].read(0)
    assert labelled.target.masks[0][8:17, 12:19].all() and not labelled.target.masks[0][:, 22:].any()
    assert rules(labelled.faults) == ["no_mask"] and labelled.target.ignore.tolist() == [False, True]


def test_edges_are_no_faults(tmp_path):
    split = open_source(yolo(tmp_path, lines=("0 0.166667 0.500000 0.333333 1.000000",), train=1), None).splits["train"]
    labelled = split.read(0)
    assert rules(labelled.faults) == [] and np.allclose(labelled.target.xyxy, [[0, 0, 40 / 3, 30]], atol=1e-3)


BROKEN = {
    "four numbers": ("0 0.5 0.5 0.2", "line 2: 4 numbers; write class x y width height"),
    "a score": ("0 0.5 0.5 0.2 0.2 0.97", "line 2: 6 numbers"),
    "a name": ("cat 0.5 0.5 0.2 0.2", "could not convert"),
    "half a class": ("0.5 0.5 0.5 0.2 0.2", "line 2: the class is 0.5; write its number"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_file_costs_its_image_and_is_named(tmp_path, case):
    line, words = BROKEN[case]
    root = yolo(tmp_path, train=2)
    path = root / "train/labels/train0.txt"
    path.write_text(f"{LINE}\n{line}\n")
    split = open_source(root, None).splits["train"]
    with pytest.raises(BadLabel, match=rf"train/labels/train0.txt cannot be read \(.*{words}"):
        split[0]
    (root / "train/labels/train1.txt").write_text(line)
    with pytest.raises(InputError, match=rf"no object is named in any annotation, and 2 cannot be used; the first: .*{words}"):
        open_source(root, None)


REFUSED = {
    "no such class": ("train/labels/train0.txt", "7 0.5 0.5 0.2 0.2", "objects of class 7, and the names end at 1"),
    "key points": ("data.yaml", "train: x\nnames: [a]\nkpt_shape: [17, 3]", "key points"),
    "no folder": ("data.yaml", "train: gone/images\nnames: [a, b]", "train is 'gone/images', and no such folder"),
    "outside": ("data.yaml", "train: /etc\nnames: [a, b]", "train is '/etc', and no such folder is below"),
    "a class twice": ("data.yaml", "train: train/images\nnames: [a, a]", "the class 'a' is there twice"),
    "a name that no file has": ("data.yaml", 'train: "a\\0b"\nnames: [a, b]', "train is 'a\x00b', and no such folder"),
    "no YAML": ("data.yaml", "names: [a\ntrain: {", "cannot be read as YAML"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_meant_is_refused(tmp_path, case):
    name, text, words = REFUSED[case]
    root = yolo(tmp_path, train=2)
    (root / name).write_text(text)
    with pytest.raises(InputError, match=words):
        open_source(root, None)


def test_pixels_where_fractions_belong(tmp_path):
    root = yolo(tmp_path, lines=("0 20 15 10 8",), train=2)
    (finding,) = [finding for finding in check_labels(open_source(root, None)).findings if finding.kind == "nothing"]
    assert "its coordinates are above 1, and YOLO's are fractions of the image" in finding.text


def test_folders_may_be_links_and_names_that_yaml_takes_for_values(tmp_path):
    root = yolo(tmp_path / "pets", names="names: [no, 010]", train=2, val=1)
    (root / "train").rename(tmp_path / "disk")
    (root / "train").symlink_to(tmp_path / "disk")
    (tmp_path / "link").symlink_to(root)
    (root / "val.txt").write_text(f"{root}/val/images/val0.jpg\n")
    for train in ("train/images", f"{root}/train/images"):
        (root / "data.yaml").write_text(f"train: {train}\nval: val.txt\nnames:\n  0: no\n  1: 010\n")
        for data in (root, tmp_path / "link"):
            source = open_source(data, None)
            assert (source.labels, len(source.splits["train"]), len(source.splits["val"])) == (("no", "010"), 2, 1)
            assert source.splits["train"][1][1].labels.tolist() == [1]
    (root / "data.yaml").write_text("train: train/../../disk/images\nnames: [a, b]\n")
    with pytest.raises(InputError, match="no such folder is below"):
        open_source(root, None)


def test_presence_and_counts(tmp_path):
    root = yolo(tmp_path, train=3, val=1)
    (root / "train/labels/train0.txt").write_text("0 0.5 0.5 0.2 0.2\n0 0.2 0.2 0.1 0.1\n")
    (root / "train/labels/train2.txt").unlink()
    tags = open_source(root, "tags")
    assert tags.labels == ("cat", "dog") and tags.kind == "tags"
    assert tags.splits["train"].targets.values.tolist() == [[1, 0], [0, 1], [0, 0]]
    counts = {"loss": "huber", "scale": "linear", "in_chans": None, "labels": None, "data_dir": None}
    assert read(str(root), target=None, **counts).splits["train"].targets.values.tolist() == [2, 1, 0]
    assert read(str(root), target="count:dog", **counts | {"labels": ("count:dog",)}).splits["val"].targets.values.tolist() == [
        1
    ]
    (root / "train/labels/train1.txt").write_text("0 0.5")
    with pytest.raises(InputError, match=r"train1.jpg: .*train1.txt cannot be read .*mend it, or take the picture out"):
        open_source(root, "tags")


def test_names_that_no_file_can_have(tmp_path):
    root = yolo(tmp_path, train=1)
    (root / "data.yaml").write_text("train: list.txt\nnames: [cat, dog]\n")
    (root / "list.txt").write_text(f"train/images/train0.jpg\n{'9' * 400}\n")
    split = open_source(root, None).splits["train"]
    assert len(split[0][1].labels) == 1
    with pytest.raises(BadPicture, match=r"9{400}: "):
        split[1]


@pytest.mark.parametrize("name", [".", "train/..", "./"])
def test_a_list_that_names_the_folder(tmp_path, name):
    root = yolo(tmp_path, train=1)
    (root / "data.yaml").write_text("train: list.txt\nnames: [cat, dog]\n")
    (root / "list.txt").write_text(f"train/images/train0.jpg\n{name}\n")
    with pytest.raises(InputError, match=r"list\.txt: names '.*', which is the folder; give images"):
        open_source(root, None)
