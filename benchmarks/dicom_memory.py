"""Memory and time for one CT volume in DICOM: made, opened, normalised as a network's input, and a mask of it written as SEG.

    python benchmarks/dicom_memory.py [--side 512] [--slices 600]

Each step prints its time, and the largest resident memory of the process so far. No network runs.
"""

import argparse
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

from resnets.data.pictures.volumes import open_volume


def made(folder: Path, side: int, num: int) -> None:
    random = np.random.default_rng(0)
    study, series, frame = (pydicom.uid.generate_uid() for _ in range(3))
    noise = random.integers(-1000, 2000, (side, side)).astype(np.int16)
    for number in range(num):
        ds = Dataset()
        ds.file_meta = FileMetaDataset()
        ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        ds.SOPClassUID = ds.file_meta.MediaStorageSOPClassUID = CTImageStorage
        ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = pydicom.uid.generate_uid()
        ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.FrameOfReferenceUID = study, series, frame
        ds.PatientID, ds.Modality, ds.PixelSpacing = "phantom", "CT", [0.7, 0.7]
        ds.ImageOrientationPatient, ds.ImagePositionPatient = [1, 0, 0, 0, 1, 0], [0, 0, 0.8 * number]
        ds.Rows = ds.Columns = side
        ds.SamplesPerPixel, ds.PhotometricInterpretation, ds.PixelRepresentation = 1, "MONOCHROME2", 1
        ds.BitsAllocated, ds.BitsStored, ds.HighBit = 16, 16, 15
        ds.RescaleSlope, ds.RescaleIntercept = "1", "-24"
        ds.PixelData = np.roll(noise, number, 0).tobytes()
        ds.save_as(folder / f"{number:04}.dcm", enforce_file_format=True)


def timed(name: str, step: Callable[[], Any]) -> Any:
    start = time.perf_counter()
    found = step()
    seconds, memory = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"{name:<12} {seconds:6.1f} s   at most {memory:5.2f} GiB so far")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--side", type=int, default=512)
    parser.add_argument("--slices", type=int, default=600)
    wanted = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place, "scan")
        folder.mkdir()
        made(folder, wanted.side, wanted.slices)
        volume = timed("open", lambda: open_volume(folder, (-600, 1500)))
        pixels = timed("normalise", volume.normalised)
        mask = (pixels[0] > 1.5).astype(np.uint8) + (pixels[0] > 1.6)
        del pixels
        timed("write a SEG", lambda: volume.save_mask(mask, ["background", "one", "two"], Path(place, "seg.dcm")))
        print(f"{volume.shape} voxels, {', '.join(f'{step:.4g}' for step in volume.spacing)} mm")


if __name__ == "__main__":
    main()
