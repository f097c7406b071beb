"""The contract in which tasks and verbs meet: `Task`, `Meter`, `Rows`. Types only; nothing here imports torch.

What they hand to each other is in `values`.

A verb (train, evaluate, predict, ...) works with any object that keeps this contract; a task is one folder in `resnets/tasks`
and one row of the table there. An object of a task has no state.

    data      -> open -> Source -> cut -> Split -> samples -> Loader -> Batch
    network   -> design -> spec, Preprocess; head_config, head -> modules; forward -> outputs
    training  -> criterion(outputs, targets) -> losses; Meter.learn
    answers   -> infer(run, pixels) -> one answer per image; Meter.add -> result; rows -> JSON, CSV, text; draw
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from resnets.data.preprocess import Preprocess
from resnets.data.types import Batch, Samples, Source, Split
from resnets.engine.recipe import Recipe
from resnets.engine.values import (
    Criterion,
    Decision,
    Design,
    Explained,
    Named_recipe,
    Outcomes,
    PublishedAs,
    Question,
    ReportTable,
    Run,
    Sample,
    Score,
    Settings,
)
from resnets.models.answering import Noted, Wanted
from resnets.models.header import Header
from resnets.models.spec import ResNetSpec
from resnets.models.zoo import Named

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor, nn


def accumulate(sums: dict[str, Any], more: Mapping[str, Any]) -> None:
    """Add `more` to `sums`, key by key."""
    for name, value in more.items():
        sums[name] = sums[name] + value if name in sums else value


class Meter(Protocol):
    """A metric accumulator: how well the images of a split came out.

    The same class serves training, validation, test, `resnets eval` and the report. `sums` adds up over batches, and over
    processes key by key by `+`; in training its values are tensors, which a resumed run goes on from.

    `decision` is how outputs become answers in results, records and drawings; it may be set at any time before these.
    """

    sums: dict[str, Any]
    decision: Decision

    def learn(self, outputs: Any, targets: Any) -> None:
        """Add a batch of training: the network's outputs as they are, and the targets of the loss."""
        ...

    def add(self, answers: Any, batch: Batch) -> None:
        """Add a batch of evaluation: the answers of `Task.infer`, and the batch that they are for."""
        ...

    def result(self, num_images: int, groups: np.ndarray | None = None) -> Mapping[str, Any]:
        """Of a quick meter the scores that it could measure; else all that `resnets eval` reports. What JSON can hold.

        `groups` (N,), by position in the split: what each image belongs to; intervals are then by groups.
        """
        ...

    def sample(self) -> Sample:
        """The first score, or the quickest of its kind, of images that are drawn again. Of a meter that is not quick."""
        ...

    def outcomes(self) -> Outcomes | None:
        """How each image came out; None where answers are for places, and the worst images are drawn with them."""
        ...

    def records(self) -> Iterator[tuple[int, Mapping[str, Any]]]:
        """What predictions.csv has of each image or object beside its path: the position of the image in the split, in order,
        and {column: value}, from which all figures of `result` can be computed by hand."""
        ...


class Rows(Protocol):
    """Answers and evaluations as rows and text; a module without torch (`tasks/*/rows.py`)."""

    KEYS: frozenset[str]  # one of these keys is in each row that has no error

    def row(self, answer: Any, labels: Sequence[str], wanted: Wanted) -> Mapping[str, Any]:
        """What JSON can hold of an answer."""
        ...

    def line(self, row: Mapping[str, Any]) -> str:
        """The row as one line for people."""
        ...

    def csv_head(self, topk: int) -> str: ...

    def csv_lines(self, row: Mapping[str, Any], topk: int) -> str: ...

    # The path in a line of CSV, by the number of classes; None where a file of such lines cannot be gone on with.
    csv_path: Callable[[str, int], str] | None

    def told(self, result: Mapping[str, Any], per_class: bool) -> str:
        """An evaluation as text."""
        ...

    def noted(self, row: Mapping[str, Any]) -> Noted:
        """What is counted of a row without an error, where a model is watched at work."""
        ...

    def sample(self, pictures: Sequence[Sequence[Mapping[str, Any]]]) -> Sample:
        """`Meter.sample` of what predictions.csv has of each picture: one row or several. Positions count the pictures."""
        ...

    def recorded(self, record: Mapping[str, Any], decision: Decision) -> Noted:
        """The same of what `Meter.records` says of an image or object: numbers, or text as in predictions.csv."""
        ...


