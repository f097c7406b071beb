"""Galleries of images of any shape, with any captions."""

import numpy as np
from PIL import Image

from resnets.draw.gallery import draw_gallery, gallery
from tests.draw.drawn import words


def test_gallery_takes_any_shape_and_does_not_blur(tmp_path):
    shapes = [(8, 8, 1), (8, 8, 3), (30, 90, 4), (900, 1400, 3), (16, 16), (5, 5, 2)]
    pictures = [np.full(shape, 200, np.uint8) for shape in shapes]
    axes = draw_gallery(pictures, ["$x_{", "two\nlines", "", "a long caption " * 9, "猫", "x"], columns=4).axes[0]
    assert len(axes.images) == 6
    assert [image.get_interpolation() for image in axes.images[2:4]] == ["nearest", "antialiased"]
    assert max(len(text.splitlines()) for text in words(axes) if text) == 2

    board = np.indices((8, 8)).sum(0) % 2 * 255
    path = gallery([board.astype(np.uint8)[..., None]], ["board"], tmp_path / "deep" / "board.png", title="Boards")
    inside = np.asarray(Image.open(path).convert("L"))[60:190, 20:160]
    assert np.isin(inside, (0, 255)).mean() > 0.95  # no grey between the fields


def test_an_empty_gallery_is_an_empty_page(tmp_path):
    assert Image.open(gallery([], [], tmp_path / "none.png", title="Nothing")).format == "PNG"
