"""Built-in datasets: a row each. `digits` comes with scikit-learn, CIFAR is read here, the others by torchvision's classes."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from resnets.data.readers import cifar, official
from resnets.data.readers.download import Progress
from resnets.data.readers.layouts import Found, array_part
from resnets.data.readers.official import Official
from resnets.errors import InputError


def datasets_dir(data_dir: str | os.PathLike[str] | None = None) -> Path:
    """The folder of built-in datasets: `data_dir`, or $RESNETS_DATA, or ~/.cache/resnets/datasets."""
    return Path(data_dir or os.environ.get("RESNETS_DATA") or "~/.cache/resnets/datasets").expanduser()


class Known(NamedTuple):
    """A built-in dataset.

    Args:
        words: what it shows.
        num_images: of each split; a validation split that is missing is cut from the training split.
        megabytes: of the download; 0 where there is none.
        terms: its licence or terms, as its makers state them; read theirs before use.
        expected: accuracy on the test split, of which network, and who says so; "" where no figure is known here.
        in_chans: its own number of channels.
        size: (height, width) in pixels, if all images are of one size.
        hflip: whether flipped images are of the same class.
        files: its official files.
        read: called with (data_dir, in_chans), where torchvision does not read it.
    """

    words: str
    num_images: Mapping[str, int]
    megabytes: int
    terms: str
    expected: str = ""
    in_chans: int = 3
    size: tuple[int, int] | None = None
    hflip: bool = True
    files: Official | None = None
    read: Callable[[Path, int], Found] | None = None

    @property
    def told(self) -> str:
        """Size and terms, for people."""
        return ", ".join(filter(None, (f"{self.megabytes:,} MB" * bool(self.megabytes), self.terms)))


def read_digits(data_dir: Path, in_chans: int) -> Found:
    """scikit-learn's 1,797 grey digits of 8 x 8 pixels. A fifth is the test split, the same for every seed (stratified, 0)."""
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    digits = load_digits()
    images = np.rint(digits.images * 255 / 16).astype(np.uint8)  # the values are 0 to 16
    everything = np.arange(len(images))
    train, test = train_test_split(everything, test_size=0.2, stratify=digits.target, random_state=0)
    classes = tuple(str(name) for name in digits.target_names)
    parts = {
        split: array_part(split, images[indices], digits.target[indices], classes, in_chans)
        for split, indices in (("train", np.sort(train)), ("test", np.sort(test)))
    }
    return Found("digits", parts, size=(8, 8), hflip=False)


def _idx(kind: str, *elsewhere: str) -> Official:
    """The four files of MNIST and of what replaces it."""
    files = tuple(f"{kind}/raw/{what}" for split in ("train", "t10k")
                  for what in (f"{split}-images-idx3-ubyte", f"{split}-labels-idx1-ubyte"))  # fmt: skip
    return Official(kind, {"train": {"train": True}, "test": {"train": False}}, files, "data", "targets", elsewhere=elsewhere)


def _splits(*names: str, **arguments: str) -> dict[str, dict[str, str]]:
    """Splits that torchvision calls as here."""
    return {name: {"split": name} | arguments for name in names}


def _voc(year: str, *splits: str) -> Official:
    sets = {split: {"year": year, "image_set": split} for split in splits}
    folder = f"VOCdevkit/VOC{year}"
    return Official("VOCDetection", sets, (f"{folder}/JPEGImages/", f"{folder}/Annotations/"), layout=folder)


