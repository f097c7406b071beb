"""Folders and lists of whole volumes with classes: what is read, and what is refused by its name."""

import numpy as np
import pytest
from PIL import Image

from resnets.data.groups import chosen, grouped
from resnets.data.sources import open_source, recognised
from resnets.data.splits import cut_fold, cut_val
from resnets.errors import InputError
from tests.data import made_dicom
from tests.data.made_scans import NAMES, ball, classes, listed, series
from tests.data.made_volumes import save

pytest.importorskip("pydicom")


def test_folders_of_classes_with_and_without_splits(tmp_path):
    source = open_source(classes(tmp_path / "a", train=6, test=4))
    assert (source.kind, source.dims, source.in_chans, source.hflip) == ("volume_classes", 3, 1, False)
    assert source.labels == NAMES and {name: len(split) for name, split in source.splits.items()} == {"train": 6, "test": 4}
    image, target = source.splits["train"][0]
    assert image.shape == (10, 11, 12) and target == 0
    plain = open_source(tmp_path / "a/train")
    assert [*plain.splits] == ["train"] and plain.labels == NAMES
    assert recognised(tmp_path / "a")[1].name == "volume classes"


def test_series_in_folders_of_classes(tmp_path):
    root = series(tmp_path / "studies", num=4)
    made_dicom.series(root / "small/study1b/inner", series=9, patient=9)
    source = open_source(root)
    assert source.kind == "volume_classes" and len(source.splits["train"]) == 5
    names = [source.splits["train"].images.relative(n) for n in range(5)]
    assert names == ["large/study0", "large/study2", "small/study1", "small/study1b/inner", "small/study3"]
    assert source.splits["train"][0][0].shape[0] == 6
    assert recognised(root)[1].holds == "scans" and recognised(root, "classes")[1].name == "volume classes"
    assert chosen(source, None) == "PatientID" and len(set(grouped(source, "PatientID").splits["train"].groups)) == 5


def test_single_scans_stay_pictures(tmp_path):
    """X-rays of one series, each at no place."""
    for number in range(4):
        ds = made_dicom.with_pixels(made_dicom.header(number, series=0), np.full((32, 32), number, np.uint16))
        del ds.ImagePositionPatient
        made_dicom.save(ds, tmp_path / NAMES[number % 2] / f"{number}.dcm")
    assert open_source(tmp_path).kind == "classes"


def test_lists_of_files_and_of_folders_of_series(tmp_path):
    source = open_source(
        listed(tmp_path, "path,label,split,who", lambda n: f"{NAMES[n % 2]},{('train', 'val')[n > 5]},p{n // 2}")
    )
    assert source.kind == "volume_classes" and len(source.splits["val"]) == 2 and source.unused == ("who",)
    series(tmp_path / "studies", num=2)
    made_dicom.series(tmp_path / "both", series=5)
    made_dicom.series(tmp_path / "both/second", series=6)
    from resnets.data.pictures.dicom.series import below, gathered

    shared = [path.relative_to(tmp_path) for path in gathered(below(tmp_path / "both")).series]
    lines = ["path,label", "studies/large/study0,a", "studies/small/study1/,b", *(f"{path},a" for path in shared), "0.nii.gz,b"]
    (tmp_path / "mixed.csv").write_text("\n".join(lines))
    found = open_source(tmp_path / "mixed.csv").splits["train"]
    assert [found[n][0].shape[0] for n in range(5)] == [6, 6, 6, 6, 10]
    assert any(path.name.startswith("series-") for path in shared)


def test_several_labels_and_numbers(tmp_path):
    tags = open_source(listed(tmp_path, "path,round,bright", lambda n: f"{n % 2},{n // 2 % 2}"), "tags")
    assert (tags.kind, tags.labels, tags.in_chans, tags.hflip) == ("volume_tags", ("round", "bright"), 1, False)


def test_what_is_refused(tmp_path):
    path = listed(tmp_path, num=2)
    Image.new("L", (8, 8)).save(tmp_path / "a.png")
    path.write_text(path.read_text() + "a.png,small\n")
    with pytest.raises(InputError, match=r"volumes and pictures in one list, as 0.nii.gz and a.png"):
        open_source(path)
    (tmp_path / "split.csv").write_text("path,label,split\n0.nii.gz,a,train\n1.nii.gz,b,train\na.png,a,val\n")
    with pytest.raises(InputError, match=r"splits of several kinds.*train volumes of 1, val pictures"):
        open_source(tmp_path / "split.csv")
    (tmp_path / "gone.csv").write_text("path,label\n0.nii.gz,a\n9.nii.gz,b\n")
    with pytest.raises(InputError, match="1 files of the list do not exist"):
        open_source(tmp_path / "gone.csv")
    root = classes(tmp_path / "classes", train=4)
    with pytest.raises(InputError, match="volumes, and identities are of pictures"):
        open_source(root, "identities")
    (tmp_path / "empty/a").mkdir(parents=True)
    save(tmp_path / "empty/b/1.nii.gz", ball(0))
    with pytest.raises(InputError, match="no images in 'a'"):
        open_source(tmp_path / "empty")
    (tmp_path / "bad/a").mkdir(parents=True)
    (tmp_path / "bad/a/1.nii.gz").write_bytes(b"nothing")
    with pytest.raises(InputError, match=r"no volume can be read .*give .nii or .nii.gz files"):
        open_source(tmp_path / "bad")


def test_volumes_of_two_splits_become_one_for_folds(tmp_path):
    source = open_source(classes(tmp_path, train=6, val=4))
    cut = cut_fold(source, folds=2, fold=1)
    assert {name: len(split) for name, split in cut.splits.items()} == {"train": 5, "val": 5}
    every = {cut.splits[name].images.relative(n) for name in cut.splits for n in range(5)}
    assert len(every) == 10 and all(cut.splits[name][n][0].channels == 1 for name in cut.splits for n in range(5))
    assert len(cut_val(open_source(tmp_path / "train"), 0.4).splits["val"]) == 2
