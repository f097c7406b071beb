"""Small data sets of boxes and masks, made for one test each."""

import json

import numpy as np
from PIL import Image


def save(path, values):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.asarray(values)).save(path)
    return path


def picture(path, width=40, height=30):
    return save(path, np.full((height, width, 3), 120, np.uint8))


def xml(objects, size=(40, 30)):
    """`objects`: (name, xmin, ymin, xmax, ymax[, difficult])."""
    rows = "".join(
        f"<object><name>{name}</name><difficult>{int(any(rest))}</difficult><bndbox><xmin>{a}</xmin><ymin>{b}</ymin>"
        f"<xmax>{c}</xmax><ymax>{d}</ymax></bndbox></object>"
        for name, a, b, c, d, *rest in objects
    )
    stated = f"<size><width>{size[0]}</width><height>{size[1]}</height><depth>3</depth></size>" if size else ""
    return f"<annotation>{stated}{rows}</annotation>"


def voc(root, lists=None, size=(40, 30), **files):
    """A VOC folder: voc(root, {"train": ["a"]}, a=[("cat", 1, 1, 9, 9)]); a text instead of objects is the whole file."""
    for folder in ("JPEGImages", "Annotations", "ImageSets/Main"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    for stem, objects in files.items():
        picture(root / f"JPEGImages/{stem}.jpg")
        text = objects if isinstance(objects, str) else xml(objects, size)
        (root / f"Annotations/{stem}.xml").write_text(text, encoding="utf-8")
    for split, stems in (lists or {}).items():
        (root / f"ImageSets/Main/{split}.txt").write_text("\n".join(stems), encoding="utf-8")
    return root


def coco(root, annotations, split="train", images=None, categories=((7, "cat"), (3, "dog")), **extra):
    """A COCO folder with pictures 1.jpg and 2.jpg unless `images` says otherwise."""
    images = [{"id": n, "file_name": f"{n}.jpg", "width": 40, "height": 30} for n in (1, 2)] if images is None else images
    for image in images:
        picture(root / f"{split}2017" / image["file_name"])
    content = {
        "images": images,
        "annotations": [{"id": n, "iscrowd": 0} | entry for n, entry in enumerate(annotations, 1)],
        "categories": [{"id": id, "name": name} for id, name in categories],
    }
    path = root / f"annotations/instances_{split}2017.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content | extra), encoding="utf-8")
    return root


def rules(faults):
    return [fault.rule for fault in faults]


def segments(root, size=(32, 40), **splits):
    """segments(root, train=6, val=3): noise beside masks of three classes, each a part of the picture of its own colour."""
    (root).mkdir(parents=True, exist_ok=True)
    (root / "classes.txt").write_text("background\ncell\nwall\n", encoding="utf-8")
    for split, num in splits.items():
        for number in range(num):
            random = np.random.default_rng([number, len(split)])
            classes = np.zeros(size, np.uint8)
            top, left = random.integers(2, size[0] // 2), random.integers(2, size[1] // 2)
            classes[top:, :left], classes[:top, left:] = 1, 2
            pixels = 90 * classes[..., None] + random.integers(0, 60, (*size, 3))
            classes[0] = 255
            save(root / split / "images" / f"{number}.png", pixels.astype(np.uint8))
            save(root / split / "masks" / f"{number}.png", classes)
    return root


def objects(root, size=(32, 40), **splits):
    """objects(root, train=6, val=3): noise beside masks of numbered objects, none in picture 0, two in the others."""
    for split, num in splits.items():
        for number in range(num):
            random = np.random.default_rng([number, len(split)])
            numbers = np.zeros(size, np.uint16)
            for k in range(1, 3) if number else ():
                top, left = random.integers(0, size[0] - 12), 20 * (k - 1) + random.integers(0, 8)
                numbers[top : top + 10, left : left + 12] = k
            pixels = 150 * (numbers[..., None] > 0) + random.integers(0, 60, (*size, 3))
            save(root / split / "images" / f"{number}.png", pixels.astype(np.uint8))
            save(root / split / "instances" / f"{number}.png", numbers)
    return root


def boxed(root, **splits):
    """boxed(root, train=6, val=3): Pascal VOC of cats and dogs, 40 x 30 pixels; picture 0 of a split is empty."""
    lists = {split: [f"{split}{number}" for number in range(num)] for split, num in splits.items()}
    files = {
        stem: [("cat", 2 + n, 3, 14 + n, 20), ("dog", 20, 5, 38, 26)][: 2 if n else 0]
        for stems in lists.values()
        for n, stem in enumerate(stems)
    }
    return voc(root, lists, **files)
