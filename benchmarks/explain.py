"""Draw the pictures of docs/explain.md, and measure what benchmarks/explain.md says: maps of real networks on real pictures.

    python benchmarks/explain.py photos MODEL FOLDER OUT.jpg     twelve photographs of a folder (<class>/*.jpg), evenly spread
    python benchmarks/explain.py sample MODEL DATA OUT.jpg       twelve pictures of a labelled set (--num)
    python benchmarks/explain.py fails MODEL FOLDER OUT.jpg      the same by guided backpropagation, which fails
    python benchmarks/explain.py inside MODEL DATA OUT           blocks, the first layer, the stages: OUT_blocks.jpg ..
    python benchmarks/explain.py methods MODEL DATA              the check with randomised weights, method by method
    python benchmarks/explain.py peers MODEL FOLDER              maps and curves beside pytorch-grad-cam, Captum and torch-cam
    python benchmarks/explain.py runtimes MODEL FILE...          occlusion by exported files beside torch
    python benchmarks/explain.py cost MODEL FOLDER               seconds and memory

Pictures have the map of the answer, with its deletion and insertion areas, and beside it of classifiers why it is the answer
rather than the second, of boxes and masks the next.
"""

from __future__ import annotations

import argparse
import functools
import json
import resource
import tempfile
import time
import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from resnets.attribution.faithful import curves
from resnets.attribution.methods import METHODS, attribute, enlarged
from resnets.draw import heat
from resnets.engine.values import Question
from resnets.models.answering import run_model
from resnets.models.model import Model
from resnets.ship import hub
from resnets.verbs import explain_inputs, explain_pages, residual
from resnets.verbs.explain import explain
from resnets.verbs.explain_inputs import Item
from resnets.verbs.explain_maps import choose_layer, quick_maps, seen_of
from resnets.verbs.explanation import Explanation, Report

NUM = 12


