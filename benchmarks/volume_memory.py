"""Memory and time for one large volume in NIfTI: resampled, answered in windows, brought back to its grid, and measured.

    python benchmarks/volume_memory.py [--side 512] [--slices 600] [--spacing 1,1,1]

The network is a threshold, which takes no memory of its own. Each step prints its time, and the largest resident memory of the
process so far.
"""

import argparse
import resource
import tempfile
import time
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import torch

import resnets
from resnets.data.inputs import INPUTS
from resnets.data.millimetres import parsed
from resnets.data.pictures.stored import FileImages
from resnets.data.preprocess import Preprocess
from resnets.data.targets import Truth
from resnets.data.types import Batch
from resnets.tasks.segment.meter import SegmentMeter
from resnets.tasks.segment.task import Segment

VALUES = np.array([-900.0, 100.0, 160.0])  # of air, a body and an organ
LABELS = ["background", "body", "organ"]
RANGE = (-900.0, 200.0, 100.0, 60.0)


def made(path: Path, side: int, num: int) -> None:
    """A ball of 0.3 sides, and another one in it, with voxels of 0.7 x 0.7 x 0.8 mm."""
    values = np.empty((side, side, num), np.int16)
    x, y = (axis - side / 2 for axis in np.ogrid[:side, :side])
    for z in range(num):
        deep = (z - num / 2) ** 2
        inside = (x**2 + y**2 + deep < (0.3 * side) ** 2).astype(int) + (x**2 + (y - 40) ** 2 + deep < (0.08 * side) ** 2)
        values[:, :, z] = VALUES[inside]
    nibabel.Nifti1Image(values, np.diag([0.7, 0.7, 0.8, 1])).to_filename(path)


def told(name: str, start: float) -> None:
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"{name:<12} {time.perf_counter() - start:6.1f} s   at most {memory:5.2f} GiB so far", flush=True)


def thresholds(x: Any) -> torch.Tensor:
    levels = torch.tensor((VALUES - RANGE[2]) / RANGE[3], dtype=torch.float32).reshape(1, 3, 1, 1, 1)
    return -((torch.as_tensor(x) - levels) ** 2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--side", type=int, default=512)
    parser.add_argument("--slices", type=int, default=600)
    parser.add_argument("--spacing", default="1,1,1")
    wanted = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        path = Path(place, "scan.nii")
        made(path, wanted.side, wanted.slices)
        rule = {"size": (64,) * 3, "resize": "keep", "mean": (0.0,), "std": (1.0,), "ranges": (RANGE,)}
        preprocess = Preprocess(**rule, spacing=parsed(wanted.spacing))  # type: ignore[arg-type]
        settings: dict[str, Any] = {"dims": 3, "in_chans": 1, "depths": (1, 1), "width": 4, "labels": LABELS}
        model = resnets.create_model("resnet20_cifar", task="segment", preprocess=preprocess, **settings)
        start = time.perf_counter()
        told("begin", start)
        fitted = INPUTS[3].fitted(INPUTS[3].opened(FileImages([path], 1), 1), 0, preprocess, True)
        told("resample", start)
        size, volume = fitted.size, fitted.image.original
        (found,) = Segment().infer(thresholds, fitted.pixels[None], [size], model.header)
        told("answer", start)
        del fitted
        truth = np.stack([np.abs(volume[n][..., None] - VALUES).argmin(-1).astype(np.uint8) for n in range(size[0])])
        meter = SegmentMeter(LABELS, quick=False)
        case = Truth(0, size, truth, volume.spacing)
        meter.add([found], Batch(torch.empty(1, 0), [case], torch.tensor([0])))
        told("measure", start)
        for row in meter.result(1)["per_class"][1:]:
            print(f"{row['label']}: Dice {row['dice']:.4f}, surface Dice {row['surface_dice']:.4f}, {row['true_ml']:.1f} ml")


if __name__ == "__main__":
    main()
