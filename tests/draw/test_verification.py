"""Verification drawn: the figures have what was measured, and odd inputs are drawn too."""

import numpy as np
import pytest

from resnets.draw.verification import draw_distances, draw_rates


def texts(figure):
    return " ".join(
        text.get_text() for axes in figure.axes for text in [*axes.texts, axes.title, axes._left_title, axes._right_title]
    )


def test_rates_have_both_curves_a_band_and_the_threshold():
    far, tar = np.array([0.0, 0.0, 0.1, 1.0]), np.array([0.0, 0.5, 0.9, 1.0])
    band = np.array([0.01, 0.1]), np.array([[0.4, 0.6], [0.8, 1.0]])
    figure = draw_rates(far, tar, eer=0.1, dot=(0.1, 0.9), band=band, least=1e-3)
    roc, det = figure.axes
    assert roc.get_xlim() == (1e-3, 1.0) and det.get_yscale() == "log"
    assert "equal error rate 10.00%" in texts(figure) and "the threshold" in texts(figure)
    assert "95 % interval" in texts(figure) and "95 %" not in texts(draw_rates(far, tar, eer=0.1))


@pytest.mark.parametrize("tar", [[0.0, 1.0, 1.0], [0.0, 0.0, 1.0]])
def test_perfect_and_hopeless_rates_are_drawn(tar):
    draw_rates(np.array([0.0, 0.0, 1.0]), np.array(tar), eer=0.0, dot=(0.0, tar[1]), least=0.5).canvas.draw()


@pytest.mark.parametrize("same", [[], [0.1], [0.1, 0.2, 0.2]])
def test_distances_of_both_kinds(same):
    figure = draw_distances(np.array(same), np.array([0.5, 0.9]), name="cosine", threshold=0.3)
    figure.canvas.draw()
    assert f"same, {len(same)} pairs" in texts(figure) and "different, 2 pairs" in texts(figure)
    assert figure.axes[0].get_xlabel() == "cosine distance" and "threshold 0.3" in texts(figure)
