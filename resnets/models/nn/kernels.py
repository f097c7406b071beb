"""Compiled loops of `resnets.models.nn.fused`: a norm, addition and ReLU over channels-last memory, in float32 or bfloat16.

The norm's mean and variance are those of all values that a call is given: of a batch, or of one of its samples. `slope` is what
a leaky ReLU multiplies negative values by, a float32 from 0 to 1; None: ReLU.

Activations are flat arrays, float32 or uint16 (the bits of bfloat16), in which channels vary fastest. Coefficients of channels
(C,) are repeated to (period,), where `period` is the least common multiple of C and `LANES`: element k of an activation then
has coefficient k % period, and the compiler vectorises the inner loops, which have a fixed length. Sums are computed in float32
over short stretches and accumulated in float64, in an order that depends only on the number of threads.

Numba compiles the functions at their first call and caches the result on disk. It uses torch's threads: both use the OpenMP
library that comes with torch. NaN propagates, as in torch.
"""

from __future__ import annotations

import math

import numba
import numpy as np
from llvmlite import ir
from numba import njit, prange, types
from numba.extending import intrinsic, overload

LANES = 64
STRETCH = 512  # rows of `period` values that are summed in float32

lanes, some, one = np.uint64(LANES), np.uint64(8), np.uint64(1)  # unsigned: loops with signed indices are not vectorised
high_half = np.uint32(16)
fast = {"reassoc", "contract", "nsz", "arcp"}  # not nnan and ninf, so that a diverging run shows NaN and infinity
numba.config.THREADING_LAYER = "omp"
serial = {"nogil": True, "cache": True}
options = {"parallel": True, "fastmath": fast, "nogil": True, "cache": True}


def share_threads(wanted):
    """Set the number of threads for the next calls to `wanted`, or to what Numba has, if less; returns that number."""
    threads = min(wanted, numba.config.NUMBA_NUM_THREADS)
    if numba.get_num_threads() != threads:
        numba.set_num_threads(threads)
    return threads


@intrinsic
def _as_float(context, bits):
    return types.float32(types.uint32), lambda _, builder, __, args: builder.bitcast(args[0], ir.FloatType())


@intrinsic
def _as_bits(context, value):
    return types.uint32(types.float32), lambda _, builder, __, args: builder.bitcast(args[0], ir.IntType(32))


def widen(value):
    """An element of an activation (float32, or bfloat16 bits) as float32."""
    raise NotImplementedError


def narrow(value, like):
    """A float32 as an element of the type of `like`; to bfloat16 it rounds to nearest, ties to even."""
    raise NotImplementedError


@overload(widen, inline="always")
def _widen(value):
    if value == types.uint16:
        return lambda value: _as_float(np.uint32(value) << high_half)
    return lambda value: value


@overload(narrow, inline="always")
def _narrow(value, like):
    if like == types.uint16:

        def to_bfloat16(value, like):
            bits = _as_bits(value)
            return np.uint16((bits + np.uint32(0x7FFF) + ((bits >> high_half) & np.uint32(1))) >> high_half)

        return to_bfloat16
    return lambda value, like: value


def rectify(value, slope):
    """(Leaky) ReLU of a float32."""
    raise NotImplementedError


def rectify_grad(grad, output, slope):
    """The gradient before a (leaky) ReLU with that output, from the one behind it."""
    raise NotImplementedError


@overload(rectify)
def _rectify(value, slope):
    if isinstance(slope, types.NoneType):
        return lambda value, slope: np.float32(0) if value < 0 else value
    return lambda value, slope: max(value, value * slope)


@overload(rectify_grad)
def _rectify_grad(grad, output, slope):
    if isinstance(slope, types.NoneType):
        return lambda grad, output, slope: np.float32(0) if output <= 0 else grad
    return lambda grad, output, slope: grad * max(slope, np.float32(output > 0))


