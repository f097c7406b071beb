"""How far two ways of measuring an amount agree (Bland and Altman 1986, Lancet 327:307)."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from resnets.measures.intervals import central, draws

NORMAL = 1.96  # standard deviations, within which 95 % of differences lie where they are normal


class Agreement(NamedTuple):
    """Of pairs of amounts, in their unit.

    Args:
        measured, true: (N,) each.
        bias: the mean of measured - true.
        bias_interval: its 95 % interval; None of fewer than two pairs or groups.
        limits: [low, high], the limits of agreement: bias -+ 1.96 standard deviations of the differences; None of one pair.
    """

    measured: np.ndarray
    true: np.ndarray
    bias: float
    bias_interval: list[float] | None
    limits: list[float] | None


def agreement(measured: np.ndarray, true: np.ndarray, groups: np.ndarray | None = None) -> Agreement:
    """Of pairs (N,) of amounts, at least one.

    Args:
        groups: (N,) what each pair belongs to, such as a patient: the interval is over these. The limits take each pair for
            independent of the others.
    """
    apart = np.asarray(measured, np.float64) - true
    num = len(apart)
    bias, limits, interval = float(apart.mean()), None, None
    if num > 1:
        half = NORMAL * float(apart.std(ddof=1))
        limits = [bias - half, bias + half]
    if num > 1 and (groups is None or len(np.unique(groups)) > 1):
        interval = central(draws(lambda at: float(apart[at].mean()), num, groups))
    return Agreement(measured, true, bias, interval, limits)
