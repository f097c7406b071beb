"""Do exported files answer as the model does? Every format, several batch sizes, real pictures.

    python benchmarks/parity.py [FOLDER] [--models NAME ...] [--data-dir DIR] [--out FILE.md]

Each network has random weights (seed 0), its batch norm settled on the pictures, and a head whose logits spread by about 1 from
picture to picture: answers then differ, and many of them narrowly. It is written in each format, opened as any user opens it
(`open_session`), and its logits are compared with those of the model itself in eager torch, float32, in batches of 32. Networks
for ImageNet see the pictures in FOLDER, those for CIFAR its test pictures; where there are none, parts of scikit-learn's
sample photographs.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch

from resnets.data import sources
from resnets.data.pictures.resize import fit_picture
from resnets.data.pictures.samples import SAMPLES, write_samples
from resnets.data.pictures.stored import ArrayImages
from resnets.data.readers import cifar, known
from resnets.data.transforms import normalise
from resnets.engine.device import cpu_name
from resnets.engine.run import now
from resnets.files import write_text
from resnets.models.model import Model
from resnets.ship import hub
from resnets.ship.formats import FORMATS
from resnets.ship.graph import program
from resnets.ship.sessions import open_session
from resnets.verbs.bench.predict import find_pictures
from resnets.verbs.bench.predict_job import SAMPLE_SIZE, scale_random_weights

IMAGENET = ("resnet18", "resnet50", "resnext50_32x4d", "seresnet50")
CIFAR = ("resnet20_cifar", "resnet56_cifar", "resnet110_cifar", "preresnet110_cifar")
NUM_IMAGENET, NUM_CIFAR = 64, 256
BATCHES = (1, 7, 32)
PACKAGES = ("resnets", "torch", "onnx", "onnxscript", "onnxruntime", "openvino")
HEAD = ("network", "format", "batch", "pictures", "equal answers", "largest difference", "of the logits' spread")


def cifar_pictures(data_dir: str | None) -> np.ndarray | None:
    """CIFAR-10's first test pictures, if the set is on this machine."""
    folders = [known.datasets_dir(data_dir) / form.folder for form in cifar.CIFARS if form.name == "cifar10"]
    for folder in filter(Path.is_dir, folders):
        images = sources.open_source(str(folder), in_chans=3).splits["test"].images
        assert isinstance(images, ArrayImages)
        return images.array[:NUM_CIFAR]
    return None


def compare(name: str, pictures: Sequence[str] | np.ndarray) -> Iterator[list[str]]:
    """A row of cells for each format and batch size."""
    torch.manual_seed(0)
    model = hub.create_model(name)
    pixels = np.stack([fit_picture(picture, model.preprocess) for picture in pictures])
    scale_random_weights(model, normalise(torch.from_numpy(pixels), model.preprocess))
    wanted = np.concatenate([eager(model, part) for part in parts(pixels, 32)])
    graph = program(model)
    with tempfile.TemporaryDirectory() as folder:
        for form, row in FORMATS.items():
            file = Path(folder, name + row.suffix)
            row.write(graph, file, model.header, None)
            session = open_session(file, device="cpu")
            for size in BATCHES:
                found = np.concatenate([session.run(part) for part in parts(pixels, size)])
                equal, largest = (found.argmax(1) == wanted.argmax(1)).mean(), np.abs(found - wanted).max()
                cells = [str(size), str(len(pixels)), f"{equal:.2%}", f"{largest:.1e}", f"{largest / wanted.std():.1e}"]
                yield [name, f"{form} ({session.runtime})", *cells]


@torch.inference_mode()
def eager(model: Model, pixels: np.ndarray) -> np.ndarray:
    return model(normalise(torch.from_numpy(pixels), model.preprocess)).numpy()


def parts(pixels: np.ndarray, size: int) -> list[np.ndarray]:
    return [pixels[start : start + size] for start in range(0, len(pixels), size)]


def line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", help="pictures for the networks for ImageNet")
    parser.add_argument("--models", nargs="+", choices=[*IMAGENET, *CIFAR], default=[*IMAGENET, *CIFAR], metavar="NAME")
    parser.add_argument("--data-dir", help="where known sets lie")
    parser.add_argument("--out", help="write the table to this file, too")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as made:
        samples = [str(path) for path in write_samples(Path(made, "samples"), max(NUM_IMAGENET, NUM_CIFAR), size=SAMPLE_SIZE)]
        files = find_pictures(args.folder, NUM_IMAGENET) if args.folder else samples[:NUM_IMAGENET]
        small = cifar_pictures(args.data_dir)
        versions = ", ".join(f"{package} {importlib.metadata.version(package)}" for package in PACKAGES)
        lines = [
            f"{cpu_name()}; {versions}; {now()}",
            f"ImageNet: {args.folder or SAMPLES}. CIFAR: {SAMPLES if small is None else 'test pictures of CIFAR-10'}.",
            "",
            line(HEAD),
            line([":--", ":--", *["--:"] * (len(HEAD) - 2)]),
        ]
        print("\n".join(lines), flush=True)
        for name in args.models:
            for cells in compare(name, files if name in IMAGENET else samples if small is None else small):
                lines.append(line(cells))
                print(lines[-1], flush=True)
    if args.out:
        write_text(args.out, "\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
