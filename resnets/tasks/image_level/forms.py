"""What differs with the number of spatial axes in tasks with one answer per image: a module each, in a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from resnets.data.preprocess import Preprocess
from resnets.data.types import Samples, Source, Split
from resnets.engine.values import Design, Settings
from resnets.models.header import Header
from resnets.models.zoo import Named
from resnets.tasks.image_level import pictures, series, volumes


class Form(Protocol):
    """Functions of a module; `engine.contract.Task` says what those of the same name are."""

    def design(self, asked: Settings, source: Source, header: Header | None, named: Named) -> Design: ...

    def settle(self, recipe: Any, origins: Mapping[str, str], design: Design, own: str) -> dict[str, tuple[Any, str]]: ...

    def preprocess(self, recipe: Any, design: Design, source: Source, bad: Any) -> Preprocess: ...

    def inputs(self, recipe: Any, preprocess: Preprocess) -> str: ...

    def samples(
        self, split: Split, preprocess: Preprocess, num_classes: int, recipe: Any, device: Any, balance: bool
    ) -> Samples: ...

    def preview(self, source: Source, samples: Any, captions: Sequence[str], out: str | Path, seed: int) -> Path: ...


FORMS: dict[int, Form] = {1: series, 2: pictures, 3: volumes}
