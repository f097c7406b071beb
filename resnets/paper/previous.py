"""Item previous: networks before residual ones, AlexNet and VGG from torchvision, trained by the same engine."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from resnets.draw.curves import points
from resnets.engine.run import RunDir
from resnets.engine.settings import read_file
from resnets.errors import InputError
from resnets.paper import history
from resnets.paper.published import FLOPS, TABLE3_NETWORKS
from resnets.paper.result import Drawing, Holds, Result, Table, Verdict

# He et al. 2015, tables 1 and 3: ImageNet, 10-crop; errors in percent, multiply-adds in units of 10^9.
IMAGENET = tuple(
    (title, FLOPS.values[name.partition(",")[0].replace("plain", "resnet")], *TABLE3_NETWORKS[name])
    for title, name in (
        ("VGG-16", "vgg16"),
        ("plain-34", "plain34"),
        ("ResNet-34 B", "resnet34,B"),
        ("ResNet-50", "resnet50"),
        ("ResNet-152", "resnet152"),
    )
)


@dataclass(frozen=True)
class Entry:
    """A network: top-1 errors (fractions) on `num_images` test images, one per seed; parameters, multiply-adds per image, and
    seconds of training, one per seed."""

    name: str
    errors: tuple[float, ...]
    num_images: int
    num_params: int
    num_macs: int
    seconds: tuple[float, ...] = field(default=())

    @property
    def error(self) -> float:
        """The mean error."""
        return float(np.mean(self.errors))

    @property
    def variance(self) -> float:
        """The variance of the mean error: from sampling the test images, and from the seeds."""
        drawn = self.error * (1 - self.error) / self.num_images
        return drawn + (float(np.var(self.errors, ddof=1)) / len(self.errors) if len(self.errors) > 1 else 0.0)

    @property
    def is_residual(self) -> bool:
        return "resne" in self.name  # ResNeXt too

    @property
    def is_ours(self) -> bool:
        return "/" not in self.name


def measure(
    runs: Mapping[tuple[str, int], str | Path], out: str | Path, *, data: str = "cifar10", scale: str = "full"
) -> Result:
    """Parameters, multiply-adds, test error and time of finished runs, and the paper's own comparison.

    Args:
        runs: run directories by (network, seed).
        out: the item's folder, for its drawing.
        data, scale: what the networks were trained on, and the name of the scale.

    Raises:
        InputError: if a run is not finished.
    """
    entries = gather({key: read_run(path) for key, path in runs.items()})
    drawing = Drawing(
        file="previous.png",
        says=f"Test error on {data} over multiply-adds per image; filled: residual. Bars: two standard errors.",
    )
    draw(entries, Path(out) / drawing.file)
    rows = tuple(
        (
            one.name, round(one.num_params / 1e6, 3), round(one.num_macs / 1e6, 1), round(100 * one.error, 2),
            round(100 * float(np.std(one.errors, ddof=1)), 2) if len(one.errors) > 1 else None,
            len(one.errors), round(float(np.mean(one.seconds))),
        )
        for one in entries
    )  # fmt: skip
    head = ("network", "parameters, M", "multiply-adds, M", "error, %", "standard deviation, %", "seeds", "seconds")
    theirs = Table(
        title="The paper's comparison: ImageNet, 10-crop",
        head=("network", "multiply-adds, G", "top-1 error, %", "top-5 error, %"),
        rows=IMAGENET,
    )
    return Result(
        item="previous",
        scale=scale,
        tables=(Table(title=f"{data}, test split", head=head, rows=rows), theirs),
        verdicts=tuple(verdicts(entries)),
        drawings=(drawing,),
        deviations=tuple(deviations(runs)),
    )


def read_run(path: str | Path) -> Entry:
    """The entry of one finished run; `InputError` if it is not finished."""
    run = RunDir(path)
    origin = run.read_provenance()
    if "finished" not in origin or not run.evaluation.is_file():
        raise InputError(f"{path}: the run is not finished; go on with it first")
    result, model = history.evaluation(run.path), origin["model"]
    return Entry(
        model["name"], (1 - result["top1"],), result["num_images"], model["num_params"], model["num_macs"], (origin["seconds"],)
    )


def gather(rows: Mapping[tuple[str, int], Entry]) -> list[Entry]:
    """One entry per network, from the entries of its runs."""
    by_name: dict[str, list[Entry]] = {}
    for (name, _), row in rows.items():
        by_name.setdefault(name, []).append(row)
    return [
        Entry(
            name,
            tuple(error for row in same for error in row.errors),
            same[0].num_images,
            same[0].num_params,
            same[0].num_macs,
            tuple(seconds for row in same for seconds in row.seconds),
        )
        for name, same in by_name.items()
    ]


def verdicts(entries: Sequence[Entry]) -> list[Verdict]:
    """The most expensive residual network of this package against every network that is not residual: cost and error."""
    residual = max((one for one in entries if one.is_residual and one.is_ours), key=lambda one: one.num_macs, default=None)
    if residual is None:
        return []
    found = []
    for other in (one for one in entries if not one.is_residual):
        name = other.name.rpartition("/")[2]
        if not other.is_ours:
            less = residual.num_macs < other.num_macs and residual.num_params < other.num_params
            found.append(
                Verdict(
                    claim=f"{residual.name} needs fewer multiply-adds and parameters than {name} (section 3.3, of VGG)",
                    holds="holds" if less else "fails",
                    because=f"{residual.num_macs / 1e6:,.0f} M and {residual.num_params / 1e6:,.2f} M against "
                    f"{other.num_macs / 1e6:,.0f} M and {other.num_params / 1e6:,.2f} M",
                )
            )
        found.append(lower_error(residual, other, f"{residual.name} has a lower error than {name} (table 3)"))
    return found


def lower_error(one: Entry, other: Entry, claim: str) -> Verdict:
    """The verdict on the claim that `one` has the lower error; inconclusive within two standard errors of the difference.

    The two errors are treated as independent, although the test images are the same.
    """
    gap, noise = other.error - one.error, 2 * math.sqrt(one.variance + other.variance)
    holds: Holds = "inconclusive" if abs(gap) <= noise else "holds" if gap > 0 else "fails"
    seeds = min(len(one.errors), len(other.errors))
    because = (
        f"{100 * one.error:.2f} % against {100 * other.error:.2f} %; two standard errors of the difference: {100 * noise:.2f}"
    )
    return Verdict(claim=claim, holds=holds, because=because + "; one seed: without the variance between seeds" * (seeds == 1))


def deviations(runs: Mapping[tuple[str, int], str | Path]) -> list[str]:
    """How the runs differ from the paper and from each other in this item; see `protocol` for what all items have in common."""
    found = ["The paper compares on ImageNet; it cites AlexNet, which is not in its tables."]
    found += ["Networks of other libraries have the initialisation of their libraries."]
    settings = {key: read_file(RunDir(path).recipe) for key, path in runs.items()}
    for name, words in (("lr", "Learning rates"), ("img_size", "Input sizes in pixels, to which images are enlarged")):
        values: dict[object, dict[str, None]] = {}
        for (network, _), recipe in settings.items():
            values.setdefault(recipe[name], {})[network] = None
        if len(values) > 1:
            found.append(f"{words}: " + "; ".join(f"{value} for {', '.join(names)}" for value, names in values.items()) + ".")
    return found


def draw(entries: Sequence[Entry], path: Path) -> Path:
    """Draw the error in percent over multiply-adds, one point with its name per network; returns `path`."""
    return points(
        [one.num_macs / 1e6 for one in entries],
        [100 * one.error for one in entries],
        [f"{one.name.rpartition('/')[2]}\n{one.num_params / 1e6:.2g} M parameters" for one in entries],
        path,
        spreads=[200 * math.sqrt(one.variance) for one in entries],
        filled=[one.is_residual for one in entries],
        x_name="multiply-adds per image, M",
        y_name="test error, %",
    )
