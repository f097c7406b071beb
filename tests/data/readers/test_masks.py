"""Masks of classes and of objects, beside their pictures; every fault of a mask and of a folder."""

import os
import struct
import unicodedata
import zlib
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from resnets.data.readers import class_folders
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
    assert recognised(root)[1].holds == "masks" and class_folders.is_detection(root)
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


def note(source):
    return next(note.text for note in source.notes if note.kind == "values")


def test_what_each_value_was_taken_for_is_said(tmp_path):
    source = open_source(folder(tmp_path / "a", a=mask(0, 1), b=mask(0, 1, 255, 255)), None)
    assert source.labels == ("background", "object") and (source.splits["train"][1][1] == mask(0, 1, 255, 255)).all()
    assert note(source) == "masks: 0 is background, 1 is object; 255 is ignored"
    assert note(open_source(folder(tmp_path / "b", a=mask(0, 255)), None)).endswith("0 is taken for background, 255 for object")
    assert note(open_source(folder(tmp_path / "c", a=mask(0, 1, 2, 2)), None)) == "masks: the values 0 to 2 are classes"


@pytest.mark.parametrize("split", ["train", "test"])
@pytest.mark.parametrize("labels", [None, ("background", "object")])
def test_one_odd_mask_changes_no_other(tmp_path, split, labels):
    """255 is not ignored everywhere because one file, perhaps of another split, holds a 1."""
    root = folder(tmp_path, train__a=mask(0, 255), train__b=mask(0, 255), train__c=mask(0, 0), **{f"{split}__odd": mask(0, 1)})
    with pytest.raises(InputError, match=rf"{split}/masks/odd.png: holds 0, 1, as 1 of 4 masks.*255 an object, or ignored"):
        open_source(root, None, labels=labels)
    assert (open_source(root, None, labels=("a", "b"), ignore=255).splits["train"][0][1] == mask(0, 255)).all()
    (root / "classes.txt").write_text("0: background\n255: object\n")
    source = open_source(root, None, labels=labels)
    assert source.labels == ("background", "object") and (source.splits["train"][0][1] == mask(0, 1)).all()
    with pytest.raises(BadLabel, match="pixels of 1, which are no class"):
        source.splits[split][-1 if split == "test" else 3]


def grey(how):
    """A disc in black and white that was compressed, or resized with smoothing."""
    y, x = np.mgrid[:60, :80]
    image = Image.fromarray((np.hypot(y - 29, x - 37) < 11).astype(np.uint8) * 255)
    if how == "resized":
        return np.array(image.resize((90, 70), Image.Resampling.BICUBIC).resize((80, 60), Image.Resampling.BICUBIC))[
            15:45, 20:60
        ]
    file = BytesIO()
    image.save(file, "JPEG", quality=60)
    return np.array(Image.open(file))[15:45, 20:60]


@pytest.mark.parametrize("how", ["resized", "compressed"])
@pytest.mark.parametrize("labels", [None, ("background", "object")])
def test_grey_masks_are_named(tmp_path, how, labels):
    assert len(np.unique(grey(how))) > 8
    root = folder(tmp_path / "one", a=mask(0, 255), b=mask(0, 255), odd=grey(how))
    with pytest.raises(InputError, match=r"odd.png: \d+ different grey values, as in .* \(1 of 3 masks\); set each pixel"):
        open_source(root, None, labels=labels)
    with pytest.raises(InputError, match=r"\(2 of 2 masks\)"):
        open_source(folder(tmp_path / "all", a=grey(how), b=grey(how)), None, labels=labels)


def test_a_little_grey_in_one_mask_does_not_turn_white_into_ignored(tmp_path):
    odd = mask(0, 12, 243, 255)
    for labels in (None, ("background", "object")):
        with pytest.raises(InputError, match=r"odd.png: 4 different grey values"):
            open_source(folder(tmp_path, a=mask(0, 255), odd=odd), None, labels=labels)


