"""Item table1: the networks stage by stage, their layers, parameters and multiply-adds. Exact, without training. No torch."""

from __future__ import annotations

import time
from collections.abc import Iterator

from resnets.engine.run import provenance
from resnets.models import zoo
from resnets.models.spec import ResNetSpec
from resnets.paper import history, published
from resnets.paper.comparing import short
from resnets.paper.context import Context
from resnets.paper.published import Published
from resnets.paper.result import Evidence, Result, Table, Verdict

# The paper's networks: in bottlenecks the first 1x1 convolution has the stride.
IMAGENET = {
    "resnet18": zoo.get("resnet18"),
    "resnet34": zoo.get("resnet34"),
    "resnet50": zoo.get("resnet50_v1"),
    "resnet101": zoo.get("resnet101_v1"),
    "resnet152": zoo.get("resnet152_v1"),
}
# The networks of Table 6, and those of "Identity Mappings".
CIFAR = [*published.CIFAR_PARAMS.values, *published.IDENTITY_PARAMS.values]
# Counted by hand from section 4.2 (option A, 10 classes), as a check of the program's counts.
CIFAR_EXACT = {
    "resnet20_cifar": 269_722,
    "resnet32_cifar": 464_154,
    "resnet44_cifar": 658_586,
    "resnet56_cifar": 853_018,
    "resnet110_cifar": 1_727_962,
    "resnet1202_cifar": 19_421_274,
}
FLOPS_NOTES = {
    "resnet18": "With option B's projections it would be 1.814, which rounds to the same.",
    "resnet34": "With option B's projections it is 3.664, which rounds to 3.7; option A, which the paper uses here, adds none.",
    "resnet50": "That rounds to 3.9. Truncated it is 3.8, but the figures of 101 and 152 layers are rounded; without "
    "projections it is 3.498. Leaving out 8 to 20 million of each network would give all three figures; we know no reason to.",
}
PARAMS_NOTES = {
    "resnet1202_cifar": "Only with the norms' parameters: without them it would round to 19.3.",
    "preresnet1001_cifar": "With the norms' parameters it rounds to 10.3: this paper seems not to count them; the first does.",
}


def measure(context: Context) -> Result:
    """The item table1."""
    began = time.perf_counter()
    verdicts = [*layer_verdicts(), *size_verdicts(), *flops_verdicts(), *params_verdicts()]
    record = provenance({"type": "none", "name": "no training"})
    evidence: Evidence = {
        "run": "",
        "command": record["command"],
        "commit": history.commit_of(record["git"]),
        "device": "no training",
        "versions": record["versions"],
        "seed": None,
        "seconds": round(time.perf_counter() - began, 2),
    }
    return Result(
        item="table1",
        scale=context.scale.name,
        tables=(stages_table(), flops_table(), cifar_table()),
        verdicts=tuple(verdicts),
        deviations=(
            "Multiply-adds are those of convolutions and the classifier; norms, additions and pooling are not counted. The "
            "paper does not say what its FLOPs include.",
        ),
        evidence=(evidence,),
    )


# --- tables ----------------------------------------------------------------------------------------------------------


def stages_table() -> Table:
    """Every stage of every ImageNet network: its layers, output, parameters and multiply-adds."""
    rows = tuple(
        (
            short(name),
            row.stage,
            row.layers,
            " x ".join(map(str, row.size)),
            f"{row.num_params:,}",
            round(row.num_macs / 1e6, 1),
        )
        for name, spec in IMAGENET.items()
        for row in spec.table()
    )
    head = ("network", "stage", "layers", "output", "parameters", "10^6 multiply-adds")
    return Table(title="Table 1, stage by stage", head=head, rows=rows)


def without_projections(spec: ResNetSpec) -> int:
    """Multiply-adds with shortcuts of option A, which have none."""
    return zoo.change(spec, shortcut="A").num_macs()


def flops_table() -> Table:
    """The multiply-adds of the ImageNet networks beside the paper's."""
    rows = tuple(
        (
            short(name),
            spec.num_layers,
            f"{spec.num_params:,}",
            round(spec.num_macs() / 1e9, 3),
            round(without_projections(spec) / 1e9, 3),
            published.FLOPS.values[name],
        )
        for name, spec in IMAGENET.items()
    )
    head = ("network", "layers", "parameters", "10^9 multiply-adds", "with shortcuts A", "paper, 10^9")
    return Table(title="Table 1, last row: one image of 224 x 224", head=head, rows=rows)


