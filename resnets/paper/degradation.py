"""Items fig1, fig6 and table6: plain networks become worse with depth, residual ones do not (CIFAR networks). No torch."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

from resnets.models import zoo
from resnets.paper import comparing, figures, history, protocol, published
from resnets.paper.comparing import mean_of, short
from resnets.paper.context import Context
from resnets.paper.history import Curves
from resnets.paper.result import Drawing, Holds, Result, Table, Verdict
from resnets.paper.scales import Scale
from resnets.paper.trainings import Training

FAILED = 60.0  # percent: the test error of plain-110 is higher


def trainings(names: Sequence[str], scale: Scale, data: str) -> list[Training]:
    """One training for each network that the zoo has and each seed: seed by seed, in each the networks with the fewest
    multiply-adds first."""
    known = sorted((name for name in names if name in zoo.ROWS), key=lambda name: zoo.get(name).num_macs())
    return [Training(network=name, data=data, scale=scale, seed=seed) for seed in range(scale.seeds) for name in known]


def plain(scale: Scale) -> list[str]:
    """The names of the plain CIFAR networks of a scale."""
    return [f"plain{depth}_cifar" for depth in scale.depths]


def residual(scale: Scale) -> list[str]:
    """The names of the residual CIFAR networks of a scale."""
    return [f"resnet{depth}_cifar" for depth in scale.depths]


def fig1_trainings(scale: Scale, data: str) -> list[Training]:
    """The shallowest plain network, and the one of 56 layers or, where a scale lacks it, the deepest."""
    deep = 56 if 56 in scale.depths else max(scale.depths)
    return trainings([f"plain{depth}_cifar" for depth in dict.fromkeys((min(scale.depths), deep))], scale, data)


def fig6_trainings(scale: Scale, data: str) -> list[Training]:
    return trainings([*plain(scale), *residual(scale)], scale, data)


def table6_trainings(scale: Scale, data: str) -> list[Training]:
    return trainings(residual(scale), scale, data)


# --- the items -------------------------------------------------------------------------------------------------------


def fig1(context: Context) -> Result:
    """Errors of two plain networks over the training."""
    curves = curves_of(context)
    names = by_depth(curves)
    path = figures.two_errors(curves, context.folder / "fig1.png")
    train, test = last_train(curves), last_test(curves)
    where = f"Figure 1; here {' and '.join(map(short, names))}"
    verdicts = [
        comparing.ordering(f"The deeper plain network has the higher training error ({where}).", names, train),
        comparing.ordering(f"The deeper plain network has the higher test error ({where}).", names, test),
    ]
    says = "Plain networks: training error (left) and validation error (right), mean and range over seeds, as Figure 1."
    return assembled(context, "fig1", [errors_table(curves)], verdicts, [Drawing(file=path.name, says=says)])


def fig6(context: Context) -> Result:
    """Errors of plain and residual networks of several depths over the training."""
    curves = curves_of(context)
    plains = [name for name in by_depth(curves) if name.startswith("plain")]
    residuals = [name for name in by_depth(curves) if name.startswith("resnet")]
    panels = [
        figures.Panel(f"{family} networks: error, %", {name: curves[name] for name in names})
        for family, names in (("plain", plains), ("residual", residuals))
        if names
    ]
    path = figures.degradation(panels, context.folder / "fig6.png")
    says = (
        "Plain networks (left) and residual networks (right). Dashed: training error; bold: validation error; dots: test error "
        "after the last step. Means over seeds, with the range as a band."
    )
    verdicts = fig6_verdicts(plains, residuals, last_train(curves), last_test(curves))
    return assembled(context, "fig6", [errors_table(curves)], verdicts, [Drawing(file=path.name, says=says)])


def fig6_verdicts(
    plains: Sequence[str], residuals: Sequence[str], train: Mapping[str, list[float]], test: Mapping[str, list[float]]
) -> list[Verdict]:
    """The verdicts on the orderings of Figure 6 and section 4.2.

    Args:
        plains, residuals: networks from shallow to deep.
        train, test: errors in percent by network, one per seed.
    """
    drawn = [name for name in plains if "110" not in name]  # does not learn in the paper, and has a verdict of its own
    limited = [name for name in residuals if "1202" not in name]  # worse than the one of 110 layers in the paper
    twins = [(f"resnet{name.removeprefix('plain')}", name) for name in plains]
    twins = [(other, name) for other, name in twins if other in residuals]
    verdicts = [
        comparing.ordering("The deeper a plain network, the higher its training error (Figure 6, left).", drawn, train),
        comparing.ordering("The deeper a plain network, the higher its test error (Figure 6, left).", drawn, test),
        comparing.ordering("The deeper a residual network, the lower its test error (Figure 6, middle).", limited[::-1], test),
        comparing.ordering(
            "The deeper a residual network, the lower its training error (Figure 6, middle).", limited[::-1], train
        ),
        comparing.pairwise("At each depth the residual network has the lower training error.", twins, train),
        comparing.pairwise("At each depth the residual network has the lower test error.", twins, test),
    ]
    if "plain110_cifar" in plains:
        values = test["plain110_cifar"]
        holds: Holds = "holds" if min(values) > FAILED else "fails"
        because = f"Test errors of its runs: {', '.join(f'{value:.2f}' for value in values)} %."
        claim = f"plain-110 has more than {FAILED:.0f} % test error ({published.PLAIN_110.where})."
        verdicts.append(Verdict(claim=claim, holds=holds, because=because))
    if "resnet1202_cifar" in residuals and "resnet110_cifar" in residuals:
        names = ["resnet110_cifar", "resnet1202_cifar"]
        verdicts.append(comparing.ordering("ResNet-1202 has a higher test error than ResNet-110 (Table 6).", names, test))
    return verdicts


def table6(context: Context) -> Result:
    """Test errors of residual networks beside the paper's."""
    errors = history.test_errors(context.runs)
    names = by_depth(errors)
    whole = context.scale.name == "full" and context.data == "cifar10"
    paper = published.TABLE6
    rows = tuple(
        (
            short(name),
            zoo.get(name).num_layers,
            round(zoo.get(name).num_params / 1e6, 2),
            mean_of(errors[name]),
            len(errors[name]),
            paper.values.get(name),
            paper.stds.get(name),
        )
        for name in names
    )
    head = ("network", "layers", "10^6 parameters", "test error, %", "runs", "paper, %", "± in the paper")
    verdicts = [comparing.beside_paper(name, errors[name], paper, context.scale, whole=whole) for name in names]
    shown = {name: errors[name] for name in names}
    title = f"test error at scale {context.scale.name}, one dot per run"
    path = figures.errors(shown, context.folder / "table6.png", published=paper.values if whole else None, title=title)
    drawing = Drawing(file=path.name, says=f"Table 6: {len(names)} residual networks; the bar is the mean over seeds.")
    return assembled(context, "table6", [Table(title="Table 6", head=head, rows=rows)], verdicts, [drawing], curves=False)


