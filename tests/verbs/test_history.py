"""The table of a run's epochs, and what a run says of itself in a line."""

import pytest

import resnets
from resnets.errors import InputError
from resnets.verbs import watching
from resnets.verbs.history import History
from resnets.verbs.lines import Lines
from tests.engine.made import TINY, arrays

ROWS = [{"epoch": n, "step": 5 * n, "lr": 0.1, "train_loss": 1 / n, "val_loss": 1.0, "val_top1": top1}
        for n, top1 in enumerate((0.25, 0.75, 0.5), start=1)]  # fmt: skip


def test_rows_columns_and_parts():
    history = History(ROWS)
    assert history["val_top1"] == [0.25, 0.75, 0.5] and history[-1]["epoch"] == 3 and len(history) == 3
    assert list(history) == ROWS and list(history[1:]) == ROWS[1:] and isinstance(history[1:], History)
    assert repr(history) == (
        "History(3 epochs: epoch, step, lr, train_loss, val_loss, val_top1; best val_top1 0.7500 in epoch 2)"
    )
    with pytest.raises(KeyError, match="val_top5; the columns are epoch, step"):
        history["val_top5"]
    assert repr(History([])) == "History(no epoch yet)" and History([]).columns == []
    unscored = History([row | {"val_top1": float("nan")} for row in ROWS])
    assert "best" not in repr(unscored)


def test_a_notebook_shows_a_table_and_pandas_has_one(monkeypatch):
    pandas = pytest.importorskip("pandas", reason="needs pandas: pip install pandas")
    assert History(ROWS).to_pandas().equals(pandas.DataFrame(ROWS))
    shown = History(ROWS)._repr_html_()
    assert shown.count("<tr>") == 4 and "<th>val_top1</th>" in shown and "<td>0.333333</td>" in shown
    assert "... 18 more" in History(ROWS * 10)._repr_html_() and History(ROWS * 10)._repr_html_().count("<tr>") == 14
    monkeypatch.setitem(__import__("sys").modules, "pandas", None)
    with pytest.raises(InputError, match="needs pandas"):
        History(ROWS).to_pandas()


def test_a_run_and_a_model_in_a_line(tmp_path, capsys):
    run = resnets.train(arrays(tmp_path / "d.npz"), out=tmp_path / "run", verbose=1, **TINY)
    told = capsys.readouterr()
    assert told.out == "" and told.err.count("\nepoch ") == 3, "a line an epoch, where there is no terminal"
    assert list(run.history["epoch"]) == [1, 2, 3] and run.history[-1]["val_top1"] >= 0
    assert repr(run) == f"Run({tmp_path / 'run'}: resnet20_cifar, task classify; val top1 {run.result['top1']:.4f})"
    assert "report.html" in run._repr_html_() and "<th>val_top1</th>" in run._repr_html_()
    model = run.model
    num = sum(parameter.numel() for parameter in model.parameters())
    assert repr(model) == f"Model(resnet20_cifar: {num:,} parameters, classify, 3 classes (0, 1, 2), input 3 x 8 x 8)"
    assert "(layer1): Sequential(" in str(model), "as torch lists it: the names that hooks go by"
    assert "layer1" in model._repr_html_() and repr(model)[6:-1] in model._repr_html_()


def test_who_is_told():
    assert isinstance(watching.watcher(None, True, 0), watching.Silent)
    assert isinstance(watching.watcher(None, False, 1), Lines)
    with pytest.raises(InputError, match="verbose=3: give 0"):
        watching.watcher(None, True, 3)
