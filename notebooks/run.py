"""Runs the notebooks of this folder, each in a new kernel and an empty folder, and stops at the first error, naming its cell.

pip install -e '.[notebooks]'
python notebooks/run.py                          # all of them, in order, with the time of each
python notebooks/run.py 2 5 --out executed       # these, kept as .ipynb with what their cells showed
python notebooks/run.py --badge OWNER/NAME       # the lines of a table with badges that open them on Colab
"""

from __future__ import annotations

import argparse
import os
import resource
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import jupytext
import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError
from nbformat import NotebookNode
from traitlets.config import Config

HERE = Path(__file__).resolve().parent
CELL_SECONDS, START_SECONDS = 1800, 300  # that a cell, and the start of a kernel, may take at most
COLAB = "https://colab.research.google.com"


def notebooks(asked: Sequence[str] = ()) -> list[Path]:
    """The notebooks in order: all of them, or those whose names begin so. Ends the program where none does."""
    every = sorted(HERE.glob("[0-9]_*.py"))
    if unknown := [word for word in asked if not any(path.name.startswith(word) for path in every)]:
        sys.exit(f"there is no notebook {', '.join(unknown)}; there are {', '.join(path.name for path in every)}")
    return [path for path in every if not asked or path.name.startswith(tuple(asked))]


def run(path: Path, out: Path | None) -> str:
    """Execute a notebook. Returns what went wrong, with the cell; "" where nothing did.

    Args:
        path: the notebook, as text.
        out: the folder for the executed .ipynb, which is also kept as far as it came; None: none.
    """
    notebook = jupytext.read(path)
    with tempfile.TemporaryDirectory(prefix="notebook") as folder:
        (work := Path(folder) / "work").mkdir()
        client = NotebookClient(
            notebook,
            timeout=CELL_SECONDS,
            startup_timeout=START_SECONDS,
            coalesce_streams=True,
            resources={"metadata": {"path": str(work)}},
            config=sockets(Path(folder) / "kernel"),
        )
        try:
            client.execute()
        except (CellExecutionError, CellTimeoutError, RuntimeError, AssertionError) as error:  # the last: a kernel that died
            return f"{path.name}, {cell_of(notebook)}: {reason(error)}"
        finally:
            if out is not None:
                out.mkdir(parents=True, exist_ok=True)
                nbformat.write(notebook, out / f"{path.stem}.ipynb")
    return ""


def sockets(path: Path) -> Config:
    """How to talk to a kernel: by files that begin so, which other users cannot open; where there are none, by the network."""
    return Config({"KernelManager": {"transport": "ipc", "ip": str(path)}}) if os.name == "posix" else Config()


def cell_of(notebook: NotebookNode) -> str:
    """The last cell that was begun, by its number among all cells and its first line."""
    begun = [number for number, cell in enumerate(notebook.cells, start=1) if "iopub.execute_input" in times(cell)]
    number = begun[-1] if begun else 1
    return f"cell {number} ({notebook.cells[number - 1].source.splitlines()[0]})"


def times(cell: NotebookNode) -> Iterable[str]:
    """What is noted of a cell's execution."""
    return cell.metadata.get("execution", {})


def reason(error: Exception) -> str:
    """What a cell raised, or why it did not end, in one line."""
    if isinstance(error, CellExecutionError):
        return f"{error.ename}: {error.evalue}"
    return (str(error).strip().splitlines() or ["the kernel died"])[0]


def measured(path: Path, out: Path | None) -> tuple[str, float, float]:
    """Run a notebook. Returns what went wrong, the seconds that passed, and those that processors spent."""
    began, before = time.perf_counter(), processor_seconds()
    failed = run(path, out)
    return failed, time.perf_counter() - began, processor_seconds() - before


def timed(paths: Sequence[Path], out: Path | None, jobs: int) -> Iterator[str]:
    """Run the notebooks, `jobs` at once; yields a line for each, and one for all. Ends the program at the first error."""
    began, whole = time.perf_counter(), 0.0
    with ProcessPoolExecutor(jobs) as pool:  # processes, for each counts what its kernels spend
        for path, (failed, seconds, processor) in zip(paths, pool.map(partial(measured, out=out), paths), strict=True):
            if failed:
                pool.shutdown(cancel_futures=True)
                sys.exit(failed)
            whole += processor
            yield told(path.name, seconds, processor)
    yield told("all", time.perf_counter() - began, whole)


def told(name: str, seconds: float, processor: float) -> str:
    return f"{name:<24} {seconds:6.1f} s, {processor:6.1f} s of processors"


def processor_seconds() -> float:
    """Seconds that processors have spent on kernels that have ended, and on what these started."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def badges(paths: Sequence[Path], address: str) -> Iterator[str]:
    """Lines of Markdown, each a notebook with a badge that opens NAME.ipynb of the repository's branch main on Colab."""
    for path in paths:
        notebook = f"{COLAB}/github/{address}/blob/main/notebooks/{path.stem}.ipynb"
        yield f"| [{path.stem}]({path.name}) | [![Open in Colab]({COLAB}/assets/colab-badge.svg)]({notebook}) |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("notebooks", nargs="*", metavar="NUMBER", help="only these")
    parser.add_argument("--out", type=Path, metavar="DIR", help="keep the executed notebooks here")
    parser.add_argument("--jobs", type=int, default=1, help="notebooks at once; if more than one, each has one thread  [1]")
    parser.add_argument("--badge", metavar="OWNER/NAME", help="run nothing; print badges for this repository")
    given = parser.parse_args()
    paths = notebooks(given.notebooks)
    os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])  # for !resnets
    os.environ["PYDEVD_DISABLE_FILE_VALIDATION"] = "1"  # else each kernel warns that a debugger might miss breakpoints
    if given.jobs > 1:
        os.environ["OMP_NUM_THREADS"] = "1"
    for line in badges(paths, given.badge) if given.badge else timed(paths, given.out, given.jobs):
        print(line, flush=True)


if __name__ == "__main__":
    main()