def test_many_classes_are_not_grey(tmp_path):
    every = np.arange(1200).reshape(30, 40) % 150
    source = open_source(folder(tmp_path, a=every.astype(np.uint8), b=np.where(every == 3, 255, every).astype(np.uint8)), None)
    assert len(source.labels) == 150


def test_values_that_are_no_numbers_of_classes_are_named_in_a_file(tmp_path):
    root = folder(tmp_path, a=mask(0, 128))
    with pytest.raises(InputError, match=r"values 0, 128 and not 1, 2, 3, 4, 5 ... 127.*'0: name', '128: name'"):
        open_source(root, None)
    (root / "classes.txt").write_text("0: background\n128 : lesion\n7: void\n")
    source = open_source(root, None)
    assert source.labels == ("background", "lesion") and (source.splits["train"][0][1] == mask(0, 1)).all()
    assert open_source(root, None, labels=("lesion", "background")).splits["train"][0][1][0, 0] == 1
    (root / "classes.txt").write_text("0: background\n0: lesion\n")
    with pytest.raises(InputError, match="a value twice"):
        open_source(root, None)


def test_masks_in_floating_point_and_with_transparency(tmp_path):
    root = folder(tmp_path, a=None)
    save(root / "masks/a.tif", mask(0, 1).astype(np.float32))
    assert (open_source(root, None).splits["train"][0][1] == mask(0, 1)).all()
    save(root / "masks/a.tif", mask(0, 1).astype(np.float32) / 2)
    with pytest.raises(InputError, match=r"fractions in floating point \(F\)"):
        open_source(root, None)
    (root / "masks/a.tif").unlink()
    Image.fromarray(mask(0, 255)).convert("LA").save(root / "masks/a.png")
    with pytest.raises(InputError, match=r"grey with transparency \(LA\)"):
        open_source(root, None)


def test_what_lies_beside_images_and_masks_is_counted(tmp_path):
    root = folder(tmp_path, train__a=mask(0, 1), train__b=mask(0, 1))
    (root / "train/images/c.HEIC").touch()
    picture(root / "train/images/below/d.jpg")
    told = next(note.text for note in open_source(root, None).notes if note.kind == "left_out")
    assert told.startswith("2 files left out: ") and "1 .heic (" in told and "1 files in folders below" in told
    folder(root, validate__a=mask(0, 1))
    with pytest.raises(InputError, match="'validate' looks like a split"):
        open_source(root, None)
    (root / "train").rename(root / "Train Set")
    with pytest.raises(InputError, match="'Train Set', 'validate' look like splits"):
        open_source(root, None)


def test_names_in_two_forms_of_unicode_are_a_pair(tmp_path):
    picture(tmp_path / "images" / unicodedata.normalize("NFC", "é.jpg"))
    save(tmp_path / "masks" / unicodedata.normalize("NFD", "é.png"), mask(0, 1))
    assert (open_source(tmp_path, None).splits["train"][0][1] == mask(0, 1)).all()


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
    with pytest.raises(InputError, match=r"values 0, 300 and not 1, .*; numbers of objects go into instances"):
        open_source(folder(tmp_path / "b", a=mask(0, 300, dtype=np.uint16)), None)
    root = folder(tmp_path / "large")
    picture(root / "images/a.png")
    Image.fromarray(np.full((30, 40), 2**31 - 1, np.int32)).save(tmp_path / "a.tif")
    (root / "masks").mkdir(exist_ok=True)
    (tmp_path / "a.tif").rename(root / "masks/a.tif")
    with pytest.raises(InputError, match=r"numbers up to 2,147,483,647, and classes end at 254"):
        open_source(root, None)
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
    with pytest.raises(InputError, match=r"values 0, 3 and not 1, 2, though classes .*in a line: '0: name', '3: name'"):
        open_source(tmp_path, "masks")
    (tmp_path / "classes.txt").write_text("background\nbicycle\nbird\nboat\n")
    source = open_source(tmp_path, "masks")
    assert len(source.splits["train"]) == 2 and source.labels == ("background", "bicycle", "bird", "boat")
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
    assert recognised(tmp_path)[1].holds == "classes"


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