# --- shared by items -------------------------------------------------------------------------------------------------


def curves_of(context: Context) -> dict[str, Curves]:
    """The curves by network: plain networks first, each family from shallow to deep."""
    found = history.by_network(context.runs)
    names = sorted(by_depth(found), key=lambda name: not name.startswith("plain"))
    return {name: history.curves(found[name]) for name in names}


def by_depth(networks: Mapping[str, object]) -> list[str]:
    """The labels, from shallow to deep."""
    return sorted(networks, key=lambda name: zoo.get(name.split(",")[0]).num_layers)


def last_train(curves: Mapping[str, Curves]) -> dict[str, list[float]]:
    """The training errors of the last epoch in percent, one per seed."""
    return {name: one.train[:, -1].tolist() for name, one in curves.items()}


def last_test(curves: Mapping[str, Curves]) -> dict[str, list[float]]:
    """The test errors after the last step in percent, one per seed."""
    return {name: one.test.tolist() for name, one in curves.items()}


def errors_table(curves: Mapping[str, Curves]) -> Table:
    """The errors of each network at the end of training."""
    head = ("network", "training error, %", "validation error, %", "test error, %", "runs")
    rows = tuple(
        (
            short(name),
            mean_of(one.train[:, -1].tolist()),
            mean_of(one.val[:, -1].tolist()),
            mean_of(one.test.tolist()),
            len(one.test),
        )
        for name, one in curves.items()
    )
    return Table(title="After the last step: mean ± standard deviation over runs", head=head, rows=rows)


def assembled(
    context: Context,
    item: str,
    tables: Sequence[Table],
    verdicts: Sequence[Verdict],
    drawings: Sequence[Drawing],
    *,
    curves: bool = True,
    more: Sequence[str] = (),
) -> Result:
    """The result, with the deviations from the protocol and the evidence of all runs; `more`: deviations of this item only."""
    result = Result(
        item=item,
        scale=context.scale.name,
        tables=tuple(tables),
        verdicts=tuple(verdicts),
        drawings=tuple(drawings),
        deviations=tuple(more),
    )
    return completed(result, context, curves=curves)


def completed(result: Result, context: Context, *, curves: bool = False) -> Result:
    """The result with the evidence of the runs, and their deviations from the protocol after its own, where it lacks them."""
    if result.evidence or not context.runs:
        return result
    large = any(training.large for training in context.runs)
    recipes = history.recipes(context.runs)
    told = protocol.deviations(context.scale, data=context.data, recipes=recipes, large=large, curves=curves)
    evidence = history.evidence(context.runs, context.out)
    return dataclasses.replace(result, deviations=(*result.deviations, *told), evidence=evidence)
