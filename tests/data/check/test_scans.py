"""What is said of DICOM data: patients as hashes and groups, and planted leaks of the class."""

import json

import numpy as np
import pytest
from click.testing import CliRunner

from resnets.cli.main import cli
from resnets.data import groups
from resnets.data.check import check, scans
from resnets.data.check.told import told_apart
from resnets.data.sources import open_source, recognised
from resnets.data.splits import cut_val
from resnets.errors import InputError
from tests.data import made_dicom as made

pytest.importorskip("pydicom")


def xray(number, *, patient, burnt=False, side=64, **tags):
    random = np.random.default_rng(number)
    pixels = random.normal(1200, 200, (side, side)).clip(0, 3000).astype(np.uint16)
    if burnt:
        pixels[4:12, 40:42] = pixels[4:12, 46:48] = pixels[7:9, 40:48] = 4095
    ds = made.with_pixels(made.header(number, patient=patient, series=number), pixels, bits=12)
    ds.Modality, ds.WindowCenter, ds.WindowWidth = "DX", 2048, 4096
    for word, value in tags.items():
        setattr(ds, word, value)
    return ds


def folder(root, *, of=lambda code, number: {}, num=12, each=1):
    """Two classes of `num` patients with `each` pictures; `of` says what is other of a class."""
    for code, name in enumerate(("ill", "well")):
        for number in range(num * each):
            patient = code * num + number // each
            ds = xray(1000 * code + number, patient=patient, **of(code, number // each))
            made.save(ds, root / name / f"{number}.dcm")
    return root


def found(source):
    source = groups.grouped(source, groups.chosen(source, None))
    return {finding.kind: finding for finding in check(source, workers=1).findings}


def random_scanner(code, patient):
    drawn = np.random.default_rng(patient + 100 * code)
    return {"KVP": str(drawn.choice([70, 80, 120])), "Manufacturer": str(drawn.choice(["A", "B", "C"]))}


def test_a_planted_leak_is_found_and_its_content_not_shown(tmp_path):
    def of(code, patient):
        return random_scanner(code, patient) | {"StationName": ("STATION-KIEBITZ", "STATION-UHU")[code]}

    finding = found(open_source(folder(tmp_path, of=of)))["scanner_tags"]
    assert finding.level == "error" and "balanced accuracy 100% across patients, by chance 50%, p = 0.01" in finding.text
    assert finding.items == [{"label": "StationName", "alone": "100%"}]
    assert "UHU" not in json.dumps([finding.text, finding.items]) and "KIEBITZ" not in json.dumps(finding.items)


def test_where_nothing_leaks_nothing_is_said(tmp_path):
    kinds = found(open_source(folder(tmp_path, of=random_scanner)))
    assert kinds["scanner_tags"].level == kinds["burnt_in_text"].level == "note"
    assert "do not tell the class" in kinds["scanner_tags"].text
    assert kinds["dicom"].text == "DICOM: 24 pictures of 24 patients; DX 24; 64 x 64: 24"


def test_burnt_in_text_is_found(tmp_path):
    def of(code, patient):
        return random_scanner(code, patient) | {"burnt": code == 0, "BurnedInAnnotation": "YES" if patient == 0 else "NO"}

    kinds = found(open_source(folder(tmp_path, of=of)))
    assert kinds["burnt_in_text"].level == "error" and kinds["scanner_tags"].level == "note"
    assert kinds["burnt_in_text"].items[0]["in"] == "100% of one class, 0% of another"
    assert (
        kinds["burnt_in"].text.startswith("2 images say that text is burnt into their pixels")
        and len(kinds["burnt_in"].items) == 2
    )


def test_many_pictures_of_one_patient_are_no_proof(tmp_path):
    """A hundred pictures of each class that one tag tells, of a patient each."""
    values = np.repeat([0.0, 1.0], 100)[:, None]
    assert told_apart(values, np.repeat([0, 1], 100), np.repeat([0, 1], 100)).p == 1
    assert told_apart(values, np.repeat([0, 1], 100), np.arange(200)).sure
    random = np.random.default_rng(1)
    assert sum(told_apart(random.normal(size=(40, 6)), np.repeat([0, 1], 20), np.arange(40)).sure for _ in range(5)) == 0
    kinds = found(open_source(folder(tmp_path, num=2)))
    assert kinds["not_told"].text.startswith("fewer than 6 patients of a class")


def test_patients_are_groups_unless_asked_otherwise(tmp_path):
    source = open_source(folder(tmp_path, num=8, each=3))
    assert groups.chosen(source, None) == "PatientID" and groups.chosen(source, "none") is None
    source = groups.grouped(source, "PatientID")
    cut = cut_val(source, 0.25, seed=0)
    both = [set(cut.splits[name].groups) for name in ("train", "val")]
    assert not both[0] & both[1] and len(both[0] | both[1]) == 16
    assert all(group.startswith("patient-") and "ZQ" not in group for group in both[0])
    assert groups.grouped(source, "none").splits["train"].groups is source.splits["train"].groups
    plain = open_source("digits")
    assert groups.chosen(plain, None) is None


def test_a_patient_in_two_splits_is_found(tmp_path):
    folder(tmp_path / "train")
    folder(tmp_path / "val", num=6)  # the same patients, other pictures would do as well
    result = CliRunner().invoke(cli, ["data", "check", str(tmp_path), "--json"])
    assert result.exit_code == 2
    (finding,) = [each for each in json.loads(result.stdout)["findings"] if each["kind"] == "groups_across"]
    assert "12 groups in more than one split" in finding["text"] and "'patient-" in finding["text"]
    with pytest.raises(InputError, match="12 groups of group_by='PatientID' in more than one split"):
        groups.check_apart(groups.grouped(open_source(tmp_path), "PatientID"), "PatientID")


def test_a_folder_of_series_is_described(tmp_path):
    made.series(tmp_path / "b/one")
    made.series(tmp_path / "b/two", series=1, patient=1)
    (tmp_path / "b/two/IM014").unlink()
    assert recognised(tmp_path)[1].holds == "scans" and recognised(tmp_path, "classes")[1].holds == "classes"
    result = CliRunner().invoke(cli, ["data", "check", str(tmp_path)])
    assert result.exit_code == 2 and "1 slice is missing" in result.stdout
    assert "CT of patient-" in result.stdout and "6 x 12 x 10 slices, rows, columns, 2.5 x 0.75 x 0.5 mm" in result.stdout
    assert "DICOM: 2 series of 2 patients; CT 2" in result.stdout
    assert not [word for word in made.words() if word in result.output]


def test_tags_are_those_of_the_scanner():
    assert not {word for word in scans.SCANNER if word.startswith("Patient") and word != "PatientPosition"}
    assert not set(scans.SCANNER) & (
        set(made.SECRETS) - {"InstitutionName", "StationName", "DeviceSerialNumber", "ProtocolName"}
    )
