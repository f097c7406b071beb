"""Text for terminals: any name stays on one line, and columns line up."""

import math

import pytest

from resnets.draw.text import columns, share, sparkline, visible

ODD = (
    "plain",
    "naïve 日本語 🦤",
    "two\nlines",
    "\x1b]0;title\x07",
    "tab\there",
    "\u202egnp.exe",
    'comma, "quote"',
    "caf\udce9",
    "=1+1",
    "\r",
)


@pytest.mark.parametrize("name", ODD)
def test_visible_text_is_one_line_that_any_terminal_takes(name):
    text = visible(name)
    assert text.isprintable() and text.encode()
    assert name not in ODD[:2] or text == name


def test_columns_line_up():
    assert columns([["a", "1"], ["bcd", "22"]], "lr") == "a     1\nbcd  22"


def test_fractions_in_percent():
    assert [share(value) for value in (0.1234, 1.0, 0.0, None)] == ["12.34%", "100.00%", "0.00%", "-"]


def test_a_sparkline_is_between_its_lowest_and_highest():
    assert sparkline([0.1, 0.2, math.nan, 0.8]) == "▁▂ █"
    assert sparkline([0.5, 0.5]) == "▁▁" and sparkline([]) == "" and sparkline([math.nan]) == " "
    assert sparkline([9.0, *range(8)], width=8) == "▁▂▃▄▅▆▇█"
