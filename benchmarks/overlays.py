"""The pictures of docs/dense.md: of a validation split the first, the middle and the last, beside truth and prediction.

python benchmarks/overlays.py runs/segment/train1 camvid docs/dense/camvid.jpg
"""

import sys
from pathlib import Path

import torch
from PIL import Image
from resnets.tasks.results import at_least

import resnets
from resnets import tasks
from resnets.data.pictures.resize import fit_picture
from resnets.data.targets import BACKGROUND
from resnets.data.transforms import normalise
from resnets.draw.paint import paint
from resnets.draw.panels import Panel, worst
from resnets.tasks.detect.draw import framed
from resnets.verbs import evaluate_dense as evaluation_dense


def main(run: str, data: str, out: Path) -> None:
    model = resnets.load(run).eval()
    source = evaluation_dense.open_for(model.header, data)
    split, labels = source.splits["val"], model.labels
    background = labels.index(BACKGROUND) if BACKGROUND in labels else None
    rows, captions = [], []
    for index in (0, len(split) // 2, len(split) - 1):
        picture, truth = split[index]
        x = normalise(torch.from_numpy(fit_picture(picture, model.preprocess)[None]), model.preprocess)
        with torch.inference_mode():
            found = tasks.get(model.task.name).infer(model, x, picture.shape[:2])
        if model.task.name == "detect":
            rows.append([Panel(picture), framed(picture, truth, labels), framed(picture, at_least(found, 0.5), labels)])
        else:
            rows.append([Panel(picture), *(Panel(paint(picture, what, background=background)) for what in (truth, found))])
        captions.append(Path(split.images.name(index)).name)
    drawing = worst(
        rows,
        ("picture", "truth", "predicted"),
        captions,
        labels,
        out.with_suffix(".png"),
        title=f"{source.name}, validation",
        background=background,
    )
    with Image.open(drawing) as image:
        image.convert("RGB").save(out, quality=82, optimize=True)
    drawing.unlink()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], Path(sys.argv[3]))
