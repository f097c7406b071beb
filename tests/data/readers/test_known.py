"""Built-in datasets: digits, and small fakes of official files, read by torchvision's classes."""

import gzip
from pathlib import Path

import numpy as np
import pytest
from torchvision import datasets

from resnets.data.readers import known, official
from resnets.data.readers.known import KNOWN, get
from resnets.data.sources import open_source
from resnets.errors import InputError
from tests.data.readers.made_official import FAKES, fake_gtsrb, fake_idx, fake_svhn, picture

README = Path(__file__).parents[3] / "docs" / "data.md"


# --- digits ----------------------------------------------------------------------------------------------------------


def test_digits():
    from sklearn.datasets import load_digits

    source = open_source("digits")
    assert (source.labels, source.size, source.in_chans, source.hflip) == (tuple("0123456789"), (8, 8), 1, False)
    train, test = source.splits["train"], source.splits["test"]
    assert list(source.splits) == ["train", "test"] and (len(train.targets), len(test.targets)) == (1437, 360)
    assert np.bincount(test.targets).tolist() == [36, 36, 35, 37, 36, 37, 36, 36, 35, 36]
    digits = load_digits()
    pixels = sorted(picture.tobytes() for split in (train, test) for picture in split.images)
    assert pixels == sorted(np.rint(picture * 255 / 16).astype(np.uint8).tobytes() for picture in digits.images)
    rgb = open_source("digits", in_chans=3).splits["test"].images
    assert (rgb[0] == test.images[0]).all() and rgb[0].shape == (8, 8, 3)


def test_the_test_split_of_digits_never_changes():
    """Published results rest on it: if this fails after an update of scikit-learn, write the split down instead."""
    assert open_source("digits").fingerprint() == "b06d966cc38b7cb80c0c0ad9436509def0bcc2a7be59cf3c4e3d63261202861c"


# --- official files --------------------------------------------------------------------------------------------------

CHECKED = {datasets.SVHN: "_check_integrity", datasets.STL10: "_check_integrity", datasets.Flowers102: "_check_integrity"}


def fake(monkeypatch, name, root):
    """The fake of `name` below `root`, its numbers of images in the table; checksums are of the real files."""
    root.mkdir(parents=True, exist_ok=True)
    told = FAKES[name](root)
    row = KNOWN[name]
    counts = {split: len(labels) for split, (labels, _) in told.items()}
    assert counts.keys() == row.num_images.keys()
    elsewhere = None if row.files.elsewhere is None else ()
    monkeypatch.setitem(KNOWN, name, row._replace(num_images=counts, files=row.files._replace(elsewhere=elsewhere)))
    for kind, check in CHECKED.items():
        monkeypatch.setattr(kind, check, lambda _: True)
    return told


def rewrite(path, old, new):
    path.write_text(path.read_text().replace(old, new))


def test_every_dataset_of_torchvision_has_a_fake():
    assert FAKES.keys() == {name for name, row in KNOWN.items() if row.files and not row.files.layout}


@pytest.mark.parametrize("name", FAKES)
@pytest.mark.parametrize("own_folder", [True, False])
def test_official_files(tmp_path, monkeypatch, name, own_folder):
    told = fake(monkeypatch, name, tmp_path / name if own_folder else tmp_path)
    source, row = open_source(name, data_dir=tmp_path), KNOWN[name]
    assert (source.name, source.in_chans, source.size, source.hflip) == (name, row.in_chans, row.size, row.hflip)
    for split, (labels, first) in told.items():
        part = source.splits[split]
        assert part.targets.values.tolist() == labels and part.images[0].shape[2] == row.in_chans
        if first is None:
            assert part.images.path(0).is_file() and part.images.path(0).is_relative_to(tmp_path)
        else:
            assert (part.images[0] == first).all()
        if row.size is not None:
            assert part.images[len(labels) - 1].shape[:2] == row.size or name == "eurosat"
    assert get(name, tmp_path) == (tmp_path / name if own_folder else tmp_path)
    fewer = row.num_images | {"train": 7_000}
    monkeypatch.setitem(KNOWN, name, row._replace(num_images=fewer))
    with pytest.raises(InputError, match=rf"images in train instead of 7,000.*resnets data get {name}"):
        open_source(name, data_dir=tmp_path)


def test_names_of_classes(tmp_path, monkeypatch):
    names = {}
    for name in ("oxford_pets", "imagenette", "gtsrb", "stl10", "flowers102"):
        fake(monkeypatch, name, tmp_path / name)
        names[name] = open_source(name, data_dir=tmp_path).labels
    assert names["oxford_pets"] == ("Abyssinian", "American Bulldog")
    assert names["imagenette"] == ("tench", "English springer")
    assert names["gtsrb"] == tuple(map(str, range(43))) and names["stl10"][9] == "kind 9"
    assert names["flowers102"][:2] == ("pink primrose", "hard-leaved pocket orchid") and len(names["flowers102"]) == 102


