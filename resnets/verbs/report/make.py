"""`resnets report`: the page of a run, made again from its directory, its model and its data; or of several, compared."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from resnets.data.looks import Seen
from resnets.data.types import KINDS
from resnets.engine import device as devices
from resnets.engine.run import MAX_RECORD, RunDir
from resnets.errors import InputError
from resnets.files import read_json
from resnets.ship import hub
from resnets.stores import adding, copied
from resnets.verbs import evaluate
from resnets.verbs.report import robustness as robust
from resnets.verbs.report import run as one
from resnets.verbs.report import several, tune
from resnets.verbs.report.gather import gathered


def report(
    runs: Sequence[str | Path],
    *,
    out: str | Path | None = None,
    robustness: bool = False,
    data: str | None = None,
    data_dir: str | Path | None = None,
    workers: int | None = None,
    device: str = "auto",
    say: Callable[[str], None] = lambda text: None,
) -> Path:
    """Make the page of a run, or of several compared (see `several.compare`); its path.

    A run without a model or without its data gives the page of what is there, and `say` is told what is missing.

    Args:
        runs: run directories.
        out: the file to write; None: report.html in the run directory, of several runs compare.html.
        robustness: evaluate on noisy, blurred, compressed, brighter and turned pictures, too.
        data: labelled data; None: what the run was trained on.
        data_dir: where built-in datasets lie; None: where they lay in training.
        workers: processes that decode.
        device: where to compute.

    Raises:
        InputError: where a run is no folder; where what is asked for by `robustness` or `data` cannot be had.
    """
    own = len(runs) == 1 and out is None  # the page lies in the run directory
    with ExitStack() as stack:
        here = [stack.enter_context(adding(run)) if own else copied(run) for run in runs]
        if len(here) == 1 and (search := Path(here[0], "tune.json")).is_file():
            return tune.write_again(search, out)
        if len(several.expanded(here)) > 1:
            if robustness or data is not None:
                raise InputError("--robustness and --data are for the page of one run; make those first, then compare")
            return several.write(here, Path("compare.html" if out is None else out))
        folders = [RunDir(folder) for folder in here]
        for folder in folders:
            if not folder.path.is_dir():
                raise InputError(f"{folder.path}: no such run directory; `resnets train --out DIR` makes one")
            if not any(path.exists() for path in (folder.recipe, folder.provenance, folder.evaluation, folder.metrics)):
                raise InputError(f"{folder.path}: no run directory: nothing of a run is here, such as recipe.yaml")
        run, found = folders[0], one.NOTHING
        try:
            found = looked(run, data, data_dir, robustness, workers, device, say)
        except InputError as error:
            if robustness or data is not None:
                raise
            found = {"picture_notes": [f"No pictures: {error}"]}
            say(f"note     without pictures: {error}")
        return one.write(run.path, found, None if out is None else Path(out))


def looked(
    run: RunDir,
    data: str | None,
    data_dir: str | Path | None,
    robustness: bool,
    workers: int | None,
    device: str,
    say: Callable[[str], None],
) -> Mapping[str, Any]:
    """What the model answers to the split that the run was judged by: of a run that is not finished the validation split."""
    network = hub.load(run.path).to(devices.find(device))
    named = data or network.header.provenance.get("recipe", {}).get("data")
    if named is None:
        raise InputError("the model does not say what it was trained on; name labelled data by --data")
    split = "val"
    if run.evaluation.exists():
        split = str(read_json(run.evaluation, most=MAX_RECORD, strict=False).get("split", "val"))
    data_dir = data_dir or run.read_provenance().get("data", {}).get("dir")
    session, source = evaluate.opened(network, named, data_dir=data_dir)
    split, seen = evaluate.pick(source, split), Seen()
    say(f"report   the {split} split of {source.name}, {len(source.splits[split]):,} {KINDS[source.kind].images}")
    judged = evaluate.judge(session, source, split, workers=workers, watch=seen)
    if robustness:
        robust.measure(run, session, source, split, workers=workers, say=say)
    return gathered(run, network, source, judged, seen, workers)
