"""The settings that whole volumes and patches of volumes share. No torch."""

from __future__ import annotations

from dataclasses import dataclass

from resnets.engine.settings import AUGMENTATION, setting


@dataclass(frozen=True, kw_only=True)
class VolumeSettings:
    """Augmentation of volumes, beside the task's settings of which it becomes a part."""

    dflip: float = setting(AUGMENTATION, 0.0, "volumes: probability of exchanging feet and head", least=0, most=1)
    rotation: float = setting(
        AUGMENTATION, 0.0, "volumes: largest angle about each axis, in degrees; patches: of a fifth of them", least=0, most=180
    )
    zoom: float = setting(
        AUGMENTATION,
        0.0,
        "volumes: largest change of size, as a fraction, patches: of a fifth of them; not where size tells the classes",
        least=0,
        most=0.9,
    )
