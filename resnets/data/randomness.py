"""Random numbers that are pure functions of integers and strings, such as (seed, epoch, position)."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

import torch


def mix_seed(*parts: int | str) -> int:
    """A seed in [0, 2**63) from integers and strings. Different arguments give unrelated seeds."""
    return int.from_bytes(hashlib.blake2b(repr(parts).encode(), digest_size=8).digest(), "little") >> 1


@contextmanager
def seeded(*parts: int | str) -> Iterator[None]:
    """Inside, torch's default CPU generator is seeded with `mix_seed(*parts)`; afterwards its state is restored.

    `torch.manual_seed` is not used, because it also seeds all devices, and records a stack trace if they are not initialised.
    """
    before = torch.default_generator.get_state()
    torch.default_generator.manual_seed(mix_seed(*parts))
    try:
        yield
    finally:
        torch.default_generator.set_state(before)
