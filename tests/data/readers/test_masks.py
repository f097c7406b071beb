"""Masks of classes and of objects, beside their pictures; every fault of a mask and of a folder."""

import os
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from resnets.data.readers import layouts
from resnets.data.readers.label_rules import BadLabel
from resnets.data.readers.masks import instance_boxes, read_mask
from resnets.data.sources import open_source, recognised
from resnets.data.splits import cut_val
from resnets.errors import InputError
from tests.data.made_dense import picture, rules, save


def mask(*numbers, dtype=np.uint8):
    """(30, 40), in columns of the numbers."""
    return np.repeat(np.array(numbers, dtype), 40 // len(numbers))[None].repeat(30, 0)


def folder(root, word="masks", **files):
    """folder(root, train__a=mask(0, 1)): root/train/images/a.jpg and root/train/masks/a.png."""
    for name, values in files.items():
        *split, stem = name.split("__")
        base = root.joinpath(*split)
        picture(base / f"images/{stem}.jpg")
        if values is not None:
            save(base / f"{word}/{stem}.png", values)
    return root


def test_classes_by_number(tmp_path):
    root = folder(tmp_path / "roads", train__a=mask(0, 2), train__b=mask(1, 255), val__c=mask(2, 2))
    assert recognised(root)[1].kind == "masks" and layouts.is_detection(root)
    source = open_source(root, None)
    assert (source.name, source.kind, source.labels) == ("roads", "masks", ("0", "1", "2"))
    pixels, target = source.splits["train"][1]
    assert pixels.shape == (30, 40, 3)
    assert target.dtype == np.uint8 and (target == mask(1, 255)).all()
    assert source.splits["val"].read(0).faults == []


@pytest.mark.parametrize("order", ["split first", "split last", "no split", "odd words"])
def test_orders_of_folders(tmp_path, order):
    if order == "split first":
        folder(tmp_path, train__a=mask(0, 1))
    elif order == "split last":
        picture(tmp_path / "images/train/a.jpg")
        save(tmp_path / "masks/train/a.png", mask(0, 1))
    elif order == "no split":
        folder(tmp_path, a=mask(0, 1))
    else:
        folder(tmp_path, Training__a=mask(0, 1))
    source = open_source(tmp_path, None)
    assert list(source.splits) == ["train"] and (source.splits["train"][0][1] == mask(0, 1)).all()


def test_indices_that_say_nothing(tmp_path):
    root = folder(tmp_path, a=mask(0, 1, 2, 3))
    assert open_source(root, None).labels == ("0", "1", "2", "3")
    source = open_source(root, None, ignore=3)
    assert source.labels == ("0", "1", "2") and (source.splits["train"][0][1] == mask(0, 1, 2, 255)).all()
    (root / "classes.txt").write_text("void\nroad\nsky\n")
    source = open_source(root, None, ignore=3)
    assert source.labels == ("road", "sky") and (source.splits["train"][0][1] == mask(255, 0, 1, 255)).all()
    with pytest.raises(InputError, match="index 300 is to be ignored"):
        open_source(root, None, ignore=300)


def test_a_models_classes_are_matched_by_name_whatever_is_ignored(tmp_path):
    root = folder(tmp_path, a=mask(0, 1, 2, 3))
    first = open_source(root, None, ignore=1)
    assert first.labels == ("0", "2", "3")
    again = open_source(root, None, ignore=1, labels=first.labels)
    assert again.fingerprint() == first.fingerprint() and (again.splits["train"][0][1] == mask(0, 255, 1, 2)).all()
    (root / "classes.txt").write_text("sky\nvoid\nroad\ncar\n")
    first = open_source(root, None)
    assert open_source(root, None, labels=first.labels).fingerprint() == first.fingerprint()
    (root / "classes.txt").write_text("car\nroad\nvoid\nsky\n")
    assert (open_source(root, None, labels=first.labels).splits["train"][0][1] == mask(2, 1, 255, 0)).all()
    assert open_source(root, None, labels=["car", "road", "sky", "bus"]).labels[3] == "bus"
    with pytest.raises(InputError, match=r"'sky' in classes.txt, and the classes are 'car', 'road'"):
        open_source(root, None, labels=["car", "road"])
    with pytest.raises(InputError, match="'void' is no class"):
        open_source(root, None, labels=["car", "road", "void", "sky"])


def test_black_and_white(tmp_path):
    root = folder(tmp_path, a=mask(0, 255), b=mask(0, 0))
    source = open_source(root, None)
    assert source.labels == ("background", "object") and (source.splits["train"][0][1] == mask(0, 1)).all()
    assert open_source(root, None, labels=["no", "yes"]).splits["train"][0][1].max() == 1
    with pytest.raises(InputError, match="1 classes in the masks"):
        open_source(folder(tmp_path / "black", a=mask(0, 0)), None)
    with pytest.raises(InputError, match="1 classes in the masks"):
        open_source(root, None, ignore=255)  # then white says nothing


def test_zero_and_one_are_background_and_object(tmp_path):
    source = open_source(folder(tmp_path, a=mask(0, 1), b=mask(0, 255)), None)
    assert source.labels == ("background", "object") and (source.splits["train"][1][1] == mask(0, 255)).all()


def test_masks_in_colours_or_of_another_kind_are_named(tmp_path):
    for suffix, said in (
        (".png", "none of 1 masks can be read; the first: .*holds colours"),
        (".jpg", "a.jpg, and what is read"),
    ):
        root = folder(tmp_path / suffix, a=None)
        save(root / f"masks/a{suffix}", np.zeros((30, 40, 3), np.uint8))
        with pytest.raises(InputError, match=said):
            open_source(root, "masks")


def test_palettes_are_read_as_indices_and_bits_as_classes(tmp_path):
    root = folder(tmp_path, a=None, b=None)
    image = Image.fromarray(mask(0, 2)).convert("P")
    image = Image.frombytes("P", (40, 30), mask(0, 2).tobytes())
    image.putpalette([9, 9, 9, 200, 0, 0, 0, 200, 0])
    (root / "masks").mkdir()
    image.save(root / "masks/a.png")
    Image.fromarray(mask(0, 255)).convert("1").save(root / "masks/b.png")
    train = open_source(root, None).splits["train"]
    assert (train[0][1] == mask(0, 2)).all() and (train[1][1] == mask(0, 1)).all()


def broken_masks(root):
    for stem in ("colour", "cut", "size", "beyond", "missing"):
        folder(root, **{f"train__{stem}": mask(0, 3)})
    masks = root / "train/masks"
    save(masks / "colour.png", np.zeros((30, 40, 3), np.uint8))
    (masks / "cut.png").write_bytes((masks / "size.png").read_bytes()[:60])
    save(masks / "size.png", np.zeros((40, 30), np.uint8))
    save(masks / "beyond.png", mask(0, 2))
    (masks / "missing.png").unlink()
    folder(root, train__good=mask(0, 1))
    (root / "classes.txt").write_text("a\nb\n")
    save(masks / "orphan.png", mask(0, 1))
    return root


def test_a_broken_mask_costs_its_picture_alone(tmp_path):
    split = open_source(broken_masks(tmp_path), None).splits["train"]
    found = {}
    for index in range(len(split)):
        try:
            split[index]
        except BadLabel as bad:
            found[split.images.name(index).split("/")[-1].split(".")[0]] = (bad.rule, bad.reason)
    assert {stem: rule for stem, (rule, _) in found.items()} == {
        "beyond": "unknown_index", "colour": "bad_annotation", "cut": "bad_annotation", "missing": "missing_annotation",
        "orphan": "missing_picture", "size": "wrong_size",
    }  # fmt: skip
    assert "save it as grey or palette PNG of class indices" in found["colour"][1]
    assert found["beyond"][1] == "600 pixels of 2, which are no class"
    assert found["size"][1] == "the mask has 30 x 40 pixels, the image 40 x 30"


def test_names_that_never_match_and_masks_that_are_objects(tmp_path):
    root = folder(tmp_path / "a", a=None)
    save(root / "masks/b.png", mask(0, 1))
    with pytest.raises(InputError, match="no file there has the name of an image"):
        open_source(root, None)
    with pytest.raises(InputError, match="up to 300, and classes end at 254; objects go into instances"):
        open_source(folder(tmp_path / "b", a=mask(0, 300, dtype=np.uint16)), None)
    root = folder(tmp_path / "c", a=mask(0, 1))
    picture(root / "images/a.jpeg")
    with pytest.raises(InputError, match="has the same name; keep one"):
        open_source(root, None)


def test_val_is_cut_from_masks(tmp_path):
    source = cut_val(open_source(folder(tmp_path, **{f"m{n}": mask(0, 1) for n in range(10)}), None), 0.2)
    assert {split: len(part) for split, part in source.splits.items()} == {"train": 8, "val": 2}
    for part in source.splits.values():  # pictures and masks go together
        assert [part.images.path(n).stem for n in range(len(part))] == [
            part.targets.masks.path(n).stem for n in range(len(part))
        ]


def test_fingerprint_follows_classes(tmp_path):
    root = folder(tmp_path, a=mask(0, 1, 2, 2))
    assert (
        open_source(root, None).fingerprint()
        == open_source(root, None).fingerprint()
        != open_source(root, None, ignore=0).fingerprint()
    )


def test_vocs_masks(tmp_path):
    for stem in "abc":
        picture(tmp_path / f"JPEGImages/{stem}.jpg")
    for stem in "ab":
        save(tmp_path / f"SegmentationClass/{stem}.png", mask(0, 3, 255, 255))
    source = open_source(tmp_path, "masks")
    assert len(source.splits["train"]) == 2 and source.labels == ("0", "1", "2", "3")
    lists = tmp_path / "ImageSets/Segmentation"
    lists.mkdir(parents=True)
    (lists / "train.txt").write_text("a\n")
    (lists / "val.txt").write_text("b\nc\n")
    source = open_source(tmp_path, "masks")
    assert (source.splits["val"][0][1] == mask(0, 3, 255, 255)).all()
    with pytest.raises(BadLabel, match="the mask of this image does not exist"):
        source.splits["val"][1]


# --- objects -----------------------------------------------------------------------------------------------------------

OBJECTS = np.zeros((30, 40), np.uint16)
OBJECTS[2:5, 3:9], OBJECTS[10, 10], OBJECTS[20:30, 30:40], OBJECTS[29, 0] = 1, 300, 255, 300


def test_objects_as_boxes(tmp_path):
    root = folder(tmp_path, "instances", train__a=OBJECTS, train__b=np.zeros((30, 40), np.uint16))
    source = open_source(root, None)
    assert (source.kind, source.labels) == ("boxes", ("object",))
    boxes = source.splits["train"][0][1]
    assert boxes.xyxy.tolist() == [[3, 2, 9, 5], [30, 20, 40, 30], [0, 10, 11, 30]] and boxes.xyxy.dtype == np.float32
    assert boxes.labels.tolist() == [0, 0, 0] and not boxes.ignore.any() and boxes.masks is None
    assert rules(source.splits["train"].read(1).faults) == ["negative"]
    masks = open_source(root, None, masks=True).splits["train"][0][1].masks
    assert (masks == np.stack([k == OBJECTS for k in (1, 255, 300)])).all()


def test_objects_as_classes(tmp_path):
    source = open_source(folder(tmp_path, "instances", a=OBJECTS), "masks")
    assert (source.kind, source.labels) == ("masks", ("background", "object"))
    assert (source.splits["train"][0][1] == (OBJECTS > 0)).all()
    with pytest.raises(InputError, match="background and objects are two classes, and the classes given has 1"):
        open_source(tmp_path, "masks", labels=["cell"])


def test_boxes_of_objects_hold_all_their_pixels():
    values = np.random.default_rng(0).integers(0, 9, (17, 23)) * np.random.default_rng(1).integers(0, 2, (17, 23))
    numbers, xyxy = instance_boxes(values)
    for number, (x0, y0, x1, y1) in zip(numbers, xyxy, strict=True):
        y, x = np.nonzero(values == number)
        assert (x.min(), y.min(), x.max() + 1, y.max() + 1) == (x0, y0, x1, y1)
    assert numbers.tolist() == [*range(1, 9)] and instance_boxes(np.zeros((3, 3), int))[1].shape == (0, 4)


def test_sixteen_bits_stay_whole(tmp_path):
    assert read_mask(save(tmp_path / "a.png", mask(0, 40_000, dtype=np.uint16))).max() == 40_000


def test_nothing_that_is_known(tmp_path):
    for kind in ("boxes", "masks"):
        with pytest.raises(InputError, match=r"not a layout that is known; give one of: .*Pascal VOC"):
            open_source(tmp_path, kind)
        with pytest.raises(InputError, match="no file or folder"):
            open_source(tmp_path / "none", kind)
    assert recognised(tmp_path)[1].kind == "classes"


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_grey_values_of_few_bits_are_the_indices(tmp_path, bits):
    """Pillow spreads those of 2 and 4 bits over 0 to 255."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    values = np.random.default_rng(bits).integers(0, min(5, 2**bits), (3, 8), dtype=np.uint8)
    rows = np.packbits(np.unpackbits(values[:, :, None], axis=2)[:, :, -bits:].reshape(3, -1), axis=1)
    data = zlib.compress(b"".join(b"\0" + row.tobytes() for row in rows))
    header = struct.pack(">IIBBBBB", 8, 3, bits, 0, 0, 0, 0)
    path = tmp_path / "a.png"
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b""))
    assert (read_mask(path) == values).all()


def test_a_mask_that_is_a_pipe_costs_its_picture_alone(tmp_path):
    source = open_source(folder(tmp_path, train__a=mask(0, 1), train__b=mask(0, 1)), "masks")
    path = tmp_path / "train/masks/a.png"
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(BadLabel, match=r"a (pipe|device), not a file"):
        source.splits["train"].read(0)
    assert source.splits["train"].read(1)


def test_a_mask_of_too_many_objects_is_refused(tmp_path):
    path = tmp_path / "images/a.png"
    save(path, np.zeros((300, 300), np.uint8))
    save(tmp_path / "instances/a.tif", np.arange(90_000, dtype=np.int32).reshape(300, 300))
    with pytest.raises(BadLabel, match="90,000 objects, more than the 65,536"):
        open_source(tmp_path, "boxes").splits["train"].read(0)
