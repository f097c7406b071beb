"""The contract in which tasks and verbs meet: `Task`, and what it hands out. Types only; nothing here imports torch.

A verb (train, evaluate, predict, ...) works with any object that keeps this contract; a task is one folder in `resnets/tasks`
and one row of the table there. An object of a task has no state.

    data      -> open -> Source -> cut -> Split -> samples -> Loader -> Batch
    network   -> design -> spec, Preprocess; head_config, head -> modules; forward -> outputs
    training  -> criterion(outputs, targets) -> losses; Meter.learn
    answers   -> infer(run, pixels) -> one answer per image; Meter.add -> result; rows -> JSON, CSV, text; draw
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeAlias

from resnets.data.preprocess import Preprocess
from resnets.data.types import Batch, Samples, Source, Split
from resnets.data.words import worded
from resnets.engine.recipe import Facts, Recipe
from resnets.models.answering import Noted, Wanted
from resnets.models.header import Header
from resnets.models.spec import ResNetSpec
from resnets.models.zoo import Named

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor, nn

Losses: TypeAlias = "dict[str, Tensor]"  # scalars; "loss" is the one that is minimised
Criterion: TypeAlias = "Callable[[Any, Any], Losses]"  # (outputs, targets) -> losses
# uint8 (N, C, H, W), fitted but not normalised, or of volumes float32 (N, C, D, H, W), normalised -> the network's outputs.
Run: TypeAlias = Callable[[Any], Any]
Settings: TypeAlias = Mapping[str, Any]  # settings by name, as far as they were given
Decision: TypeAlias = Mapping[str, Any]  # how outputs become answers; see `Task.decide`
NO_DECISION: Decision = MappingProxyType({})  # as the outputs are
Named_recipe: TypeAlias = Callable[[Facts], dict[str, Any]]


@dataclass(frozen=True)
class Score:
    """A figure by which a run is judged; greater is better, at most 1, and perhaps negative.

    Args:
        key: its name in metrics.csv (after `train_` and `val_`) and in evaluation.json.
        words: what it is called in the report.
        percent: whether curves show the error, 100 (1 - score), in percent.
    """

    key: str
    words: str
    percent: bool = False


class Headline(NamedTuple):
    """The figure that is told first of an evaluation: its key there, its words, and whether it is a fraction rather than an
    amount in the target's own units."""

    key: str
    words: str
    is_fraction: bool = True


class PublishedAs(NamedTuple):
    """What models of a task are called elsewhere.

    Args:
        pipeline: the tag of the Hugging Face Hub, by which models of pictures are found there; None: it has none.
        problem: the `problem_type` of transformers' image classifiers; None: they have none.
    """

    pipeline: str | None
    problem: str | None = None


@dataclass(frozen=True)
class ReportTable:
    """What the report shows of an evaluation: columns of the table of classes, and further figures, {key: heading}; and what it
    shows first, of an evaluation; None: the first score."""

    columns: Mapping[str, str]
    facts: Mapping[str, str] = field(default_factory=dict)
    headline: Callable[[Mapping[str, Any]], Headline] | None = None

    def worded(self, images: str) -> ReportTable:
        """With headings in the words of such images (of `data.words.IMAGES_OF`)."""
        columns, facts = (
            {key: worded(heading, images) for key, heading in each.items()} for each in (self.columns, self.facts)
        )
        return ReportTable(columns, facts, self.headline)


class Design(NamedTuple):
    """A network for some data, and how images become its inputs, before the statistics of the data are known."""

    spec: ResNetSpec
    preprocess: Preprocess


class Question(NamedTuple):
    """What is to be explained of an answer.

    Args:
        label: the name of a class; None: what the model answers.
        against: the name of another class: why the one and not the other.
        most: objects or labels of one image, the surest first.
        threshold: the lowest score of an object or a label; None: the model's own.
    """

    label: str | None = None
    against: str | None = None
    most: int = 3
    threshold: float | None = None


@dataclass(frozen=True)
class Explained:
    """One thing that a network says of an image, as numbers that can be explained.

    Args:
        name: for people: "ant", "ant rather than bee", "WBC 0.98".
        label: the index of the class that it is about; None where answers have no classes.
        evidence: (model, x (N, C, *size), normalised) -> (N,), differentiable, of any size: mostly a logit.
        chance: what a runtime computes for one image -> the same from 0 to 1, mostly a probability.
        place: where in the input it is, as slices of its axes; None: anywhere.
        weights: of outputs (N, K), index -> factor, where `evidence` is their sum: many images then go through the network at
            once. None: it is something else.
    """

    name: str
    label: int | None
    evidence: Callable[[Any, Tensor], Tensor]
    chance: Callable[[Any], float]
    place: tuple[slice, ...] | None = None
    weights: Mapping[int, float] | None = None


class Sample(NamedTuple):
    """A figure of a split whose images can be drawn again: what intervals and comparisons of two models go by.

    Args:
        name: of the figure.
        positions: (N,) of the images in the split, ascending.
        figure: of the images at some places of `positions` (K,), which may repeat; NaN where it has no value.
        right: (N,) bool, whether the answer is right; None where it is more than right or wrong.
        groups: (N,) what is drawn whole where the data has no groups; None: each image by itself.
    """

    name: str
    positions: np.ndarray
    figure: Callable[[np.ndarray], float]
    right: np.ndarray | None = None
    groups: np.ndarray | None = None


class Outcomes(NamedTuple):
    """How each image of a split came out, where it has one answer: what pages show images by.

    Args:
        positions: (N,) in the split, ascending.
        losses: (N,) float64, greater for what is worse.
        wrong: (N,) bool.
        truth, answers: of each, for people.
        sure: (N,) the probability of the answer; NaN where there is none.
        codes: (N,) int64, the index in `names` of what is true: images are coloured and put together by it.
        names: of the codes.
        said: (N,) int64, the index in `names` of the answer, where answers are one of them; else None.
    """

    positions: np.ndarray
    losses: np.ndarray
    wrong: np.ndarray
    truth: Sequence[str]
    answers: Sequence[str]
    sure: np.ndarray
    codes: np.ndarray
    names: Sequence[str]
    said: np.ndarray | None = None


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
