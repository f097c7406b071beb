"""Tasks whose inputs are whole pictures, for a crop would change the answer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from resnets.data.types import Source
from resnets.engine.values import Design, Settings
from resnets.models.header import Header
from resnets.models.zoo import Named
from resnets.tasks.image_level.settings import WHOLE
from resnets.tasks.image_level.task import ImageLevel

UNCUT = 3  # spatial axes of what is brought to one size without cutting by itself, where it can be


class WholePictures(ImageLevel):
    """An `ImageLevel` of which weights and users say the size of inputs, but weights not what is cut off (abstract)."""

    def design(self, asked: Settings, source: Source, header: Header | None, named: Named) -> Design:
        given = {name: value for name, value in asked.items() if value is not None}
        return super().design(given if source.dims == UNCUT else WHOLE | given, source, header, named)

    def settle(
        self, recipe: Any, origins: Mapping[str, str], source: Source, design: Design, own: str
    ) -> dict[str, tuple[Any, str]]:
        found = super().settle(recipe, origins, source, design, own)
        if source.dims == UNCUT:
            return found
        return found | {
            name: (value, "the task") for name, value in WHOLE.items() if found.get(name, ("", ""))[1] == "the weights"
        }
