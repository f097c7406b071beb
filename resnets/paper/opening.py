"""Items that open models: the runs that they need, and computing their results. No torch until a result is computed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, TypedDict

from resnets.paper import degradation
from resnets.paper.context import Context
from resnets.paper.result import Result
from resnets.paper.scales import Scale
from resnets.paper.trainings import Training

DEEP = 56  # layers of the deepest plain network whose inside the paper shows; the one of 110 layers does not learn
KEEP_AT = (0, 10, 30, 100, 300)  # steps after which gradients are measured, at the beginning of the paper's schedule
LIMITS = {"full": None, "small": 2000, "tiny": 100}  # number of test images for several views
# Steps and seeds for the comparison with earlier networks, whose training costs tens of times as much.
SHORT = {"small": (400, 1), "tiny": (60, 1)}


class Compared(NamedTuple):
    """A network in the comparison with earlier ones: its settings, and multiply-adds per image if it is another library's."""

    settings: dict[str, float]
    num_macs: int = 0


# AlexNet needs at least 63 pixels. It and VGG were published with a learning rate of 0.01 (Krizhevsky et al. 2012, section 5;
# Simonyan and Zisserman 2014, arXiv 1409.1556, section 3.1).
PREVIOUS = {
    "torchvision/alexnet": Compared({"img_size": 64, "lr": 0.01}, 94_089_920),
    "torchvision/vgg16_bn": Compared({"img_size": 32, "lr": 0.01}, 432_775_168),
    "plain20_cifar": Compared({"img_size": 32}),
    "resnet20_cifar": Compared({"img_size": 32}),
    "plain56_cifar": Compared({"img_size": 32}),
    "resnet56_cifar": Compared({"img_size": 32}),
}


class DataOptions(TypedDict):
    """The arguments of all items that open models."""

    data: str
    data_dir: str | None
    scale: str


class EvalOptions(TypedDict):
    """The further arguments of items that test models."""

    limit: int | None
    device: str
    say: Callable[[str], None]


def fig7_trainings(scale: Scale, data: str) -> list[Training]:
    """A shallow and a deep plain network, the residual networks of the same depths and of 110 layers; all are runs of other
    items."""
    depths = dict.fromkeys((min(scale.depths), max(depth for depth in scale.depths if depth <= DEEP)))
    names = [f"{family}{depth}_cifar" for family in ("plain", "resnet") for depth in depths]
    deepest = ["resnet110_cifar"] * (110 in (*scale.depths, *scale.identity_depths))
    return degradation.trainings([*names, *deepest], scale, data)


def fig7(context: Context) -> Result:
    """Standard deviations of layer responses."""
    from resnets.paper import responses

    return responses.measure(context.by_seed, context.folder, **data_options(context))


def gradients_trainings(scale: Scale, data: str) -> list[Training]:
    """Plain and residual networks of two depths for a few steps, at a constant learning rate; they keep the weights of
    `KEEP_AT`."""
    steps = tuple(step for step in KEEP_AT if step <= scale.steps)
    own = (("steps", steps[-1]), ("sched", "constant"), ("keep_at", steps))
    deep = max(depth for depth in scale.depths if depth <= DEEP)
    names = [f"{family}{depth}_cifar" for depth in dict.fromkeys((min(scale.depths), deep)) for family in ("plain", "resnet")]
    return [
        Training(network=name, data=data, scale=scale, seed=seed, own=own, purpose="start")
        for seed in range(scale.seeds)
        for name in names
    ]


def gradients(context: Context) -> Result:
    """Norms of gradients, layer by layer."""
    from resnets.paper import gradients

    options, scale = data_options(context), context.scale
    return gradients.measure(context.by_seed, context.folder, **options, img_size=scale.img_size, num_seeds=scale.seeds)


def first_trainings(scale: Scale, data: str) -> list[Training]:
    """The residual networks of table6, one run of each."""
    return [training for training in degradation.table6_trainings(scale, data) if training.seed == 0]


def table4(context: Context) -> Result:
    """Each model with one crop, ten crops and several scales."""
    from resnets.paper import testing

    return testing.measure_table4(models(context), out=context.folder, **data_options(context), **eval_options(context))


def table5(context: Context) -> Result:
    """An ensemble and its members. The item's own networks, for up to 32 pixels, are tested with ten crops instead of the
    paper's several scales, because they never saw enlarged images in training."""
    from resnets.paper import testing

    views = "10-crop" if context.scale.img_size <= 32 and not context.models else "multi-scale"
    options, more = data_options(context), eval_options(context)
    return testing.measure_table5(models(context), out=context.folder, views=views, **options, **more)


def previous_trainings(scale: Scale, data: str, names: Sequence[str] = ()) -> list[Training]:
    """AlexNet and VGG, plain and residual networks. `names`: further networks, of this or another library."""
    steps, seeds = SHORT.get(scale.name, (scale.steps, scale.seeds))
    rows = PREVIOUS | {name: Compared({"img_size": 64 if "/" in name else 32}) for name in names if name not in PREVIOUS}
    return [
        Training(
            network=name,
            data=data,
            scale=scale,
            seed=seed,
            own=(("steps", steps), *own.items()),
            purpose="previous",
            num_macs=macs,
        )
        for seed in range(seeds)
        for name, (own, macs) in rows.items()
    ]


def previous(context: Context) -> Result:
    """Errors and costs of AlexNet, VGG, plain and residual networks."""
    from resnets.paper import previous

    return previous.measure(context.by_seed, context.folder, data=context.data, scale=context.scale.name)


def models(context: Context) -> list[str] | Mapping[tuple[str, int], Path]:
    """The models that the user named, else the item's own runs."""
    return list(context.models) or context.by_seed


def data_options(context: Context) -> DataOptions:
    return {"data": context.data, "data_dir": context.data_dir, "scale": context.scale.name}


def eval_options(context: Context) -> EvalOptions:
    return {"limit": LIMITS[context.scale.name], "device": context.device, "say": context.say}
