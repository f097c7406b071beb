"""Item identity: "Identity Mappings in Deep Residual Networks" (He et al. 2016, arXiv 1603.05027), the original block against
full pre-activation. No torch.
"""

from __future__ import annotations

from resnets.paper import comparing, figures, history, published
from resnets.paper.comparing import mean_of, short
from resnets.paper.context import Context
from resnets.paper.degradation import assembled
from resnets.paper.result import Drawing, Result, Table
from resnets.paper.scales import Scale
from resnets.paper.trainings import Training, label

POST, PRE = (("order", "post"),), (("order", "pre"),)
# By depth: the network with the original block, and with pre-activation. Bottlenecks from 164 layers on, as in the paper.
PAIRS = {
    20: (("resnet20_cifar", ()), ("resnet20_cifar", PRE)),
    56: (("resnet56_cifar", ()), ("resnet56_cifar", PRE)),
    110: (("resnet110_cifar", ()), ("preresnet110_cifar", ())),
    164: (("preresnet164_cifar", POST), ("preresnet164_cifar", ())),
    1001: (("preresnet1001_cifar", POST), ("preresnet1001_cifar", ())),
}
NO_WARM_UP = (
    "Networks of less than 110 layers start with a learning rate of 0.1; the paper warms up all with 0.01 for 400 steps."
)
MEAN = "Means over runs; the paper prints the median of 5."


def trainings(scale: Scale, data: str) -> list[Training]:
    """Both networks of each depth, for each seed."""
    return [
        Training(network=name, changes=changes, data=data, scale=scale, seed=seed)
        for seed in range(scale.seeds)
        for depth in scale.identity_depths
        for name, changes in PAIRS[depth]
    ]


def measure(context: Context) -> Result:
    """Test errors of both networks at each depth, beside the paper's."""
    errors = history.test_errors(context.runs)
    depths = context.scale.identity_depths
    pairs = {depth: tuple(label(*network) for network in PAIRS[depth]) for depth in depths}
    paper = published.IDENTITY.get(context.data)
    printed = dict(paper.values) if paper else {}
    verdicts = [
        comparing.ordering(f"Of {depth} layers, pre-activation has the lower test error (Table 2).", [pre, post], errors)
        for depth, (post, pre) in pairs.items()
    ]
    if len(depths) > 1:
        deepest, before = pairs[depths[-1]], pairs[depths[-2]]
        verdicts.append(
            comparing.ordering(
                f"With pre-activation, {depths[-1]} layers have a lower test error than {depths[-2]} (Table 4).",
                [deepest[1], before[1]],
                errors,
            )
        )
    whole = context.scale.name == "full"
    if whole and paper:
        verdicts += [
            comparing.beside_paper(name, errors[name], paper, context.scale, whole=True)
            for pair in pairs.values()
            for name in pair
            if name in printed
        ]
    rows = tuple(
        (depth, mean_of(errors[post]), printed.get(post), mean_of(errors[pre]), printed.get(pre), len(errors[pre]))
        for depth, (post, pre) in pairs.items()
    )
    head = ("layers", "original, % test error", "paper, %", "pre-activation, % test error", "paper, %", "runs")
    shown = {name: errors[name] for pair in pairs.values() for name in pair}
    title = f"test error at scale {context.scale.name}, one dot per run"
    path = figures.errors(shown, context.folder / "identity.png", published=printed if whole else None, title=title)
    says = f"{' and '.join(short(name) for name in next(iter(pairs.values())))}, ...: the original block, then pre-activation."
    table = Table(title="Original block and full pre-activation", head=head, rows=rows)
    more = [MEAN, *([NO_WARM_UP] if min(depths) < context.scale.warmup_layers else [])]
    return assembled(context, "identity", [table], verdicts, [Drawing(file=path.name, says=says)], curves=False, more=more)
