"""Item gradients: the norm of the gradient in each layer, before and during training.

He et al. 2015, section 4.1: the difficulty of training deep plain networks is "unlikely to be caused by vanishing gradients",
because they have batch norm, and "the backward propagated gradients exhibit healthy norms". This item measures the norms, with
batch norm and without.
"""

from __future__ import annotations

import copy
import csv
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from resnets import tasks
from resnets.data.types import Batch
from resnets.draw.style import INK, TRAIN, VAL, blank, log_scale, styled, write
from resnets.engine import plan
from resnets.engine.run import RunDir
from resnets.files import write_text
from resnets.models import zoo
from resnets.models.model import Model
from resnets.models.spec import ResNetSpec
from resnets.paper import inside
from resnets.paper.figures import name_lines
from resnets.paper.inside import Layer, Runs
from resnets.paper.result import Drawing, Result, Table, Verdict
from resnets.ship import hub

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ITEM, TABLE = "gradients", "gradients.csv"
NUM_IMAGES, NUM_SEEDS = 128, 3
NETWORKS = ("plain20_cifar", "plain56_cifar", "resnet20_cifar", "resnet56_cifar")
VANISHED = 0.01  # a gradient counts as vanished if the first layer's norm is less than this fraction of the last layer's
HEALTHY = (0.1, 10.0)  # norms count as healthy if this ratio is in this range
KINDS = {"weights": "gradient by the weights", "signal": "gradient by the response"}
NORM_WORDS = {"batch": "with batch norm", "none": "without norms"}


class Norms(NamedTuple):
    """The L2 norms of the gradient of the loss in one layer: by the convolution's weights, and by the layer's response."""

    layer: str
    weights: float
    signal: float


class Trend(NamedTuple):
    """How the norm changes from the last layer to the first.

    Args:
        ratio: norm in the first layer / norm in the last layer.
        factor: by which one layer multiplies the norm on the way back, from the slope of the log norm (least squares): below 1
            the gradient vanishes, above 1 it explodes.
    """

    ratio: float
    factor: float


class Seen(NamedTuple):
    """The norms in a network after `step` steps: `seeds` has those of each layer, seed by seed."""

    spec: ResNetSpec
    step: int
    seeds: tuple[tuple[Norms, ...], ...]

    def trends(self, kind: str) -> list[Trend]:
        """The trend of each seed. `kind`: "weights" or "signal"."""
        return [trend([getattr(norms, kind) for norms in seed]) for seed in self.seeds]


def gradients(model: Model, images: Tensor, targets: Tensor) -> tuple[Norms, ...]:
    """The norms in the order of the layers, for the mean cross-entropy of one batch.

    They are computed in training mode, so with the batch's own statistics, on a copy: the model does not change.

    Args:
        model: the network.
        images: (N, C, H, W), normalised.
        targets: (N,) class indices.
    """
    model = copy.deepcopy(model).train()
    layers = inside.layers(model)
    weights = [layer.conv.weight for layer in layers]
    with _noting(layers) as responses:
        loss = F.cross_entropy(model(images), targets)
    found = torch.autograd.grad(loss, [*weights, *responses])  # type: ignore[arg-type]
    norms = [float(gradient.double().norm()) for gradient in found]
    half = len(layers)
    return tuple(
        Norms(layer.name, *both) for layer, both in zip(layers, zip(norms[:half], norms[half:], strict=True), strict=True)
    )


@contextmanager
def _noting(layers: Sequence[Layer]) -> Iterator[list[Tensor]]:
    """Context manager: yields a list to which a forward pass appends the responses, in order. The operations after a layer get
    a copy of its response, because a ReLU may overwrite it."""
    responses: list[Tensor] = []

    def note(module: Any, inputs: Any, output: Tensor) -> Tensor:
        responses.append(output)
        return output.clone()

    handles = [layer.response.register_forward_hook(note) for layer in layers]
    try:
        yield responses
    finally:
        for handle in handles:
            handle.remove()


