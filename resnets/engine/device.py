"""Which machine, and what is fast on it."""

from __future__ import annotations

import platform
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from resnets.engine.recipe import Recipe
from resnets.spec import InputError


@dataclass(frozen=True)
class Device:
    """Where tensors live, and how the network computes there."""

    place: torch.device
    autocast: torch.dtype | None
    channels_last: bool

    @property
    def name(self) -> str:
        if self.place.type == "cuda":
            return torch.cuda.get_device_name(self.place)
        return cpu_name() if self.place.type == "cpu" else platform.processor() or self.place.type

    def describe(self) -> dict[str, Any]:
        """For the record of a run."""
        return {
            "type": str(self.place),
            "name": self.name,
            "threads": torch.get_num_threads(),
            "autocast": str(self.autocast).removeprefix("torch.") if self.autocast else None,
            "channels_last": self.channels_last,
        }


def choose(recipe: Recipe) -> Device:
    """The device of the recipe, and for what it leaves open (`amp`, `channels_last`) what is fast there."""
    place = find(recipe.device)
    amp = supports_bf16(place) if recipe.amp is None else recipe.amp
    channels_last = amp if recipe.channels_last is None else recipe.channels_last
    return Device(place, getattr(torch, recipe.amp_dtype) if amp else None, channels_last)


def find(name: str) -> torch.device:
    """The device called `name`; "auto" is the first of cuda, mps and cpu that is there."""
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        name = next(kind for kind, found in there.items() if found)
    try:
        place = torch.device(name)
    except RuntimeError:
        place = None
    if place is None or not there.get(place.type) or (place.type == "cuda" and (place.index or 0) >= torch.cuda.device_count()):
        raise InputError(
            f"device={name!r} is not here; this machine has: {', '.join(kind for kind, found in there.items() if found)}"
        )
    return place


def supports_bf16(place: torch.device) -> bool:
    """Whether autocast to bfloat16 pays: on GPUs of compute capability 8 on, on processors with instructions for it."""
    if place.type == "cuda":
        return torch.cuda.get_device_capability(place)[0] >= 8
    return place.type == "cpu" and any(flag in cpu_flags() for flag in ("avx512_bf16", "amx_bf16"))


def cpu_flags() -> set[str]:
    return set(_cpuinfo("flags").split())


def cpu_name() -> str:
    return _cpuinfo("model name") or platform.processor() or platform.machine()


def _cpuinfo(key: str) -> str:
    """A line of Linux' /proc/cpuinfo; empty elsewhere."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.exists() else []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(key)), "")
