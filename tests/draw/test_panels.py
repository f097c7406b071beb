"""Panels in rows, what is drawn over them, and legends of any length."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from resnets.draw.panels import Panel, cells, draw_worst, legend, show, worst
from resnets.draw.style import styled
from tests.draw.drawn import words

LABELS = ["cat", "dog", "$5 mouse"]
PICTURE = np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8)


@styled
def draw_named(names, num=1):
    figure, several = cells(PICTURE, num, "many", with_legend=True)
    for axes in several:
        show(axes, PICTURE)
    legend(figure, [("#4646B9", name) for name in names])
    return figure


@pytest.mark.parametrize("num", [1, 3])
def test_a_legend_of_many_classes_takes_lines_and_room(num):
    names = [f"class number {i}" for i in range(60)]
    figure = draw_named(names, num)
    assert words(*figure.axes) == names
    places = [text.get_position() for text in figure.axes[-1].texts]
    assert min(x for x, _ in places) > 0 and max(x for x, _ in places) < figure.get_figwidth()
    panel = figure.axes[0].get_position()
    assert max(y for _, y in places) < panel.y0 * figure.get_figheight()
    assert panel.height * figure.get_figheight() == pytest.approx(panel.width * figure.get_figwidth() * 60 / 80)
    assert figure.get_figheight() > draw_named(names[:2], num).get_figheight()


def test_rows_of_panels_with_something_over_them(tmp_path):
    rows = [[Panel(PICTURE), Panel(PICTURE, lambda axes: axes.text(40, 30, "here"))]] * 3
    captions = ["a/very/long/path/to/the/first/picture.jpg\nAP 0.1", "", "two"]
    figure = draw_worst(rows, ["truth", "predicted"], captions, LABELS, title="worst", background=0)
    assert [words(axes) for axes in figure.axes] == [[], ["here"]] * 3 + [LABELS[1:]]
    assert [axes.get_title("left") for axes in figure.axes[:4]] == ["truth", "predicted", "", ""]
    first, *_ = (text.get_text() for text in figure.texts if "AP" in text.get_text())
    assert first.splitlines() == ["a/very/long/path/to/th", "e/first/picture.jpg", "AP 0.1"]
    assert worst([], ["truth"], [], LABELS, tmp_path / "none.png").exists()


def test_the_first_rows_of_a_drawing_are_the_drawing_of_these_rows(tmp_path):
    """What docs/medical.py cuts out for the documentation."""
    spec = importlib.util.spec_from_file_location("docs_medical", Path(__file__).parents[2] / "docs" / "medical.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    rows, names = [[Panel(PICTURE)]] * 6, ["truth"]
    several, few = (worst(rows[:num], names, ["one"] * num, LABELS, tmp_path / f"{num}.png", title="worst") for num in (6, 2))
    short, whole = module.shortened(Image.open(several).convert("RGB"), 2), Image.open(few).convert("RGB")
    assert short.size == pytest.approx(whole.size, abs=1)
    size = (0, 0, whole.width, min(short.height, whole.height))
    differ = np.abs(np.asarray(short.crop(size), float) - np.asarray(whole.crop(size), float))
    assert differ.mean() < 5, "rows may lie a pixel lower or higher"
