"""The figure of a search: what was stopped does not squeeze the scale, finalists stand beside the noise."""

import numpy as np
import pytest

from resnets.draw.tuning import draw_tuning

SPACE = [
    {"name": "lr", "low": 0.01, "high": 1.0, "log": True, "choices": {}},
    {"name": "augment", "low": 0, "high": 0, "log": False, "choices": {"as is": {}, "$mixup": {}}},
]
STATES = {"done": 0.91, "pruned": 0.2, "failed": None}


def record(*states, finalists=()):
    rows = [
        {
            "part": "trials",
            "run": f"trial{at}",
            "state": state,
            "value": STATES[state],
            "params": {"lr": 0.1, "augment": "as is"},
        }
        for at, state in enumerate(states)
    ]
    noise = {"mean": 0.9, "deviation": 0.01, "of_means": 0.008}
    return {"runs": rows, "space": SPACE, "noise": noise, "verdict": {"finalists": list(finalists)}}


@pytest.mark.parametrize("states", [(), ("done",), ("done", "pruned", "failed", "done")])
def test_trials_and_slices(states):
    figure = draw_tuning(record(*states), score="validation accuracy")
    trials, finalists, lr, augment = figure.axes
    assert [axes.get_title(loc="left") for axes in (lr, augment)] == ["lr", "augment"]
    assert (lr.get_xscale(), lr.get_xlim()) == ("log", (0.01, 1.0))
    assert [text.get_text() for text in augment.get_xticklabels()] == ["as is", "$mixup"]
    low, high = trials.get_ylim()
    assert 0.88 < low < 0.89 and high < 1
    assert any("no trial was above" in text.get_text() for text in finalists.texts)
    if "pruned" in states:
        hollow = next(points for points in trials.collections if "stopped" in points.get_label())
        assert np.allclose(hollow.get_offsets(), [[1, low]]) and not len(hollow.get_facecolors())


def test_finalists_with_and_without_an_interval():
    rows = [
        {"trial": "trial3", "better": True, "difference": 0.03, "interval": [0.01, 0.05]},
        {"trial": "trial1", "better": False, "difference": 0.01, "interval": [None, None]},
    ]
    axes = draw_tuning(record("done", finalists=rows), score="accuracy").axes[1]
    assert [text.get_text() for text in axes.get_yticklabels()] == ["trial3", "trial1"]
    assert [list(line.get_xdata()) for line in axes.lines[1:]] == [[0.01, 0.05], [0.03], [0.01]]
