"""Preprocessing for another number of channels; what it does to tensors is in tests/test_hub.py."""

import pytest

from resnets.data.preprocess import Preprocess
from resnets.models.pretrained.adapting import rule_for


def test_one_channel_has_the_mean_of_all():
    rule = rule_for(Preprocess(mean=(0.1, 0.2, 0.6), std=(0.2, 0.3, 0.4)), 1)
    assert rule.mean == pytest.approx((0.3,)) and rule.std == pytest.approx((0.3,))


def test_more_channels_take_them_in_turn():
    rule = rule_for(Preprocess(mean=(0.1, 0.2, 0.6), std=(0.2, 0.3, 0.4)), 4)
    assert (rule.mean, rule.std) == ((0.1, 0.2, 0.6, 0.1), (0.2, 0.3, 0.4, 0.2))


def test_means_of_every_pixel_stay_means_of_every_pixel():
    rule = Preprocess(size=(1, 2), mean=(0.0, 0.1, 0.2, 0.3, 0.4, 0.8), std=(1.0, 1.0, 1.0))
    assert rule_for(rule, 1).mean == pytest.approx((0.2, 0.4))
    assert rule_for(rule_for(rule, 1), 3).mean == pytest.approx((0.2, 0.4) * 3)


def test_the_same_channels_change_nothing():
    assert rule_for(Preprocess(), 3) is not None and rule_for(Preprocess(), 3) == Preprocess()
