"""What finished runs recorded: errors, curves, and the evidence for a figure. No torch."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from resnets.engine.run import RunDir
from resnets.engine.settings import read_file
from resnets.errors import InputError
from resnets.files import read_json
from resnets.models.records import DeviceRecord, Evaluation, GitRecord, Provenance
from resnets.paper.result import Evidence
from resnets.paper.trainings import Training


class Score(Evaluation, total=False):
    """evaluation.json of a classifier, as far as it is used here."""

    top1: float  # accuracy, a fraction


@dataclass(frozen=True)
class Curves:
    """Errors of a network in percent, for S seeds and K epochs: `steps` (K,) at the ends of epochs, `train` and `val` (S, K),
    `test` (S,) after the last step."""

    steps: np.ndarray
    train: np.ndarray
    val: np.ndarray
    test: np.ndarray


def evaluation(folder: Path) -> Score:
    """The evaluation of a finished run.

    Raises:
        InputError: if it cannot be read.
    """
    return read_json(RunDir(folder).evaluation, strict=False)


def test_error(folder: Path) -> float:
    """The error in percent of the weights after the last step, on the split that was evaluated."""
    return 100 * (1 - evaluation(folder)["top1"])


def by_network(runs: Mapping[Training, Path]) -> dict[str, list[Path]]:
    """The folders of each network's runs, by its label, in the order of seeds."""
    found: dict[str, list[Path]] = {}
    for training in sorted(runs, key=lambda training: training.seed):
        found.setdefault(training.label, []).append(runs[training])
    return {training.label: found[training.label] for training in runs}


def test_errors(runs: Mapping[Training, Path]) -> dict[str, list[float]]:
    """The test errors in percent by network, one per seed."""
    return {name: [test_error(folder) for folder in folders] for name, folders in by_network(runs).items()}


def curves(folders: Iterable[Path]) -> Curves:
    """The curves of one network's runs. Runs of a scale have the same number of epochs; of a longer one the rest is ignored.

    Raises:
        InputError: if a run has no metrics.
    """
    folders = list(folders)
    rows = [RunDir(folder).read_metrics() for folder in folders]
    length = min(map(len, rows))
    if length == 0:
        raise InputError(f"{folders[0]}: metrics.csv is missing or empty; delete the run's folder, then it is run again")
    errors = {
        split: np.array([[100 * (1 - row[f"{split}_top1"]) for row in run[:length]] for run in rows])
        for split in ("train", "val")
    }
    steps = np.array([row["step"] for row in rows[0][:length]])
    return Curves(steps, errors["train"], errors["val"], np.array([test_error(folder) for folder in folders]))


def recipes(runs: Mapping[Training, Path]) -> list[Mapping[str, object]]:
    """The settings of each run, as its recipe.yaml has them."""
    return [read_file(RunDir(folder).recipe) for folder in runs.values()]


def evidence(runs: Mapping[Training, Path], out: Path) -> tuple[Evidence, ...]:
    """The evidence of each run; folders are relative to `out`."""
    return tuple(record(folder.relative_to(out).as_posix(), origin_of(RunDir(folder))) for folder in runs.values())


def origin_of(run: RunDir) -> Provenance:
    """The run's provenance, with the seconds of all its sessions (which metrics.csv adds up) instead of the last one's."""
    origin, rows = run.read_provenance(), run.read_metrics()
    sessions = [origin.get("seconds"), rows[-1].get("seconds") if rows else None]
    if known := [seconds for seconds in sessions if seconds is not None]:
        origin["seconds"] = max(known)
    return origin


def record(run: str, origin: Provenance) -> Evidence:
    """The evidence from the provenance of a run or of a saved model, which is called `run`."""
    return {
        "run": run,
        "commit": commit_of(origin.get("git")),
        "device": device_of(origin.get("device")),
        "command": origin.get("command"),
        "versions": origin.get("versions"),
        "seed": origin.get("seed"),
        "seconds": origin.get("seconds"),
    }


def commit_of(git: GitRecord | None) -> str | None:
    """The first 12 digits of a commit, and whether there were changes."""
    return f"{git['commit'][:12]}{' with changes' if git['dirty'] else ''}" if git else None


def device_of(device: DeviceRecord | None) -> str | None:
    """The name of a device, and of a CPU the number of threads."""
    if not device:
        return None
    threads = f", {device['threads']} thread{'s' * (device['threads'] != 1)}" if device.get("type") == "cpu" else ""
    return f"{device['name']}{threads}"