def spread(folder: str, num: int) -> list[Path]:
    """`num` photographs of a folder of classes, evenly spread."""
    files = sorted(Path(folder).glob("*/*.jpg"))
    return files[len(files) // (2 * num) :: len(files) // num][:num]


def names_of(files: Sequence[Path]) -> dict[str, str]:
    """What is on a photograph: the name of its folder, or the one beside that WordNet id in names.txt."""
    root = files[0].parent.parent.parent
    if (root / "names.txt").exists():
        known = dict(zip(*(root.joinpath(each).read_text().split() for each in ("wnids.txt", "names.txt")), strict=True))
        return {str(path): f"a {known[path.parent.name]}" for path in files}
    return {str(path): path.parent.name for path in files}


def heat_of(each: Explanation, report: Report) -> heat.Heat:
    """A map as a sheet takes it."""
    lines = []
    if each.faithful is not None:
        (deletion, insertion), random = each.faithful.curves.areas, each.faithful.random
        lines += [f"del {deletion:.2f} ({random[0]:.2f})", f"ins {insertion:.2f} ({random[1]:.2f})"]
    if each.pointing is not None:
        lines.append("points at it" if each.pointing.hit else "points elsewhere")
    return heat.Heat(
        explain_pages.clearer(each),
        each.answer,
        "\n".join(lines),
        explain_pages.box_of(each),
        report.trust.get("depends") is False,
    )


def beside(network: Model, item: Item, first: Explanation) -> list[heat.Heat]:
    """Of classes why the answer and not the second; of what has no second nothing."""
    output = run_model(network, item.pixels[None])[0]
    if not isinstance(output, np.ndarray) or output.ndim != 1:
        return []
    second = next(int(index) for index in np.argsort(-output) if network.labels[index] != first.label)
    (found,) = quick_maps(network, item.pixels[None], [Question(first.label, network.labels[second])])
    assert found is not None
    return [heat.Heat(found.values, found.what.name)]


def sheet(network: Model, items: Sequence[Item], report: Report, names: dict[str, str], out: Path) -> None:
    """Draw the images of a report together, and print its figures."""
    print(json.dumps({"method": report.method, "layer": report.layer, **report.trust}), flush=True)
    images, fails = [], report.trust.get("depends") is False
    for item in items:
        made = [each for each in report.explanations if each.path == item.name][:2]
        if made:
            maps = [heat_of(each, report) for each in made]
            maps += [] if fails else beside(network, item, made[0])[: 2 - len(maps)]
            images.append((names.get(item.name, Path(item.name).stem), explain_pages.shown(item, None), maps))
    with tempfile.TemporaryDirectory() as folder:
        path = heat.sheet(images, Path(folder, "sheet.png"), title=f"{report.method} of {report.layer or 'the input'}")
        jpeg(path, out)


def jpeg(drawing: Path, out: Path) -> None:
    Image.open(drawing).convert("RGB").save(out, quality=82, optimize=True)
    print(out, out.stat().st_size, "bytes", flush=True)


def photos(model: str, folder: str, out: str, num: int, method: str | None = None) -> None:
    network, files = hub.load(model).eval(), spread(folder, num)
    items = list(explain_inputs.of_pictures(network.task, network.header, files))
    sheet(network, items, explain(network, files, most=2, method=method), names_of(files), Path(out))


def fails(model: str, folder: str, out: str, num: int) -> None:
    photos(model, folder, out, num, method="guided_backprop")


def sample(model: str, data: str, out: str, num: int, trust: bool = True) -> None:
    network = hub.load(model).eval()
    _, items = explain_inputs.of_split(network.task, network.header, data, None, num, None)
    report = explain(network, data=data, num=num, most=2, trust=trust)
    sheet(network, list(items), report, {}, Path(out))


def inside(model: str, data: str, out: str, num: int) -> None:
    network = hub.load(model).eval()
    (source, split), _ = explain_inputs.of_split(network.task, network.header, data, None, num, None)
    with tempfile.TemporaryDirectory() as folder:
        print(json.dumps(residual.measure(network, source, split, out=Path(folder), num=num, say=print)))
        for path in sorted(Path(folder).glob("*.png")):
            jpeg(path, Path(f"{out}_{path.stem}.jpg"))


def methods(model: str, data: str, num: int) -> None:
    for method in METHODS:
        started = time.perf_counter()
        found = explain(model, data=data, num=num, method=method).trust
        print(method, json.dumps(found), f"{(time.perf_counter() - started) / num:.2f} s a picture", flush=True)


def peers(model: str, folder: str, num: int) -> None:
    """The greatest differences of maps (from 0 to 1) and of areas under curves (of the same maps), over the photographs."""
    import pytorch_grad_cam
    from captum.attr import LayerGradCam
    from torchcam.methods import GradCAM
    from torchcam.metrics import DeletionInsertionMetric

    network = hub.load(model).eval()
    items = list(explain_inputs.of_pictures(network.task, network.header, spread(folder, num)))
    layer = choose_layer(network.task, network, None, items[0].pixels.shape[1:])
    module, worst = network.get_submodule(layer), dict[str, list[float]]()
    pairs = {"layercam": "LayerCAM", "gradcam": "GradCAM", "gradcam++": "GradCAMPlusPlus", "xgradcam": "XGradCAM"}
    for item in items:
        what = network.task.explained(run_model(network, item.pixels[None])[0], network.header, Question())[0]
        large = functools.partial(multiplied, what)  # gradients far above the epsilon of theirs
        seen = seen_of(item.pixels, item.blank, what, functools.partial(run_model, network), network)
        for method, name in pairs.items():
            many = seen_of(item.pixels, item.blank, replace(what, evidence=large), seen.chance, network)
            own = enlarged(attribute(method, many, layer), seen.size)
            with getattr(pytorch_grad_cam, name)(model=network, target_layers=[module]) as cam:
                theirs = cam(input_tensor=seen.x.clone(), targets=[functools.partial(number_of, label=what.label)])[0]
            difference = np.abs((own - own.min()) / (own.max() - own.min()) - theirs)
            worst.setdefault(f"{method}, pytorch-grad-cam", []).append(float(difference.max()))
        theirs = (
            LayerGradCam(network, module).attribute(seen.x, target=what.label, relu_attributions=True)[0, 0].detach().numpy()
        )
        values = attribute("gradcam", seen, layer)
        worst.setdefault("gradcam, Captum", []).append(float(np.abs(values - theirs / theirs.max()).max()))
        whole = enlarged(values, seen.size)
        mean, std = (torch.tensor(each).view(1, 3, 1, 1) for each in (network.preprocess.mean, network.preprocess.std))
        blank = (torch.from_numpy(item.blank[None].astype(np.float32)) / 255 - mean) / std
        with given_map(GradCAM, whole)(network, layer) as extractor:
            chances = functools.partial(columns_of, what)
            metric = DeletionInsertionMetric(extractor, chances, steps=20, baseline=blank)
            metric.update(seen.x, what.label)
            summary = metric.summary()
        for name, area in zip(("deletion", "insertion"), curves(seen, whole).areas, strict=True):
            other = next(value for key, value in summary.items() if name in key)
            worst.setdefault(f"area under {name}, torch-cam", []).append(abs(area - float(other)))
    for name, found in worst.items():
        print(f"{name}: {max(found):.6f} at most over {len(found)} photographs", flush=True)


def multiplied(what: Any, model: Any, x: torch.Tensor) -> torch.Tensor:
    return 1000 * what.evidence(model, x)


def number_of(output: torch.Tensor, label: int) -> torch.Tensor:
    return 1000 * output[label]


def columns_of(what: Any, logits: torch.Tensor) -> torch.Tensor:
    """The chance of an answer as our curves have it, in the column of every class."""
    return torch.tensor([[what.chance(row)] * logits.shape[1] for row in logits.detach().numpy()])


def given_map(kind: Any, values: np.ndarray) -> Any:
    """One of torch-cam's classes whose map is there already, for the metric compares curves, not maps."""

    def call(self: Any, *args: Any, **kwargs: Any) -> list[torch.Tensor]:
        return [torch.from_numpy(values)[None]]

    return type("Given", (kind,), {"__call__": call, "fuse_cams": staticmethod(lambda cams, *_: cams[0])})


def runtimes(model: str, files: Sequence[str], folder: str, num: int) -> None:
    """Occlusion by exported files: the rank correlation with torch's maps, and whether they agree on the greatest position."""
    pictures = spread(folder, num)
    own = explain(model, pictures, method="occlusion", trust=False).explanations
    for file in files:
        found = explain(file, pictures, method="occlusion", trust=False).explanations
        alike = [np.corrcoef(a.values.ravel(), b.values.ravel())[0, 1] for a, b in zip(own, found, strict=True)]
        worst = max(float(np.abs(a.values - b.values).max()) for a, b in zip(own, found, strict=True))
        same = sum(a.label == b.label for a, b in zip(own, found, strict=True))
        print(f"{file}: correlation {np.mean(alike):.4f} (least {min(alike):.4f}), greatest difference {worst:.4f}, "
              f"same answer {same} of {len(own)}", flush=True)  # fmt: skip


def cost(model: str, folder: str, num: int) -> None:
    """Seconds a picture by what is asked for, and the greatest memory of the process so far."""
    network, files = hub.load(model).eval(), spread(folder, num)
    items = list(explain_inputs.of_pictures(network.task, network.header, files))
    pixels = np.stack([item.pixels for item in items])

    def told(words: str, run: Any) -> None:
        started, busy = time.perf_counter(), time.process_time()
        run()
        wall, cpu = (time.perf_counter() - started) / num, (time.process_time() - busy) / num
        print(f"{words}: {wall:.2f} s a picture, {cpu:.2f} of the processor, {memory():,.0f} MB in all", flush=True)

    print(f"{num} pictures; before: {memory():,.0f} MB")
    run_model(network, pixels[:1])
    told("predict", lambda: run_model(network, pixels))
    told("quick_maps", lambda: quick_maps(network, pixels))
    for method in METHODS:
        told(f"{method}, no trust", lambda method=method: explain(network, files, method=method, trust=False))
    told("default with trust", lambda: explain(network, files))


def memory() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", choices=("photos", "sample", "fails", "inside", "methods", "peers", "runtimes", "cost"))
    parser.add_argument("model")
    parser.add_argument("given", nargs="+")
    parser.add_argument("--num", type=int, default=NUM, help="pictures")
    parser.add_argument("--folder", default="", help="of photographs, for runtimes")
    parser.add_argument("--no-trust", action="store_true", help="of sample: without the checks")
    asked = parser.parse_args()
    warnings.filterwarnings("ignore")
    command, given = globals()[asked.command], [asked.given, asked.folder] if asked.command == "runtimes" else asked.given
    more = {"trust": False} if asked.no_trust else {}
    command(asked.model, *given, num=asked.num, **more)


if __name__ == "__main__":
    main()
