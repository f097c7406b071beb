"""The pictures of docs/dense.md: of a validation split the first, the middle and the last, beside truth and prediction.

python benchmarks/overlays.py runs/segment/train1 camvid docs/dense/camvid.jpg
"""

import functools
import sys
from pathlib import Path

from PIL import Image

import resnets
from resnets.data.pictures.resize import fit_picture
from resnets.data.targets import Detections
from resnets.draw.panels import Panel, worst
from resnets.models.answering import run_model
from resnets.tasks.detect.rows import at_least


def main(run: str, data: str, out: Path) -> None:
    model = resnets.load(run).eval()
    task, header = model.task, model.header
    source = task.open_for(header, data, {}, data_dir=None)
    split, labels = source.splits["val"], model.labels
    rows, captions = [], []
    for index in (0, len(split) // 2, len(split) - 1):
        picture, truth = split[index]
        pixels = fit_picture(picture, model.preprocess)[None]
        (found,) = task.infer(functools.partial(run_model, model), pixels, [picture.shape[:2]], header)
        found = at_least(found, 0.5) if isinstance(found, Detections) else found
        rows.append([Panel(picture), *(task.panel(source, picture, what) for what in (truth, found))])
        captions.append(Path(split.images.name(index)).name)
    drawing = worst(
        rows,
        ("picture", "truth", "predicted"),
        captions,
        labels,
        out.with_suffix(".png"),
        title=f"{source.name}, validation",
        background=source.background,
    )
    with Image.open(drawing) as image:
        image.convert("RGB").save(out, quality=82, optimize=True)
    drawing.unlink()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], Path(sys.argv[3]))
