"""How good detections and segmentations are: accumulators that take pictures one by one and add up over processes."""

from __future__ import annotations

from resnets.metrics.boxes import Collected
from resnets.metrics.segments import Counted

__all__ = ["Collected", "Counted"]
