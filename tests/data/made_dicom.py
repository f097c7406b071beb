"""DICOM files: slices of a series on an oblique plane, with a name in every attribute that may hold one."""

import numpy as np
import pytest

pydicom = pytest.importorskip("pydicom")
pytest.importorskip("nibabel")
from pydicom.dataset import Dataset, FileMetaDataset  # noqa: E402
from pydicom.sequence import Sequence  # noqa: E402
from pydicom.uid import CTImageStorage, EnhancedCTImageStorage, ExplicitVRLittleEndian, ImplicitVRLittleEndian  # noqa: E402

ROOT = "1.2.826.0.1.3680043.8.498."  # pydicom's own
TURN = np.linalg.qr(np.array([[0.97, -0.12, 0.05], [0.11, 0.95, -0.2], [-0.06, 0.22, 0.96]]))[0]
TURN *= np.sign(np.diag(TURN))  # rows run nearly to the left, columns nearly to the back, slices nearly to the head
SPACING = (0.75, 0.5)  # between rows, between columns
STEP = 2.5
SHAPE = (12, 10)

#: what nobody may ever see, by attribute
SECRETS = {
    "PatientName": "Zebrowski^Quintessa",
    "PatientID": "ZQ-778812",
    "PatientBirthDate": "19370704",
    "OtherPatientNames": "Wigglesworth^Ottoline",
    "PatientAddress": "Squirrelgasse 91",
    "PatientTelephoneNumbers": "555-91827364",
    "PatientMotherBirthName": "Mxyzptlk",
    "ReferringPhysicianName": "Doktor^Fledermaus",
    "PerformingPhysicianName": "Heiler^Nachtigall",
    "OperatorsName": "Kolibri^Operator",
    "AccessionNumber": "ACC-3141592",
    "InstitutionName": "Hospital Regenpfeifer",
    "InstitutionAddress": "Am Regenpfeiferweg",
    "StationName": "STATION-KIEBITZ",
    "DeviceSerialNumber": "SN-27182818",
    "StudyDescription": "of Quokka Wallaby",
    "SeriesDescription": "series of Numbat",
    "ProtocolName": "protocol-Bilby",
    "ImageComments": "seen by Axolotl",
    "PatientComments": "knows Platypus",
    "AdditionalPatientHistory": "history of Echidna",
    "StudyID": "ST-161803",
}
PRIVATE = "Thylacine^Private"


def words():
    """Every string that is planted, and its parts."""
    return {part for text in (*SECRETS.values(), PRIVATE) for part in (text, *text.split("^")) if len(part) > 3}


def uid(*numbers):
    return ROOT + ".".join(str(1 + number) for number in numbers)


def header(number=0, *, patient=0, series=0, syntax=ExplicitVRLittleEndian):
    """A slice without pixels: `number` along the normal."""
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = syntax
    ds.file_meta.MediaStorageSOPClassUID = ds.SOPClassUID = CTImageStorage
    ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID = uid(patient, series, number, 9)
    for word, text in SECRETS.items():
        setattr(ds, word, text)
    ds.PatientID = f"{SECRETS['PatientID']}-{patient}"
    ds.OtherPatientIDsSequence = Sequence([Dataset()])
    ds.OtherPatientIDsSequence[0].PatientID = SECRETS["PatientID"]
    block = ds.private_block(0x0011, "RESNETS TEST", create=True)
    block.add_new(0x01, "PN", PRIVATE)
    ds.StudyInstanceUID, ds.SeriesInstanceUID = uid(patient, 77), uid(patient, series, 88)
    ds.FrameOfReferenceUID = uid(patient, 66)
    ds.Modality, ds.Manufacturer, ds.SliceThickness = "CT", "Made", "9.0"  # the thickness says nothing of the distance
    ds.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    ds.InstanceNumber = str(100 - number)
    ds.ImageOrientationPatient = [f"{value:.10g}" for value in (*TURN[:, 0], *TURN[:, 1])]
    ds.ImagePositionPatient = [f"{value:.9g}" for value in np.array([-20.0, -30, 40]) + TURN[:, 2] * STEP * number]
    ds.PixelSpacing = list(SPACING)
    return ds


def with_pixels(ds, pixels, *, bits=None, kind="MONOCHROME2"):
    ds.Rows, ds.Columns = pixels.shape[:2] if pixels.ndim == 2 or pixels.shape[-1] == 3 else pixels.shape[1:]
    ds.SamplesPerPixel, ds.PhotometricInterpretation = (3, "RGB") if pixels.shape[-1] == 3 else (1, kind)
    if ds.SamplesPerPixel == 3:
        ds.PlanarConfiguration = 0
    ds.BitsAllocated = 8 * pixels.dtype.itemsize
    ds.BitsStored = bits or ds.BitsAllocated
    ds.HighBit, ds.PixelRepresentation = ds.BitsStored - 1, int(pixels.dtype.kind == "i")
    ds.PixelData = pixels.tobytes() + b"\0" * (pixels.nbytes % 2)
    ds["PixelData"].VR = "OB" if ds.BitsAllocated == 8 else "OW"
    return ds


def save(ds, path):
    path.parent.mkdir(parents=True, exist_ok=True)
    ds.save_as(path, implicit_vr=ds.file_meta.TransferSyntaxUID == ImplicitVRLittleEndian, little_endian=True,
               enforce_file_format=True)  # fmt: skip
    return path


def values(num=6, seed=0):
    """Stored values int16 (slices, rows, columns)."""
    return np.random.default_rng(seed).integers(-200, 1800, (num, *SHAPE)).astype(np.int16)


def slices(num=6, **ids):
    """The data sets of a series, in order; slope 2, intercept -1000."""
    found = []
    for number, pixels in enumerate(values(num)):
        ds = with_pixels(header(number, **ids), pixels)
        ds.RescaleSlope, ds.RescaleIntercept = "2", "-1000"
        found.append(ds)
    return found


def series(folder, num=6, **ids):
    """A folder with a series, its files in no order and without suffixes."""
    for number, ds in enumerate(slices(num, **ids)):
        save(ds, folder / f"IM{(number * 7) % 100:03}")
    return folder


def multiframe(num=5):
    """An enhanced CT: all slices in one file, in no order, each with its own slope."""
    ds = with_pixels(header(), values(num)[::-1].copy())
    for word in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing"):
        delattr(ds, word)
    ds.NumberOfFrames = num
    ds.SOPClassUID = ds.file_meta.MediaStorageSOPClassUID = EnhancedCTImageStorage
    shared, plane, measures = Dataset(), Dataset(), Dataset()
    plane.ImageOrientationPatient = header().ImageOrientationPatient
    measures.PixelSpacing = list(SPACING)
    shared.PlaneOrientationSequence, shared.PixelMeasuresSequence = Sequence([plane]), Sequence([measures])
    ds.SharedFunctionalGroupsSequence = Sequence([shared])
    frames = []
    for number in range(num)[::-1]:
        frame, place, scale = Dataset(), Dataset(), Dataset()
        place.ImagePositionPatient = header(number).ImagePositionPatient
        scale.RescaleSlope, scale.RescaleIntercept = str(number + 1), "5"
        frame.PlanePositionSequence, frame.PixelValueTransformationSequence = Sequence([place]), Sequence([scale])
        frames.append(frame)
    ds.PerFrameFunctionalGroupsSequence = Sequence(frames)
    return ds
