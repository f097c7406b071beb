"""Who watches a run in text, on stderr: a live bar on a terminal, plain lines anywhere else."""

from __future__ import annotations

import sys
import time
from typing import Any

import click

from resnets.draw.text import sparkline, visible
from resnets.engine.run import score_column

QUIET_SECONDS = 60.0  # after which a long epoch says how far it is


def say(text: str) -> None:
    """A line for people, on stderr."""
    click.echo(visible(text), err=True)


class Lines:
    """One plain line an epoch, and one a minute within longer ones."""

    def __init__(self) -> None:
        self.began, self.began_step = time.perf_counter(), -1
        self.told = self.began

    def __enter__(self) -> Lines:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """The end of the run."""

    def say(self, text: str) -> None:
        self.told = time.perf_counter()
        say(text)

    def step(self, at: Any, steps_per_epoch: int, loss: float) -> None:
        rate = self.rate(at)
        if time.perf_counter() - self.told > QUIET_SECONDS:
            self.say(f"epoch {at.epoch + 1}  step {at.step}/{at.total_steps}  loss {loss:.4f}  {rate}".rstrip())

    def rate(self, at: Any) -> str:
        """Steps a second since the first one that was told of, which starts the clock."""
        if self.began_step < 0:
            self.began, self.began_step = time.perf_counter(), at.step
        done, elapsed = at.step - self.began_step, time.perf_counter() - self.began
        return f"{done / elapsed:.1f} steps/s" if done else ""

    def epoch(self, row: dict[str, float], at: Any, seconds: float) -> None:
        self.say(epoch_line(row, at, seconds))


class Bar(Lines):
    """A bar over all steps of the run, with the scores so far, rate and time left; a line above it for every epoch."""

    def __init__(self) -> None:
        from rich import progress as bars
        from rich.console import Console

        super().__init__()
        self.scores: list[float] = []
        self.progress = bars.Progress(
            bars.TextColumn("{task.description}"),
            bars.BarColumn(),
            bars.MofNCompleteColumn(),
            bars.TextColumn("{task.fields[scores]}"),
            bars.TextColumn("{task.fields[rate]}"),
            bars.TimeElapsedColumn(),
            bars.TextColumn("left"),
            bars.TimeRemainingColumn(),
            console=Console(stderr=True),
        )
        self.task: Any = None

    def close(self) -> None:
        self.progress.stop()

    def say(self, text: str) -> None:
        self.progress.console.print(visible(text), highlight=False, markup=False, soft_wrap=True)

    def step(self, at: Any, steps_per_epoch: int, loss: float) -> None:
        if self.task is None:
            self.progress.start()
            self.task = self.progress.add_task("", total=at.total_steps, completed=at.step, rate="", scores="")
        text = f"epoch {at.epoch + 1}  loss {loss:.3f}"
        self.progress.update(self.task, completed=at.step, total=at.total_steps, description=text, rate=self.rate(at))

    def epoch(self, row: dict[str, float], at: Any, seconds: float) -> None:
        super().epoch(row, at, seconds)
        self.scores = [*self.scores, row[score_column(row)]] if row["epoch"] > 1 else [row[score_column(row)]]
        if self.task is not None and self.progress.console.encoding.startswith("utf"):
            told = f"{score_column(row)} {sparkline(self.scores)} {self.scores[-1]:.4f}"
            self.progress.update(self.task, completed=at.step, scores=told)


def watch() -> Lines:
    return Bar() if sys.stderr.isatty() else Lines()


def epoch_line(row: dict[str, float], at: Any, seconds: float) -> str:
    """One line per epoch; its last number is the time of the epoch's training, without validation."""
    scores = "  ".join(f"{name} {row[name]:.4f}".replace(" nan", " -") for name in row if name.startswith(("train_", "val_")))
    best = "  best" if at.best_epoch == row["epoch"] else ""
    speed = f"{row['images_per_second']:.0f} img/s, {row['data_wait']:.0%} waiting for data"
    place = f"epoch {row['epoch']}  step {row['step']}/{at.total_steps}  lr {row['lr']:.4g}"
    return f"{place}{best}  {scores}  {speed}  {seconds:.1f} s"
