"""The figures of numbers and grades: what is where in them."""

import numpy as np
import pytest

from resnets import tasks
from resnets.tasks.grade import draw
from tests.tasks.grade.test_meter import GRADES, filled, grades


def test_answers_lie_over_truths_beside_the_line():
    truth, values = np.array([1.0, 2.0, 4.0]), np.array([1.5, 2.0, 3.0])
    figure = draw.draw_scatter(truth, values, truth, "age", (values - 1, values + 1))
    (axes,) = figure.axes
    line, dots = axes.lines
    assert dots.get_xydata().tolist() == [[1, 1.5], [2, 2], [4, 3]] and axes.get_xlim() == axes.get_ylim()
    assert (line.get_xdata() == line.get_ydata()).all() and axes.get_ylabel() == "predicted age"
    assert axes.get_title("left") == "R2 0.732, mean error 0.5 on 3 pictures"
    assert [segment[:, 1].tolist() for segment in axes.collections[0].get_segments()] == [[0.5, 2.5], [1, 3], [2, 4]]


def test_the_limits_of_agreement_are_drawn():
    truth, values = np.array([1.0, 2.0, 4.0]), np.array([1.5, 2.0, 3.0])
    (axes,) = draw.draw_agreement(truth, values, "age").axes
    dots, _, *limits = axes.lines
    assert dots.get_xydata().tolist() == [[1.25, 0.5], [2, 0], [3.5, -1]]
    bias, deviation = np.mean([0.5, 0, -1]), np.std([0.5, 0, -1], ddof=1)
    heights = [line.get_ydata()[0] for line in limits]
    assert heights == pytest.approx([bias, bias - 1.96 * deviation, bias + 1.96 * deviation], rel=1e-4)


def test_one_picture_can_be_drawn():
    one = np.array([3.0])
    assert draw.draw_agreement(one, one, "age").axes and draw.draw_scatter(one, one, one, "age", None).axes


def test_grades_have_a_confusion_matrix(tmp_path):
    meter = filled(GRADES, {"loss": "corn"}, *grades())
    images = [np.full((8, 8, 3), number, np.uint8) for number in range(80)]
    split = type("Split", (), {"images": images})
    drawn = tasks.get("grade").draw(meter, split, tmp_path)
    assert sorted(path.name for path in drawn) == ["agreement.png", "confusion.png", "scatter.png", "worst.png"]
    assert all(path.stat().st_size > 1000 for path in drawn)
