"""DICOM series as volumes: their place and values by an independent reader, and ten series that are broken."""

import zlib
from pathlib import Path

import numpy as np
import pytest

from resnets.data.pictures.dicom import parse, pixels
from resnets.data.pictures.dicom.series import files_of
from resnets.data.pictures.images import BadPicture
from resnets.data.pictures.volumes import mask_suffix, open_volume
from resnets.data.readers.walk import Left
from resnets.verbs.predict import find_pictures
from tests.data import made_dicom as made

nibabel = pytest.importorskip("nibabel")
pydicom = pytest.importorskip("pydicom")
PLACES = [folder / "shared/data/dicom_brain" for folder in Path(__file__).parents]
BRAIN = next((place for place in PLACES if place.is_dir()), None)


def by_itk(names):
    """(affine in RAS+, values (D, H, W)) of files, in canonical axes, as SimpleITK reads them."""
    itk = pytest.importorskip("SimpleITK")
    image = itk.ReadImage([str(name) for name in names]) if len(names) > 1 else itk.ReadImage(str(names[0]))
    affine = np.eye(4)
    affine[:3, :3] = np.array(image.GetDirection()).reshape(3, 3) * np.array(image.GetSpacing())
    affine[:3, 3] = image.GetOrigin()
    stored = itk.GetArrayFromImage(image).astype(np.float64).transpose(2, 1, 0)
    upright = nibabel.as_closest_canonical(nibabel.Nifti1Image(stored, np.diag([-1, -1, 1, 1]) @ affine))
    return upright.affine, upright.get_fdata().transpose(2, 1, 0)


def check_same(folder):
    itk = pytest.importorskip("SimpleITK")
    volume = open_volume(folder)
    affine, stored = by_itk(itk.ImageSeriesReader.GetGDCMSeriesFileNames(str(folder)))
    assert np.abs(volume.affine - affine).max() < 1e-3
    assert volume.shape == stored.shape and np.array_equal(volume[:], stored)
    return volume


def test_a_series_lies_where_simpleitk_sees_it(tmp_path):
    """Files in no order, without suffixes, on an oblique plane; a thickness that is not their distance."""
    volume = check_same(made.series(tmp_path / "scan"))
    assert volume.shape == (6, 12, 10) and np.allclose(volume.spacing, (2.5, 0.75, 0.5), atol=1e-6)
    assert volume[:].min() >= -1400 and np.array_equal(volume[1:3, 4:], volume[:][1:3, 4:])


@pytest.mark.parametrize("name", ["11-T1post-18670", "11_HCropVolume", "36468-FLAIRreg-58706"])
def test_a_real_study_lies_where_simpleitk_sees_it(name):
    if BRAIN is None:
        pytest.skip("no ../shared/data/dicom_brain")
    check_same(BRAIN / name)


def test_a_file_of_many_frames_is_sorted_and_each_frame_scaled(tmp_path):
    path = made.save(made.multiframe(), tmp_path / "enhanced.dcm")
    volume = open_volume(path)
    assert np.allclose(volume.spacing, (2.5, 0.75, 0.5), atol=1e-6)
    stored = made.values(5).astype(np.float32) * np.arange(1, 6, dtype=np.float32)[:, None, None] + 5
    # The made plane's rows run to the left and to the back, the canonical ones to the right and to the front.
    assert np.array_equal(volume[:], stored[:, ::-1, ::-1])


def test_slices_may_be_scaled_differently(tmp_path):
    for number, ds in enumerate(made.slices(4)):
        ds.RescaleSlope = str(number + 1)
        made.save(ds, tmp_path / f"{number}.dcm")
    volume = check_same(tmp_path)
    assert volume.num_bytes == 4 * 12 * 10 * 4


def test_a_folder_of_several_patients_and_series_in_no_order(tmp_path):
    for patient, series in ((0, 0), (0, 1), (1, 0)):
        for number, ds in enumerate(made.slices(4, patient=patient, series=series)):
            made.save(ds, tmp_path / f"all/{number}{patient}{series}")
    made.series(tmp_path / "all/deep/own", series=5)
    (tmp_path / "all/notes.txt").write_text("no image")
    report = made.header(series=7)
    report.Modality = "SR"
    made.save(report, tmp_path / "all/report.dcm")
    left = Left()
    found = list(find_pictures(tmp_path / "all", dims=3, left=left))
    assert len(found) == 4 and found[0] == tmp_path / "all/deep/own" and "DICOM without images (SR)" in left.notes()[0].text
    assert [path.name[:7] for path in found[1:]] == ["series-"] * 3
    assert {open_volume(path).shape for path in found} == {(4, 12, 10), (6, 12, 10)}
    assert list(find_pictures(found[1], dims=3)) == [found[1]]  # what is printed can be given again
    assert {mask_suffix(path) for path in found} == {".dcm"}