RANDOM_ERASING = "github.com/zhunzhong07/Random-Erasing"
# Sizes are those of the archives; numbers of images, and the names of files, are the makers'.
KNOWN: dict[str, Known] = {
    "digits": Known(
        "handwritten digits, 8 x 8, grey", {"train": 1_437, "test": 360}, 0, "CC BY 4.0 (UCI), comes with scikit-learn",
        "99.44 ± 0.56 % resnet20_cifar (measured, 3 seeds)", in_chans=1, size=(8, 8), hflip=False, read=read_digits,
    ),
    "cifar10": Known(
        "ten kinds of things, 32 x 32", cifar.NUM_IMAGES, 170, "none stated, for research",
        "91.25 % resnet20_cifar (He et al. 2015, table 6)", size=(32, 32),
        read=lambda data_dir, in_chans: cifar.read_cifar(cifar.get("cifar10", data_dir), in_chans),
    ),
    "cifar100": Known(
        "a hundred kinds of things, 32 x 32", cifar.NUM_IMAGES, 169, "none stated, for research",
        f"69.16 % resnet20_cifar ({RANDOM_ERASING})", size=(32, 32),
        read=lambda data_dir, in_chans: cifar.read_cifar(cifar.get("cifar100", data_dir), in_chans),
    ),
    "mnist": Known(
        "handwritten digits, 28 x 28, grey", {"train": 60_000, "test": 10_000}, 12, "CC BY-SA 3.0",
        in_chans=1, size=(28, 28), hflip=False, files=_idx("MNIST"),
    ),
    "fashion_mnist": Known(
        "clothes, 28 x 28, grey", {"train": 60_000, "test": 10_000}, 31, "MIT",
        "94.31 % resnet20_cifar, 22 epochs (resnets train fashion_mnist; seeds not recorded), "
        f"95.61 % in 300 epochs ({RANDOM_ERASING})",
        in_chans=1, size=(28, 28),
        files=_idx("FashionMNIST", "/usr/share/datasets/fashion-mnist"),  # of Debian's package dataset-fashion-mnist
    ),
    "svhn": Known(
        "house numbers, 32 x 32", {"train": 73_257, "test": 26_032}, 246, "non-commercial use only", size=(32, 32), hflip=False,
        files=Official("SVHN", _splits("train", "test"), ("train_32x32.mat", "test_32x32.mat"), "data", "labels", 10),
    ),
    "stl10": Known(
        "ten kinds of things, 96 x 96", {"train": 5_000, "test": 8_000}, 2_640, "none stated; images from ImageNet",
        size=(96, 96),
        files=Official(
            "STL10", _splits("train", "test"),
            tuple(f"stl10_binary/{file}" for file in ("train_X.bin", "train_y.bin", "test_X.bin", "test_y.bin")),
            "data", "labels",
        ),
    ),
    "flowers102": Known(
        "102 kinds of flowers", {"train": 1_020, "val": 1_020, "test": 6_149}, 345, "none stated",
        files=Official(
            "Flowers102", _splits("train", "val", "test"),
            ("flowers-102/jpg/", "flowers-102/imagelabels.mat", "flowers-102/setid.mat"), "_image_files", "_labels",
        ),
    ),
    "oxford_pets": Known(
        "37 breeds of cats and dogs", {"train": 3_680, "test": 3_669}, 811, "CC BY-SA 4.0",
        files=Official(
            "OxfordIIITPet", {"train": {"split": "trainval"}, "test": {"split": "test"}},
            ("oxford-iiit-pet/images/", *(f"oxford-iiit-pet/annotations/{split}.txt" for split in ("trainval", "test"))),
            "_images", "_labels",
        ),
    ),
    "eurosat": Known(
        "land use from a satellite, 64 x 64", {"train": 27_000}, 94, "MIT; Copernicus Sentinel data", size=(64, 64),
        files=Official("EuroSAT", {"train": {}}, ("eurosat/2750/",), "samples"),
    ),
    "gtsrb": Known(
        "43 German traffic signs", {"train": 26_640, "test": 12_630}, 277, "none stated; cite Stallkamp et al. 2012",
        hflip=False,
        files=Official(
            "GTSRB", _splits("train", "test"),
            ("gtsrb/GTSRB/Training/", "gtsrb/GTSRB/Final_Test/Images/", "gtsrb/GT-final_test.csv"),
            "_samples", num_classes=43,
        ),
    ),
    "dtd": Known(
        "47 textures in words", {"train": 1_880, "val": 1_880, "test": 1_880}, 625, "for research",
        files=Official(
            "DTD", _splits("train", "val", "test"),
            ("dtd/dtd/images/", *(f"dtd/dtd/labels/{split}1.txt" for split in ("train", "val", "test"))),
            "_image_files", "_labels",
        ),
    ),
    "food101": Known(
        "101 dishes", {"train": 75_750, "test": 25_250}, 4_996, "scientific fair use; images of Foodspotting's users",
        files=Official(
            "Food101", _splits("train", "test"), ("food-101/images/", "food-101/meta/train.json", "food-101/meta/test.json"),
            "_image_files", "_labels",
        ),
    ),
    "imagenette": Known(
        "ten easy classes of ImageNet, shorter side 160", {"train": 9_469, "test": 3_925}, 99,
        "Apache 2.0; images by ImageNet's terms",
        files=Official(  # what it calls val is what figures are published on
            "Imagenette", {"train": {"split": "train", "size": "160px"}, "test": {"split": "val", "size": "160px"}},
            ("imagenette2-160/train/", "imagenette2-160/val/"), "_samples",
        ),
    ),
    "voc2007": Known(
        "boxes and masks of 20 kinds of things", {"train": 2_501, "val": 2_510, "test": 4_952}, 911, "Flickr's terms of use",
        files=_voc("2007", "trainval", "test"),
    ),
    "voc2012": Known(
        "boxes and masks of 20 kinds of things", {"train": 5_717, "val": 5_823}, 2_000, "Flickr's terms of use",
        files=_voc("2012", "trainval"),
    ),
    "imagenet": Known(
        "1,000 kinds of things", {"train": 1_281_167, "val": 50_000}, 0,
        "after registration at image-net.org, non-commercial research",
        "top-1 on val, 1 crop: 76.13 % resnet50 (torchvision, IMAGENET1K_V1)",
        files=Official("", {}, ("train/n01440764/", "val/n01440764/"), layout="."),
    ),
}  # fmt: skip
FETCHED = frozenset(version.name for version in cifar.CIFARS)  # downloaded unasked, when they are first trained on


