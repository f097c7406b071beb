"""What blocks add, filters and stages, from figures that are known."""

import numpy as np

from resnets.draw.residual import draw_blocks, draw_filters, draw_stages


def test_blocks_and_pairs_stand_where_they_are():
    rows = [
        {"block": f"layer{stage}.{place}", "changes_shape": (stage, place) == (2, 0), "added": 0.5, "without": 0.1 * number}
        for number, (stage, place) in enumerate([(1, 0), (1, 1), (2, 0), (2, 1)])
    ]
    exchanged = [{"blocks": ["layer1.0", "layer1.1"], "score": 0.7}]
    result = {"name": "accuracy", "score": 0.9, "num_images": 8, "blocks": rows, "exchanged": exchanged}
    added, score = draw_blocks(result).axes
    assert [bar.get_height() for bar in added.patches] == [0.5] * 4
    without, pairs = (points.get_offsets().tolist() for points in score.collections)
    assert np.allclose(without, [(0, 0), (1, 0.1), (2, 0.2), (3, 0.3)]) and np.allclose(pairs, [(0.5, 0.7)])
    assert score.get_ylim() == (0, 1.02)
    rows[1]["without"] = -2.0  # of figures that may be negative
    assert draw_blocks(result).axes[1].get_ylim()[0] < -2
    assert score.get_title("left") == "accuracy of 8 images; whole network 0.900 (dashed)"


def test_filters_of_one_channel_and_of_many():
    for chans in (1, 3, 13):
        weight = np.random.default_rng(0).normal(size=(20, chans, 3, 3)).astype(np.float32)
        responses = np.random.default_rng(1).random((20, 8))
        tiles, angles, _ = draw_filters(weight, responses).axes
        assert tiles.images[0].get_array().shape == (2 * 4, 16 * 4, 3)
        shown = angles.images[0].get_array()
        assert shown.shape == (8, 20) and (np.diff(shown.argmax(0)) >= 0).all()


def test_every_level_is_a_row():
    levels = {name: np.random.default_rng(0).random((num, side, side)) for name, num, side in (("c1", 4, 16), ("c2", 12, 8))}
    figure = draw_stages(np.zeros((32, 32, 3), np.uint8), levels)
    assert len(figure.axes) == 20 and [len(axes.images) for axes in figure.axes] == [1] * 6 + [0] * 4 + [1] * 10
    assert figure.axes[11].get_title("left") == "c2: mean of 12"
