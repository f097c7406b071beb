"""Folders, lists and arrays of classes: indices are right, and each fault of the user's is named with its remedy."""

import io
import os
import zipfile

import numpy as np
import pytest
from PIL import Image

from resnets.data import tables
from resnets.data.pictures.images import BadPicture
from resnets.data.sources import open_source
from resnets.errors import InputError
from tests.data.made_folders import csv, folder, names, picture

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
    assert train.targets.values.tolist() == [0, 1, 1, 2, 2] and train.targets.values.dtype == np.int64
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
    assert [split.targets.values.tolist() for split in source.splits.values()] == [[0, 0, 1], [1], [0, 1, 1]]


def test_train_alone_and_a_class_that_is_called_train(tmp_path):
    assert open_source(folder(tmp_path / "x", train__a=1, train__b=1)).labels == ("a", "b")
    assert open_source(folder(tmp_path / "y", train=1, bus=1)).labels == ("bus", "train")


FAULTS = {
    "class only in val": ({"train__a": 1, "train__b": 1, "val__c": 1}, "'c' in val but not in train; add training pictures"),
    "one class": ({"a": 3}, "one class only, 'a'"),
    "no train": ({"test__a": 1, "test__b": 1}, "no training split, only test"),
    "two vals": ({"train__a": 1, "train__b": 1, "val__a": 1, "valid__a": 1}, "more than one folder holds the val split"),
    "no class folders": ({"train": 2, "test": 2}, "'test', 'train' hold no class folders"),
    "voc": ({"JPEGImages": 1, "Annotations": 1}, "are for --task detect or --task segment"),
    "masks": ({"images": 1, "masks": 1}, "are for --task detect or --task segment"),
    "yolo": ({"images__train": 1, "labels__train": 1}, "are for --task detect or --task segment"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_faults_of_folders(tmp_path, fault):
    content, message = FAULTS[fault]
    with pytest.raises(InputError, match=message):
        open_source(folder(tmp_path, **content))


def test_coco_is_refused(tmp_path):
    folder(tmp_path, train2017=1)
    csv(tmp_path / "annotations/instances_train2017.json", "{}")
    with pytest.raises(InputError, match="are for --task detect"):
        open_source(tmp_path)


def test_empty_folders(tmp_path):
    with pytest.raises(InputError, match="holds no class folders"):
        open_source(tmp_path)
    folder(tmp_path, a=1, b=1)
    csv(tmp_path / "c/one.pdf")
    csv(tmp_path / "c/two.pdf")
    (tmp_path / "d").mkdir()
    with pytest.raises(InputError, match=r"no images in 'c' \(only 2 \.pdf\), 'd'; add some, or remove"):
        open_source(tmp_path)


def test_an_empty_class_is_an_error_in_training_only(tmp_path):
    root = folder(tmp_path, train__a=1, train__b=1, val__a=1)
    (root / "val/b").mkdir()
    assert open_source(root).splits["val"].targets.values.tolist() == [0]
    (root / "train/c").mkdir()
    with pytest.raises(InputError, match="no images in 'c'"):
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
    assert source.splits["train"].targets.values.tolist() == [0, 1, 0]
    assert [int(source.splits["train"].images[n][0, 0, 0]) for n in range(3)] == [0, 99, 2]


def test_csv_with_splits(tmp_path):
    folder(tmp_path, p=4)
    lines = ["path,label,split", "p/0.png,b,train", "p/1.png,a,TRAIN", "p/2.png,b,test", "p/3.png,a,valid"]
    source = open_source(csv(tmp_path / "list.csv", *lines))
    assert {split: value.targets.values.tolist() for split, value in source.splits.items()} == {
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
    assert source.labels == ("x", "y") and source.splits["test"].targets.values.tolist() == [1]


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
    "empty": (["path,label"], "the list holds no images"),
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
    assert source.size == (5, 4) and source.splits["test"].targets.values.tolist() == [11, 2, 0]
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
        open_source(npz(tmp_path / "n.npz", z=np.zeros(3)))


def test_csv_with_a_path_that_no_file_can_have(tmp_path):
    (tmp_path / "a.csv").write_text(f"path,label\n{'a' * 5000}.jpg,cat\n")
    with pytest.raises(InputError, match="1 files of the list do not exist") as raised:
        open_source(tmp_path / "a.csv")
    assert len(str(raised.value)) < 600


def npz_member(path, data, method=zipfile.ZIP_STORED, name="train_images.npy"):
    labels = io.BytesIO()
    np.save(labels, np.array([0, 1]))
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("train_labels.npy", labels.getvalue())
        archive.writestr(name, data, method)
    return path


def npy(shape, num_bytes):
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})
    return file.getvalue() + bytes(num_bytes)


@pytest.mark.parametrize(
    ("data", "method", "words"),
    [
        (npy((2, 8, 8), 128), zipfile.ZIP_LZMA, "compressed in another way"),
        (npy((2, 8, 8), 128), zipfile.ZIP_BZIP2, "compressed in another way"),
        (npy((2, 60_000, 60_000), 128), zipfile.ZIP_STORED, "which are not uint8"),
        (npy((2, 1000, 1000), 2_000_000), zipfile.ZIP_DEFLATED, "as no images are"),
        (npy((2, 8, 8), 128)[:40], zipfile.ZIP_STORED, "cannot be read as arrays"),
    ],
    ids=["lzma", "bzip2", "claims", "bomb", "cut"],
)
def test_npz_that_would_take_memory_or_is_not_numpys(tmp_path, monkeypatch, data, method, words):
    monkeypatch.setattr(tables, "MAX_UNPACKED", 10**6)
    with pytest.raises(InputError, match=words):
        open_source(npz_member(tmp_path / "a.npz", data, method))


def test_npz_that_is_an_array_encrypted_or_damaged(tmp_path):
    path = tmp_path / "a.npz"
    with path.open("wb") as file:
        np.save(file, np.zeros(3))
    with pytest.raises(InputError, match="not a zip file"):
        open_source(path)
    pixels = np.random.default_rng(0).integers(0, 256, (2, 8, 8), dtype=np.uint8)
    np.savez_compressed(path, train_images=pixels, train_labels=np.array([0, 1]))
    assert len(open_source(path).splits["train"]) == 2
    whole = path.read_bytes()
    damaged, encrypted = bytearray(whole), bytearray(whole)
    damaged[100] ^= 255
    entry = whole.index(b"PK\x01\x02")
    encrypted[entry + 8] |= 1
    for content, words in ((damaged, "cannot be read as arrays"), (encrypted, "encrypted")):
        path.write_bytes(content)
        with pytest.raises(InputError, match=words):
            open_source(path)
