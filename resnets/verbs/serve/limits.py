"""What a server takes, and no more. No torch, no NumPy."""

from __future__ import annotations

from dataclasses import dataclass

from resnets.errors import InputError

MAX_CONNECTIONS = 512  # at once; more are answered by 503
MAX_HEADER_BYTES = 1 << 15  # of a request's line and headers
HELD_BODIES = 16  # bodies of the largest size that are in memory at once, together


@dataclass(frozen=True, kw_only=True)
class Limits:
    """The limits of a server; each has a flag.

    Args:
        batch_size: pictures that go through a network together, at most.
        max_delay_ms: how long the first of them waits for others that are on their way.
        queue: pictures that wait for a model; a request that finds no room is refused (429).
        max_bytes: of a request's body, also after it is unpacked.
        max_pixels: of a picture, by its header, before it is decoded; of a volume its voxels.
        max_pictures: in a request.
        timeout_s: seconds in which a body must arrive, and in which it must be answered then.

    Raises:
        InputError: for a value out of range.
    """

    batch_size: int = 16
    max_delay_ms: float = 2.0
    queue: int = 128
    max_bytes: int = 32_000_000
    max_pixels: int = 50_000_000
    max_pictures: int = 64
    timeout_s: float = 10.0

    def __post_init__(self) -> None:
        for name in ("batch_size", "queue", "max_bytes", "max_pixels", "max_pictures"):
            if getattr(self, name) < 1:
                raise InputError(f"{name}={getattr(self, name)}: give 1 or more")
        if not 0 <= self.max_delay_ms <= 1000:
            raise InputError(f"max_delay_ms={self.max_delay_ms:g}: give milliseconds from 0 to 1000")
        if not 0 < self.timeout_s <= 3600:
            raise InputError(f"timeout_s={self.timeout_s:g}: give seconds above 0 and up to 3600")
        if self.max_pictures > self.queue:
            raise InputError(f"max_pictures={self.max_pictures}: a request must fit into the queue ({self.queue} pictures)")

    @property
    def held_bytes(self) -> int:
        """Of all bodies in memory together."""
        return HELD_BODIES * self.max_bytes
