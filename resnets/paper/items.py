"""The table of items, and how one is reproduced: its trainings, then what they come to. No torch.

A result lies in OUT/items/<scale>/<item>/result.json, its drawings beside it; OUT/runs has the run directories.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from resnets.engine.run import RunDir
from resnets.errors import InputError
from resnets.files import write_json
from resnets.paper import counts, degradation, identity, opening, shortcuts
from resnets.paper.context import Context
from resnets.paper.result import Result
from resnets.paper.scales import SCALES, Scale
from resnets.paper.trainings import Say, Training, carry_out, is_finished, place

RESULT = "result.json"
# Multiply-adds a second of one process with one thread, where no run here says better: what ResNet-56 at 16 pixels takes of a
# server's core (AMX, bfloat16), validation and scoring included; the core was shared, so it is rather too low.
STATED_RATE = 4e10


@dataclass(frozen=True, kw_only=True)
class Item:
    """A table or figure of the paper.

    Args:
        claims: what the paper says by it, short.
        trainings: the runs that it needs, of a scale and the name or path of the data.
        measure: from the finished runs to the result; drawings go into the context's folder.
        with_models: the runs that it needs where models are named; None: it takes none.
    """

    name: str
    title: str
    claims: str
    measure: Callable[[Context], Result]
    trainings: Callable[[Scale, str], list[Training]] = lambda scale, data: []
    with_models: Callable[[Scale, str, Sequence[str]], list[Training]] | None = None

    def needed(self, scale: Scale, data: str, models: Sequence[str] = ()) -> list[Training]:
        """The runs of the item, or of the item with models that were named."""
        if not models:
            return self.trainings(scale, data)
        if self.with_models is None:
            takers = ", ".join(item.name for item in ITEMS.values() if item.with_models)
            raise InputError(f"{self.name} names its own networks; --model is for {takers}")
        return self.with_models(scale, data, models)


ITEMS = {
    item.name: item
    for item in (
        Item(
            name="table1", title="Networks for ImageNet: stages, layers, multiply-adds; and the CIFAR networks' parameters",
            claims="18 to 152 layers for 1.8 to 11.3 x 10^9 multiply-adds", measure=counts.measure,
        ),
        Item(
            name="fig1", title="Degradation: training and test error of two plain networks",
            claims="the deeper plain network is worse, in training too",
            trainings=degradation.fig1_trainings, measure=degradation.fig1,
        ),
        Item(
            name="table2", title="Plain and residual networks of 18 and 34 layers",
            claims="plain: deeper is worse; residual: deeper is better",
            trainings=shortcuts.table2_trainings, measure=shortcuts.table2,
        ),
        Item(
            name="fig4", title="Training of plain and residual networks of 18 and 34 layers",
            claims="plain-34 has the higher training error throughout",
            trainings=shortcuts.table2_trainings, measure=shortcuts.fig4,
        ),
        Item(
            name="table3", title="Shortcuts A, B and C, and bottlenecks",
            claims="any shortcut beats none by far; C beats B beats A by little; bottlenecks are better still",
            trainings=shortcuts.table3_trainings, measure=shortcuts.table3,
        ),
        Item(
            name="table4", title="Testing: one crop, ten crops, several scales",
            claims="more views of a picture, fewer errors",
            trainings=opening.first_trainings, measure=opening.table4, with_models=lambda scale, data, models: [],
        ),
        Item(
            name="table5", title="An ensemble beside its members",
            claims="an ensemble errs less than its best member",
            trainings=opening.first_trainings, measure=opening.table5, with_models=lambda scale, data, models: [],
        ),
        Item(
            name="fig6", title="Training on CIFAR-10: plain and residual networks of several depths",
            claims="plain networks become worse with depth, residual ones better",
            trainings=degradation.fig6_trainings, measure=degradation.fig6,
        ),
        Item(
            name="table6", title="Test errors on CIFAR-10",
            claims="8.75 % of 20 layers down to 6.61 % of 110",
            trainings=degradation.table6_trainings, measure=degradation.table6,
        ),
        Item(
            name="fig7", title="Standard deviations of layer responses",
            claims="residual networks have smaller responses, the smaller the deeper",
            trainings=opening.fig7_trainings, measure=opening.fig7,
        ),
        Item(
            name="gradients", title="Norms of the gradient, layer by layer (section 4.1)",
            claims="plain networks with batch norm do not suffer from vanishing gradients",
            trainings=opening.gradients_trainings, measure=opening.gradients,
        ),
        Item(
            name="previous", title="AlexNet and VGG, through the same engine",
            claims="residual networks err less, with fewer multiply-adds",
            trainings=opening.previous_trainings, measure=opening.previous, with_models=opening.previous_trainings,
        ),
        Item(
            name="identity", title="Identity Mappings (arXiv 1603.05027): original against pre-activation",
            claims="pre-activation has the lower error, the more so the deeper",
            trainings=identity.trainings, measure=identity.measure,
        ),
    )
}  # fmt: skip


def get(name: str) -> Item:
    if name not in ITEMS:
        raise InputError(f"the paper has no item {name!r} here; use one of {', '.join(ITEMS)}, or report")
    return ITEMS[name]


def item_folder(out: Path, scale: str, data: str, name: str) -> Path:
    return out / "items" / place(scale, data) / name


def reproduce(
    name: str,
    scale: Scale,
    *,
    out: str | Path = "paper",
    data: str = "cifar10",
    data_dir: str | None = None,
    device: str = "auto",
    jobs: int = 1,
    models: Sequence[str] = (),
    say: Say,
) -> Result:
    """Run what an item lacks, measure it, and keep the result. `models`: saved ones to test, or networks to compare with.

    Raises:
        InputError: for an item that does not exist, and where a training fails for a reason the user can mend.
        resnets.errors.Interrupted: after Ctrl-C or SIGTERM; the state of all trainings is saved.
    """
    item, out = get(name), Path(out)
    needed = item.needed(scale, data, models)
    say(f"{item.name}, scale {scale.name}: {scale.shows}" if needed else item.name)
    runs = carry_out(needed, out, jobs=jobs, data_dir=data_dir, device=device, say=say) if needed else {}
    folder = item_folder(out, scale.name, data, name)
    context = Context(
        out=out,
        folder=folder,
        scale=scale,
        runs=runs,
        data=data,
        data_dir=data_dir,
        device=device,
        say=say,
        models=tuple(models),
    )
    result = degradation.completed(item.measure(context), context)
    write_json(folder / RESULT, result.to_json())
    return result


# --- what there is ---------------------------------------------------------------------------------------------------


def stored(out: Path) -> Iterator[tuple[Path, Result]]:
    """Every result below `out` with its folder, in the order of scales and items."""
    order = {name: number for number, name in enumerate(ITEMS)}
    found = sorted(out.glob(f"items/*/*/{RESULT}"), key=lambda path: (order.get(path.parent.name, len(order)), path))
    for path in found:
        yield path.parent, read(path)


def read(path: Path) -> Result:
    """The result that `reproduce` wrote."""
    try:
        return Result.from_json(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path}: is no result ({type(error).__name__}: {error}); run the item again") from None


def listing(out: str | Path, data: str = "cifar10", jobs: int = 1) -> list[dict[str, Any]]:
    """For each item: what it claims; at each scale its runs, how many are finished, the seconds that the others will take (by
    the speed of the scale's finished runs, else by `STATED_RATE`), and its verdicts, counted."""
    out = Path(out)
    needed = {(item, scale): ITEMS[item].trainings(SCALES[scale], data) for item in ITEMS for scale in SCALES}
    # Items share runs, so every finished one of a scale counts once.
    shared = {scale: dict.fromkeys(run for item in ITEMS for run in needed[item, scale]) for scale in SCALES}
    speeds = {scale: speed(out, runs) for scale, runs in shared.items()}
    return [
        {"name": item.name, "title": item.title, "claims": item.claims}
        | {
            "scales": {
                scale: standing(out, item.name, scale, data, needed[item.name, scale], speeds[scale], jobs) for scale in SCALES
            }
        }
        for item in ITEMS.values()
    ]


def standing(
    out: Path, item: str, scale: str, data: str, needed: list[Training], speed: float | None, jobs: int
) -> dict[str, Any]:
    """What an item has at a scale, and what it would still cost."""
    lacking = [training for training in needed if not is_finished(training.folder(out))]
    path = item_folder(out, scale, data, item) / RESULT
    return {
        "runs": len(needed),
        "finished": len(needed) - len(lacking),
        "seconds": round(sum(training.cost for training in lacking) / (speed or STATED_RATE) / jobs, 1),
        "measured": speed is not None,
        "verdicts": counted(read(path)) if path.is_file() else None,
    }


def counted(result: Result) -> dict[str, int]:
    found = [verdict.holds for verdict in result.verdicts]
    return {holds: found.count(holds) for holds in ("holds", "fails", "open")}


def speed(out: Path, trainings: Iterable[Training]) -> float | None:
    """Multiply-adds a second of a process, of those of `trainings` that are finished; None where none is."""
    done = [(training, training.folder(out)) for training in trainings]
    done = [(training, folder) for training, folder in done if is_finished(folder)]
    seconds = sum(RunDir(folder).read_provenance()["seconds"] for _, folder in done)
    return sum(training.cost for training, _ in done) / seconds if seconds else None
