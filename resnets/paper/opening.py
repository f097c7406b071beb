"""Items that open models: the runs that they need, and how they are measured. No torch until they are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from resnets.paper import degradation
from resnets.paper.context import Context
from resnets.paper.result import Result
from resnets.paper.scales import Scale
from resnets.paper.trainings import Training

DEEP = 56  # layers of the deepest plain network that the paper looks into; the one of 110 does not learn
KEEP_AT = (0, 10, 30, 100, 300)  # steps after which gradients are measured: the first of the paper's schedule
LIMITS = {"full": None, "small": 2000, "tiny": 100}  # pictures that are tested in several views
# Of the comparison with earlier networks, which cost tens of times as much: steps and seeds.
SHORT = {"small": (400, 1), "tiny": (60, 1)}
# Networks before residual ones, and what they are compared with. AlexNet takes no less than 63 pixels; both were published with
# a rate of 0.01 (Krizhevsky et al. 2012, section 5; arXiv 1409.1556, section 3.1). With multiply-adds of a picture.
PREVIOUS: dict[str, tuple[dict[str, Any], int]] = {
    "torchvision/alexnet": ({"img_size": 64, "lr": 0.01}, 94_089_920),
    "torchvision/vgg16_bn": ({"img_size": 32, "lr": 0.01}, 432_775_168),
    "plain20_cifar": ({"img_size": 32}, 0),
    "resnet20_cifar": ({"img_size": 32}, 0),
    "plain56_cifar": ({"img_size": 32}, 0),
    "resnet56_cifar": ({"img_size": 32}, 0),
}


def fig7_trainings(scale: Scale, data: str) -> list[Training]:
    """The shallowest and a deep plain network, the same residual ones, and that of 110 layers: runs of other items."""
    depths = dict.fromkeys((min(scale.depths), max(depth for depth in scale.depths if depth <= DEEP)))
    names = [f"{family}{depth}_cifar" for family in ("plain", "resnet") for depth in depths]
    deepest = ["resnet110_cifar"] * (110 in (*scale.depths, *scale.identity_depths))
    return degradation.trainings([*names, *deepest], scale, data)


def fig7(context: Context) -> Result:
    from resnets.paper import responses

    return responses.measure(context.by_seed, context.folder, **shown(context))


def gradients_trainings(scale: Scale, data: str) -> list[Training]:
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
    from resnets.paper import gradients

    scale = context.scale
    return gradients.measure(context.by_seed, context.folder, **shown(context), img_size=scale.img_size, num_seeds=scale.seeds)


def first_trainings(scale: Scale, data: str) -> list[Training]:
    """The residual networks of table 6, one run of each."""
    return [training for training in degradation.table6_trainings(scale, data) if training.seed == 0]


def table4(context: Context) -> Result:
    from resnets.paper import testing

    return testing.measure_table4(models(context), out=context.folder, **shown(context), **how(context))


def table5(context: Context) -> Result:
    """With ten crops: of networks for 32 pixels the paper's several scales show nothing that they know."""
    from resnets.paper import testing

    views = "10-crop" if context.scale.img_size <= 32 and not context.models else "multi-scale"
    return testing.measure_table5(models(context), out=context.folder, views=views, **shown(context), **how(context))


def previous_trainings(scale: Scale, data: str, names: Sequence[str] = ()) -> list[Training]:
    """`names`: further networks, of this or another library."""
    steps, seeds = SHORT.get(scale.name, (scale.steps, scale.seeds))
    rows = PREVIOUS | {name: ({"img_size": 64 if "/" in name else 32}, 0) for name in names if name not in PREVIOUS}
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
    from resnets.paper import previous

    return previous.measure(context.by_seed, context.folder, data=context.data, scale=context.scale.name)


def models(context: Context) -> Any:
    """Those that were asked for, else the item's own runs."""
    return list(context.models) or context.by_seed


def shown(context: Context) -> dict[str, Any]:
    return {"data": context.data, "data_dir": context.data_dir, "scale": context.scale.name}


def how(context: Context) -> dict[str, Any]:
    return {"limit": LIMITS[context.scale.name], "device": context.device, "say": context.say}
