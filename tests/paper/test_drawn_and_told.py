"""The drawings: what stands where; and the evidence."""

from __future__ import annotations

import numpy as np
import pytest

from resnets.engine.run import RunDir
from resnets.paper.figures import Panel, draw_degradation, draw_two_errors
from resnets.paper.history import Curves, origin_of


def curves(last: float) -> Curves:
    steps = np.array([100, 200])
    return Curves(steps, np.array([[90.0, last]]), np.array([[90.0, last]]), np.array([last]))


LOW, HIGH = {"resnet20_cifar": curves(10.0), "resnet56_cifar": curves(30.0)}, {"plain20_cifar": curves(60.0)}


@pytest.mark.parametrize("figure", [draw_degradation([Panel("high", HIGH), Panel("low", LOW)]), draw_two_errors(HIGH | LOW)])
def test_names_stand_at_the_ends_of_their_lines_where_panels_share_an_axis(figure):
    for axes in figure.axes:
        ends = {str(line.get_label()): float(line.get_ydata()[-1]) for line in axes.lines}
        assert axes.texts
        for text in axes.texts:
            height = axes.transData.inverted().transform(axes.transAxes.transform(text.get_position()))[1]
            assert height == pytest.approx(ends[text.get_text()], abs=0.1)


def test_the_time_of_a_run_that_was_interrupted_is_that_of_all_its_sessions(tmp_path):
    run = RunDir(tmp_path)
    run.update_provenance(seconds=30.0, seed=0)
    assert origin_of(run)["seconds"] == 30
    run.write_metrics([{"epoch": 1, "seconds": 50.0}, {"epoch": 2, "seconds": 95.0}])
    assert origin_of(run)["seconds"] == 95