class Task(Protocol):
    """What a network is for."""

    name: str
    kind: str  # what it has to know of images, of `data.sources.Layout.kind`: "classes", "boxes" or "masks"
    settings: type[Recipe]  # the core's settings and the task's own
    recipes: Mapping[str, Named_recipe]
    scores: tuple[Score, ...]  # the first decides which weights are best
    report_table: ReportTable
    of_classes: tuple[str, ...]  # how the names of the head's tensors begin that are made anew for other classes
    wanted: tuple[str, ...]  # which fields of `Wanted` its rows go by
    runtimes: tuple[str, ...]  # which of `ship.sessions.RUNTIMES` compute its answers
    formats: tuple[str, ...]  # which of `ship.formats.FORMATS` hold its network
    outputs: tuple[str, ...]  # of an exported network: ("outputs",), or the names of those that `forward` gives for one image
    one_process: bool  # whether it trains in one process only
    own_size: bool  # whether answers have the size of the image, which then goes through the network alone
    averages: bool  # whether outputs of several networks, or for mirrored inputs, are averaged
    embeds: bool  # whether its outputs are embeddings (N, num_features): vectors that are near each other for what is alike
    dims: tuple[int, ...]  # how many spatial axes its inputs may have
    map_method: str  # of `attribution.methods.METHODS`, by which answers are explained unless another is asked for
    published: PublishedAs
    counts_head: bool  # whether the multiply-adds of the spec are those of the whole network, head included

    @property
    def rows(self) -> Rows: ...

    # --- data and network ---

    def default_recipe(self, asked: Settings) -> tuple[str, str]:
        """The named recipe for `recipe=auto`, and who decided it."""
        ...

    def open(self, data: str, asked: Settings, *, in_chans: int | None, data_dir: str | Path | None) -> Source:
        """The data for training. Raises `InputError` where there is none, or none that suits the task."""
        ...

    def open_for(self, header: Header, data: str, asked: Settings, *, data_dir: str | Path | None) -> Source:
        """The data as the model of `header` needs it: its classes by name, its splits where it was trained on the same data."""
        ...

    def design(self, asked: Settings, source: Source, header: Header | None, named: Named) -> Design:
        """The network and its inputs, new or (`header`) of the weights to start from."""
        ...

    def one_size(self, source: Source) -> bool:
        """Whether all inputs are of one size, which the named recipes may depend on."""
        ...

    def most_pixels(self, source: Source, design: Design) -> int:
        """Of a training picture that keeps its size; 0 where all inputs are brought to one."""
        ...

    def settle(self, recipe: Recipe, origins: Mapping[str, str], source: Source, design: Design, own: str) -> Settings:
        """Settings that are found out once the recipe is known: {name: (value, who decided it)}. `own` is the origin of the
        named recipe. Raises `InputError` for those that exclude each other."""
        ...

    def cut(self, source: Source, recipe: Recipe) -> Source:
        """`source` with the validation split of this run."""
        ...

    def preprocess(self, recipe: Recipe, design: Design, source: Source, bad: Any) -> Preprocess:
        """How images become inputs, with the statistics of the training split where the recipe wants them."""
        ...

    def inputs(self, recipe: Recipe, preprocess: Preprocess) -> str:
        """How images become inputs, for people."""
        ...

    def samples(
        self, split: Split, preprocess: Preprocess, num_classes: int, *, recipe: Recipe | None = None, device: Any = None
    ) -> Samples:
        """What a loader makes batches of. With a recipe: for training, augmented; None: for evaluation, in order, as `Run`
        takes them."""
        ...

    def keep(self, source: Source, recipe: Recipe, folder: Path, say: Callable[[str], None]) -> tuple[Source, str | None]:
        """`source` with its images kept once they are decoded, and a line that tells how; None where there is no such thing."""
        ...

    def class_counts(self, split: Split, num_classes: int) -> np.ndarray:
        """(num_classes,) int64: how often each class is there."""
        ...

    def check_counts(self, source: Source, counts: np.ndarray) -> None:
        """Raises `InputError` where there is nothing to learn, by the counts (num_labels,) of `class_counts`."""
        ...

    def notes(self, source: Source, recipe: Recipe, counts: np.ndarray, say: Callable[[str], None]) -> dict[str, int]:
        """Tell what a person should know of the data before training; how often each rule for faulty labels was applied."""
        ...

    # --- the network ---

    def head_config(self, spec: ResNetSpec, recipe: Recipe, before: Mapping[str, Any]) -> dict[str, Any]:
        """The settings of the head, which a saved file keeps; what JSON can hold.

        `before` are those of the weights to start from, if they are for the same task, and count where the recipe is silent.
        """
        ...

    def head(self, trunk: Any, config: Mapping[str, Any]) -> dict[str, nn.Module]:
        """The modules that read the trunk's features, by their names in the state dict."""
        ...

    def forward(self, model: Any, x: Tensor, targets: Any = None, *, quick: bool = False) -> Any:
        """Trunk and head: x (N, in_chans, *spatial), normalised -> outputs.

        `targets` come in training; `quick` leaves out what a quick meter does not measure.
        """
        ...

    def criterion(self, recipe: Recipe, class_counts: np.ndarray) -> Criterion:
        """The losses of a batch."""
        ...

    def guessing_loss(self, recipe: Recipe, class_counts: np.ndarray) -> float | None:
        """The loss of guessing by class frequency (the trivial baseline); None where that says nothing."""
        ...

    # --- answers ---

    def infer(self, run: Run, pixels: Any, sizes: Sequence[tuple[int, ...]], header: Header) -> Sequence[Any]:
        """One answer per image, in whatever runtime `run` computes; `sizes` are the images' own, before they were fitted,
        where answers have these."""
        ...

    def averaged(self, outputs: Iterable[tuple[Any, tuple[int, ...]]]) -> Any:
        """One output of several for the same inputs, each with the axes (from the last one) along which its inputs were
        reversed: probabilities are averaged. Of tasks that `averages`."""
        ...

    def check_asked(self, header: Header, *, draw: bool, masks: bool) -> None:
        """Raise `InputError` where drawings or masks are asked for that the model's answers do not have."""
        ...

    def meter(self, labels: Sequence[str], config: Mapping[str, Any], *, quick: Criterion | None = None) -> Meter:
        """`quick`: for training and validation, with the criterion of validation; None: everything that eval reports."""
        ...

    def explained(self, output: Any, header: Header, question: Question) -> Sequence[Explained]:
        """What is to be explained of one image, the surest first; nothing where the model answers nothing.

        Args:
            output: what a runtime computes for that image (`Run`), arrays without the axis N.

        Raises:
            InputError: for a class that the model does not have, and questions that do not suit the task.
        """
        ...

    def map_layers(self, model: Any) -> Mapping[str, int]:
        """The modules whose outputs are maps of the whole image, from the input on, with their strides."""
        ...

    def decide(self, meter: Any, asked: Settings) -> dict[str, Any]:
        """How outputs are to become answers, chosen on the validation split: what JSON can hold, which a saved file keeps.

        Args:
            meter: of the validation split, not quick.
            asked: the task's settings of the section `ANSWERS`.

        Raises:
            InputError: where validation does not support what is asked for.
        """
        ...

    def revise(self, decision: Decision, asked: Settings) -> dict[str, Any]:
        """The decision with other wishes, without data: from what `decide` kept of the validation split.

        Args:
            asked: settings of the section `ANSWERS`, as far as they were given.

        Raises:
            InputError: where the decision does not support what is asked for.
        """
        ...

    def doubt(self, result: Mapping[str, Any], recipe: Recipe) -> str:
        """Why the evaluation that ends a training says that nothing was learnt, and what to do, in a line; "" where it does
        not."""
        ...

    def same(self, before: Any, after: Any) -> float:
        """How far two answers to one image agree, from 0 to 1: what the check of an exported file goes by."""
        ...

    def captions(self, source: Source, split: Split) -> Sequence[str]:
        """What is true of each image of a split, in a few words; of tasks whose meters have `outcomes`."""
        ...

    def draw(self, meter: Any, split: Split, folder: Path) -> list[Path]:
        """Draw how a split came out; the drawings' paths."""
        ...

    def drawn(self, image: Any, answer: Any, labels: Sequence[str], wanted: Wanted, path: Path) -> Path:
        """Draw an answer over its image, as PNG. Raises `InputError` where there is nothing to draw."""
        ...

    def masked(self, image: Any, answer: Any, labels: Sequence[str], wanted: Wanted, path: Path) -> Path:
        """Write an answer as a mask. Raises `InputError` where it has none."""
        ...

    def preview(self, source: Source, recipe: Recipe, preprocess: Preprocess, out: str | Path) -> Path:
        """Draw what training will see."""
        ...
