"""Windows cover everything, and blending them is the identity where all agree."""

import numpy as np
import pytest

from resnets.tasks.segment.windows import blend, window_starts, window_weights, windows

CASES = [
    ((100,), (32,), 0.5),
    ((100, 37), (32, 37), 0.25),
    ((20, 50), (32, 16), 0.0),
    ((9, 20, 31), (4, 8, 31), 0.5),
    ((33,), (32,), 0.9),
]


@pytest.mark.parametrize(("size", "window", "overlap"), CASES, ids=str)
def test_every_place_is_covered_by_windows_of_one_size(size, window, overlap):
    seen = np.zeros(size, int)
    for part in windows(size, window, overlap):
        seen[part] += 1
        assert seen[part].shape == tuple(map(min, size, window))
    assert seen.min() >= 1


@pytest.mark.parametrize("overlap", [0.0, 0.25, 0.5, 0.75])
def test_neighbours_share_at_least_the_overlap(overlap):
    for length in range(33, 200, 7):
        starts = window_starts(length, 32, overlap)
        assert starts[0] == 0 and starts[-1] == length - 32
        assert max(np.diff(starts)) <= 32 * (1 - overlap)


def test_an_overlap_of_all_never_ends():
    with pytest.raises(ValueError, match="below 1"):
        window_starts(10, 4, 1.0)


@pytest.mark.parametrize(("size", "window", "overlap"), CASES, ids=str)
def test_a_constant_stays_and_so_does_what_depends_on_the_place_alone(size, window, overlap):
    whole = np.random.default_rng(0).normal(size=(2, *size)).astype(np.float32)
    whole[0] = 3.5
    slabs = list(blend(lambda part: whole[:, *part], size, window, overlap=overlap))
    assert [rows.start for rows, _ in slabs] == [0, *(rows.stop for rows, _ in slabs[:-1])] and slabs[-1][0].stop == size[0]
    found = np.concatenate([scores for _, scores in slabs], 1)
    assert found.shape == whole.shape and found.dtype == np.float32
    assert np.allclose(found, whole, atol=1e-5)
    assert max(scores.shape[1] for _, scores in slabs) <= min(size[0], window[0])


def test_where_windows_differ_the_one_that_sees_more_around_counts_more():
    found = np.concatenate([s for _, s in blend(lambda part: np.full((1, 8), part[0].start), (12,), (8,), overlap=0.5)], 1)[0]
    assert (found[:4] == 0).all() and (found[8:] == 4).all() and (np.diff(found[4:8]) > 0).all()
    assert found[4] < 1 and found[7] > 3 and found[4] + found[7] == pytest.approx(4, abs=1e-5)


def test_weights_are_a_bell_above_nought():
    weights = window_weights((9, 8))
    assert weights.shape == (9, 8) and weights.dtype == np.float32 and weights.max() == 1 and weights.min() > 0
    assert (weights == weights[::-1, ::-1]).all() and weights[4, 3] == weights[4, 4] == 1
