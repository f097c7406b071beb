"""The header of a saved model: its network, task, preprocessing, classes and provenance; and finding the file. No torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, cast

from resnets import plugins
from resnets.data.preprocess import Preprocess
from resnets.errors import InputError
from resnets.files import read_json, short
from resnets.models import zoo
from resnets.models.records import Json, Origin, Provenance, Row
from resnets.models.spec import ResNetSpec
from resnets.stores import local

FORMAT = "resnets/1"
EXTERNAL = "resnets-external/1"  # weights of a network that another library builds; `resnets.ship.external` opens them
# The keys of provenance that any model made from these weights keeps (`Origin`), and what two of them are called in print.
TRAVELS: tuple[Literal["source", "family", "weights", "licence", "training_data", "sha256", "repository"], ...] = (
    "source", "family", "weights", "licence", "training_data", "sha256", "repository",
)  # fmt: skip
TERMS: dict[Literal["licence", "training_data"], str] = {"licence": "licence", "training_data": "trained on"}
PARTS = ("format", "spec", "task", "preprocess", "labels", "metrics", "provenance")
OPTIONAL = ("head", "decision", "plugins")


@dataclass(frozen=True)
class Header:
    """What a saved file says about its model.

    Args:
        spec: the network.
        task: the name of the task.
        preprocess: how an image becomes the input.
        labels: the names of the classes, in the order of the outputs.
        metrics: epoch, step and validation figures at which the weights were saved: part of a row of metrics.csv, or empty.
        provenance: where the weights come from: what the training run wrote, the origin of other programs' weights, or empty.
        format: `FORMAT`, or `EXTERNAL` where another library builds the network.
        head: the settings of the task's head, where it has some.
        decision: how outputs become answers, as it was chosen on validation (a temperature, thresholds); the task's `decide`
            says what is there. Empty: as the outputs are.
        plugins: what it needs of users' files, as `plugins.needs` has it.
    """

    spec: ResNetSpec
    task: str
    preprocess: Preprocess
    labels: tuple[str, ...]
    metrics: Row
    provenance: Provenance
    format: str = FORMAT
    head: dict[str, Json] = field(default_factory=dict)
    decision: dict[str, Json] = field(default_factory=dict)
    plugins: tuple[dict[str, str], ...] = ()

    @property
    def unnamed(self) -> bool:
        """Whether the classes have numbers for want of names: no training here named them, nor the source of the weights."""
        return "data" not in self.provenance and self.labels == tuple(str(number) for number in range(len(self.labels)))

    def to_json(self) -> dict[str, object]:
        """The `PARTS`, and `OPTIONAL` ones that are not empty; each can be written as JSON, and `parse` reads them."""
        parts: dict[str, object] = {
            "format": self.format,
            "spec": self.spec.to_json(),
            "task": self.task,
            "preprocess": self.preprocess.to_json(),
            "labels": self.labels,
            "metrics": self.metrics,
            "provenance": self.provenance,
        }
        return parts | {name: getattr(self, name) for name in OPTIONAL if getattr(self, name)}


def origin(header: Header) -> Origin:
    """The origin of weights that another program or run made, and their terms; empty for a model trained from scratch."""
    own = header.provenance
    start = own.get("weights")
    if isinstance(start, dict):  # fine-tuned from those
        found = dict(start) | {name: own[name] for name in ("repository",) if name in own}
        if "licence" in own:  # of the model itself, where it was published
            found["licence"] = (
                f"{own['licence']}; of the weights that it was trained from: {start.get('licence', 'not stated')}"
            )
        return cast(Origin, found)
    return cast(Origin, {name: own[name] for name in TRAVELS if name in own})


def terms(header: Header) -> str:
    """The origin and its terms in one line; "" for a model trained from scratch."""
    found = origin(header)
    if not found:
        return ""
    told = [f"{words} {found[name]}" for name, words in TERMS.items() if name in found]
    whence = found.get("weights") or found.get("source") or found.get("repository")
    return "; ".join([header.spec.name + f" from {whence}" * bool(whence), *told])


BOXED = Path(__file__).parent / "boxed"  # models that come with the package, NAME.safetensors with its card NAME.md


def boxed() -> dict[str, Path]:
    """The bundled models: their files by name."""
    return {path.stem: path for path in sorted(BOXED.glob("*.safetensors"))}


def card(path: Path) -> str:
    """The title of a bundled model's card, or "" where it has none."""
    beside = path.with_suffix(".md")
    lines = beside.read_text(encoding="utf-8").splitlines() if beside.is_file() else []
    return next((line.lstrip("# ").strip() for line in lines if line.strip()), "")


