"""How a series becomes an input: missing values, lengths, normalisation; and series in memory and in files."""

import numpy as np
import pytest
import torch

from resnets.data.preprocess import Preprocess
from resnets.data.series.opened import given_series
from resnets.data.series.series import ArraySeries, FileSeries, filled, fit_series
from resnets.data.transforms import to_input
from resnets.errors import InputError
from tests.data.series.made import save_wav

NAN = np.nan


def rule(length=4, chans=1, **changes):
    plain = {"size": (length,), "resize": "squash", "crop_pct": 1.0, "mean": (0.0,) * chans, "std": (1.0,) * chans}
    return Preprocess(**plain | changes)


def test_missing_values_are_interpolated_within_held_at_the_ends_and_the_mean_where_all_are():
    series = np.array([[NAN, 1, NAN, 3, NAN, NAN], [NAN] * 6], np.float32)
    np.testing.assert_array_equal(filled(series, (0.0, 7.0)), [[1, 1, 2, 3, 3, 3], [7] * 6])
    assert np.isnan(series[0, 0])  # as it was


def test_squash_brings_to_one_length_and_pad_keeps_times():
    series = np.arange(7, dtype=np.float32)[None]
    np.testing.assert_allclose(fit_series(series, rule(4)), [[0, 2, 4, 6]])
    np.testing.assert_allclose(fit_series(series, rule(13)), [np.arange(13) / 2])
    np.testing.assert_allclose(fit_series(series, rule(4, resize="pad")), [[1, 2, 3, 4]])
    np.testing.assert_allclose(fit_series(series[:, :3], rule(5, resize="pad", mean=(9.0,))), [[0, 1, 2, 9, 9]])
    np.testing.assert_allclose(fit_series(series[:, :3], rule(5, resize="pad", each=True)), [[0, 1, 2, 1, 1]])


def test_normalised_by_the_training_split_or_each_by_itself():
    x = np.random.default_rng(0).normal(5, 3, (2, 2, 50)).astype(np.float32)
    x[1, 1] = 0.1  # flat: rounding must not become noise
    whole = to_input(x, rule(50, 2, mean=(5.0, 4.0), std=(3.0, 2.0)), torch.device("cpu"))
    np.testing.assert_allclose(whole, (x - np.array([[5], [4]])) / np.array([[3], [2]]), rtol=1e-5, atol=1e-6)
    each = to_input(x, rule(50, 2, each=True), torch.device("cpu")).numpy()
    np.testing.assert_allclose(each[:, 0].mean(-1), 0, atol=1e-5)
    np.testing.assert_allclose(each[:, 0].std(-1), 1, rtol=1e-4)
    assert np.abs(each[1, 1]).max() < 1e-2


def test_what_travels_in_a_saved_file():
    usual, own = rule(), rule(rate=8000, each=True)
    assert {"each", "rate"} & usual.to_json().keys() == set() and Preprocess(**own.to_json()) == own
    for wrong in ({"rate": 0}, {"rate": 2.5}, {"each": 1}, {"size": (1 << 23,)}):
        with pytest.raises(InputError, match=next(iter(wrong))):
            rule(**wrong)


def test_series_in_memory():
    values = [np.zeros((1, 3), np.float32), np.ones((1, 5), np.float32)]
    series = ArraySeries(values, "train")
    assert series.lengths().tolist() == [3, 5] and series.name(1) == "train[1]" and series.subset([1]).name(0) == "train[1]"
    both = series.joined(series.subset([0]))
    assert [both.name(index) for index in range(3)] == ["train[0]", "train[1]", "train[0]"]
    assert series.digest() != ArraySeries([values[0], values[0]], "train").digest()


def test_series_in_files(tmp_path):
    save_wav(tmp_path / "a" / "1.wav", np.array([0, 16384, -32768], np.int16))
    (tmp_path / "b.csv").write_text("1\n2\n\n?\n")
    series = FileSeries(["a/1.wav", "b.csv"], 1, tmp_path, 8000)
    np.testing.assert_array_equal(series[0], [[0, 0.5, -1]])
    np.testing.assert_array_equal(series[1], [[1, 2, NAN]])
    assert series.lengths().tolist() == [3, 3] and series.relative(0) == "a/1.wav"
    digest = series.digest()
    (tmp_path / "b.csv").write_text("1\n2\n3\n4\n")
    assert series.digest() != digest


def test_series_that_a_program_gives():
    found = given_series(np.arange(8.0), rule(4))
    np.testing.assert_allclose(found, [[[0, 7 / 3, 14 / 3, 7]]], rtol=1e-6)
    assert len(given_series(np.zeros((3, 2, 9)), rule(4, 2))) == 3
    assert len(given_series([np.zeros((2, 9)), np.zeros((2, 5))], rule(4, 2))) == 2
    with pytest.raises(InputError, match=r"series 0: float64 \(3, 9\); give numbers \(2, L\)"):
        given_series(np.zeros((3, 9)), rule(4, 2))
    with pytest.raises(InputError, match="infinite"):
        given_series([np.array([0, np.inf, 1])], rule(4))
