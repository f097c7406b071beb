"""Several runs in one figure: every run is there, by its number and its group's colour."""

import numpy as np
import pytest

from resnets.draw.overlaid import COLOURS, draw_costs, draw_curves, draw_differences, look
from tests.draw.drawn import words


def rows(*values):
    return [{"epoch": epoch, "val_loss": value, "val_top1": value / 10} for epoch, value in enumerate(values, start=1)]


def test_a_line_a_run_in_the_colour_of_its_group_with_its_number():
    figure = draw_curves([rows(3, 2), rows(4, np.nan, 1), [], rows(5)], [1, 2, 3, 1])
    loss, error = figure.axes  # no training loss is known
    assert [line.get_color() for line in loss.lines] == [COLOURS[0], COLOURS[1], COLOURS[0]]
    assert [line.get_xydata().tolist() for line in loss.lines] == [[[1, 3], [2, 2]], [[1, 4], [3, 1]], [[1, 5]]]
    assert sorted(words(loss)) == ["1", "2", "4"] and error.lines[0].get_ydata() == pytest.approx([70, 80])
    heights = sorted(text.get_position()[1] for text in loss.texts)
    assert min(np.diff(heights)) > 0.06, "numbers do not lie on each other"


def test_a_loss_over_a_wide_range_is_on_a_logarithmic_axis():
    wide, narrow = (draw_curves([rows(*values)], [1]).axes[0].get_yscale() for values in ((100, 1), (3, 1)))
    assert (wide, narrow) == ("log", "linear")


def test_groups_beyond_the_colours_have_other_dashes():
    looks = [look(group) for group in range(1, 13)]
    assert len(set(looks)) == 12 and looks[0][0] == looks[6][0]


def test_score_over_cost_with_its_interval():
    known = {"seconds": "seconds of training", "num_params": "parameters"}
    runs = [
        {"number": 1, "group": 1, "score": 0.9, "interval": [0.8, 0.95], "seconds": 10.0, "num_params": 1000.0},
        {"number": 2, "group": 2, "score": 0.7, "interval": None, "seconds": None, "num_params": 50000.0},
    ]
    seconds, parameters = draw_costs(runs, known, y_name="accuracy").axes
    assert words(seconds) == ["1"] and words(parameters) == ["1", "2"]
    assert (seconds.get_xlabel(), seconds.get_ylabel()) == ("seconds of training", "accuracy")
    assert (seconds.get_xscale(), parameters.get_xscale()) == ("linear", "log")
    (bar,) = seconds.containers[0].lines[2]
    assert bar.get_segments()[0][:, 1] == pytest.approx([0.8, 0.95])


def test_a_difference_is_filled_where_its_interval_leaves_out_zero():
    runs = [
        {"number": 2, "difference": 0.02, "interval": [0.01, 0.03]},
        {"number": 3, "difference": -0.02, "interval": [-0.05, 0.01]},
    ]
    (axes,) = draw_differences(runs).axes
    sure, unsure = (line for line in axes.lines if line.get_marker() == "o")
    assert sure.get_markerfacecolor() == COLOURS[0] and unsure.get_markerfacecolor() == "white"
    assert sure.get_xdata() == pytest.approx([2]) and [label.get_text() for label in axes.get_yticklabels()] == [
        "run 2",
        "run 3",
    ]