@pytest.mark.parametrize("folder", ["fashion_mnist", "fashion-mnist", "elsewhere"])
@pytest.mark.parametrize("pack", [True, False])
def test_idx_files_side_by_side(tmp_path, monkeypatch, folder, pack):
    """As Debian's package has them, gzipped; nothing is written beside them."""
    told = fake_idx(tmp_path / folder, pack)
    row = KNOWN["fashion_mnist"]
    files = row.files._replace(elsewhere=(str(tmp_path / "elsewhere"),))
    monkeypatch.setitem(KNOWN, "fashion_mnist", row._replace(num_images={"train": 20, "test": 10}, files=files))
    source = open_source("fashion_mnist", data_dir=tmp_path)
    assert source.labels[9] == "Ankle boot" and source.splits["test"].targets.values.tolist() == told["test"][0]
    assert (source.splits["train"].images[0] == told["train"][1]).all()
    assert get("fashion_mnist", tmp_path) == tmp_path / folder and [path.name for path in tmp_path.iterdir()] == [folder]


def test_debians_fashion_mnist():
    if not (folder := Path("/usr/share/datasets/fashion-mnist")).is_dir():
        pytest.skip(f"{folder} is not here: apt-get install dataset-fashion-mnist")
    source = open_source("fashion_mnist", data_dir="/nowhere")
    assert {split: np.bincount(part.targets).tolist() for split, part in source.splits.items()} == {
        "train": [6_000] * 10, "test": [1_000] * 10,
    }  # fmt: skip


# --- kept in a layout --------------------------------------------------------------------------------------------------


def test_voc(tmp_path):
    folder = tmp_path / "VOCdevkit" / "VOC2007"
    box = "<bndbox><xmin>1</xmin><ymin>1</ymin><xmax>8</xmax><ymax>8</ymax></bndbox>"
    for split in ("train", "val", "test"):
        picture(folder / "JPEGImages" / f"{split}.jpg")
        (folder / "Annotations").mkdir(exist_ok=True)
        (folder / "Annotations" / f"{split}.xml").write_text(
            f"<annotation><size><width>15</width><height>12</height></size><object><name>dog</name>{box}</object></annotation>"
        )
        (folder / "ImageSets" / "Main").mkdir(parents=True, exist_ok=True)
        (folder / "ImageSets" / "Main" / f"{split}.txt").write_text(f"{split}\n")
    source = open_source("voc2007", "boxes", data_dir=tmp_path)
    assert (source.labels, list(source.splits)) == (("dog",), ["train", "val", "test"])
    assert get("voc2007", tmp_path) == tmp_path
    with pytest.raises(InputError, match="--task detect"):
        open_source("voc2007", data_dir=tmp_path)


def test_imagenet(tmp_path):
    for split in ("train", "val"):
        for wnid in ("n01440764", "n01443537"):
            picture(tmp_path / "imagenet" / split / wnid / f"{split}.JPEG")
    source = open_source("imagenet", data_dir=tmp_path)
    assert (source.labels, list(source.splits)) == (("n01440764", "n01443537"), ["train", "val"])
    with pytest.raises(InputError, match=r"imagenet: .*cannot be downloaded .*registration.* put the official files in"):
        get("imagenet", tmp_path / "empty")


# --- at fault -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [name for name, row in KNOWN.items() if row.files and row.files.kind])
def test_what_is_not_there(tmp_path, monkeypatch, name):
    if (row := KNOWN[name]).files.elsewhere:
        monkeypatch.setitem(KNOWN, name, row._replace(files=row.files._replace(elsewhere=())))
    with pytest.raises(InputError, match=rf"{name}: its files are not in .*resnets data get {name}.* MB.*{row.files.files[0]}"):
        open_source(name, "boxes" if row.files.layout else "classes", data_dir=tmp_path)


def test_a_list_may_not_name_files_outside(tmp_path, monkeypatch):
    picture(tmp_path / "secret.ppm")
    for name, path, old in (
        ("gtsrb", "gtsrb/GT-final_test.csv", "00000.ppm"),
        ("food101", "food-101/meta/test.json", "waffles/test1"),
        ("oxford_pets", "oxford-iiit-pet/annotations/test.txt", "Abyssinian_test0"),
    ):
        fake(monkeypatch, name, tmp_path / name)
        rewrite(tmp_path / name / path, old, "../../../../../secret.ppm")
        with pytest.raises(InputError, match=r"secret.* lie outside of it"):
            open_source(name, data_dir=tmp_path)


