"""The run directory: its files, the table of metrics, and the provenance of a run."""

from __future__ import annotations

import csv
import io
import math
import os
import platform
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any, Self, Unpack

from resnets import stores
from resnets.errors import InputError
from resnets.files import read_json, read_text, short, to_json, write_json, write_text
from resnets.models.records import CodeRecord, DeviceRecord, GitRecord, Provenance, Row

CLAIMED: dict[Path, int] = {}  # run directories of this process, and the descriptors that hold their locks
MAX_RECORD = 1 << 27  # bytes of a table or record of a run
HALF = re.compile(r"\.[\w-]+\.\d+\.\w+|\.tmp\w{6}")  # names of temporary files: ours, and safetensors' own
BRING_BACK = "bring it back from a copy, or start a new run without --resume"
SHAPES: dict[str, type] = {  # of provenance.json, of what is read again
    "data": dict, "data.dir": str, "data.fingerprint": str, "device": dict, "device.processes": int, "result": dict,
    "plugins": list, "resumed": list, "lengthened": list, "selected": str, "seconds": float,
}  # fmt: skip


class RunDir:
    """A run's folder and the paths of its files. Every write replaces a whole file, so after a kill all files are readable."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.recipe = self.path / "recipe.yaml"
        self.provenance = self.path / "provenance.json"
        self.metrics = self.path / "metrics.csv"
        self.metrics_lines = self.path / "metrics.jsonl"
        self.trackers = self.path / "trackers.json"
        self.best = self.path / "best.safetensors"
        self.last = self.path / "last.safetensors"
        self.resume_tensors = self.path / "resume.safetensors"
        self.resume_position = self.path / "resume.json"
        self.steps = self.path / "steps"
        self.plots = self.path / "plots"
        self.plugins = self.path / "plugins"
        self.evaluation = self.path / "evaluation.json"
        self.predictions = self.path / "predictions.csv"
        self.report = self.path / "report.html"
        self.bad_images = self.path / "bad_images.csv"
        self.slices = self.path / "slices.json"
        self.robustness = self.path / "robustness.json"

    @classmethod
    def create(cls, out: str | Path | None, task: str, name: str = "train") -> RunDir:
        """Make a new, empty run directory: `out` or, by default (None), the next free runs/<task>/<name>N.

        Raises:
            InputError: if `out` exists and is not empty, or cannot be created.
        """
        if out is None:
            return cls._next(Path("runs", task), name)
        run = cls(out)
        if str(out).encode(errors="replace").decode() != str(out):
            raise InputError(f"{out!r}: the name is not UTF-8, which safetensors needs; choose another --out")
        try:
            run.path.mkdir(parents=True, exist_ok=True)
            run.claim()
            stores.check_new(run.path)
            occupied = not run.is_new()
        except OSError as error:
            why = "is no folder" if run.path.exists() and not run.path.is_dir() else f"cannot be made ({error.strerror})"
            raise InputError(f"{run.path}: {why}; choose another folder with --out") from None
        if occupied:
            remedy = "go on with it by --resume, or choose another --out" if run.recipe.exists() else "choose another --out"
            raise InputError(f"{run.path}: exists and is not empty; {remedy}")
        if not os.access(run.path, os.W_OK):
            raise InputError(f"{run.path}: is not writable; choose another folder with --out")
        return run

    @classmethod
    def _next(cls, folder: Path, name: str) -> RunDir:
        """The directory with the next free number. Runs that start at once get one each, as only one can make a folder."""
        taken = [int(found[1]) for entry in folder.glob(f"{name}*") if (found := re.fullmatch(rf"{name}(\d+)", entry.name))]
        number = max(taken, default=0) + 1
        while True:
            run = cls(folder / f"{name}{number}")
            try:
                run.path.mkdir(parents=True)
            except FileExistsError:
                number += 1
            except OSError as error:
                raise InputError(f"{run.path}: cannot be made ({error.strerror}); choose another folder with --out") from None
            else:
                run.claim()
                return run

    @contextmanager
    def begun(self) -> Iterator[Self]:
        """Inside, an error removes the directory again, where nothing is in it."""
        try:
            yield self
        except BaseException:
            with suppress(OSError):
                self.path.rmdir()
            raise

    @classmethod
    def latest(cls, task: str | None = None, name: str = "train") -> RunDir:
        """The newest runs/<task>/<name>N; with `task` None, of the task whose newest run was started last.

        Raises:
            InputError: if there is none.
        """
        found = [f for f in Path("runs").glob(f"{task or '*'}/{name}*") if re.fullmatch(rf"{name}\d+", f.name)]
        if not found:
            raise InputError(f"there is no run in {Path('runs', task or '')} to go on with; name its folder with --out")
        by_task = {folder.parent: folder for folder in sorted(found, key=lambda folder: int(folder.name.removeprefix(name)))}
        return max(map(cls, by_task.values()), key=lambda run: run.recipe.stat().st_mtime if run.recipe.exists() else 0.0)

    def is_new(self) -> bool:
        """Whether there is nothing yet: no folder, or an empty one, but for halves of files that a kill left behind."""
        return not self.path.exists() or (self.path.is_dir() and all(HALF.fullmatch(path.name) for path in self.path.iterdir()))

    def claim(self) -> None:
        """Keep other processes from writing to the directory, until this one ends or leaves `claiming`.

        The lock is the system's on the directory itself: it leaves no file, and ends with the process. Where the system or
        the file system has no such locks, nothing is kept. In an object store it is a claim (see `resnets.stores.claims`).

        Raises:
            InputError: where another process has claimed it.
        """
        self._lock()
        stores.claim(self.path)

    def _lock(self) -> None:
        path = self.path.resolve()
        if path in CLAIMED:
            return
        try:
            import fcntl
        except ImportError:  # Windows
            return
        descriptor = os.open(path, os.O_RDONLY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            raise InputError(
                f"{self.path}: another process trains in it now; wait until that has ended, or choose another --out"
            ) from None
        except OSError:
            os.close(descriptor)
        else:
            CLAIMED[path] = descriptor

    def at_step(self, step: int) -> Path:
        """The file with the weights after `step` steps; the setting `keep_at` lists these steps."""
        return self.steps / f"{step}.safetensors"

    def kept_steps(self) -> list[int]:
        """The steps whose weights the run has kept, in order."""
        return sorted(int(path.stem) for path in self.steps.glob("*.safetensors") if path.stem.isdigit())

    def remove_halves(self) -> None:
        """Delete temporary files that a kill in the middle of a write left behind (see `resnets.files.replacing`)."""
        for path in self.path.rglob(".*"):
            if HALF.fullmatch(path.name):
                path.unlink(missing_ok=True)

    def write_metrics(self, rows: Sequence[Mapping[str, float]]) -> None:
        """Write metrics.csv; the keys of the first row are the columns. The cell of NaN, which is no score, is empty. And
        metrics.jsonl, the same as a JSON object a line, where NaN is null."""
        out = io.StringIO()
        writer = csv.DictWriter(out, fieldnames=list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows({key: "" if math.isnan(value) else value for key, value in row.items()} for row in rows)
        write_text(self.metrics, out.getvalue())
        write_text(self.metrics_lines, "".join(f"{to_json(dict(row))}\n" for row in rows))

    def read_metrics(self) -> list[Row]:
        """The rows of metrics.csv, one per epoch; an empty cell is NaN. No rows if there is no such file.

        Raises:
            InputError: with the line, where it is damaged.
        """
        if not self.metrics.exists():
            return []
        rows: list[Row] = []
        table = csv.DictReader(io.StringIO(read_text(self.metrics, most=MAX_RECORD), newline=""), strict=True)
        try:
            for row in table:
                if None in row or None in row.values() or "epoch" not in row:
                    raise ValueError("another number of cells than columns, or no column epoch")
                rows.append({key: number(value) for key, value in row.items()})
        except (csv.Error, ValueError) as error:
            raise InputError(f"{self.metrics}, line {table.line_num}: is damaged ({short(error)}); {BRING_BACK}") from None
        return rows

    def write_bad_images(self, bad: Mapping[str, str]) -> None:
        """Write bad_images.csv: each image that could not be read (path -> reason). No file if there are none."""
        if not bad:
            return
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(["path", "reason"])
        writer.writerows(sorted(bad.items()))
        write_text(self.bad_images, out.getvalue())

    def read_provenance(self) -> Provenance:
        """The content of provenance.json; empty if there is no such file. Raises `InputError` where it is damaged."""
        if not self.provenance.exists():
            return {}
        whole: Provenance = read_json(self.provenance, most=MAX_RECORD, strict=False)
        for place, kind in SHAPES.items():
            *above, last = place.split(".")
            holder: Any = whole.get(above[0], {}) if above else whole  # of a place above, an object: that was looked at before
            value = holder.get(last, kind())
            if type(value) is not kind and (value is not None or kind is dict):
                raise InputError(f"{self.provenance}: is damaged ({place} is {short(repr(value))}); {BRING_BACK}")
        return whole

    def update_provenance(self, **values: Unpack[Provenance]) -> Provenance:
        """Set these keys in provenance.json; its new content."""
        whole = self.read_provenance() | values
        write_json(self.provenance, whole, strict=False)  # a loss that diverged is read back
        return whole


def begins(data: Any, out: str | Path | None) -> bool:
    """Whether `--resume` starts a run: data and folder are given, and nothing is there yet. So a job that is stopped and queued
    again has one command for each of its starts."""
    return data is not None and out is not None and RunDir(out).is_new()


@contextmanager
def claiming() -> Iterator[None]:
    """What is claimed inside is given up at the end."""
    before = set(CLAIMED)
    try:
        yield
    finally:
        for path in CLAIMED.keys() - before:
            os.close(CLAIMED.pop(path))


def _forget() -> None:
    """In a forked child: its copies of the locks would outlive the parent."""
    while CLAIMED:
        os.close(CLAIMED.popitem()[1])


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)


def score_column(row: Mapping[str, float]) -> str:
    """Which column of a row of metrics.csv is the task's first score, by which the best weights are chosen: of those of
    validation the first that is no loss."""
    return next(name for name in row if name.startswith("val_") and not name.endswith("loss"))


def number(text: str) -> float:
    """The number in a cell of metrics.csv: an int if it is written as one, NaN if the cell is empty."""
    if not text:
        return float("nan")
    return int(text) if re.fullmatch(r"-?[0-9]{1,18}", text) else float(text)


def now() -> str:
    """The time in ISO 8601, UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def provenance(device: DeviceRecord) -> CodeRecord:
    """What makes a result of this process reproducible: command, time, versions, device, commit."""
    packages = ("resnets", "torch", "torchvision", "numpy", "pillow")
    versions = {name: metadata.version(name) for name in packages} | {"python": platform.python_version()}
    command = ["resnets" if Path(sys.argv[0]).name in ("resnets", "__main__.py") else sys.argv[0], *sys.argv[1:]]
    return {
        "command": shlex.join(command),
        "started": now(),
        "versions": versions,
        "device": device,
        "platform": platform.platform(),
        "git": git_state(),
    }


def git_state() -> GitRecord | None:
    """The commit checked out in the working directory; None outside of a git repository, or without git."""

    def git(*words: str) -> str:
        return subprocess.run(["git", *words], capture_output=True, text=True, check=True, timeout=10).stdout.strip()

    try:
        return {"commit": git("rev-parse", "HEAD"), "dirty": bool(git("status", "--porcelain", "--untracked-files=no"))}
    except (OSError, subprocess.SubprocessError):
        return None
