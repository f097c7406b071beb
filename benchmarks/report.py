"""What the pictures and slices of a report cost: `python benchmarks/report.py RUN [--data-dir DIR]`, on a finished run.

Prints for each part seconds by the clock and on the processor, the peak of memory and the size of the page. On a machine with
other load the clock says little; seconds on the processor, of one thread (OMP_NUM_THREADS=1), are what an idle core would take.
"""

from __future__ import annotations

import argparse
import functools
import json
import resource
import time
from pathlib import Path
from typing import Any

from resnets.data.looks import Seen
from resnets.engine.run import RunDir
from resnets.ship import hub
from resnets.verbs import evaluate
from resnets.verbs.report import gather, pictures
from resnets.verbs.report import run as one

PARTS = ("features_of", "in_plane", "near_of", "typical_of", "thumbnails", "maps_of", "plane_of", "cells_of")


def timed(found: dict[str, Any], name: str, function: Any) -> Any:
    """The function, whose seconds are added up in `found`."""

    @functools.wraps(function)
    def wrapped(*args: Any, **settings: Any) -> Any:
        wall, own = time.perf_counter(), time.process_time()
        try:
            return function(*args, **settings)
        finally:
            before = found.setdefault(name, {"wall": 0.0, "processor": 0.0})
            before["wall"] += time.perf_counter() - wall
            before["processor"] += time.process_time() - own

    return wrapped


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run")
    parser.add_argument("--data-dir")
    parser.add_argument("--out", default="report_benchmark.html")
    asked = parser.parse_args()
    found: dict[str, Any] = {}
    for name in PARTS:
        setattr(pictures, name, timed(found, name, getattr(pictures, name)))
    network = hub.load(asked.run)
    session, source = evaluate.opened(network, network.header.provenance["recipe"]["data"], data_dir=asked.data_dir)
    seen, split = Seen(), evaluate.pick(source, None)
    looked = timed(found, "looks", seen)
    judged = timed(found, "(answers, as before)", evaluate.judge)(session, source, split, workers=0, watch=looked)
    run = RunDir(Path(asked.run))
    timed(found, "slices", gather.by_slices)(judged, seen)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    shown = timed(found, "pictures, all", pictures.found)(network, source, judged, 0)
    path = timed(found, "page", one.write)(run.path, shown, Path(asked.out))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for name, seconds in found.items():
        print(f"{name:24} {seconds['wall']:8.2f} s  {seconds['processor']:8.2f} s on the processor")
    print(f"memory {before / 1024:.0f} MiB before, {peak / 1024:.0f} MiB at its peak; page {path.stat().st_size / 1e6:.2f} MB")
    print(json.dumps({name: {key: round(value, 2) for key, value in each.items()} for name, each in found.items()}))


if __name__ == "__main__":
    main()
