"""The style of all figures: independent of the user's settings, saved whole, with labels that do not overlap."""

import matplotlib
import pytest
from PIL import Image

from resnets.draw import style
from resnets.draw.style import blank, elide, label_ends, log_scale, styled, write


@styled
def draw_lines(*heights):
    """Horizontal lines with names."""
    figure = blank(10.5, 3.4, "resnet20_cifar on $DATA")
    axes = figure.subplots()
    for height in heights:
        axes.plot([0, 1], [height, height], label=f"at {height}")
    return figure


def test_files_are_whole_and_settings_are_left_alone(tmp_path):
    before = dict(matplotlib.rcParams)
    with matplotlib.rc_context({"figure.facecolor": "black", "text.usetex": True}):  # the user's own style
        write(draw_lines(1, 2), tmp_path / "lines.png")
        first = (tmp_path / "lines.png").read_bytes()
    assert dict(matplotlib.rcParams) == before
    image = Image.open(tmp_path / "lines.png")
    assert image.size == (1260, 408) and image.convert("RGB").getpixel((1, 400)) == (255, 255, 255)
    write(draw_lines(1, 2), tmp_path / "lines.png")
    assert (tmp_path / "lines.png").read_bytes() == first
    assert [path.name for path in tmp_path.iterdir()] == ["lines.png"]


def test_files_are_those_of_savefig(tmp_path):
    write(draw_lines(1, 2), tmp_path / "lines.png")
    draw_lines(1, 2).savefig(tmp_path / "theirs.png", dpi=style.DPI, metadata={"Software": None})
    assert (tmp_path / "lines.png").read_bytes() == (tmp_path / "theirs.png").read_bytes()


def test_names_of_lines_that_end_together_are_kept_apart():
    (axes,) = draw_lines(1.0, 1.0, 5.0).axes
    axes.plot([0, 1], [1, 1], label="_best")
    label_ends(axes)
    assert [text.get_text() for text in axes.texts] == ["at 1.0", "at 1.0", "at 5.0"]
    low, high, _ = (text.get_position()[1] for text in axes.texts)
    assert high - low > 0.05


@pytest.mark.parametrize(("decades", "shown"), [(2, ["1", "2", "5", "10"]), (5, ["1", "10"])])
def test_log_scale_has_plain_numbers(decades, shown):
    (axes,) = draw_lines(0.5, 20).axes
    log_scale(axes, decades)
    labels = dict(zip(axes.get_yticks(), (text.get_text() for text in axes.get_yticklabels()), strict=True))
    assert [labels[tick] for tick in sorted(labels) if 1 <= tick <= 10] == shown


def test_elided_text_keeps_its_end():
    assert elide("short", 5) == "short" and elide("two\n lines", 20) == "two lines"
    assert elide("a long name number 17", 12) == "a long…r 17"
    assert all(len(elide("word " * 9, limit)) <= limit for limit in range(3, 50))


def test_missing_fonts_are_told_once(tmp_path, monkeypatch):
    monkeypatch.setattr(style, "MORE_FONTS", ("A Font",))
    style.tell_of_fonts.cache_clear()
    figure = style.styled(lambda: style.blank(2, 2, "\U00013000"))()  # a hieroglyph, which no usual font has
    with pytest.warns(style.DrawingWarning, match="A Font") as told:
        style.write(figure, tmp_path / "a.png")
        style.write(figure, tmp_path / "b.png")
    assert len(told) == 1 and (tmp_path / "b.png").exists()
