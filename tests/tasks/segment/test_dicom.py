"""DICOM from training to a DICOM SEG of what was found; and that no name of a patient comes out anywhere."""

import gzip
import json
from types import SimpleNamespace

import numpy as np
import pytest
from click.testing import CliRunner

import resnets
from resnets.cli.main import cli
from resnets.data.pictures.images import BadPicture
from resnets.data.pictures.volumes import open_volume
from resnets.data.sources import open_source
from resnets.errors import InputError
from tests.data import made_dicom as made
from tests.data.made_volumes import phantom

highdicom = pytest.importorskip("highdicom")
pydicom = pytest.importorskip("pydicom")
TINY = {
    "task": "segment", "model": "resnet20_cifar", "depths": "1,1", "width": 4, "batch_size": 2, "train_size": 8, "workers": 0,
    "device": "cpu", "precision": "float32", "val_fraction": 0.5, "epochs": 1, "repeats": 1,
}  # fmt: skip


def scan(root, number):
    """A phantom as a series of its own patient in images/case<number>/, and its labels as NIfTI."""
    values, classes = phantom(number, (14, 13, 12))
    folder = root / f"images/case{number}"
    for row in range(values.shape[2]):
        ds = made.with_pixels(made.header(row, patient=number), np.ascontiguousarray(values[:, :, row].T))
        made.save(ds, folder / f"{(row * 5) % 12}")
    volume = open_volume(folder)
    (root / "labels").mkdir(exist_ok=True)
    volume.save_like(volume.turned(classes), root / f"labels/case{number}.nii.gz")
    return folder


def invoke(*words):
    result = CliRunner().invoke(cli, [str(word) for word in words], catch_exceptions=True)
    if result.exception and not isinstance(result.exception, SystemExit | InputError):
        raise result.exception
    return result


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    root = tmp_path_factory.mktemp("dicom")
    for number in range(4):
        scan(root / "data", number)
    (root / "data/classes.txt").write_text("background\nball\nbox of things\n")
    flags = [word for name, value in TINY.items() for word in (f"--{name.replace('_', '-')}", value)]
    found = invoke("train", root / "data", "--out", root / "run", "--window", "100,300", *flags)
    assert found.exit_code == 0, found.output
    return SimpleNamespace(root=root, model=resnets.load(root / "run"), said=[found.stdout, found.stderr])


def test_series_with_labels_train_with_their_patients_apart(trained):
    record = json.loads((trained.root / "run/provenance.json").read_text())
    assert record["data"]["group_by"] == "PatientID" and record["data"]["num_groups"] == {"train": 2, "val": 2}
    assert trained.model.preprocess.window == (100, 300)
    split = open_source(str(trained.root / "data"), None).splits["train"]
    assert len(split) == 4 and all(set(np.unique(target)) == {0, 1, 2} for _, target in split)
    result = json.loads(invoke("eval", trained.root / "run", trained.root / "data", "--json").stdout)
    assert result["split"] == "val" and result["num_images"] == 2


def test_a_window_clips_what_the_network_sees(tmp_path):
    volume = open_volume(made.series(tmp_path), (0, 1000))
    clipped = volume[:].clip(-500, 500)
    assert np.allclose(volume.normalised()[0], (clipped - clipped.mean()) / clipped.std(), atol=1e-4)


def test_a_mask_as_seg_lies_where_it_should(tmp_path):
    """As highdicom and SimpleITK read it, with the classes' names."""
    itk = pytest.importorskip("SimpleITK")
    volume = open_volume(made.series(tmp_path / "scan"))
    mask = np.zeros(volume.shape, np.uint8)
    mask[1:4, 2:7, 3:5], mask[4, 8:10, 6:9] = 2, 1
    path = tmp_path / "mask.dcm"
    volume.save_mask(mask, ["background", "liver", "spleen"], path)
    seg = highdicom.seg.segread(path)
    assert [seg.get_segment_description(number).segment_label for number in (1, 2)] == ["liver", "spleen"]
    found = seg.get_volume(combine_segments=True)
    stored = np.argwhere(found.array)
    places = stored @ found.affine[:3, :3].T + found.affine[:3, 3]
    own = np.argwhere(mask)[:, ::-1] @ volume.affine[:3, :3].T + volume.affine[:3, 3]
    own[:, :2] *= -1  # RAS to LPS
    kinds = found.array[tuple(stored.T)], mask[mask > 0]
    ordered = [np.lexsort(np.round(points, 2).T) for points in (places, own)]
    assert np.allclose(places[ordered[0]], own[ordered[1]], atol=1e-3)
    assert np.array_equal(kinds[0][ordered[0]], kinds[1][ordered[1]])
    assert (itk.GetArrayFromImage(itk.ReadImage(str(path))) > 0).sum() == (mask > 0).sum()
    ds = pydicom.dcmread(path)
    assert ds.Modality == "SEG" and ds.StudyInstanceUID == made.uid(0, 77) and ds.PatientName == made.SECRETS["PatientName"]
    volume.save_mask(mask * 0, ["background", "liver", "spleen"], tmp_path / "none.dcm")  # nothing found