def trend(norms: Sequence[float]) -> Trend:
    """The trend of norms in the order of the layers, without layers whose gradient is zero; NaN if fewer than two are left."""
    values = np.array(norms)
    layers = np.flatnonzero(values > 0)
    if len(layers) < 2:
        return Trend(float("nan"), float("nan"))
    slope = float(np.polyfit(layers, np.log(values[layers]), 1)[0])
    return Trend(float(values[layers[0]] / values[layers[-1]]), float(np.exp(-slope)))


def at_start(
    data: str, data_dir: str | Path | None, *, img_size: int | None, num_seeds: int, networks: Iterable[str] = NETWORKS
) -> list[Seen]:
    """The norms in networks before training, with batch norm and without, for several seeds, on a batch of training images."""
    asked: dict[str, object] = {"data": data, "recipe": "he2015", "model": "resnet20_cifar"}
    layers = plan.requested(asked | ({} if img_size is None else {"img_size": img_size}))
    planned = plan.settle(tasks.get(tasks.DEFAULT), layers, data_dir)
    batch = inside.pictures(planned.source.splits["train"], planned.preprocess, NUM_IMAGES)
    found = []
    for norm in NORM_WORDS:
        for name in networks:
            spec = zoo.get(name, norm=norm, in_chans=planned.spec.in_chans, num_classes=planned.spec.num_classes)
            found.append(Seen(spec, 0, tuple(_fresh(spec, seed, batch) for seed in range(num_seeds))))
    return found


def _fresh(spec: ResNetSpec, seed: int, batch: Batch) -> tuple[Norms, ...]:
    torch.manual_seed(seed)
    return gradients(hub.create_model(spec), batch.images, batch.targets)


def in_training(runs: Runs, data: str, data_dir: str | Path | None) -> list[Seen]:
    """The norms in networks at each step whose weights all of their runs have kept (`keep_at`). Writes gradients.csv to each
    run directory."""
    seen: dict[tuple[str, int], list[tuple[Norms, ...]]] = {}
    specs: dict[str, ResNetSpec] = {}
    for (name, _), path in runs.items():
        run, rows = RunDir(path), []
        batch = inside.as_trained(hub.load(path), data, data_dir, "train", NUM_IMAGES)
        for step in run.kept_steps():
            model = hub.load(run.at_step(step))
            norms = gradients(model, batch.images, batch.targets)
            seen.setdefault((name, step), []).append(norms)
            rows += [{"step": step} | norm._asdict() for norm in norms]
            specs[name] = model.spec
        _write(run, rows)
    num_seeds = {name: sum(one == name for one, _ in runs) for name in specs}
    return [
        Seen(specs[name], step, tuple(seeds)) for (name, step), seeds in sorted(seen.items()) if len(seeds) == num_seeds[name]
    ]


