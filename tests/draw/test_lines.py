"""Series as small pictures."""

import numpy as np

from resnets.draw.lines import SIZE, is_series, sketch
from resnets.draw.pictured import pictured


def test_lines_lie_where_values_are_and_gaps_where_they_are_missing():
    series = np.linspace(0, 1, 50, dtype=np.float32)[None].copy()
    drawn = sketch(series)
    assert drawn.shape == (SIZE[1], SIZE[0], 3) and is_series(series) and not is_series(drawn)
    ink = (drawn < 250).any(2)
    rows = [np.flatnonzero(ink[:, column]).mean() for column in (40, 200, 340)]
    assert rows == sorted(rows, reverse=True)  # it rises
    series[0, 20:30] = np.nan
    assert not (sketch(series)[:, 180:200] < 250).any()
    assert pictured(drawn) is drawn and pictured(series).dtype == np.uint8


def test_a_map_colours_the_line_and_odd_series_are_drawn():
    values = np.concatenate([np.zeros(25), np.ones(25)])
    drawn = sketch(np.zeros((1, 50), np.float32), values).astype(int)
    left, right = (drawn[SIZE[1] - 8 - 1, columns].mean(0) for columns in (slice(20, 150), slice(230, 360)))
    assert left.min() > right.max()
    for odd in (np.zeros((1, 1)), np.full((2, 5), np.nan), np.zeros((30, 4))):
        assert sketch(odd).shape == (SIZE[1], SIZE[0], 3)
