"""Changes of images: each stronger than the one before, the same for the same numbers, and what each does, by hand."""

import numpy as np
import pytest

from resnets.data.corruptions import CORRUPTIONS, STRENGTHS


def photos(chans, side=48):
    rows, columns = np.mgrid[:side, :side] / side
    smooth = np.stack([rows, columns, rows * columns, 1 - rows])[:chans] * 160 + 20
    return np.repeat(smooth[None], 2, 0).round().astype(np.uint8)


@pytest.mark.parametrize("chans", [1, 3, 4])
@pytest.mark.parametrize("side", [48, 80])
@pytest.mark.parametrize("name", CORRUPTIONS)
def test_each_strength_changes_more(name, side, chans):
    pixels = photos(chans, side)
    if name in ("blur", "JPEG"):  # what they take away are details
        pixels = pixels // 2 + np.random.default_rng(0).integers(0, 128, pixels.shape, np.uint8)
    before, distances = pixels.copy(), []
    for strength in STRENGTHS:
        changed = CORRUPTIONS[name](pixels, strength, np.random.default_rng(0))
        assert changed.shape == pixels.shape and changed.dtype == np.uint8
        assert (changed == CORRUPTIONS[name](pixels, strength, np.random.default_rng(0))).all()
        distances.append(float(np.abs(changed.astype(int) - pixels).mean()))
    assert distances[0] > 0 and (np.diff(distances) > 0).all(), distances
    assert (pixels == before).all()


def test_brightness_keeps_hue_and_saturation():
    pixels = np.array([[100, 50, 0], [0, 0, 0], [250, 125, 0]], np.uint8).T.reshape(1, 3, 1, 3)
    changed = CORRUPTIONS["brightness"](pixels, 2, np.random.default_rng(0))  # of a small image: a tenth of the range
    assert changed[0, :, 0, 0].tolist() == [126, 63, 0] and changed[0, :, 0, 1].tolist() == [26, 26, 26]
    assert changed[0, :, 0, 2].tolist() == [255, 128, 0]


def test_a_turn_moves_what_is_on_the_image_and_says_so():
    pixels = np.zeros((8, 1, 65, 65), np.uint8)
    pixels[:, :, 10:14, 30:35] = 255
    turned = CORRUPTIONS["rotation"](pixels, 5, np.random.default_rng(0))
    columns = (turned[:, 0] / 255.0 * np.arange(65)).sum((1, 2)) / (turned[:, 0] / 255.0).sum((1, 2))
    assert set(np.sign(columns - 32).tolist()) == {-1.0, 1.0} and np.abs(columns - 32).min() > 8
    assert [name for name, row in CORRUPTIONS.items() if row.moves] == ["rotation"]
