"""The curves of trust: the areas in the titles are those of the curves."""

from types import SimpleNamespace

import numpy as np

from resnets.attribution import learnt
from resnets.draw.trust import draw_faithful, draw_randomised
from tests.draw.drawn import words


def test_areas_and_random_maps():
    shares = np.array([0, 0.5, 1.0])
    one = SimpleNamespace(shares=shares, deletion=np.array([1, 0.5, 0]), insertion=np.array([0, 1, 1]))
    figure = draw_faithful([one, one], [(0.6, 0.4), (0.8, 0.2)])
    assert [axes.get_title("left") for axes in figure.axes] == [
        "deletion: 0.50, random maps 0.70",
        "insertion: 0.75, random maps 0.30",
    ]


def test_the_line_is_the_verdicts():
    rows = [{"random_down_to": name, "similarity": value} for name, value in (("head", 0.9), ("stage 4", -0.3))]
    (axes,) = draw_randomised(rows, learnt.SAME).axes
    curve, line = axes.lines[:2]
    assert curve.get_ydata().tolist() == [1, 0.9, -0.3] and set(line.get_ydata()) == {learnt.SAME}
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["learnt", "head", "stage 4"] and len(words(axes)) == 1
    assert axes.get_ylim()[0] < -0.3
