"""Small fakes of the official files of datasets, in the layout of their makers, so that torchvision's classes read them.

Each writes a few images below `root` and returns {split: (labels, pixels of the first image or None)}.
"""

import gzip
import json

import numpy as np
from PIL import Image


def pixels(seed, *shape):
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def picture(path, seed=0, side=12):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels(seed, side, side + 3, 3)).save(path)


def idx(path, array, pack=False):
    """A file of MNIST: a magic number with the number of axes, the sizes, the bytes."""
    content = bytes([0, 0, 8, array.ndim]) + b"".join(int(num).to_bytes(4, "big") for num in array.shape) + array.tobytes()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.with_name(f"{path.name}.gz" if pack else path.name).write_bytes(gzip.compress(content) if pack else content)


def fake_idx(folder, pack=False):
    told = {}
    for split, (prefix, num) in {"train": ("train", 20), "test": ("t10k", 10)}.items():
        images, labels = pixels(num, num, 28, 28), (np.arange(num) % 10).astype(np.uint8)
        idx(folder / f"{prefix}-images-idx3-ubyte", images, pack)
        idx(folder / f"{prefix}-labels-idx1-ubyte", labels, pack)
        told[split] = (labels.tolist(), images[0][..., None])
    return told


def fake_svhn(root):
    from scipy.io import savemat

    told = {}
    for split, num in (("train", 20), ("test", 10)):
        images, labels = pixels(num, 32, 32, 3, num), np.arange(num) % 10 + 1  # 10 is the digit 0
        savemat(root / f"{split}_32x32.mat", {"X": images, "y": labels[:, None]})
        told[split] = ((labels % 10).tolist(), images[..., 0])
    return told


def fake_stl10(root):
    folder = root / "stl10_binary"
    folder.mkdir()
    told = {}
    for split, num in (("train", 10), ("test", 20)):
        images, labels = pixels(num, num, 3, 96, 96), np.arange(num) % 10 + 1  # columns before rows
        images.tofile(folder / f"{split}_X.bin")
        labels.astype(np.uint8).tofile(folder / f"{split}_y.bin")
        told[split] = ((labels - 1).tolist(), images[0].transpose(2, 1, 0))
    (folder / "unlabeled_X.bin").write_bytes(b"")
    (folder / "class_names.txt").write_text("\n".join(f"kind {n}" for n in range(10)))
    return told


def fake_flowers(root):
    from scipy.io import savemat

    folder = root / "flowers-102"
    labels = np.arange(306) % 102 + 1
    for number in range(1, 307):
        picture(folder / "jpg" / f"image_{number:05d}.jpg", side=4)
    savemat(folder / "imagelabels.mat", {"labels": labels[None]})
    ids = {"trnid": np.arange(205, 307), "valid": np.arange(1, 103), "tstid": np.arange(103, 205)}
    savemat(folder / "setid.mat", {name: values[None] for name, values in ids.items()})
    return {split: (list(range(102)), None) for split in ("train", "val", "test")}


def fake_pets(root):
    folder = root / "oxford-iiit-pet"
    for split in ("trainval", "test"):
        lines = []
        for breed, (name, kind) in enumerate({"Abyssinian": 1, "american_bulldog": 2}.items(), start=1):
            for number in range(2):
                picture(folder / "images" / f"{name}_{split}{number}.jpg")
                lines.append(f"{name}_{split}{number} {breed} {kind} 1")
        (folder / "annotations").mkdir(exist_ok=True)
        (folder / "annotations" / f"{split}.txt").write_text("\n".join(lines) + "\n")
    return {split: ([0, 0, 1, 1], None) for split in ("train", "test")}


def fake_eurosat(root):
    for name in ("AnnualCrop", "Forest"):
        for number in range(3):
            picture(root / "eurosat" / "2750" / name / f"{name}_{number}.jpg", side=64)
    return {"train": ([0, 0, 0, 1, 1, 1], None)}


def fake_gtsrb(root):
    folder = root / "gtsrb"
    for sign in range(43):
        picture(folder / "GTSRB" / "Training" / f"{sign:05d}" / "00000_00000.ppm")
    lines = ["Filename;Width;Height;Roi.X1;Roi.Y1;Roi.X2;Roi.Y2;ClassId"]
    for number, sign in enumerate((16, 1)):
        picture(folder / "GTSRB" / "Final_Test" / "Images" / f"{number:05d}.ppm")
        lines.append(f"{number:05d}.ppm;53;54;6;5;48;49;{sign}")
    (folder / "GT-final_test.csv").write_text("\n".join(lines) + "\n")
    return {"train": (list(range(43)), None), "test": ([16, 1], None)}


def fake_dtd(root):
    folder = root / "dtd" / "dtd"
    (folder / "labels").mkdir(parents=True)
    for split in ("train", "val", "test"):
        names = [f"{kind}/{kind}_{split}.jpg" for kind in ("banded", "zigzagged")]
        for name in names:
            picture(folder / "images" / name)
        (folder / "labels" / f"{split}1.txt").write_text("\n".join(names) + "\n")
    return {split: ([0, 1], None) for split in ("train", "val", "test")}


def fake_food(root):
    folder = root / "food-101"
    (folder / "meta").mkdir(parents=True)
    for split in ("train", "test"):
        found = {dish: [f"{dish}/{split}1", f"{dish}/{split}2"] for dish in ("apple_pie", "waffles")}
        for name in [name for names in found.values() for name in names]:
            picture(folder / "images" / f"{name}.jpg")
        (folder / "meta" / f"{split}.json").write_text(json.dumps(found))
    return {split: ([0, 0, 1, 1], None) for split in ("train", "test")}


def fake_imagenette(root):
    for split in ("train", "val"):
        for wnid in ("n01440764", "n02102040"):
            picture(root / "imagenette2-160" / split / wnid / f"{wnid}_{split}.JPEG")
    return {split: ([0, 1], None) for split in ("train", "test")}


FAKES = {
    "mnist": lambda root: fake_idx(root / "MNIST" / "raw"),
    "fashion_mnist": lambda root: fake_idx(root / "FashionMNIST" / "raw"),
    "svhn": fake_svhn,
    "stl10": fake_stl10,
    "flowers102": fake_flowers,
    "oxford_pets": fake_pets,
    "eurosat": fake_eurosat,
    "gtsrb": fake_gtsrb,
    "dtd": fake_dtd,
    "food101": fake_food,
    "imagenette": fake_imagenette,
}
