"""What is said of whole volumes before training: copies, sizes, voxels, no contrast, and scanners that tell the class."""

import numpy as np
import pytest

from resnets.data import groups
from resnets.data.check import check
from resnets.data.sources import open_source
from tests.data import made_dicom
from tests.data.made_scans import NAMES, ball, classes
from tests.data.made_volumes import save

pytest.importorskip("pydicom")


def found(source):
    source = groups.grouped(source, groups.chosen(source, None))
    return {finding.kind: finding for finding in check(source, workers=1).findings}


def test_what_spoils_a_folder_is_named(tmp_path):
    root = classes(tmp_path, train=12, test=4)
    (root / "test/large/90.nii.gz").write_bytes((root / "train/large/0.nii.gz").read_bytes())
    save(root / "train/small/91.nii.gz", np.full((12, 11, 10), 7, np.int16), spacing=(1, 1, 1))
    save(root / "train/small/92.nii.gz", ball(1, (4, 11, 10)), spacing=(3, 1, 1))
    (root / "train/small/93.nii.gz").write_bytes(b"nothing")
    kinds = found(open_source(root))
    assert kinds["leakage"].level == "error" and len(kinds["leakage"].items[0]) == 2
    assert kinds["unreadable"].text.startswith("1 volume cannot be read")
    assert "readable volumes: train 14, test 5" in kinds["classes"].text
    assert kinds["sizes"].text == "1 channel; 10 x 11 x 4-14 voxels (depth, height, width), mostly of 1 x 1 x 1 mm"
    assert [item["what"] for item in kinds["spacings"].items] == ["1 x 1 x 3 mm"]
    assert [item["name"].rpartition("/")[2] for kind in ("small", "flat") for item in kinds[kind].items] == [
        "92.nii.gz",
        "91.nii.gz",
    ]
    assert "one_sided_spacing" not in kinds


def test_classes_of_other_voxels_are_an_error(tmp_path):
    for number in range(12):
        save(tmp_path / NAMES[number % 2] / f"{number}.nii", ball(number), spacing=(1 + number % 2, 1, 1))
    finding = found(open_source(tmp_path))["one_sided_spacing"]
    assert finding.level == "error" and "the size of their voxels" in finding.text
    assert finding.items == [{"label": "large", "spacing": "1 x 1 x 1 mm"}, {"label": "small", "spacing": "1 x 1 x 2 mm"}]


def test_a_scanner_that_tells_the_class_is_found_in_series(tmp_path):
    for number in range(14):
        for at, ds in enumerate(made_dicom.slices(2, patient=number, series=number)):
            ds.ManufacturerModelName = ("One", "Two")[number % 2]
            ds.InstitutionName = ("A", "B", "C")[number % 3]
            made_dicom.save(ds, tmp_path / NAMES[number % 2] / f"{number}" / f"IM{at}")
    kinds = found(open_source(tmp_path, "classes"))
    assert kinds["dicom"].text.startswith("DICOM: 14 volumes of 14 patients; CT 14")
    assert kinds["scanner_tags"].level == "error" and kinds["scanner_tags"].items[0]["label"] == "ManufacturerModelName"
    assert kinds["burnt_in_text"].level == "note"
