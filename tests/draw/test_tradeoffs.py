"""The figures of one class against the rest."""

import numpy as np
import pytest

from resnets.draw.tradeoffs import draw_precision_recall, draw_roc
from tests.draw.drawn import words

ALARMS, SENSITIVITY = np.array([0, 0.25, 0.5, 1]), np.array([0, 0.5, 1, 1])


def test_a_roc_curve_goes_through_its_points_and_marks_one():
    (axes,) = draw_roc(ALARMS, SENSITIVITY, name="bees", area=(0.8125, [0.7, 0.9]), at=(0.25, 0.5)).axes
    chance, curve, mark = (line.get_xydata() for line in axes.lines)
    assert (chance == [[0, 0], [1, 1]]).all() and (curve == np.stack([ALARMS, SENSITIVITY], 1)).all()
    assert (mark == [[0.25, 0.5]]).all() and "sensitivity 50.0%\nspecificity 75.0%" in words(axes)
    assert axes.get_title("left") == "AUC 0.812 (95 % interval 0.700 to 0.900)"


def test_precision_is_drawn_as_steps_with_the_precision_of_guessing():
    (axes,) = draw_precision_recall(
        np.array([0.5, 1.0]), np.array([1.0, 0.6]), name="bees", area=(0.8, None), share=0.3, at=(1.0, 0.6)
    ).axes
    guess, curve, mark = axes.lines
    assert set(guess.get_ydata()) == {0.3} and curve.get_drawstyle() == "steps-pre"
    assert curve.get_xydata().tolist() == [[0, 1], [0.5, 1], [1, 0.6]] and mark.get_xydata().tolist() == [[1, 0.6]]
    assert axes.get_title("left") == "average precision 0.800" and "bees: 30.0% of all" in words(axes)


@pytest.mark.parametrize("share", [0.01, 0.99])
def test_words_stay_on_the_page(share):
    figure = draw_precision_recall(
        np.array([0.5, 1.0]), np.array([1.0, share]), name="a" * 80, area=(0.8, [0.1, 0.9]), share=share, at=(1.0, share)
    )
    figure.draw_without_rendering()
    page = figure.bbox
    for text in figure.axes[0].texts:
        box = text.get_window_extent()
        assert page.x0 <= box.x0 and box.x1 <= page.x1 and page.y0 <= box.y0 and box.y1 <= page.y1, text.get_text()
