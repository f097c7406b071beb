"""NIfTI volumes: orientation, spacing, scale, patches, and the way back, on phantoms whose answer is known."""

import gzip
import os

import numpy as np
import pytest

from resnets.data.pictures.images import BadPicture
from resnets.data.pictures.volumes import open_volume
from resnets.data.readers.label_rules import BadLabel
from resnets.data.sources import open_source
from resnets.errors import InputError

nibabel = pytest.importorskip("nibabel")

SHAPE = (6, 5, 4)  # x, y, z
SPACING = (0.5, 1.0, 3.0)  # mm along x, y, z
VALUES = np.random.default_rng(0).integers(0, 200, SHAPE).astype(np.int16)  # RAS+
AFFINE = np.diag([*SPACING, 1.0])
AFFINE[:3, 3] = 10, -20, 30
# Other orders of the same voxels in the same place.
ORDERS = {"RAS": "RAS", "LPS": "LPS", "LAS": "LAS", "SPL": "SPL", "AIR": "AIR"}


def stored(path, values=VALUES, affine=AFFINE, order="RAS"):
    path.parent.mkdir(parents=True, exist_ok=True)
    image = nibabel.Nifti1Image(values, affine)
    turn = nibabel.orientations.ornt_transform(
        nibabel.orientations.axcodes2ornt("RAS"), nibabel.orientations.axcodes2ornt(order)
    )
    image.as_reoriented(turn).to_filename(path)
    return path


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
@pytest.mark.parametrize("order", ORDERS)
def test_any_order_comes_out_the_same(tmp_path, order, suffix):
    path = stored(tmp_path / f"a{suffix}", order=order)
    volume = open_volume(path)
    assert volume.shape == (4, 5, 6) and volume.spacing == (3.0, 1.0, 0.5) and volume.channels == 1
    assert (volume[:] == VALUES.transpose(2, 1, 0)).all() and volume[:].dtype == np.float32
    assert (volume[1:3, :, 2:5] == VALUES.transpose(2, 1, 0)[1:3, :, 2:5]).all()
    assert np.allclose(volume.affine, AFFINE)
    # What is found goes back to the file's own order and place.
    volume.save_like((volume[:] > 100).astype(np.uint8), tmp_path / "found.nii.gz")
    before, found = nibabel.load(path), nibabel.load(tmp_path / "found.nii.gz")
    assert np.allclose(found.affine, before.affine)
    assert (found.get_fdata() == (before.get_fdata() > 100)).all()


def test_a_file_is_mapped_and_a_scale_is_applied_to_the_patch(tmp_path):
    image = nibabel.Nifti1Image(VALUES, AFFINE)
    image.header.set_slope_inter(2, -1000)
    image.to_filename(tmp_path / "a.nii")
    volume = open_volume(tmp_path / "a.nii")
    scaled = nibabel.load(tmp_path / "a.nii").get_fdata()  # as nibabel says that it is
    assert np.allclose(volume[0:2], scaled.transpose(2, 1, 0)[0:2])
    kept = volume._stored
    while kept.base is not None and not isinstance(kept, np.memmap):
        kept = kept.base
    assert isinstance(kept, np.memmap)


def test_the_second_version_is_read_too(tmp_path):
    nibabel.Nifti2Image(VALUES, AFFINE).to_filename(tmp_path / "a.nii")
    assert (open_volume(tmp_path / "a.nii")[:] == VALUES.transpose(2, 1, 0)).all()


def test_channels_come_last(tmp_path):
    values = np.stack([VALUES, VALUES + 1], -1)
    nibabel.Nifti1Image(values, AFFINE).to_filename(tmp_path / "a.nii.gz")
    volume = open_volume(tmp_path / "a.nii.gz")
    assert volume.shape == (4, 5, 6, 2) and volume.channels == 2
    assert (volume[..., 1] == VALUES.transpose(2, 1, 0) + 1).all()


def test_files_that_are_none(tmp_path):
    path = stored(tmp_path / "a.nii")
    (tmp_path / "cut.nii").write_bytes(path.read_bytes()[:-50])
    (tmp_path / "text.nii").write_text("hello")
    (tmp_path / "flat.nii.gz").write_bytes(gzip.compress(path.read_bytes())[:-40])
    nibabel.Nifti1Image(VALUES[0], AFFINE).to_filename(tmp_path / "2d.nii")
    huge = nibabel.Nifti1Header()
    huge.set_data_shape((32000, 32000, 32000))
    with (tmp_path / "huge.nii").open("wb") as file:
        huge.write_to(file)
    for name, words in (
        ("text.nii", "cannot be read as NIfTI"), ("2d.nii", "3 axes"), ("huge.nii", "at most"), ("none.nii", "cannot be read")
    ):  # fmt: skip
        with pytest.raises(BadPicture, match=words):
            open_volume(tmp_path / name)
    for name in ("cut.nii", "flat.nii.gz"):
        with pytest.raises(BadPicture, match=r"truncated, or cannot be decoded|cannot be read as NIfTI"):
            open_volume(tmp_path / name)[:]


