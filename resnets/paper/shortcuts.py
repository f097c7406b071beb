"""Items table2, table3 and fig4: plain and residual networks of 18 and 34 layers, shortcuts A, B and C, bottlenecks. No torch.

On a folder of images (ImageNet) these are the paper's networks; on built-in datasets of small images, scaled-down ones.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from resnets.paper import comparing, figures, history, protocol, published
from resnets.paper.comparing import mean_of, short
from resnets.paper.context import Context
from resnets.paper.degradation import assembled, errors_table, last_test, last_train
from resnets.paper.result import Drawing, Result, Table
from resnets.paper.scales import Scale
from resnets.paper.trainings import Training, label

Network = tuple[str, tuple[tuple[str, Any], ...]]  # a name in the zoo, and changes to its spec

# Four stages at a quarter of the width, and a stem of one 3x3 convolution: for small images.
THIN = (("stem", "small"), ("width", 16))
A, B, C = ((("shortcut", option),) for option in "ABC")
TABLE2: dict[str, tuple[Network, ...]] = {
    "small": (("plain18", THIN), ("resnet18", (*THIN, *A)), ("plain34", THIN), ("resnet34", (*THIN, *A))),
    "large": (("plain18", ()), ("resnet18", A), ("plain34", ()), ("resnet34", A)),
}
# The CIFAR networks have option A. The bottleneck network is the one with the most multiply-adds below ResNet-32's.
BOTTLENECK: Network = ("resnet50", (*THIN, ("depths", (4, 4, 4))))
TABLE3: dict[str, tuple[Network, ...]] = {
    "small": (
        ("plain32_cifar", ()), ("resnet32_cifar", ()), ("resnet32_cifar", B), ("resnet32_cifar", C), BOTTLENECK,
    ),
    "large": (
        ("plain34", ()), ("resnet34", A), ("resnet34", B), ("resnet34", C),
        ("resnet50_v1", ()), ("resnet101_v1", ()), ("resnet152_v1", ()),
    ),
}  # fmt: skip
SCALED_DOWN = (
    "Not ImageNet: networks of four stages with a 3x3 stem and 16 channels in the first stage instead of 64, on small images."
)
SCALED_DOWN_3 = (
    "Not ImageNet: the 32-layer networks of the CIFAR family; the bottleneck network has 38 layers, (4, 4, 4) blocks at width "
    "16, and 60.5 M multiply-adds at 32 x 32 where ResNet-32 has 68.9 M."
)


def kind(data: str) -> str:
    """The key in `TABLE2` and `TABLE3` for this data: "large" or "small"."""
    return "large" if protocol.is_large(data) else "small"


def trainings(table: Mapping[str, Sequence[Network]], scale: Scale, data: str) -> list[Training]:
    """One training for each network of a table and each seed."""
    return [
        Training(network=name, changes=changes, data=data, scale=scale, seed=seed, large=kind(data) == "large")
        for seed in range(scale.seeds)
        for name, changes in table[kind(data)]
    ]


def table2_trainings(scale: Scale, data: str) -> list[Training]:
    return trainings(TABLE2, scale, data)


def table3_trainings(scale: Scale, data: str) -> list[Training]:
    return trainings(TABLE3, scale, data)


def labels(table: Mapping[str, Sequence[Network]], data: str) -> list[str]:
    """The labels of a table's networks, in its order."""
    return [called(label(*network)) for network in table[kind(data)]]


def called(name: str) -> str:
    """A network's label without the changes that all scaled-down networks have; the bottleneck network by its own depth."""
    return "bottleneck-38" if name == label(*BOTTLENECK) else name.replace(label("", THIN), "")


def table2(context: Context) -> Result:
    """Test errors of plain and residual networks of 18 and 34 layers."""
    errors = {called(name): values for name, values in history.test_errors(context.runs).items()}
    plain18, resnet18, plain34, resnet34 = names = labels(TABLE2, context.data)
    paper = dict(zip(names, ("plain18", "resnet18", "plain34", "resnet34"), strict=True))
    verdicts = [
        comparing.ordering("plain-34 has a higher error than plain-18 (Table 2).", [plain18, plain34], errors),
        comparing.ordering("ResNet-34 has a lower error than ResNet-18 (Table 2).", [resnet34, resnet18], errors),
        comparing.ordering("ResNet-34 has a lower error than plain-34 (Table 2).", [resnet34, plain34], errors),
    ]
    table = beside("Table 2", {name: errors[name] for name in names}, {n: published.TABLE2.values[p] for n, p in paper.items()})
    path = figures.errors(
        {name: errors[name] for name in names}, context.folder / "table2.png", title="test error, one dot per run"
    )
    drawing = Drawing(file=path.name, says="Table 2: plain and residual networks of 18 and 34 layers, option A.")
    return assembled(context, "table2", [table], verdicts, [drawing], curves=False, more=scaled(context, SCALED_DOWN))


