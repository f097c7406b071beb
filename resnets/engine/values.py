"""What tasks and verbs hand to each other, as values: `contract` says where. Types only; nothing here imports torch."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from resnets.data.preprocess import Preprocess
from resnets.data.words import worded
from resnets.engine.recipe import SMALL
from resnets.models.spec import ResNetSpec

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

Losses: TypeAlias = "dict[str, Tensor]"  # scalars; "loss" is the one that is minimised
Criterion: TypeAlias = "Callable[[Any, Any], Losses]"  # (outputs, targets) -> losses
# uint8 (N, C, H, W), fitted but not normalised, or of volumes float32 (N, C, D, H, W), normalised -> the network's outputs.
Run: TypeAlias = Callable[[Any], Any]
Settings: TypeAlias = Mapping[str, Any]  # settings by name, as far as they were given
Decision: TypeAlias = Mapping[str, Any]  # how outputs become answers; see `Task.decide`
NO_DECISION: Decision = MappingProxyType({})  # as the outputs are


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What a recipe may depend on.

    Args:
        num_train: pictures in the training split, before validation is cut from it.
        hflip: whether a mirrored picture keeps its class.
        size: (height, width) of the input; of volumes (depth, height, width) of a patch.
        spec: the network.
        asked: names of the settings that the user gave: what belongs together must not be half of one, half of another.
        one_size: whether all pictures have it (of dense tasks, whose inputs differ).
        most_pixels: of a training picture that keeps its size; 0 where all inputs have `size`.
        num_classes: of the data.
    """

    num_train: int
    hflip: bool
    size: tuple[int, ...]
    spec: ResNetSpec
    asked: Collection[str] = ()
    one_size: bool = True
    most_pixels: int = 0
    num_classes: int = 2

    @property
    def small(self) -> bool:
        """Whether the input is as small as CIFAR's: then nothing is cut off when it is fitted."""
        return max(self.size) <= SMALL


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