@njit(inline="always")
def add_rows(x, y, dy, centre, slope, totals, at, period, count):
    for lane in range(lanes):
        total, product = totals[0, lane], totals[1, lane]
        for row in range(count):
            k = at + row * period + lane
            value = widen(x[k]) - centre[lane]
            if dy is None:
                factor = value
            else:
                factor = rectify_grad(widen(dy[k]), widen(y[k]), slope)
            total += factor
            product += factor * value
        totals[0, lane], totals[1, lane] = total, product


@njit(**options)
def sums(x, y, dy, centre, slope, threads, out):
    """Per-thread sums, written to out[thread, :, k % period] for every element k.

    With `dy` they are the sums of g and of g * (x - centre), where g is the gradient before the ReLU with output y. With None
    for y and dy they are the sums of x - centre and of its square. `out` is (threads, 2, period) float64 and must be zero
    before.
    """
    period = len(centre)
    rows, width = len(x) // period, np.uint64(period)
    for thread in prange(threads):
        begin, end = rows * thread // threads, rows * (thread + 1) // threads
        totals = np.empty((2, LANES), np.float32)
        for chunk in range(0, period, LANES):
            middle = centre[chunk : chunk + LANES]
            for start in range(begin, end, STRETCH):
                totals[:] = 0
                stop = min(end, start + STRETCH)
                for row in range(start, stop - 7, 8):
                    add_rows(x, y, dy, middle, slope, totals, np.uint64(row * period + chunk), width, some)
                for row in range(stop - (stop - start) % 8, stop):
                    add_rows(x, y, dy, middle, slope, totals, np.uint64(row * period + chunk), width, one)
                out[thread, :, chunk : chunk + LANES] += totals
    for position in range(len(x) - rows * period):
        k = rows * period + position
        value = widen(x[k]) - centre[position]
        if dy is None:
            factor = value
        else:
            factor = rectify_grad(widen(dy[k]), widen(y[k]), slope)
        out[0, 0, position] += factor
        out[0, 1, position] += factor * value


@njit(inline="always")
def norm_relu_row(x, add, scale, shift, slope, y, at, position, count):
    for lane in range(count):
        value = widen(x[at + lane]) * scale[position + lane] + shift[position + lane]
        if add is not None:
            value += widen(add[at + lane])
        y[at + lane] = narrow(rectify(value, slope), x[at + lane])


