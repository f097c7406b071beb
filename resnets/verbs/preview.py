"""What the network will see of some data, drawn before training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from resnets.engine.plan import settle
from resnets.verbs.train import layers_of


def preview(data: Any = None, *, out: str | Path, data_dir: str | Path | None = None, **settings: Any) -> Path:
    """Draw what the network would see of the data under these settings, which are `train`'s. `resnets data preview` is this."""
    _, layers, task = layers_of(data, settings)
    plan = settle(task, layers, data_dir, data=data)
    return task.preview(plan.source, plan.recipe, plan.preprocess, out)
