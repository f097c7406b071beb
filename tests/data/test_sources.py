"""Every layout is recognised, class indices are right, and each fault of the user's is named with its remedy."""

import os

import numpy as np
import pytest
from PIL import Image

from resnets.data.pictures.images import BadPicture
from resnets.data.sources import cut_val, open_source
from resnets.errors import InputError


def picture(path, value=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", (2, 2), value).save(path)
    return path


def folder(root, **classes):
    """`root` with pictures: folder(root, train__cat=3) makes root/train/cat/{0,1,2}.png."""
    for index, (name, num) in enumerate(classes.items()):
        for n in range(num):
            picture(root / name.replace("__", "/") / f"{n}.png", value=20 * index + n)
    return root


def csv(path, *lines):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def names(split):
    return [split.images.path(index).name for index in range(len(split.images))]


# --- folders ---------------------------------------------------------------------------------------------------------


def test_folder_of_classes(tmp_path):
    root = folder(tmp_path / "pets", dog=2, cat=1, Zebra=1)
    picture(root / "cat/deep/er/x.PNG", 77)
    (root / "cat/notes.txt").touch()
    (root / "readme.md").touch()
    picture(root / ".hidden/a.png")
    picture(root / "cat/.b.png")
    source = open_source(root)
    assert (source.name, source.labels, source.size, source.in_chans) == ("pets", ("Zebra", "cat", "dog"), None, 3)
    assert (source.hflip, source.cut) == (True, None)
    train = source.splits["train"]
    assert list(source.splits) == ["train"]
    assert train.targets.tolist() == [0, 1, 1, 2, 2] and train.targets.dtype == np.int64
    assert names(train) == ["0.png", "0.png", "x.PNG", "0.png", "1.png"]
    assert [int(train.images[n][0, 0, 0]) for n in range(5)] == [40, 20, 77, 0, 1]
    assert train.images.name(2) == str(root / "cat/deep/er/x.PNG")
    assert open_source(str(root), in_chans=1).splits["train"].images[0].shape == (2, 2, 1)


@pytest.mark.parametrize("word", ["val", "valid", "validation", "Val"])
def test_folder_of_splits(tmp_path, word):
    root = folder(tmp_path, **{"train__a": 2, "train__b": 1, f"{word}__b": 1, "test__a": 1, "test__b": 2, "extra__q": 1})
    (root / "val2").mkdir()
    source = open_source(root)
    assert source.labels == ("a", "b") and list(source.splits) == ["train", "val", "test"]
    assert [split.targets.tolist() for split in source.splits.values()] == [[0, 0, 1], [1], [0, 1, 1]]


def test_train_alone_and_a_class_that_is_called_train(tmp_path):
    assert open_source(folder(tmp_path / "x", train__a=1, train__b=1)).labels == ("a", "b")
    assert open_source(folder(tmp_path / "y", train=1, bus=1)).labels == ("bus", "train")


FAULTS = {
    "class only in val": ({"train__a": 1, "train__b": 1, "val__c": 1}, "'c' in val but not in train; add training pictures"),
    "one class": ({"a": 3}, "one class only, 'a'"),
    "no train": ({"test__a": 1, "test__b": 1}, "no training split, only test"),
    "two vals": ({"train__a": 1, "train__b": 1, "val__a": 1, "valid__a": 1}, "more than one folder holds the val split"),
    "no class folders": ({"train": 2, "test": 2}, "'test', 'train' hold no class folders"),
    "voc": ({"JPEGImages": 1, "Annotations": 1}, "add --task detect or --task segment"),
    "masks": ({"images": 1, "masks": 1}, "add --task detect or --task segment"),
    "yolo": ({"images__train": 1, "labels__train": 1}, "add --task detect or --task segment"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_faults_of_folders(tmp_path, fault):
    content, message = FAULTS[fault]
    with pytest.raises(InputError, match=message):
        open_source(folder(tmp_path, **content))


def test_coco_is_refused(tmp_path):
    folder(tmp_path, train2017=1)
    csv(tmp_path / "annotations/instances_train2017.json", "{}")
    with pytest.raises(InputError, match="add --task detect"):
        open_source(tmp_path)


def test_empty_folders(tmp_path):
    with pytest.raises(InputError, match="holds no class folders"):
        open_source(tmp_path)
    folder(tmp_path, a=1, b=1)
    csv(tmp_path / "c/one.pdf")
    csv(tmp_path / "c/two.pdf")
    (tmp_path / "d").mkdir()
    with pytest.raises(InputError, match=r"no pictures in 'c' \(only 2 \.pdf\), 'd'; add some, or remove"):
        open_source(tmp_path)


def test_an_empty_class_is_an_error_in_training_only(tmp_path):
    root = folder(tmp_path, train__a=1, train__b=1, val__a=1)
    (root / "val/b").mkdir()
    assert open_source(root).splits["val"].targets.tolist() == [0]
    (root / "train/c").mkdir()
    with pytest.raises(InputError, match="no pictures in 'c'"):
        open_source(root)


def test_links_are_followed_but_never_round_in_circles(tmp_path):
    root = folder(tmp_path / "root", a=2, b=1)
    picture(tmp_path / "elsewhere/deep/z.png")
    (root / "a/link.png").symlink_to(root / "a/0.png")
    (root / "a/broken.png").symlink_to(root / "gone.png")
    (root / "a/up").symlink_to(root)
    (root / "a/self").symlink_to(root / "a")
    (root / "c").symlink_to(tmp_path / "elsewhere")
    source = open_source(root)
    assert source.labels == ("a", "b", "c")
    assert names(source.splits["train"]) == ["0.png", "1.png", "broken.png", "link.png", "0.png", "z.png"]


def test_names_that_are_no_utf8(tmp_path):
    root = folder(tmp_path, a=1, b=1)
    odd = root / os.fsdecode(b"c\xff")
    try:
        odd.mkdir()
    except OSError:
        pytest.skip("this file system takes UTF-8 only")
    picture(root / "c.png").rename(odd / os.fsdecode(b"d\xfe.png"))
    source = open_source(root)
    images = source.splits["train"].images
    assert source.labels == ("a", "b", r"c\udcff")
    assert images[2].shape == (2, 2, 3) and images.name(2).endswith(r"c\udcff/d\udcfe.png")
    "".join([*source.labels, images.name(2)]).encode()
    assert source.fingerprint()


# --- what is not there -----------------------------------------------------------------------------------------------


def test_nothing_there():
    with pytest.raises(InputError, match=r"'cifar1O'.*digits, cifar10, cifar100; did you mean cifar10\?"):
        open_source("cifar1O")
    for name in ("no/such/folder", "a\0b", "x\udcff"):
        with pytest.raises(InputError, match="no file or folder") as caught:
            open_source(name)
        str(caught.value).encode()


def test_a_file_of_no_known_layout(tmp_path):
    with pytest.raises(InputError, match=r"not a layout that is known; give one of: .*path,label"):
        open_source(picture(tmp_path / "a.png"))


@pytest.mark.parametrize("in_chans", [0, 2])
def test_channels_that_pictures_do_not_have(tmp_path, in_chans):
    for data in ("digits", folder(tmp_path, a=1, b=1)):
        with pytest.raises(InputError, match=f"in_chans={in_chans}: pictures give 1"):
            open_source(data, in_chans=in_chans)


# --- CSV -------------------------------------------------------------------------------------------------------------


def test_csv(tmp_path):
    folder(tmp_path, p=4)
    outside = picture(tmp_path / "out/x.png", 99)
    lines = [
        "\ufeffid, Path,LABEL,note",
        "1,p/0.png,a cat,",
        f"2,{outside},dog,",
        "3,out/../p/2.png,a cat",
        "",
        "4,p/0.png,a cat,",
    ]
    source = open_source(csv(tmp_path / "my list.csv", *lines))
    assert (source.name, source.labels, list(source.splits)) == ("my list", ("a cat", "dog"), ["train"])
    assert source.splits["train"].targets.tolist() == [0, 1, 0]
    assert [int(source.splits["train"].images[n][0, 0, 0]) for n in range(3)] == [0, 99, 2]


def test_csv_with_splits(tmp_path):
    folder(tmp_path, p=4)
    lines = ["path,label,split", "p/0.png,b,train", "p/1.png,a,TRAIN", "p/2.png,b,test", "p/3.png,a,valid"]
    source = open_source(csv(tmp_path / "list.csv", *lines))
    assert {split: value.targets.tolist() for split, value in source.splits.items()} == {
        "train": [1, 0],
        "val": [0],
        "test": [1],
    }
    assert list(source.splits) == ["train", "val", "test"]


def test_folder_with_lists(tmp_path):
    folder(tmp_path, p=3)
    csv(tmp_path / "train.csv", "path,label", "p/0.png,x", "p/1.png,y")
    csv(tmp_path / "test.csv", "path,label", "p/2.png,y")
    source = open_source(tmp_path)
    assert source.labels == ("x", "y") and source.splits["test"].targets.tolist() == [1]


CSV_FAULTS = {
    "header": (["file,class", "p/0.png,a"], r"must name the columns path,label \(it is: 'file,class'\)"),
    "missing files": (
        ["path,label", *(f"gone/{n}.png,a" for n in range(7))],
        r"7 files .*'gone/0.png', 'gone/1.png', 'gone/2.png' and 4",
    ),
    "two labels": (["path,label", "p/0.png,a", "p/./0.png,b"], r"line 3: p/\./0.png .*label 'b', above .* 'a'"),
    "two splits": (["path,label,split", "p/0.png,a,train", "p/0.png,a,test"], "is in test .* above it is in train"),
    "split": (["path,label,split", "p/0.png,a,holdout"], "line 2: split 'holdout' is not known; write train, val or test"),
    "no label": (["path,label", "p/0.png,a", "p/1.png,"], "line 3: the path or the label is missing"),
    "empty": (["path,label"], "the list holds no pictures"),
    "nothing": ([], "must name the columns"),
    "one class": (["path,label", "p/0.png,a"], "one class only, 'a'"),
}


@pytest.mark.parametrize("fault", CSV_FAULTS)
def test_faults_of_csv(tmp_path, fault):
    folder(tmp_path, p=2)
    lines, message = CSV_FAULTS[fault]
    with pytest.raises(InputError, match=message):
        open_source(csv(tmp_path / "list.csv", *lines))


def test_csv_that_is_no_utf8(tmp_path):
    (tmp_path / "list.csv").write_bytes("path,label\nä.png,ö\n".encode("latin1"))
    with pytest.raises(InputError, match="save it as UTF-8"):
        open_source(tmp_path / "list.csv")


# --- NPZ -------------------------------------------------------------------------------------------------------------


def npz(path, **arrays):
    np.savez(path, **arrays)
    return path


def test_npz(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (24, 5, 4, 3), dtype=np.uint8)
    labels = np.arange(24)[:, None] % 12
    path = npz(tmp_path / "m.npz", train_images=images, train_labels=labels, test_images=images[:3], test_labels=[11, 2, 0])
    source = open_source(path)
    assert source.labels == tuple(map(str, range(12))), "in the order of numbers, not of text"
    assert source.size == (5, 4) and source.splits["test"].targets.tolist() == [11, 2, 0]
    assert (source.splits["train"].images[7] == images[7]).all()
    assert open_source(path, in_chans=1).splits["train"].images[0].shape == (5, 4, 1)


@pytest.mark.parametrize(
    ("images", "labels"),
    [
        (np.zeros((4, 3, 3), np.float32), np.arange(4)),
        (np.zeros((4, 3, 3), np.uint8), np.arange(5)),
        (np.zeros((4, 3, 3), np.uint8), np.zeros((4, 14), int)),
        (np.zeros((4, 3, 3), np.uint8), np.array([{}] * 4)),
        (np.zeros((4, 3, 3, 2), np.uint8), np.arange(4)),
        (np.zeros((0, 3, 3), np.uint8), np.arange(0)),
    ],
)
def test_faults_of_npz(tmp_path, images, labels):
    with pytest.raises(InputError, match=r"m\.npz"):
        open_source(npz(tmp_path / "m.npz", train_images=images, train_labels=labels))


def test_npz_that_is_none(tmp_path):
    (tmp_path / "m.npz").write_bytes(b"PK\3\4 no")
    with pytest.raises(InputError, match="cannot be read as arrays"):
        open_source(tmp_path / "m.npz")
    with pytest.raises(InputError, match="give train_images"):
        open_source(npz(tmp_path / "n.npz", x=np.zeros(3)))


# --- labels of a saved model -----------------------------------------------------------------------------------------


def test_labels_are_matched_by_name(tmp_path):
    root = folder(tmp_path, test__cat=1, test__bird=2)
    source = open_source(root, labels=["dog", "cat", "ant", "bird"])
    assert source.labels == ("dog", "cat", "ant", "bird")
    assert source.splits["test"].targets.tolist() == [3, 3, 1]
    with pytest.raises(InputError, match=r"does not know 'bird' \(in test\); its classes are 'cat', 'dog'"):
        open_source(root, labels=["cat", "dog"])


def test_labels_with_one_class_in_a_flat_folder(tmp_path):
    assert open_source(folder(tmp_path, b=2), labels=["a", "b"]).splits["train"].targets.tolist() == [1, 1]


# --- fingerprint -----------------------------------------------------------------------------------------------------


def test_fingerprint_of_files(tmp_path):
    first, second = (folder(tmp_path / name, train__a=2, train__b=2) for name in ("one", "two"))
    before = open_source(first).fingerprint()
    assert before == open_source(second).fingerprint() and len(before) == 64, "wherever the folder lies"
    (second / "train/a/0.png").rename(second / "train/a/9.png")
    assert open_source(second).fingerprint() != before, "a name changed"
    with (first / "train/a/0.png").open("ab") as file:
        file.write(b"x")
    assert open_source(first).fingerprint() != before, "a size changed"
    assert open_source(first).fingerprint() != open_source(first, labels=["b", "a"]).fingerprint()


def test_fingerprint_of_arrays():
    source = open_source("digits")
    before = source.fingerprint()
    assert before == open_source("digits").fingerprint()
    assert cut_val(source).fingerprint() != before != cut_val(source, seed=1).fingerprint()
    source.splits["test"].images.array[0, 0, 0] += 1
    assert source.fingerprint() != before


# --- the validation split --------------------------------------------------------------------------------------------


def test_cut_val_is_stratified_seeded_and_complete():
    source = open_source("digits")
    cut = cut_val(source, 0.2, seed=3)
    train, val = cut.splits["train"], cut.splits["val"]
    counts = np.bincount(source.splits["train"].targets)
    assert np.bincount(val.targets).tolist() == np.rint(counts * 0.2).astype(int).tolist()
    everything = np.concatenate([train.images.positions, val.images.positions])
    assert sorted(everything) == list(range(len(source.splits["train"].images)))
    position = val.images.positions[5]
    assert val.images.name(5) == f"train[{position}]"
    assert (val.images[5] == source.splits["train"].images[position]).all()
    assert val.targets[5] == source.splits["train"].targets[position]
    assert cut.cut == {"fraction": 0.2, "seed": 3} and list(cut.splits) == ["train", "val", "test"]
    assert (cut_val(source, 0.2, seed=3).splits["val"].images.positions == val.images.positions).all()
    assert (cut_val(source, 0.2, seed=4).splits["val"].images.positions != val.images.positions).any()
    assert cut_val(cut) is cut


@pytest.mark.parametrize(
    ("train", "val"),
    [
        ({"a": 30, "b": 5, "c": 3, "d": 2, "e": 1}, [3, 1, 1, 0, 0]),  # one of three or more, none of fewer
        ({"a": 2, "b": 1, "c": 2}, [1, 0, 1]),  # nothing else to be had: one of two
    ],
)
def test_cut_val_of_small_classes(tmp_path, train, val):
    source = cut_val(open_source(folder(tmp_path, **train)))
    assert np.bincount(source.splits["val"].targets, minlength=len(val)).tolist() == val
    assert np.bincount(source.splits["train"].targets).min() >= 1


def test_cut_val_leaves_one_of_each_class_to_train(tmp_path):
    source = cut_val(open_source(folder(tmp_path, a=4, b=1)), fraction=0.99)
    assert np.bincount(source.splits["train"].targets).tolist() == [1, 1]


def test_cut_val_faults(tmp_path):
    source = open_source(folder(tmp_path, a=1, b=1))
    with pytest.raises(InputError, match="one picture a class"):
        cut_val(source)
    with pytest.raises(InputError, match="between 0 and 1"):
        cut_val(source, 1.0)
    with pytest.raises(InputError, match="no training split"):
        cut_val(open_source(folder(tmp_path / "t", test__a=1), labels=["a", "b"]))


@pytest.mark.parametrize("target", ["nowhere.png", "dead.png"], ids=["to nothing", "to itself"])
def test_a_dead_link_is_a_picture_that_cannot_be_read(tmp_path, target):
    for label in "ab":
        (tmp_path / label).mkdir()
        Image.new("RGB", (8, 8)).save(tmp_path / label / "0.png")
    (tmp_path / "a/dead.png").symlink_to(target)
    images = open_source(tmp_path).splits["train"].images
    assert [images.path(i).name for i in range(len(images))] == ["0.png", "dead.png", "0.png"]
    with pytest.raises(BadPicture):
        images[1]
