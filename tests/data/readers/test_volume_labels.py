"""Labels of volumes as programs write them, and masks at the place of their volume for other programs."""

import numpy as np
import pytest

from resnets.data.pictures.volumes import open_volume
from resnets.data.readers.label_rules import BadLabel
from resnets.data.sources import open_source
from resnets.errors import InputError
from tests.data.made_dense import rules

nib = pytest.importorskip("nibabel")
SHAPE = (6, 5, 4)


def write(path, values, affine=None, dtype=None, unit=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    image = nib.Nifti1Image(values, np.eye(4) if affine is None else affine)
    if dtype:
        image.set_data_dtype(dtype)
    if unit:
        image.header.set_xyzt_units(unit)
    image.to_filename(path)
    return path


def labels(*values):
    cube = np.zeros(SHAPE)
    for number, value in enumerate(values):
        cube[number] = value
    return cube


def scans(root, *values, image="{}.nii.gz", dtype=None, folders=("images", "labels")):
    for number in range(2):
        write(root / folders[0] / image.format(number), np.random.default_rng(number).normal(size=SHAPE))
        write(root / folders[1] / f"{number}.nii.gz", labels(*values), dtype=dtype)
    return root


def test_scaled_integers_are_integers(tmp_path):
    """nibabel stores 0 and 3 in 16 bits with a scale, and reads 2.999999999301508."""
    root = scans(tmp_path / "a", 3, dtype=np.uint16)
    assert (np.unique(nib.load(root / "labels/0.nii.gz").get_fdata()) != [0, 3]).any()
    (root / "classes.txt").write_text("0: background\n3: liver\n")
    labelled = open_source(root, None).splits["train"].read(0)
    assert np.unique(labelled.target).tolist() == [0, 1] and rules(labelled.faults) == ["rounded"]
    root = scans(tmp_path / "b", 1.01)
    with pytest.raises(InputError, match=r"none of 2 masks can be read; the first: .*values that are not integers"):
        open_source(root, None)
    (root / "classes.txt").write_text("background\nliver\n")
    with pytest.raises((BadLabel, InputError), match="values that are not integers"):
        open_source(root, None).splits["train"].read(0)


def test_values_with_gaps_are_named_in_a_file(tmp_path):
    root = scans(tmp_path, 205, 850)
    with pytest.raises(InputError, match=r"values 0, 205, 850 and not 1, 2, .*'0: name', '205: name', '850: name'"):
        open_source(root, None)
    (root / "classes.txt").write_text("0: background\n205: heart\n850: aorta\n")
    assert np.unique(open_source(root, None).splits["train"][1][1]).tolist() == [0, 1, 2]


def test_nnunets_names_are_pairs(tmp_path):
    root = scans(tmp_path, 1, image="{}_0000.nii.gz", folders=("imagesTr", "labelsTr"))
    assert len(open_source(root, None).splits["train"][1][1].shape) == 3
    write(root / "imagesTr/0_0001.nii.gz", np.zeros(SHAPE))
    with pytest.raises(InputError, match=r"1_0000.nii.gz: other cases have 2 files, one a channel, and here is no 1_0001; add"):
        open_source(root, None)


def test_spacing_is_in_mm(tmp_path):
    for unit, factor in (("mm", 1), ("micron", 1e-3), ("meter", 1e3)):
        volume = open_volume(write(tmp_path / f"{unit}.nii", np.zeros(SHAPE), np.diag([5.0, 6, 7, 1]), unit=unit))
        assert np.allclose(volume.spacing, np.array([7, 6, 5]) * factor)


def forms():
    """(qform, sform, their codes, unit) as scanners and programs write them."""
    plain = np.diag([1.0, 1, 2, 1])
    plain[:3, 3] = (-10, 5, 3)
    sheared, elsewhere, turned = plain.copy(), plain.copy(), np.diag([-1.0, -1, 2, 1])
    sheared[0, 1], elsewhere[0, 3] = 0.02, 90
    return {
        "sheared sform": (plain, sheared, (1, 1), "mm"),
        "two places": (plain, elsewhere, (1, 4), "mm"),
        "microns": (plain * [[5], [5], [5], [1]], plain * [[5], [5], [5], [1]], (1, 0), "micron"),
        "turned, qform alone": (turned, None, (2, 0), "mm"),
    }


@pytest.mark.parametrize("case", forms())
def test_a_mask_lies_where_its_volume_lies_in_every_program(tmp_path, case):
    qform, sform, codes, unit = forms()[case]
    image = nib.Nifti1Image(np.random.default_rng(0).normal(size=SHAPE).astype(np.float32), None)
    image.set_qform(qform, codes[0])
    image.set_sform(sform, codes[1])
    image.header.set_xyzt_units(unit)
    image.to_filename(tmp_path / "scan.nii.gz")
    volume = open_volume(tmp_path / "scan.nii.gz")
    volume.save_like(np.ones(volume.shape, np.uint8), tmp_path / "mask.nii.gz")
    scan, mask = (nib.load(tmp_path / f"{name}.nii.gz").header for name in ("scan", "mask"))
    keys = ("qform_code", "sform_code", "quatern_b", "qoffset_x", "srow_x", "srow_y", "pixdim", "xyzt_units")
    assert all(np.array_equal(scan[key], mask[key]) for key in keys)
    assert mask.get_data_dtype() == np.uint8 and nib.load(tmp_path / "mask.nii.gz").get_fdata().min() == 1
    itk = pytest.importorskip("SimpleITK")

    def place(name):
        try:
            image = itk.ReadImage(str(tmp_path / f"{name}.nii.gz"))
        except RuntimeError:
            return "refused"
        return image.GetSize(), image.GetSpacing(), image.GetOrigin(), image.GetDirection()

    assert place("mask") == place("scan")