def test_a_mask_of_a_file_of_many_frames(tmp_path):
    volume = open_volume(made.save(made.multiframe(), tmp_path / "a.dcm"))
    mask = np.zeros(volume.shape, np.uint8)
    mask[2:4, 1:3, 5] = 1
    volume.save_mask(mask, ["background", "liver"], tmp_path / "mask.dcm")
    found = highdicom.seg.segread(tmp_path / "mask.dcm").get_volume(combine_segments=True)
    places = np.argwhere(found.array) @ found.affine[:3, :3].T + found.affine[:3, 3]
    own = np.argwhere(mask)[:, ::-1] @ volume.affine[:3, :3].T + volume.affine[:3, 3]
    own[:, :2] *= -1
    assert np.allclose(sorted(places.tolist()), sorted(own.tolist()), atol=1e-3)


def test_seg_files_are_labels(tmp_path):
    for number in range(2):
        volume = open_volume(scan(tmp_path, number))
        volume.save_mask(
            volume.turned(phantom(number, (14, 13, 12))[1]),
            ["background", "ball", "box"],
            tmp_path / f"labels/case{number}.dcm",
        )
        (tmp_path / f"labels/case{number}.nii.gz").unlink()
    (tmp_path / "classes.txt").write_text("background\nball\nbox\n")
    split = open_source(str(tmp_path), None).splits["train"]
    for number in range(2):
        volume, target = split[number]
        assert np.array_equal(target, volume.turned(phantom(number, (14, 13, 12))[1]))
    made.save(made.with_pixels(made.header(), made.values()[0]), tmp_path / "labels/case0.dcm")
    with pytest.raises((BadPicture, InputError), match="one slice"):
        open_source(str(tmp_path), None).splits["train"][0]


def test_a_case_is_one_series(tmp_path):
    scan(tmp_path, 0)
    made.series(tmp_path / "images/case0/other", series=3)
    (tmp_path / "classes.txt").write_text("background\nball\nbox\n")
    with pytest.raises(InputError, match="case0: 2 DICOM series, where a case has one"):
        open_source(str(tmp_path), None)


@pytest.mark.slow
def test_no_name_comes_out(trained, tmp_path, caplog):
    """Every attribute that may hold a name holds one, private ones too; all that is written and said is searched."""
    root = trained.root
    broken = scan(tmp_path, 1)
    (broken / "5").write_bytes((broken / "5").read_bytes()[:-20])
    odd = made.header(3, patient=8, series=4)
    odd.PixelSpacing = ["1", "1"]
    made.save(made.with_pixels(odd, made.values()[0]), tmp_path / "images/odd/single")
    said = list(trained.said)
    rows, drawings, masks = tmp_path / "rows.json", tmp_path / "drawings", tmp_path / "masks"
    found = invoke(
        "predict", root / "run", root / "data/images", tmp_path / "images", "--out", rows, "--draw", drawings, "--masks", masks
    )
    assert found.exit_code == 0, found.output
    lines = [json.loads(line) for line in rows.read_text().splitlines()]
    assert len(lines) == 6 and sum("error" in line for line in lines) == 2
    masked = [pydicom.dcmread(line["mask"]) for line in lines if "mask" in line]
    assert len(masked) == 4 and {ds.Modality for ds in masked} == {"SEG"}
    assert {ds.PatientID for ds in masked} == {f"{made.SECRETS['PatientID']}-{n}" for n in range(4)}
    results = [found, *(invoke(*words) for words in (
        ("predict", root / "run", tmp_path / "images", "--format", "table"),
        ("data", "check", tmp_path / "images"),
        ("data", "check", root / "data", "--json"),
        ("eval", root / "run", root / "data", "--out", tmp_path / "evaluation"),
        ("explain", root / "run", root / "data/images/case0", "--out", tmp_path / "explained"),
    ))]  # fmt: skip
    said += [text for result in results for text in (result.stdout, result.stderr, str(result.exception))] + [caplog.text]
    for word in sorted(made.words()):
        assert not [text for text in said if word in text], word
        for path in (*(root / "run").rglob("*"), *tmp_path.rglob("*")):
            if path.is_file() and masks not in path.parents and tmp_path / "images" not in path.parents:
                content = path.read_bytes()
                content += gzip.decompress(content) if path.suffix == ".gz" else b""
                assert word.encode() not in content and word.encode("utf-16-le") not in content, (word, path)
    # A SEG repeats the patient and the study, as the standard has it, and nothing else.
    kept = {"PatientName", "PatientID", "PatientBirthDate", "ReferringPhysicianName", "AccessionNumber", "StudyID"}
    others = {part for word, text in made.SECRETS.items() if word not in kept for part in text.split("^")} | {made.PRIVATE}
    others -= {"Operator"}
    for path in masks.iterdir():
        assert not [word for word in others if word.encode() in path.read_bytes()]