@njit(**options)
def norm_relu(x, add, scale, shift, slope, threads, y):
    """Writes y = relu(x * scale + shift + add); `add` may be None."""
    period, rows = len(scale), len(x) // LANES
    for thread in prange(threads):
        for row in range(rows * thread // threads, rows * (thread + 1) // threads):
            norm_relu_row(x, add, scale, shift, slope, y, np.uint64(row * LANES), np.uint64(row * LANES % period), lanes)
    rest = np.uint64(len(x) - rows * LANES)
    norm_relu_row(x, add, scale, shift, slope, y, np.uint64(rows * LANES), np.uint64(rows * LANES % period), rest)


@njit(inline="always")
def grad_input_row(x, y, dy, by_grad, by_x, constant, slope, dx, dadd, at, position, count):
    for lane in range(count):
        k, c = at + lane, position + lane
        grad = rectify_grad(widen(dy[k]), widen(y[k]), slope)
        dx[k] = narrow(grad * by_grad[c] + widen(x[k]) * by_x[c] + constant[c], x[k])
        if dadd is not None:
            dadd[k] = narrow(grad, x[k])


@njit(**options)
def grad_input(x, y, dy, by_grad, by_x, constant, slope, threads, dx, dadd):
    """Writes dx = g * by_grad + x * by_x + constant and, unless it is None, dadd = g, with g as in `sums`."""
    period, rows = len(by_x), len(x) // LANES
    for thread in prange(threads):
        for row in range(rows * thread // threads, rows * (thread + 1) // threads):
            at, position = np.uint64(row * LANES), np.uint64(row * LANES % period)
            grad_input_row(x, y, dy, by_grad, by_x, constant, slope, dx, dadd, at, position, lanes)
    at, position, rest = np.uint64(rows * LANES), np.uint64(rows * LANES % period), np.uint64(len(x) - rows * LANES)
    grad_input_row(x, y, dy, by_grad, by_x, constant, slope, dx, dadd, at, position, rest)


@njit(**serial)
def tiled(values, period):
    """(C,) -> (period,) float32, by repetition."""
    found = np.empty(period, np.float32)
    for position in range(period):
        found[position] = values[position % len(values)]
    return found


@njit(**serial)
def gathered(totals, channels):
    """The output of `sums`, (threads, 2, period), summed over threads and repetitions: (2, C) float64."""
    found = np.zeros((2, channels))
    for thread in range(totals.shape[0]):
        for position in range(totals.shape[2]):
            found[0, position % channels] += totals[thread, 0, position]
            found[1, position % channels] += totals[thread, 1, position]
    return found


@njit(**serial)
def period_of(channels):
    """The least common multiple of the number of channels and `LANES`."""
    return channels * LANES // math.gcd(channels, LANES)


@njit(**serial)
def forward(x, add, weight, bias, eps, slope, threads, y, mean, inv_std, var):
    """Norm, addition and ReLU: writes y, and of x the mean, the variance and inv_std = 1 / sqrt(var + eps), (C,) float64."""
    channels, period = len(weight), period_of(len(weight))
    count = len(x) // channels
    centre = np.empty(period, np.float32)  # a value of each channel: close to its mean, so that squares lose no precision
    for position in range(period):
        centre[position] = widen(x[position % channels])
    totals = np.zeros((threads, 2, period))
    sums(x, None, None, centre, None, threads, totals)
    total = gathered(totals, channels)
    scale, shift = np.empty(channels), np.empty(channels)
    for c in range(channels):
        offset = total[0, c] / count
        found = total[1, c] / count - offset * offset
        var[c] = 0.0 if found < 0 else found
        mean[c], inv_std[c] = centre[c] + offset, 1 / math.sqrt(var[c] + eps)
        scale[c] = weight[c] * inv_std[c]
        shift[c] = bias[c] - mean[c] * scale[c]
    norm_relu(x, add, tiled(scale, period), tiled(shift, period), slope, threads, y)


@njit(**serial)
def move(running_mean, running_var, mean, var, count, momentum):
    """Moves running statistics towards those of `count` values of each channel by `momentum`."""
    for c in range(len(mean)):
        running_mean[c] += momentum * (mean[c] - running_mean[c])
        running_var[c] += momentum * (var[c] * count / max(1, count - 1) - running_var[c])


@njit(**serial)
def evaluate(x, add, weight, bias, running_mean, running_var, eps, slope, threads, y):
    """Batch norm with the running statistics, addition and ReLU: writes y."""
    period = period_of(len(weight))
    scale = weight / np.sqrt(running_var + eps)
    norm_relu(x, add, tiled(scale, period), tiled(bias - running_mean * scale, period), slope, threads, y)


@njit(**serial)
def backward(x, y, dy, weight, mean, inv_std, slope, threads, dx, dadd, dweight, dbias):
    """Writes all gradients: dx, dadd (may be None), dweight and dbias (C,)."""
    channels, period = len(weight), period_of(len(weight))
    count = len(x) // channels
    totals = np.zeros((threads, 2, period))
    sums(x, y, dy, tiled(mean, period), slope, threads, totals)
    total = gathered(totals, channels)
    by_grad, by_x, constant = np.empty(channels), np.empty(channels), np.empty(channels)
    for c in range(channels):
        dbias[c], dweight[c] = total[0, c], total[1, c] * inv_std[c]
        by_grad[c] = weight[c] * inv_std[c]
        by_x[c] = -by_grad[c] * inv_std[c] * dweight[c] / count
        constant[c] = -by_grad[c] * dbias[c] / count - by_x[c] * mean[c]
    coefficients = tiled(by_grad, period), tiled(by_x, period), tiled(constant, period)
    grad_input(x, y, dy, coefficients[0], coefficients[1], coefficients[2], slope, threads, dx, dadd)
