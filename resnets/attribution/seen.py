"""An input as attribution sees it: its pixels, what computes, and the one number that is to be explained."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor, nn

AT_ONCE = 2**21  # pixels or voxels, of several copies of an input together, that go through the network at once


class Evidence(nn.Module):
    """A network with a single output per input: x (N, C, *size) -> (N,), the number that is to be explained.

    Args:
        model: the network, in evaluation mode.
        number: (model, x) -> (N,), differentiable.
    """

    def __init__(self, model: nn.Module, number: Callable[[Any, Tensor], Tensor]) -> None:
        super().__init__()
        self.model, self.number = model, number

    def forward(self, x: Tensor) -> Tensor:
        return self.number(self.model, x)


@dataclass(frozen=True, kw_only=True)
class Seen:
    """One input, and one number of a network's outputs for it.

    Args:
        pixels: (C, *size), as a runtime takes them: uint8, or float32 that is normalised.
        blank: the same for an input that shows nothing (the mean colour); its shape fits that of `pixels`.
        chance: inputs like `pixels` (N, C, *size) -> (N,) from 0 to 1, in whatever runtime.
        x: (1, C, *size), normalised; None where the runtime has no gradients.
        evidence: what has a gradient with respect to `x` and to feature maps; None likewise.
    """

    pixels: np.ndarray
    blank: np.ndarray
    chance: Callable[[np.ndarray], np.ndarray]
    x: Tensor | None = None
    evidence: Evidence | None = None

    @property
    def size(self) -> tuple[int, ...]:
        return self.pixels.shape[1:]

    def chances(self, inputs: Iterator[np.ndarray]) -> np.ndarray:
        """(N,): `chance` of many inputs (C, *size), a few at a time."""
        few, found = max(1, min(32, AT_ONCE // int(np.prod(self.size)))), []
        held: list[np.ndarray] = []
        for one in inputs:
            held.append(one)
            if len(held) == few:
                found.append(self.chance(np.stack(held)))
                held = []
        if held:
            found.append(self.chance(np.stack(held)))
        return np.concatenate(found).astype(np.float64)