# --- ten broken series -------------------------------------------------------------------------------------------------


def gone(all_slices):
    return [ds for number, ds in enumerate(all_slices) if number != 2]


def doubled(all_slices):
    again = made.with_pixels(made.header(2), made.values()[0])
    again.SOPInstanceUID = made.uid(4, 4, 4)
    return [*all_slices, again]


def mixed(all_slices):
    all_slices[3].ImageOrientationPatient = [1, 0, 0, 0, 0, -1]
    return all_slices


def two_patients(all_slices):
    all_slices[1].PatientID = "another"
    return all_slices


def placeless(all_slices):
    del all_slices[4].ImagePositionPatient
    return all_slices


def smaller(all_slices):
    made.with_pixels(all_slices[0], made.values()[0][:6, :6].copy())
    return all_slices


def tilted(all_slices):
    for number, ds in enumerate(all_slices):
        ds.ImagePositionPatient = [
            *ds.ImagePositionPatient[:1],
            ds.ImagePositionPatient[1] + 0.4 * number,
            ds.ImagePositionPatient[2],
        ]
    return all_slices


def uneven(all_slices):
    all_slices[5].ImagePositionPatient = [
        float(x) + 0.9 * t for x, t in zip(all_slices[5].ImagePositionPatient, made.TURN[:, 2], strict=True)
    ]
    return all_slices


def echoes(all_slices):
    more = made.slices()
    for ds in more:
        ds.SOPInstanceUID += ".2"
    return [*all_slices, *more]


BROKEN = {
    gone: "1 slice is missing: between slices 2 and 3 of 5 lie 5 mm, else 2.5",
    doubled: "1 of 7 positions are there more than once",
    mixed: "slices in several orientations (1 of 6 unlike the first)",
    two_patients: "files of 2 patients in one series",
    placeless: "1 of 6 slices do not say where they lie",
    smaller: "slices of several sizes or kinds (12 x 10: 5, 6 x 6: 1)",
    tilted: "a tilted stack (gantry tilt)",
    uneven: "slices at uneven distances: between slices 5 and 6 of 6 lie 3.4 mm, else 2.5",
    echoes: "2 images at each of 6 positions",
}


@pytest.mark.parametrize(("breaks", "reason"), BROKEN.items(), ids=[breaks.__name__ for breaks in BROKEN])
def test_a_broken_series_says_what_is_wrong(tmp_path, breaks, reason):
    for number, ds in enumerate(breaks(made.slices())):
        made.save(ds, tmp_path / f"{number}.dcm")
    with pytest.raises(BadPicture) as found:
        open_volume(tmp_path)
    assert reason in found.value.reason and len(found.value.reason) < 250


def test_localisers_and_copies_are_left_out_and_said(tmp_path):
    made.series(tmp_path)
    scout = made.with_pixels(made.header(50), made.values()[0])
    scout.ImageType, scout.ImageOrientationPatient = ["ORIGINAL", "PRIMARY", "LOCALIZER"], [0, 1, 0, 0, 0, -1]
    made.save(scout, tmp_path / "scout")
    (tmp_path / "copy").write_bytes((tmp_path / "IM007").read_bytes())
    volume = open_volume(tmp_path)
    assert volume.shape == (6, 12, 10)
    assert volume.notes == ("1 localiser among the slices left out", "1 files that are there twice, byte for byte, left out")


def damaged(tmp_path, change):
    made.series(tmp_path)
    path = tmp_path / "IM014"
    path.write_bytes(change(path.read_bytes()))
    return path


def syntax_exchanged(content, other):
    own = made.ExplicitVRLittleEndian.encode()
    return content.replace(own + b"\0", other.encode().ljust(len(own) + 1, b"\0"), 1)


def test_another_byte_order_than_it_says(tmp_path):
    damaged(tmp_path, lambda content: syntax_exchanged(content, "1.2.840.10008.1.2.2"))
    with pytest.raises(BadPicture, match=r"1 files here cannot be read, as IM014: .*byte order than it says"):
        open_volume(tmp_path)


