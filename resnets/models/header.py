"""What a saved model says of itself, and where it lies. No torch."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from resnets.data.preprocess import Preprocess
from resnets.errors import InputError
from resnets.models import zoo
from resnets.models.spec import ResNetSpec

FORMAT = "resnets/1"
EXTERNAL = "resnets-external/1"  # weights of a network that another library builds; `resnets.ship.external` opens them
# What of provenance goes on into anything that is made of weights, and how two of it are called in print.
TRAVELS = ("source", "family", "weights", "licence", "training_data", "sha256")
TERMS = {"licence": "licence", "training_data": "trained on"}
PARTS = ("format", "spec", "task", "preprocess", "labels", "metrics", "provenance")


@dataclass(frozen=True)
class Header:
    """What a saved file says of itself. `metrics` and `provenance` are what the training run wrote, or empty."""

    spec: ResNetSpec
    task: str
    preprocess: Preprocess
    labels: tuple[str, ...]
    metrics: dict[str, Any]
    provenance: dict[str, Any]
    format: str = FORMAT
    head: dict[str, Any] = field(default_factory=dict)  # settings of the task's head, where it has some

    def to_json(self) -> dict[str, Any]:
        """The `PARTS`, each of which JSON can hold; `parse` reads them."""
        return {
            "format": self.format,
            "spec": dataclasses.asdict(self.spec),
            "task": self.task,
            "preprocess": dataclasses.asdict(self.preprocess),
            "labels": self.labels,
            "metrics": self.metrics,
            "provenance": self.provenance,
        } | ({"head": self.head} if self.head else {})


def origin(header: Header) -> dict[str, Any]:
    """Where the weights come from that another program or run made, and under which terms; nothing for what began here."""
    own = header.provenance
    if isinstance(own.get("weights"), dict):  # fine-tuned from those
        return dict(own["weights"])
    return {name: own[name] for name in TRAVELS if name in own}


def terms(header: Header) -> str:
    """The same as one line for people, or ""."""
    found = origin(header)
    if not found:
        return ""
    told = [f"{words} {found[name]}" for name, words in TERMS.items() if name in found]
    return "; ".join([f"{header.spec.name} from {found.get('weights') or found.get('source')}", *told])


BOXED = Path(__file__).parent / "boxed"  # models that come with the package, NAME.safetensors with its card NAME.md


def boxed() -> dict[str, Path]:
    """The models that come with the package, by name."""
    return {path.stem: path for path in sorted(BOXED.glob("*.safetensors"))}


def card(path: Path) -> str:
    """The title of a bundled model's card, or "" where it has none."""
    beside = path.with_suffix(".md")
    lines = beside.read_text(encoding="utf-8").splitlines() if beside.is_file() else []
    return next((line.lstrip("# ").strip() for line in lines if line.strip()), "")


def find(model: str | Path) -> Path:
    """The file that MODEL means: itself, of a run directory the weights that were scored, or a bundled model by its name.

    Those are the best on validation or, of a finished run with `select="last"`, the last.

    Raises:
        InputError: where there is neither.
    """
    path = Path(model)
    if path.is_dir():
        weights = [path / "best.safetensors", path / "last.safetensors"]
        for file in reversed(weights) if _selected(path) == "last" else weights:
            if file.is_file():
                return file
        raise InputError(f"{path}: no best.safetensors here; give a run directory of `resnets train`, or a .safetensors file")
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


def _selected(run: Path) -> str | None:
    """Which weights a finished run scored."""
    try:
        return json.loads((run / "provenance.json").read_text(encoding="utf-8")).get("selected")
    except (OSError, ValueError, AttributeError):
        return None


def parse(metadata: dict[str, Any], path: str | Path) -> Header:
    """The header that `Header.to_json` made, from the file at `path`.

    Raises:
        InputError: where a part is missing or means nothing, or the format is another.
    """
    found = metadata.get("format")
    if found is None:
        raise InputError(f"{path}: the tensors carry no description of their network, so another program wrote the file")
    if str(found).startswith(EXTERNAL.partition("/")[0]):
        name = dict(metadata.get("spec", {})).get("name", "a network")
        raise InputError(
            f"{path}: holds {name!r}, which another library builds and not this one; open it by resnets.ship.external.load"
        )
    if found != FORMAT:
        raise InputError(f"{path}: its format is {found}, and this version reads {FORMAT}; update resnets, or train again")
    missing = [part for part in PARTS if part not in metadata]
    if missing:
        raise InputError(f"{path}: the header lacks {', '.join(missing)}; the file is damaged")
    try:
        return Header(
            spec=ResNetSpec(**metadata["spec"]),
            task=str(metadata["task"]),
            preprocess=Preprocess(**metadata["preprocess"]),
            labels=tuple(str(label) for label in metadata["labels"]),
            metrics=dict(metadata["metrics"]),
            provenance=dict(metadata["provenance"]),
            head=dict(metadata.get("head", {})),
        )
    except (TypeError, ValueError) as error:
        raise InputError(f"{path}: the header does not describe a network ({error}); the file is damaged") from None