def fig4(context: Context) -> Result:
    """Errors of plain and residual networks of 18 and 34 layers over the training."""
    found = {called(name): folders for name, folders in history.by_network(context.runs).items()}
    curves = {name: history.curves(found[name]) for name in labels(TABLE2, context.data)}
    plain18, resnet18, plain34, resnet34 = curves
    path = figures.degradation(
        [
            figures.Panel("plain: error, %", {name: curves[name] for name in (plain18, plain34)}),
            figures.Panel("residual: error, %", {name: curves[name] for name in (resnet18, resnet34)}),
        ],
        context.folder / "fig4.png",
    )
    train, test = last_train(curves), last_test(curves)
    verdicts = [
        comparing.ordering(
            "plain-34 has a higher training error than plain-18 throughout the training (Figure 4, left); here: at the end.",
            [plain18, plain34],
            train,
        ),
        comparing.ordering("ResNet-34 has the lower training error (Figure 4, right).", [resnet34, resnet18], train),
        comparing.ordering("ResNet-34 has the lower test error (Figure 4, right).", [resnet34, resnet18], test),
    ]
    says = "Figure 4: 18 and 34 layers, plain (left) and residual (right). Dashed: training error; bold: validation error."
    drawing = Drawing(file=path.name, says=says)
    return assembled(context, "fig4", [errors_table(curves)], verdicts, [drawing], more=scaled(context, SCALED_DOWN))


def table3(context: Context) -> Result:
    """Test errors with shortcuts A, B and C, and of bottlenecks."""
    errors = {called(name): values for name, values in history.test_errors(context.runs).items()}
    names = labels(TABLE3, context.data)
    plain, option_a, option_b, option_c, *bottlenecks = names
    values = published.TABLE3.values
    keys = ("plain34", "resnet34,A", "resnet34,B", "resnet34,C", "resnet50", "resnet101", "resnet152")
    verdicts = [
        comparing.pairwise(
            "All three options are considerably better than the plain network (section 4.1).",
            [(option, plain) for option in (option_a, option_b, option_c)],
            errors,
        ),
        comparing.ordering("Option B is slightly better than A (Table 3).", [option_b, option_a], errors),
        comparing.ordering("Option C is marginally better than B (Table 3).", [option_c, option_b], errors),
        comparing.pairwise(
            "Bottleneck networks are better than the residual networks of two-layer blocks (Table 3).",
            [(bottleneck, option_b) for bottleneck in bottlenecks],
            errors,
        ),
    ]
    if len(bottlenecks) > 1:
        claim = "The deeper a bottleneck network, the lower its error (Table 3)."
        verdicts.append(comparing.ordering(claim, bottlenecks[::-1], errors))
    shown = {name: errors[name] for name in names}
    table = beside("Table 3", shown, {name: values[key] for name, key in zip(names, keys, strict=False)})
    path = figures.errors(shown, context.folder / "table3.png", title="test error, one dot per run")
    drawing = Drawing(file=path.name, says="Table 3: a plain network, shortcuts A, B and C, and bottlenecks.")
    return assembled(context, "table3", [table], verdicts, [drawing], curves=False, more=scaled(context, SCALED_DOWN_3))


def scaled(context: Context, words: str) -> tuple[str, ...]:
    """The deviation `words`, where networks are scaled down."""
    return (words,) if kind(context.data) == "small" else ()


def beside(title: str, errors: Mapping[str, Sequence[float]], paper: Mapping[str, float]) -> Table:
    """Test errors beside the paper's; `paper`: the error of the corresponding network by label."""
    head = ("network", "test error, %", "runs", "paper (ImageNet, 10 crops), % top-1")
    return Table(
        title=title,
        head=head,
        rows=tuple((short(name), mean_of(values), len(values), paper.get(name)) for name, values in errors.items()),
    )