FAULTS = {
    "missing image": ("dtd", lambda root: next((root / "dtd/dtd/images/banded").glob("*train*")).unlink(), "1 images of train"),
    "label": ("gtsrb", lambda root: rewrite(root / "gtsrb/GT-final_test.csv", ";16\n", ";43\n"), "2 labels of 43 classes"),
    "no number": ("gtsrb", lambda root: rewrite(root / "gtsrb/GT-final_test.csv", ";16\n", ";x\n"), "cannot be read as torch"),
    "no JSON": ("food101", lambda root: (root / "food-101/meta/train.json").write_text("["), "cannot be read as torch"),
    "cut short": ("mnist", lambda root: (root / "MNIST/raw/t10k-images-idx3-ubyte").write_bytes(b"\0"), "cannot be read"),
    "no pixels": ("stl10", lambda root: (root / "stl10_binary/test_X.bin").write_bytes(b"x"), "cannot be read as torch"),
    "too large": ("dtd", lambda root: (root / "dtd/dtd/labels/val1.txt").write_bytes(b"x" * 2_001), "more than the 2,000"),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_faulty_files(tmp_path, monkeypatch, fault):
    name, spoil, words = FAULTS[fault]
    fake(monkeypatch, name, tmp_path)
    if fault == "too large":
        monkeypatch.setattr(official, "MAX_BYTES", 2_000)
    spoil(tmp_path)
    with pytest.raises(InputError, match=words):
        open_source(name, data_dir=tmp_path)


def test_a_gzip_that_unpacks_to_too_much(tmp_path, monkeypatch):
    fake_idx(tmp_path / "mnist", pack=True)
    monkeypatch.setattr(official, "MAX_BYTES", 20_000)
    (tmp_path / "mnist" / "train-images-idx3-ubyte.gz").write_bytes(gzip.compress(bytes(10**6)))
    with pytest.raises(InputError, match="more than the 20,000 bytes"):
        open_source("mnist", data_dir=tmp_path)


def test_checksums_are_verified(tmp_path):
    """With torchvision's own check: a .mat of another origin is not opened."""
    fake_svhn(tmp_path)
    with pytest.raises(InputError, match="not found or corrupted"):
        open_source("svhn", data_dir=tmp_path)


# --- download --------------------------------------------------------------------------------------------------------------


@pytest.fixture
def server(monkeypatch):
    """torchvision's downloads come from here: {file name: what it writes}."""
    asked = []

    def download(url, download_root, md5=None):
        asked.append(url)
        if md5 is None:
            raise RuntimeError("a download without a checksum")
        if len(asked) == 2:
            raise OSError("Name or service not known")
        root = Path(download_root)
        if url.endswith("Training_fixed.zip"):
            root.mkdir(parents=True, exist_ok=True)
            (root / "GTSRB-Training_fixed.zip").write_bytes(b"archive")
            (root / "GTSRB" / "Training" / "00000").mkdir(parents=True, exist_ok=True)
            (root / "GTSRB" / "Training" / "00000" / "half.ppm").write_bytes(b"x")
        else:
            fake_gtsrb(root.parent)

    monkeypatch.setattr("torchvision.datasets.gtsrb.download_and_extract_archive", download)
    return asked


def test_a_download_is_complete_or_not_there(tmp_path, server):
    said = []
    with pytest.raises(InputError, match=r"cannot download gtsrb \(Name or service not known\); try again, or put .*gtsrb"):
        get("gtsrb", tmp_path, say=said.append)
    assert said == ["gtsrb: 277 MB, none stated; cite Stallkamp et al. 2012"]
    left = [path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()]
    assert left == [".gtsrb.part/gtsrb/GTSRB-Training_fixed.zip"]  # the archive, and nothing that looks unpacked
    assert get("gtsrb", tmp_path) == tmp_path / "gtsrb" and len(server) == 5
    assert known.place("gtsrb", tmp_path) == tmp_path / "gtsrb"
    assert [path.name for path in tmp_path.iterdir()] == ["gtsrb"]


def test_a_download_does_not_overwrite(tmp_path, server):
    (tmp_path / "gtsrb" / "mine").mkdir(parents=True)
    with pytest.raises(InputError, match=r"there, but not complete .*; remove it"):
        get("gtsrb", tmp_path)
    assert not server


def test_what_cannot_be_downloaded(tmp_path):
    with pytest.raises(InputError, match=r"these are: cifar10, cifar100, mnist, .*digits comes with scikit-learn"):
        get("digits", tmp_path)


# --- the table -------------------------------------------------------------------------------------------------------------


def test_the_docs_have_the_table():
    lines = README.read_text(encoding="utf-8").splitlines()
    for name, row in KNOWN.items():
        counts = " / ".join(
            f"{row.num_images[split]:,}" if split in row.num_images else "-" for split in ("train", "val", "test")
        )
        megabytes = f"{row.megabytes:,}" if row.megabytes else "-"
        assert f"| `{name}` | {row.words} | {counts} | {megabytes} | {row.terms} | {row.expected} |" in lines


def test_the_list_says_what_is_here(tmp_path, monkeypatch):
    fake(monkeypatch, "dtd", tmp_path)
    rows = {row["name"]: row for row in known.listing(tmp_path)}
    assert rows.keys() == KNOWN.keys() and rows["dtd"]["place"] == str(tmp_path) and rows["digits"]["here"]
    assert not rows["svhn"]["here"] and rows["svhn"]["place"] is None