def cifar_table() -> Table:
    """The parameters of the CIFAR networks beside the papers', and their multiply-adds."""
    printed = {**published.CIFAR_PARAMS.values, **published.IDENTITY_PARAMS.values}
    rows = tuple(
        (
            short(name),
            (spec := zoo.get(name)).num_layers,
            f"{spec.num_params:,}",
            f"{without_norms(spec):,}",
            printed[name],
            round(spec.num_macs() / 1e6, 2),
        )
        for name in CIFAR
    )
    head = ("network", "layers", "parameters", "without norms", "paper, 10^6", "10^6 multiply-adds")
    return Table(title="The CIFAR-10 networks (Table 6; identity, Table 4), 32 x 32", head=head, rows=rows)


# --- verdicts --------------------------------------------------------------------------------------------------------


def layer_verdicts() -> Iterator[Verdict]:
    """Whether each network has the number of layers in its name, in the blocks of Table 1."""
    wrong = [
        f"{name} has {spec.num_layers} in {spec.depths}"
        for name, spec in IMAGENET.items()
        if spec.num_layers != number(name) or spec.depths != published.BLOCKS[name]
    ]
    wrong += [f"{name} has {zoo.get(name).num_layers}" for name in CIFAR if zoo.get(name).num_layers != number(name)]
    names = ", ".join(str(number(name)) for name in (*IMAGENET, *CIFAR))
    yield Verdict(
        claim="The networks have as many layers as their names say, in the blocks of Table 1 and section 4.2.",
        holds="fails" if wrong else "holds",
        because="; ".join(wrong) or f"Layers counted: {names}.",
    )


def number(name: str) -> int:
    """The number in a network's name."""
    return int("".join(sign for sign in name if sign.isdigit()))


def size_verdicts() -> Iterator[Verdict]:
    """Whether the outputs of the stages have the sizes of Table 1."""
    wrong = [
        f"{name}'s {row.stage} is {row.size[0]}"
        for name, spec in IMAGENET.items()
        for row in spec.table()
        if row.size != (published.SIZES[row.stage],) * 2
    ]
    yield Verdict(
        claim="The stages' outputs are 112, 56, 28, 14 and 7 pixels wide (Table 1).",
        holds="fails" if wrong else "holds",
        because="; ".join(wrong) or "All are, of all five networks.",
    )


def flops_verdicts() -> Iterator[Verdict]:
    """Whether the count rounds to the printed one: with option A for two-layer blocks, with projections for bottlenecks."""
    for name, spec in IMAGENET.items():
        paper = published.FLOPS.values[name]
        macs = without_projections(spec) if spec.block == "basic" else spec.num_macs()
        counted = f"Counted: {macs / 1e9:.3f}, {'without' if spec.block == 'basic' else 'with'} projections."
        yield Verdict(
            claim=f"{short(name)} takes {paper} x 10^9 multiply-adds (Table 1).",
            holds="holds" if round(macs / 1e9, 1) == paper else "fails",
            because=f"{counted} {FLOPS_NOTES.get(name, '')}".strip(),
        )


def params_verdicts() -> Iterator[Verdict]:
    """Whether the counts of parameters round to the printed ones."""
    for table in (published.CIFAR_PARAMS, published.IDENTITY_PARAMS):
        for name, paper in table.values.items():
            yield params_verdict(name, paper, table)


def params_verdict(name: str, paper: float, table: Published) -> Verdict:
    """Whether the count rounds to the printed one; for "Identity Mappings" the count without norms, which alone agrees."""
    counted = zoo.get(name).num_params
    bare, exact = without_norms(zoo.get(name)), CIFAR_EXACT.get(name, counted)
    digits = len(str(paper).split(".")[1])
    judged = counted if table is published.CIFAR_PARAMS else bare
    holds = counted == exact and round(judged / 1e6, digits) == paper
    words = f"Counted: {counted:,}, without norms {bare:,}" + (f"; by hand {exact:,}" if counted != exact else "") + "."
    return Verdict(
        claim=f"{short(name)} has {paper} x 10^6 parameters ({table.where}).",
        holds="holds" if holds else "fails",
        because=f"{words} {PARAMS_NOTES.get(name, '')}".strip(),
    )


def without_norms(spec: ResNetSpec) -> int:
    """The parameters of the convolutions and the classifier only."""
    blocks = [block for stage in spec.stages for block in stage]
    convs = [*spec.stem_convs, *(conv for block in blocks for conv in (*block.convs, block.projection) if conv)]
    return sum(conv.num_params(spec.dims) for conv in convs) + (spec.num_features + 1) * spec.num_classes