def find(model: str | Path) -> Path:
    """The file that MODEL names: the file itself, the evaluated weights in a run directory, or a bundled model by its name.

    In a run directory those are the weights that were best on validation or, of a finished run with `select="last"`, the last.

    Raises:
        InputError: where there is no such file, run directory or bundled model.
    """
    path = local(model)
    if path.is_dir():
        weights = [path / "best.safetensors", path / "last.safetensors"]
        for file in reversed(weights) if _selected(path) == "last" else weights:
            if file.is_file():
                return file
        raise InputError(f"{path}: {_without_weights(path)}")
    if not path.exists():
        if (bundled := boxed().get(str(model))) is not None:
            return bundled
        hint = (
            f"; {path.name} names a network without weights: train one by `resnets train --model {path.name}`"
            if path.name in zoo.ROWS
            else ""
        )
        raise InputError(f"{path}: no such file or run directory{hint}")
    return path


def _without_weights(folder: Path) -> str:
    """What is wrong with a folder that has no weights, and what to do."""
    if (folder / "recipe.yaml").is_file():
        words = "the run stopped before its first epoch was complete, and has no weights"
        return f"{words}; go on by `resnets train --resume --out {folder}`"
    return "no best.safetensors here; give a run directory of `resnets train`, or a .safetensors file, and the data behind it"


def _selected(run: Path) -> str | None:
    """Which weights a finished run evaluated: "best" or "last"; None where it does not say."""
    try:
        return read_json(run / "provenance.json", strict=False).get("selected")
    except InputError:
        return None


def parse(metadata: Mapping[str, Any], path: str | Path) -> Header:
    """The header from `metadata`: what `Header.to_json` made or, of a hostile file, any JSON. `path` is named in errors.

    Raises:
        InputError: where a part is missing or of the wrong type, or the format is not `FORMAT`.
    """
    found = metadata.get("format")
    if found is None:
        raise InputError(f"{path}: the tensors carry no description of their network, so another program wrote the file")
    if str(found).startswith(EXTERNAL.partition("/")[0]):
        spec = metadata.get("spec")
        name = str(spec.get("name", "a network"))[:80] if isinstance(spec, Mapping) else "a network"
        raise InputError(
            f"{path}: holds {name!r}, which is not built here; from Python resnets.load opens it"
            + ", given a module of its class" * name.startswith("own/")
        )
    if found != FORMAT:
        raise InputError(
            f"{path}: its format is {short(found)}, and this version reads {FORMAT}; update resnets, or train again"
        )
    missing = [part for part in PARTS if part not in metadata]
    if missing:
        raise InputError(f"{path}: the header lacks {', '.join(missing)}; the file is damaged")
    needed = metadata.get("plugins", [])
    if not plugins.is_record(needed):
        raise InputError(f"{path}: the header does not say which parts it needs; the file is damaged")
    plugins.check_needs(needed, path)
    try:
        spec, preprocess = ResNetSpec(**metadata["spec"]), Preprocess(**metadata["preprocess"])
        labels = metadata["labels"]
        if not isinstance(labels, list | tuple) or not all(isinstance(label, str) for label in labels):
            raise TypeError("labels must be a list of names")
        if len(set(labels)) < len(labels):
            twice = next(label for label in labels if labels.count(label) > 1)
            raise ValueError(f"the class {twice[:40]!r} is there twice")
        objects: dict[str, Any] = {name: metadata.get(name, {}) for name in ("metrics", "provenance", "head", "decision")}
        for name, value in objects.items():
            if not isinstance(value, Mapping):
                raise TypeError(f"{name} must be an object")
        if not isinstance(metadata["task"], str) or not isinstance(spec.name, str):
            raise TypeError("task and the network's name must be text")
        rest: dict[str, Any] = {name: dict(value) for name, value in objects.items()}
        rest["plugins"] = tuple(needed)
        return Header(spec, metadata["task"], preprocess, tuple(labels), **rest)
    except (TypeError, ValueError, OverflowError) as error:
        raise InputError(f"{path}: the header does not describe a network ({short(error)}); the file is damaged") from None
