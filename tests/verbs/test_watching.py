"""Who watches a run from Python: in a notebook a plot that is drawn anew, elsewhere nobody."""

import importlib.util
import sys
from types import SimpleNamespace

import pytest

from resnets.engine.resume import Position
from resnets.verbs import watching

ROW = {"epoch": 1, "step": 5, "lr": 0.1, "train_loss": 1.0, "val_loss": 2.0, "val_top1": 0.25}


class Output:
    """One output of a cell, which is replaced."""

    def __init__(self, value):
        self.values = [value]

    def update(self, value):
        self.values.append(value)


@pytest.fixture
def outputs(monkeypatch):
    """A display without IPython: `HTML` and `Image` are what they hold."""
    shown = []

    def display(value, display_id):
        shown.append(Output(value))
        return shown[-1]

    fake = SimpleNamespace(display=display, HTML=str, Image=lambda png, format, width: png)
    whole = SimpleNamespace(display=fake, version_info=(9, 0), get_ipython=lambda: None)  # Matplotlib asks for the version
    monkeypatch.setitem(sys.modules, "IPython", whole)
    monkeypatch.setitem(sys.modules, "IPython.display", fake)
    return shown


def epochs(live, last, **at):
    for epoch in range(1, last + 1):
        position = Position(step=5 * epoch, total_steps=5 * last, best=0.25, best_epoch=1, finished=epoch == last, **at)
        live.epoch(ROW | {"epoch": epoch, "step": 5 * epoch}, position, 0.1)


def test_the_curves_are_one_output_and_the_words_another(outputs):
    live = watching.Live()
    live.say("data     <b>ten</b> classes")
    epochs(live, 3)
    live.say("speed    fast")
    words, figure = outputs
    assert "speed    fast" in words.values[-1] and "&lt;b&gt;ten&lt;/b&gt;" in words.values[-1]
    assert "epoch 3  step 15 of 15  val_top1 0.2500, best 0.2500 of epoch 1" in words.values[-1]
    assert all(png.startswith(b"\x89PNG") for png in figure.values)
    assert figure.values[0] != figure.values[-1], "the last epoch is drawn, however soon after the one before"


def test_settings_are_folded(outputs):
    """There are some seventy of them."""
    live = watching.Live()
    for line in ("data     ten classes", "settings (flag) epochs=3", "settings (default) lr=0.1", "speed    fast"):
        live.say(line)
    shown, _, folded = outputs[0].values[-1].partition("<details>")
    assert "ten classes\nspeed    fast</pre>" in shown and "settings" not in shown
    assert "settings (flag) epochs=3\nsettings (default) lr=0.1</pre></details>" in folded


def test_neither_steps_nor_epochs_are_shown_more_often_than_they_can_be_seen(outputs, monkeypatch):
    clock = SimpleNamespace(now=0.0)
    monkeypatch.setattr(watching.time, "perf_counter", lambda: clock.now)
    live = watching.Live()
    for step in range(100):
        live.step(Position(step=step, total_steps=100), 100, 1.0)
        clock.now += 0.02
    (words,) = outputs
    assert len(words.values) == 4, "in two seconds"
    live.figure_due = clock.now + 1
    epochs(live, 5)
    assert len(outputs[1].values) == 1


def test_another_run_begins_a_new_plot(outputs):
    live = watching.Live()
    for line in ("run      1 of 2: seed 0", "run      runs/classify/seeds1/seed0"):
        live.say(line)
    epochs(live, 3)
    live.say("run      2 of 2: seed 1")
    live.epoch(ROW, Position(total_steps=5, finished=True), 0.1)
    assert live.rows == [ROW] and live.lines == ["run      2 of 2: seed 1"]


def test_only_a_notebook_is_one(monkeypatch):
    monkeypatch.delitem(sys.modules, "IPython", raising=False)
    assert not watching.in_notebook() and isinstance(watching.watcher(None, True), watching.Silent)
    for shell, is_one in ((None, False), (SimpleNamespace(), False), (SimpleNamespace(kernel=object()), True)):
        monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda shell=shell: shell))
        assert watching.in_notebook() is is_one
    assert isinstance(watching.watcher(None, True), watching.Live)
    assert isinstance(watching.watcher(None, False), watching.Silent)
    mine = watching.Silent()
    assert watching.watcher(mine, True) is mine


@pytest.mark.slow
@pytest.mark.skipif(
    not all(map(importlib.util.find_spec, ("nbclient", "ipykernel"))), reason="needs a notebook: pip install nbclient ipykernel"
)
def test_a_real_notebook(tmp_path):
    import nbclient
    import nbformat

    code = """import resnets
run = resnets.train(model="resnet20_cifar", depths=(1, 1, 1), width=4, epochs=2, workers=0, device="cpu", out="run")"""
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code)])
    nbclient.NotebookClient(book, timeout=300, resources={"metadata": {"path": str(tmp_path)}}).execute()
    kinds = [set(output.data) for output in book.cells[0].outputs if output.output_type == "display_data"]
    assert any("text/html" in kind for kind in kinds) and any("image/png" in kind for kind in kinds) and len(kinds) == 2
    (words,) = (output.data["text/html"] for output in book.cells[0].outputs if "text/html" in output.get("data", {}))
    assert "epoch 2" in words and "data     digits" in words