def labelled(root, labels, **settings):
    stored(root / "imagesTr/a.nii.gz")
    stored(root / "labelsTr/a.nii.gz", labels, **settings)
    return root


CLASSES = (VALUES > 100).astype(np.uint8) + (VALUES > 150)


def test_labels_fit_although_their_files_are_ordered_otherwise(tmp_path):
    source = open_source(labelled(tmp_path, CLASSES, order="LPS"), None)
    assert (source.kind, source.labels, source.in_chans) == ("volumes", ("background", "1", "2"), 1)
    volume, target = source.splits["train"][0]
    assert target.dtype == np.uint8 and (target == CLASSES.transpose(2, 1, 0)).all()
    assert ((volume[:] > 100) == (target > 0)).all()
    assert (open_source(tmp_path, None, ignore=2).splits["train"][0][1] == 255).sum() == (CLASSES == 2).sum()


MOVED = AFFINE.copy()
MOVED[0, 3] += 1
WRONG = {
    "other shape": (CLASSES[1:], {}, "wrong_size"),
    "elsewhere": (CLASSES, {"affine": MOVED}, "other_grid"),
    "not whole": (CLASSES + np.float32(0.5), {}, "bad_annotation"),
    "not a number": (np.where(CLASSES > 0, np.nan, 1).astype(np.float32), {}, "bad_annotation"),
    "beyond the classes": (CLASSES + np.uint8(1), {}, "unknown_index"),
    "negative": (CLASSES.astype(np.int16) - 1, {}, "bad_annotation"),
}


@pytest.mark.parametrize("case", WRONG)
def test_labels_that_do_not_fit(tmp_path, case):
    values, settings, rule = WRONG[case]
    source = open_source(labelled(tmp_path, values, **settings), None, labels=["air", "lung", "heart"])
    with pytest.raises(BadLabel) as bad:
        source.splits["train"][0]
    assert bad.value.rule == rule


def test_what_is_missing_is_named(tmp_path):
    stored(tmp_path / "train/images/a.nii")
    stored(tmp_path / "train/labels/a.nii", CLASSES)
    stored(tmp_path / "train/images/b.nii")
    stored(tmp_path / "train/labels/c.nii", CLASSES)
    split = open_source(tmp_path, None).splits["train"]
    assert split[0][1].max() == 2
    for index, rule in ((1, "missing_annotation"), (2, "missing_picture")):
        with pytest.raises(BadLabel) as bad:
            split[index]
        assert bad.value.rule == rule


def test_without_the_library(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "nibabel", None)
    with pytest.raises(InputError, match=r"pip install 'resnets\[volumes\]'"):
        open_volume(tmp_path / "a.nii")


def test_volumes_that_would_take_memory_or_time(tmp_path):
    header = nibabel.Nifti1Header()
    header.set_data_shape((2000, 1000, 1000))
    header.set_data_dtype(np.float64)
    (tmp_path / "bomb.nii.gz").write_bytes(gzip.compress(header.binaryblock + bytes(1000)))
    header.set_data_shape((2, 2, 2))
    header["vox_offset"] = 1e12
    for name, compress in (("far.nii.gz", gzip.compress), ("far.nii", bytes)):
        (tmp_path / name).write_bytes(compress(header.binaryblock + bytes(1000)))
    os.mkfifo(tmp_path / "pipe.nii")
    (tmp_path / "zero.nii.gz").symlink_to("/dev/zero")
    for name, words in (
        ("bomb.nii.gz", "unpacks to more than"), ("far.nii.gz", "begin at byte 1e.12"), ("far.nii", "begin at byte 1e.12"),
        ("pipe.nii", "a (pipe|device), not a file"), ("zero.nii.gz", "a (pipe|device), not a file"),
    ):  # fmt: skip
        with pytest.raises(BadPicture, match=words):
            open_volume(tmp_path / name)


NEARLY = np.array([[1e6, 1e6, 0, 0], [0, 1e-17, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])  # its determinant is 1e-11


@pytest.mark.parametrize("affine", [np.zeros((4, 4)), np.ones((4, 4)), NEARLY, np.diag([np.nan, 1, 1, 1])])
def test_singular_affines_are_refused(tmp_path, affine):
    header = nibabel.Nifti1Header()
    header.set_data_shape((2, 2, 2))
    header.set_sform(affine, code=1)
    header["vox_offset"] = 352
    (tmp_path / "a.nii").write_bytes(header.binaryblock + bytes(1000))
    with pytest.raises(BadPicture, match="singular"):
        open_volume(tmp_path / "a.nii")
