"""The table of items, and how one is reproduced: run its trainings, then compute its result. No torch.

Results are stored in OUT/items/<scale>/<item>/result.json, with their drawings; OUT/runs has the run directories.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

from resnets.engine.run import RunDir
from resnets.errors import InputError
from resnets.files import read_json, short, write_json
from resnets.paper import counts, degradation, identity, opening, shortcuts
from resnets.paper.context import Context
from resnets.paper.result import Result
from resnets.paper.scales import SCALES, Scale
from resnets.paper.trainings import Say, Training, carry_out, is_finished, scale_folder

RESULT = "result.json"
# Multiply-adds per second of one process with one thread, for estimates before any run is finished: measured with ResNet-56 at
# 16 pixels on a server's core (AMX, bfloat16), validation and evaluation included. The core was shared, so it is rather low.
STATED_RATE = 4e10


class Counts(TypedDict):
    """Numbers of verdicts."""

    holds: int
    fails: int
    inconclusive: int


class Standing(TypedDict):
    """The state of an item at a scale."""

    runs: int
    finished: int
    seconds: float  # estimated, for the runs that are not finished
    measured: bool  # whether the estimate is from finished runs of the scale, else from `STATED_RATE`
    verdicts: Counts | None  # None: there is no result


class Listed(TypedDict):
    """An item in the list of items; `scales`: its state at each."""

    name: str
    title: str
    claims: str
    scales: dict[str, Standing]


@dataclass(frozen=True, kw_only=True)
class Item:
    """A table or figure of the paper.

    Args:
        name: as the command line takes it.
        title: what it shows.
        claims: what the paper claims by it, in brief.
        trainings: (scale, name or path of the data) -> the runs that it needs.
        measure: computes the result from the finished runs, and draws into the context's folder.
        with_models: the runs that it needs if the user names models; None: it takes no models.
    """

    name: str
    title: str
    claims: str
    measure: Callable[[Context], Result]
    trainings: Callable[[Scale, str], list[Training]] = lambda scale, data: []
    with_models: Callable[[Scale, str, Sequence[str]], list[Training]] | None = None

    def needed(self, scale: Scale, data: str, models: Sequence[str] = ()) -> list[Training]:
        """The runs that the item needs. Raises `InputError` where models are named and the item takes none."""
        if not models:
            return self.trainings(scale, data)
        if self.with_models is None:
            takers = ", ".join(item.name for item in ITEMS.values() if item.with_models)
            raise InputError(f"{self.name} has fixed networks; --model is for {takers}")
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
            claims="plain-34 has the higher training error throughout the training",
            trainings=shortcuts.table2_trainings, measure=shortcuts.fig4,
        ),
        Item(
            name="table3", title="Shortcuts A, B and C, and bottlenecks",
            claims="any shortcut is much better than none; C is slightly better than B, B than A; bottlenecks are best",
            trainings=shortcuts.table3_trainings, measure=shortcuts.table3,
        ),
        Item(
            name="table4", title="Testing: one crop, ten crops, several scales",
            claims="more views of an image, fewer errors",
            trainings=opening.first_trainings, measure=opening.table4, with_models=lambda scale, data, models: [],
        ),
        Item(
            name="table5", title="An ensemble and its members",
            claims="an ensemble has a lower error than its best member",
            trainings=opening.first_trainings, measure=opening.table5, with_models=lambda scale, data, models: [],
        ),
        Item(
            name="fig6", title="Training on CIFAR-10: plain and residual networks of several depths",
            claims="plain networks become worse with depth, residual networks better",
            trainings=degradation.fig6_trainings, measure=degradation.fig6,
        ),
        Item(
            name="table6", title="Test errors on CIFAR-10",
            claims="from 8.75 % with 20 layers to 6.61 % with 110",
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
            claims="residual networks have lower errors with fewer multiply-adds",
            trainings=opening.previous_trainings, measure=opening.previous, with_models=opening.previous_trainings,
        ),
        Item(
            name="identity", title="Identity Mappings (arXiv 1603.05027): original block and pre-activation",
            claims="pre-activation has the lower error, above all in deep networks",
            trainings=identity.trainings, measure=identity.measure,
        ),
    )
}  # fmt: skip


def get(name: str) -> Item:
    """The item called `name`; `InputError` if there is none."""
    if name not in ITEMS:
        raise InputError(f"the paper has no item {name!r} here; use one of {', '.join(ITEMS)}, or report")
    return ITEMS[name]


def item_folder(out: Path, scale: str, data: str, name: str) -> Path:
    """The folder of an item's result."""
    return out / "items" / scale_folder(scale, data) / name


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
    """Run the trainings of an item that are not finished, compute its result, and store it.

    Args:
        name: of the item.
        scale: how much of the paper's protocol to run.
        out: the folder of all runs and items.
        data, data_dir, device: as `resnets.train` takes them.
        jobs: number of trainings at the same time.
        models: saved models to test, or further networks to compare, for items that take models.
        say: called with a line of progress.

    Raises:
        InputError: if there is no such item, or a training fails for a reason that the user can correct.
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


# --- stored results and the list of items ----------------------------------------------------------------------------


def stored(out: Path) -> Iterator[tuple[Path, Result]]:
    """All results below `out`, each with its folder, in the order of items."""
    order = {name: number for number, name in enumerate(ITEMS)}
    found = sorted(out.glob(f"items/*/*/{RESULT}"), key=lambda path: (order.get(path.parent.name, len(order)), path))
    for path in found:
        yield path.parent, read(path)


def read(path: Path) -> Result:
    """The result that `reproduce` stored, in this or an earlier version; `InputError` if the file is none."""
    found = read_json(path, strict=False)
    try:
        return Result.from_json(found)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path}: is not a result ({type(error).__name__}: {short(error)}); run the item again") from None


def listing(out: str | Path, data: str = "cifar10", jobs: int = 1) -> list[Listed]:
    """All items, and their state at each scale. `jobs`: number of trainings at the same time, for the estimates of time."""
    out = Path(out)
    needed = {(item, scale): ITEMS[item].trainings(SCALES[scale], data) for item in ITEMS for scale in SCALES}
    # Items share runs, so each run of a scale is counted once.
    shared = {scale: dict.fromkeys(run for item in ITEMS for run in needed[item, scale]) for scale in SCALES}
    speeds = {scale: speed(out, runs) for scale, runs in shared.items()}
    return [
        {
            "name": item.name,
            "title": item.title,
            "claims": item.claims,
            "scales": {
                scale: standing(out, item.name, scale, data, needed[item.name, scale], speeds[scale], jobs) for scale in SCALES
            },
        }
        for item in ITEMS.values()
    ]


def standing(out: Path, item: str, scale: str, data: str, needed: list[Training], speed: float | None, jobs: int) -> Standing:
    """The state of an item at a scale. `speed`: as the function of that name returns it."""
    lacking = [training for training in needed if not is_finished(training.folder(out))]
    path = item_folder(out, scale, data, item) / RESULT
    return {
        "runs": len(needed),
        "finished": len(needed) - len(lacking),
        "seconds": round(sum(training.cost for training in lacking) / (speed or STATED_RATE) / jobs, 1),
        "measured": speed is not None,
        "verdicts": counted(read(path)) if path.is_file() else None,
    }


def counted(result: Result) -> Counts:
    """The numbers of verdicts."""
    found = [verdict.holds for verdict in result.verdicts]
    return {"holds": found.count("holds"), "fails": found.count("fails"), "inconclusive": found.count("inconclusive")}


def speed(out: Path, trainings: Iterable[Training]) -> float | None:
    """Multiply-adds per second and process of the finished `trainings`; None if none is finished."""
    done = [(training, training.folder(out)) for training in trainings]
    done = [(training, folder) for training, folder in done if is_finished(folder)]
    seconds = sum(RunDir(folder).read_provenance()["seconds"] for _, folder in done)
    return sum(training.cost for training, _ in done) / seconds if seconds else None