def _write(run: RunDir, rows: Sequence[Mapping[str, object]]) -> None:
    """Write gradients.csv."""
    out = io.StringIO()
    writer = csv.DictWriter(out, fieldnames=["step", *Norms._fields], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(run.path / TABLE, out.getvalue())


def measure(
    runs: Runs,
    out: Path,
    *,
    data: str = "cifar10",
    data_dir: str | Path | None = None,
    scale: str = "full",
    img_size: int | None = None,
    num_seeds: int = NUM_SEEDS,
) -> Result:
    """The item: the norms before training, and at the steps whose weights the runs kept (`keep_at`), if any.

    Args:
        runs: run directories with steps/, by name and seed.
        out: the folder for the drawings.
        data, data_dir: what they were trained on.
        scale: the name of the scale.
        img_size: side of the images before training, in pixels; default (None): their own.
        num_seeds: number of initialisations of each network before training.
    """
    start, training = at_start(data, data_dir, img_size=img_size, num_seeds=num_seeds), in_training(runs, data, data_dir)
    out.mkdir(parents=True, exist_ok=True)
    drawings = [Drawing(file=write(draw_start(start), out / "gradients_start.png").name, says=_says_start(num_seeds))]
    if training:
        path = write(draw_training(training), out / "gradients_training.png")
        drawings.append(Drawing(file=path.name, says="Norms of the gradient by the weights after several numbers of steps."))
    kept = sorted({seen.step for seen in training})
    return Result(
        item=ITEM,
        scale=scale,
        tables=(_table("Before training", start), *([_table("During training", training)] if training else [])),
        verdicts=tuple(_verdicts(start, training)),
        drawings=tuple(drawings),
        deviations=(
            f"Norms are L2 norms of the gradient of the mean loss over one batch of {NUM_IMAGES} training images, not "
            "augmented, with the batch's own statistics; the paper does not say what it measured, when, or where.",
            "Networks without norms have biases in their place and the same initialisation; they were measured before training "
            "only." if not any(seen.spec.norm == "none" for seen in training) else "Networks without norms have biases in "
            "their place and the same initialisation.",
            *([f"Trained for {kept[-1]:,} steps, the first of the paper's schedule."] if kept else ["Nothing was trained."]),
        ),
    )  # fmt: skip


def _says_start(num_seeds: int) -> str:
    return (
        "Norms of the gradient before training, in every layer of plain and residual networks; geometric means of "
        f"{num_seeds} initialisations with their range. Above: by the weights; below: by the response of the layer; left: with "
        "batch norm; right: without. From the last layer to the first, a falling line shows vanishing, a rising one exploding."
    )


def _table(name: str, found: Sequence[Seen]) -> Table:
    rows: list[tuple[str | int, ...]] = []
    for seen in found:
        words: list[str] = []
        for kind in KINDS:
            ratios, factors = zip(*seen.trends(kind), strict=True)
            words += [inside.mean_and_range(ratios), inside.mean_and_range(factors)]
        rows.append((inside.title(seen.spec), seen.step, len(seen.seeds), *words))
    head = (
        "network", "step", "seeds", "weights: first / last layer", "per layer", "signal: first / last layer", "per layer"
    )  # fmt: skip
    return Table(title=f"{name}: how the gradient's norm changes from the last layer to the first", head=head, rows=tuple(rows))


def _verdicts(start: Sequence[Seen], training: Sequence[Seen]) -> Iterator[Verdict]:
    """The verdicts on plain networks with batch norm, before training and at every step that was kept."""
    plain = [seen for seen in (*start, *training) if inside.is_plain(seen.spec) and seen.spec.norm == "batch"]
    ratios = {
        f"{inside.title(seen.spec)} {'before training' if seen in start else f'after {seen.step} steps'}": [
            trend.ratio for trend in seen.trends("weights")
        ]
        for seen in plain
    }
    words = "; ".join(f"{name} {inside.mean_and_range(values)}" for name, values in ratios.items())
    beside = "; ".join(
        f"{inside.title(seen.spec)} {inside.mean_and_range([trend.ratio for trend in seen.trends('weights')])}"
        for seen in start
        if not inside.is_plain(seen.spec) and seen.spec.norm == "batch"
    )
    lowest, highest = HEALTHY
    yield Verdict(
        claim="Gradients of plain networks with batch norm do not vanish on the way back (section 4.1).",
        holds=inside.agreed({name: [ratio > VANISHED for ratio in values] for name, values in ratios.items()}),
        because=f"The gradient by the first layer's weights beside that by the last's (vanished: below {VANISHED:g}): {words}.",
    )
    yield Verdict(
        claim='They have "healthy norms" (section 4.1; our reading: in the first and the last layer within a power of ten).',
        holds=inside.agreed({name: [lowest <= ratio <= highest for ratio in values] for name, values in ratios.items()}),
        because=f"The same figures ({lowest:g} to {highest:g} counts as healthy): {words}."
        + f" Residual networks before training: {beside}." * bool(beside),
    )


# --- drawings --------------------------------------------------------------------------------------------------------


@styled
def draw_start(found: Sequence[Seen]) -> Figure:
    """Gradient norms before training, from the last layer to the first, one line per network.

    Upper panels: by the weights of each layer; lower panels: by its response. Left: with batch norm; right: without norms. The
    shallowest networks have dashed lines.
    """
    columns = [norm for norm in NORM_WORDS if any(seen.spec.norm == norm for seen in found)]
    figure = blank(5.2 * len(columns), 6.4)
    panels = figure.subplots(len(KINDS), len(columns), squeeze=False)
    for row, (kind, words) in zip(panels, KINDS.items(), strict=True):
        for axes, norm in zip(row, columns, strict=True):
            shown = [seen for seen in found if seen.spec.norm == norm]
            shallow = min(seen.spec.num_layers for seen in shown)
            for seen in shown:
                _line(axes, seen, kind, _short(seen.spec), _colour(seen.spec), "--" if seen.spec.num_layers == shallow else "-")
            _finish(axes, f"{words}, {NORM_WORDS[norm]}")
    name_lines(figure)
    return figure


@styled
def draw_training(found: Sequence[Seen]) -> Figure:
    """Norms of the gradient by the weights during training: one panel per network, one line per kept step, later ones dark."""
    from matplotlib import colormaps

    networks = list(dict.fromkeys(seen.spec for seen in found))
    num_rows = -(-len(networks) // 2)
    figure = blank(5.0 * min(2, len(networks)), 3.2 * num_rows)
    panels = figure.subplots(num_rows, min(2, len(networks)), squeeze=False, sharey=True).ravel()
    for axes, spec in zip(panels, networks, strict=False):
        shown = sorted((seen for seen in found if seen.spec == spec), key=lambda seen: seen.step)
        shades = colormaps["YlOrBr" if inside.is_plain(spec) else "Blues"](np.linspace(0.35, 1.0, len(shown)))
        for seen, shade in zip(shown, shades, strict=True):
            _line(axes, seen, "weights", "start" if seen.step == 0 else f"{seen.step:,} steps", shade, "-")
        _finish(axes, f"{inside.title(spec)}: {KINDS['weights']}")
    for axes in panels[len(networks) :]:
        axes.set_visible(False)
    name_lines(figure)
    return figure


def _line(axes: Axes, seen: Seen, kind: str, label: str, colour: object, style: str) -> None:
    """Draw the geometric mean over the seeds, and their range as a band.

    x is the relative depth, 0 for the last layer and 1 for the first, so that networks of different depths can be compared.
    """
    norms = np.array([[getattr(norms, kind) for norms in reversed(seed)] for seed in seen.seeds])
    norms = np.where(norms > 0, norms, np.nan)
    depth = np.linspace(0, 1, norms.shape[1])
    axes.plot(depth, np.exp(np.log(norms).mean(axis=0)), color=colour, linestyle=style, label=label)
    if len(norms) > 1:
        axes.fill_between(depth, norms.min(axis=0), norms.max(axis=0), color=colour, alpha=0.15, linewidth=0)


def _finish(axes: Axes, title: str) -> None:
    """Logarithmic y axis, title and ticks, once all lines are drawn."""
    values = np.concatenate([np.asarray(line.get_ydata(), float) for line in axes.lines])
    lowest, highest = float(np.nanmin(values)), float(np.nanmax(values))
    log_scale(axes, decades=np.log10(highest / lowest))
    axes.set_title(title)
    axes.set_xticks([0, 0.5, 1], ["last layer", "middle", "first layer"])
    axes.grid(axis="y")
    axes.tick_params(labelleft=True)


def _short(spec: ResNetSpec) -> str:
    return inside.title(spec).removesuffix(" without norms")


def _colour(spec: ResNetSpec) -> str:
    return VAL if inside.is_plain(spec) else TRAIN if spec.order == "post" else INK