def test_a_private_transfer_syntax(tmp_path):
    damaged(tmp_path, lambda content: syntax_exchanged(content, "1.2.840.113619.5.2"))
    with pytest.raises(BadPicture, match=r"IM014: a private transfer syntax \(1.2.840.113619.5.2\), which is not decoded"):
        open_volume(tmp_path)


@pytest.mark.parametrize("left", [0.1, 0.5, 0.99])
def test_a_truncated_slice(tmp_path, left):
    damaged(tmp_path, lambda content: content[: int(len(content) * left)])
    with pytest.raises(BadPicture, match=r"IM014: (truncated|no transfer syntax|no image in it .*truncated before it)"):
        open_volume(tmp_path)[:]


# --- hostile files -----------------------------------------------------------------------------------------------------


def refused(path, match):
    with pytest.raises(BadPicture, match=match):
        open_volume(path)[:]


def test_more_pixels_than_memory_are_refused_before_they_are_decoded(tmp_path):
    ds = made.multiframe()
    ds.Rows = ds.Columns = 65535
    refused(made.save(ds, tmp_path / "a.dcm"), "frames of 65,535 x 65,535 pixels are more than are read")
    ds = made.multiframe()
    ds.NumberOfFrames = 10**9
    refused(made.save(ds, tmp_path / "b.dcm"), "1,000,000,000 frames")


def test_a_deflated_file_unpacks_within_a_limit(tmp_path, monkeypatch):
    path = tmp_path / "a.dcm"
    ds = made.multiframe()
    ds.file_meta.TransferSyntaxUID = pydicom.uid.DeflatedExplicitVRLittleEndian
    made.save(ds, path)
    assert open_volume(path).shape == (5, 12, 10)
    start = path.read_bytes()
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    monkeypatch.setattr(parse, "MAX_FILE", 1 << 22)
    bomb = packer.compress(bytes(1 << 25)) + packer.flush()
    with path.open("rb") as file:
        file.seek(132)
        pydicom.filereader.read_dataset(file, False, True, stop_when=lambda tag, vr, length: tag >> 16 != 2)
        end = file.tell()
    (tmp_path / "b.dcm").write_bytes(start[:end] + bomb)
    refused(tmp_path / "b.dcm", "unpacks to more than the 4,194,304 bytes")


def test_sequences_within_sequences_end(tmp_path):
    start = made.save(made.header(), tmp_path / "a.dcm").read_bytes()
    nested = b"\x08\x00\x40\x11SQ\0\0\xff\xff\xff\xff\xfe\xff\x00\xe0\xff\xff\xff\xff" * 20_000
    (tmp_path / "b.dcm").write_bytes(
        start[: start.index(b"\x08\x00\x05\x00") if b"\x08\x00\x05\x00" in start[:400] else 400] + nested
    )
    refused(tmp_path / "b.dcm", "its attributes cannot be parsed|attributes of more|not a DICOM|no image")


def test_many_elements_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(parse, "MAX_READS", 20)
    refused(made.save(made.multiframe(), tmp_path / "a.dcm"), "more than the 10 elements that are read")


def test_a_codestream_of_another_size_is_not_decoded(tmp_path):
    source = pydicom.data.get_testdata_file("MR_small_jp2klossless.dcm")
    ds = pydicom.dcmread(source)
    ds.Rows = ds.Columns = 8
    ds.save_as(tmp_path / "a.dcm")
    with pytest.raises(
        BadPicture, match=r"a compressed frame of 64 x 64 pixels, where the file says 8 x 8|for .* when decoded"
    ):
        from resnets.data.pictures.images import read_picture

        read_picture(tmp_path / "a.dcm")


def test_sizes_are_found_in_codestreams():
    found = {}
    for name in ("MR_small_jpeg_ls_lossless.dcm", "MR_small_jp2klossless.dcm", "SC_rgb_jpeg_gdcm.dcm"):
        ds = pydicom.dcmread(pydicom.data.get_testdata_file(name))
        frame = next(pydicom.encaps.generate_frames(ds.PixelData, number_of_frames=1))
        found[name] = pixels.SIZES[parse.syntax_of(ds.file_meta.TransferSyntaxUID).family](frame)
    assert set(found.values()) == {(64, 64), (100, 100)}
    assert pixels.size_in_jpeg(b"\xff\xd8") is None and pixels.size_in_2000(b"nothing") is None


def test_a_patient_is_a_hash(tmp_path):
    made.series(tmp_path)
    facts = files_of(tmp_path)[0]
    assert facts.patient.startswith("patient-") and len(facts.patient) == 18
    assert not any(word in repr(facts._replace(path=None)) for word in made.words())
