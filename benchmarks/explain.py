"""Draw the pictures of docs/explain.md: maps of real networks on real pictures, and how far they can be trusted.

    python benchmarks/explain.py photos MODEL FOLDER OUT        twelve photographs of a folder (<class>/*.jpg), spread evenly
    python benchmarks/explain.py sample MODEL DATA OUT          twelve pictures of a labelled set
    python benchmarks/explain.py methods MODEL DATA OUT         the check with randomised weights, method by method

OUT is a .jpg of the maps, or of `methods` a .json. Each picture has the map of the answer, and of why it is the answer rather
than the second (of boxes and masks, the two surest).
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from resnets.attribution.methods import METHODS
from resnets.draw import heat
from resnets.models.answering import run_model
from resnets.ship import hub
from resnets.verbs import explain_inputs, explain_pages
from resnets.verbs.explain import explain
from resnets.verbs.explanation import Explanation, Report

NUM = 12


def heat_of(each: Explanation, report: Report) -> heat.Heat:
    """A map as a sheet takes it."""
    words = ""
    if each.faithful is not None:
        (deletion, insertion), random = each.faithful.curves.areas, each.faithful.random
        words = f"del {deletion:.2f} ({random[0]:.2f})\nins {insertion:.2f} ({random[1]:.2f})"
    return heat.Heat(each.values, each.answer, words, explain_pages.box_of(each), report.trust.get("depends") is False)


def sheet(model: str, pictures: list[Any], names: list[str], out: Path) -> None:
    """Explain the images, draw them together, and print the figures."""
    network = hub.load(model)
    items = list(explain_inputs.of_pictures(network.task, network.header, pictures))
    report = explain(network, pictures, most=2)
    print(json.dumps({"method": report.method, "layer": report.layer, **report.trust}), flush=True)
    images = []
    for item, name, picture in zip(items, names, pictures, strict=True):
        made = [each for each in report.explanations if each.path == item.name]
        output = run_model(network, item.pixels[None])[0]
        if isinstance(output, np.ndarray) and output.ndim == 1:
            second = network.labels[int(np.argsort(-output)[1])]
            made += explain(network, [picture], class_name=made[0].label, against=second, trust=False).explanations[:1]
        images.append((name, explain_pages.shown(item, None), [heat_of(each, report) for each in made]))
    with tempfile.TemporaryDirectory() as folder:
        path = heat.sheet(images, Path(folder, "sheet.png"), title=f"{report.method} of {report.layer}")
        Image.open(path).convert("RGB").save(out, quality=82, optimize=True)
    print(out, out.stat().st_size, flush=True)


def photos(model: str, folder: str, out: str) -> None:
    files = sorted(Path(folder).glob("*/*.jpg"))
    files = files[len(files) // 24 :: len(files) // NUM][:NUM]
    sheet(model, list(map(str, files)), [path.parent.name for path in files], Path(out))


def sample(model: str, data: str, out: str) -> None:
    network = hub.load(model)
    _, items = explain_inputs.of_split(network.task, network.header, data, None, NUM, None)
    found = {Path(item.name).stem: Image.fromarray(item.pixels.transpose(1, 2, 0).squeeze()) for item in items}
    sheet(model, list(found.values()), list(found), Path(out))


def methods(model: str, data: str, out: str) -> None:
    found = {}
    for method in METHODS:
        report = explain(model, data=data, num=16, method=method)
        found[method] = report.trust
        print(method, json.dumps(report.trust), flush=True)
    Path(out).write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    command, *words = sys.argv[1:]
    {"photos": photos, "sample": sample, "methods": methods}[command](*words)
