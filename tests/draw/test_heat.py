"""Maps over pictures: what is said, and that a map which failed says so."""

import numpy as np
import pytest
from matplotlib.colors import to_hex

from resnets.draw.heat import WARNING, Heat, draw_heats, draw_sheet, painted
from resnets.draw.style import VAL
from tests.draw.drawn import words

PICTURE = np.random.default_rng(0).integers(0, 256, (30, 40, 3), dtype=np.uint8)
VALUES = np.linspace(0, 1, 1200, dtype=np.float32).reshape(30, 40)


@pytest.mark.parametrize("fails", [True, False])
def test_a_map_that_fails_is_drawn_with_the_words(fails):
    """Over the map itself, alone and among others; never over the picture."""
    maps = [Heat(VALUES, "cat 0.9", "insertion 0.8", fails=fails)]
    for figure in (draw_heats(PICTURE, maps), draw_sheet([("a", PICTURE, maps), ("b", PICTURE, maps)])):
        pictures, shown = figure.axes[::2], figure.axes[1::2]
        assert words(*shown) == ["does not depend on what was learnt"] * fails * len(shown) and words(*pictures) == []
        backs = {to_hex(text.get_bbox_patch().get_facecolor()) for axes in shown for text in axes.texts}
        assert backs == ({VAL.lower()} if fails else set())
    assert WARNING == "does not depend on what was learnt"


def test_the_box_of_an_object_is_drawn_where_it_is():
    (_, axes) = draw_heats(PICTURE, [Heat(VALUES, "cell 0.9", box=(3, 5, 20, 12))]).axes
    (line,) = axes.lines
    assert set(map(tuple, line.get_xydata())) == {(3, 5), (20, 5), (20, 12), (3, 12)}


def test_a_signal_is_drawn_as_lines_coloured_by_its_map():
    signal = np.random.default_rng(0).normal(size=(2, 50)).astype(np.float32)
    plain, axes = draw_heats(signal, [Heat(np.linspace(0, 1, 50), "normal")]).axes
    assert [len(line.get_xdata()) for line in plain.lines] == [50, 50] and not axes.lines
    assert [len(lines.get_segments()) for lines in axes.collections] == [49, 49]  # a colour for each step of a channel
    colours = axes.collections[0].get_colors()[:, :3]
    assert colours[0].min() > 0.7 and colours[-1].max() < 0.6  # from light to dark


def test_what_speaks_most_is_the_warmest():
    found = painted(np.full((30, 40, 3), 128, np.uint8), VALUES).astype(int)
    warmth = found[..., 0] - found[..., 2]
    assert warmth[0, 0] == 0 and warmth[15:].min() > 60
    assert (np.diff(found.sum(2).mean(1)[15:]) > 0).all()  # and the brightest


def test_long_names_stay_inside_their_panel():
    figure = draw_sheet([("a" * 90, PICTURE, [Heat(VALUES, "automobile rather than airplane", "one\ntwo")])])
    lines = [line for text in figure.texts for line in text.get_text().splitlines()]
    assert max(map(len, lines)) <= 22 and "rather than airplane" in lines


def test_a_figure_is_as_high_as_its_words_need():
    """A line or four: no empty strip below the map, and nothing cut off."""

    def height(words):
        return draw_heats(PICTURE, [Heat(VALUES, "cat 0.9", words)], caption="gradcam").get_size_inches()[1]

    assert height("\n".join("abcd")) == pytest.approx(height("") + 3 * 0.13) == height("\n".join("abcdef"))
