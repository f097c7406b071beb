"""Who watches a run that is started from Python: nobody, or in a notebook a plot that is drawn anew while it trains."""

from __future__ import annotations

import html
import io
import re
import sys
import time
from collections.abc import Callable
from typing import Any

from resnets.engine.job import Reporter
from resnets.engine.run import Row, score_column
from resnets.errors import InputError
from resnets.verbs.lines import watch

STEP_SECONDS = 0.5  # between two updates of the step under way
DRAWING_SHARE = 0.1  # of the time, at most, goes into drawing
NEXT_RUN = re.compile(r"run +\d+ of \d+")  # said before each of several runs; what was said of the one before is in its folder
FOLDED = "settings"  # how lines begin that are many, and are opened by a click


class Silent:
    """A reporter that says nothing."""

    def say(self, text: str) -> None: ...

    def step(self, *of: Any) -> None: ...

    def epoch(self, *of: Any) -> None: ...

    def close(self) -> None: ...


class Live:
    """In the output of a notebook's cell: the curves so far, the step under way, and what is said.

    Each is one output, which is replaced: a saved notebook holds their last state.
    """

    def __init__(self) -> None:
        self.rows: list[Row] = []
        self.lines: list[str] = []
        self.told, self.share = "", 0.0  # of the step or epoch under way
        self.outputs: dict[str, Any] = {}  # what is shown, by its name
        self.step_due = self.figure_due = 0.0  # when each may be shown again

    def say(self, text: str) -> None:
        if NEXT_RUN.match(text):
            self.lines = []
        self.lines.append(text)
        self.words()

    def step(self, at: Any, steps_per_epoch: int, loss: float) -> None:
        if time.perf_counter() >= self.step_due:
            self.words(f"epoch {at.epoch + 1}  step {at.step} of {at.total_steps}  loss {loss:.3f}", at.step / at.total_steps)

    def epoch(self, row: Row, at: Any, seconds: float) -> None:
        if self.rows and row["epoch"] <= self.rows[-1]["epoch"]:  # another run, with another seed or fold
            self.rows = []
        self.rows.append(row)
        score = score_column(row)
        told = f"epoch {row['epoch']}  step {at.step} of {at.total_steps}  {score} {row[score]:.4f}, best {at.best:.4f}"
        self.words(f"{told} of epoch {at.best_epoch}", at.step / at.total_steps)
        if at.finished or time.perf_counter() >= self.figure_due:
            self.figure(score.removeprefix("val_"))

    def close(self) -> None:
        """What is shown stays."""

    def figure(self, metric: str) -> None:
        from IPython.display import Image

        from resnets.draw.curves import draw_curves

        began, png = time.perf_counter(), io.BytesIO()
        figure = draw_curves(self.rows, metric=metric, percent=False)
        figure.savefig(png, format="png", dpi=2 * figure.dpi)
        self.show("figure", Image(png.getvalue(), format="png", width=round(figure.get_figwidth() * figure.dpi * 0.8)))
        now = time.perf_counter()
        self.figure_due = now + (now - began) / DRAWING_SHARE

    def words(self, told: str = "", share: float = 0.0) -> None:
        from IPython.display import HTML

        if told:
            self.told, self.share = told, share
        said = [line for line in self.lines if not line.startswith(FOLDED)]
        folded = [line for line in self.lines if line.startswith(FOLDED)]
        shown = preformatted(said) + (f"<details><summary>{FOLDED}</summary>{preformatted(folded)}</details>" if folded else "")
        if self.told:
            shown += f"<progress value='{self.share:.4f}'></progress> {html.escape(self.told)}"
        self.show("words", HTML(shown))
        self.step_due = time.perf_counter() + STEP_SECONDS

    def show(self, name: str, value: Any) -> None:
        from IPython.display import display

        if name in self.outputs:
            self.outputs[name].update(value)
        else:
            self.outputs[name] = display(value, display_id=True)


def preformatted(lines: list[str]) -> str:
    """Lines as HTML."""
    return f"<pre style='white-space: pre-wrap'>{html.escape(chr(10).join(lines))}</pre>"


def in_notebook() -> bool:
    """Whether this process is the kernel of a notebook, such as Jupyter's; a terminal's IPython is none."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return getattr(shell, "kernel", None) is not None


VERBOSE: dict[int, Callable[[], Any]] = {0: Silent, 1: watch}


def watcher(reporter: Reporter | None, progress: bool, verbose: int | None = None) -> Any:
    """`reporter`; where there is none what `verbose` says, 0: nothing, 1: a bar on a terminal, else a line an epoch; None: if
    `progress` is wanted, in a notebook the live plot; else one that says nothing.

    Raises:
        InputError: for another `verbose`.
    """
    if verbose is not None and int(verbose) not in VERBOSE:
        raise InputError(f"verbose={verbose}: give 0 (nothing), 1 (a bar, or a line an epoch), or leave it out")
    if reporter is not None:
        return reporter
    return VERBOSE[int(verbose)]() if verbose is not None else Live() if progress and in_notebook() else Silent()