def read(name: str, data_dir: str | os.PathLike[str] | None, in_chans: int | None) -> Found:
    """The built-in dataset `name`; of one that is kept in a layout see `located`. Raises `InputError` where it is not there."""
    row, root = KNOWN[name], datasets_dir(data_dir)
    in_chans = row.in_chans if in_chans is None else in_chans
    if row.read is not None:
        return row.read(root, in_chans)
    assert row.files is not None
    with official.unpacked(name, row.files, root, row.told) as folder:
        return Found(name, official.read(name, row.files, folder, in_chans, row.num_images), row.size, row.hflip)


def located(data: Any, data_dir: str | os.PathLike[str] | None) -> Any:
    """The folder of a built-in dataset that is opened by its layout; anything else as it is."""
    row = KNOWN.get(data) if isinstance(data, str) else None
    if row is None or row.files is None or not row.files.layout:
        return data
    root = datasets_dir(data_dir)
    if (folder := official.root_of(data, row.files, root)) is None:
        raise official.missing(data, row.files, root, row.told)
    return folder / row.files.layout


def place(name: str, data_dir: str | os.PathLike[str] | None = None) -> Path | None:
    """The folder in which the dataset is; None if it is nowhere, or in no folder."""
    files, root = KNOWN[name].files, datasets_dir(data_dir)
    if files is None:
        return next(
            (root / version.folder for version in cifar.CIFARS if version.name == name and (root / version.folder).is_dir()),
            None,
        )
    return official.root_of(name, files, root) or official.beside(name, files, root)


def listing(data_dir: str | os.PathLike[str] | None = None) -> list[dict[str, Any]]:
    """A row for each built-in dataset: its name, what is known of it, whether it is here, and in which folder."""
    rows = []
    for name, row in KNOWN.items():
        told = {key: getattr(row, key) for key in ("words", "megabytes", "terms", "expected")}
        found = place(name, data_dir)
        here = found is not None or row.read is read_digits
        rows.append({"name": name, "num_images": dict(row.num_images), **told, "here": here, "place": found and str(found)})
    return rows


def get(
    name: str,
    data_dir: str | os.PathLike[str] | None = None,
    progress: Progress | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> Path:
    """The folder of a built-in dataset, unpacked or downloaded if necessary.

    Args:
        progress: of downloads of CIFAR; torchvision tells of its own.
        say: told the size and the terms before a download.

    Raises:
        InputError: for a name without download, an archive that is not the official one, or a failed download.
    """
    row = KNOWN.get(name)
    if row is None or (not row.megabytes and row.files is None):
        names = ", ".join(name for name, row in KNOWN.items() if row.megabytes)
        raise InputError(
            f"'{name}' is not a built-in dataset with a download; these are: {names} (digits comes with scikit-learn)"
        )
    if (found := place(name, data_dir)) is not None:
        return found
    say(f"{name}: {row.told}")
    root = datasets_dir(data_dir)
    return cifar.get(name, root, progress) if row.files is None else official.fetch(name, row.files, root, row.told)
