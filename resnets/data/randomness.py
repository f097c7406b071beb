"""Draws as pure functions of whole numbers and words, such as (seed, epoch, position)."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

import torch


def mix_seed(*parts: int | str) -> int:
    """A seed for torch from whole numbers and words; any other list gives an unrelated one."""
    return int.from_bytes(hashlib.blake2b(repr(parts).encode(), digest_size=8).digest(), "little") >> 1


@contextmanager
def seeded(*parts: int | str) -> Iterator[None]:
    """Inside, torch's CPU generator starts from `mix_seed(parts)`; outside it is as it was.

    The generator is asked itself: `torch.manual_seed` also tells devices, and notes the stack where these have not begun.
    """
    before = torch.default_generator.get_state()
    torch.default_generator.manual_seed(mix_seed(*parts))
    try:
        yield
    finally:
        torch.default_generator.set_state(before)
