"""Compiled loops of `resnets.models.nn.fused`: batch norm, addition and ReLU over channels-last memory, in float32 or bfloat16.

Activations are flat arrays, float32 or (bfloat16's bits) uint16, whose channels run fastest. What belongs to a channel comes
tiled to a `period`: the shortest row of whole channels that is a multiple of `LANES`, so that place k of the memory has the
coefficient k % period and the inner loops, over a fixed number of neighbours, become vector instructions. Sums are taken in
float32 over short stretches and added up in float64, in an order that depends on the number of threads only.

Numba compiles these at their first call and keeps the result on disk. Its threads are those of torch: both use the OpenMP
that torch brings along. NaN passes through, as in torch.
"""

from __future__ import annotations

import math

import numba
import numpy as np
from llvmlite import ir
from numba import njit, prange, types
from numba.extending import intrinsic, overload

LANES = 64
STRETCH = 512  # rows that are summed in float32

lanes, some, one = np.uint64(LANES), np.uint64(8), np.uint64(1)  # unsigned: for an index that may be negative, no vectors
high_half = np.uint32(16)
fast = {"reassoc", "contract", "nsz", "arcp"}  # without nnan and ninf: a run that diverges must be seen to
numba.config.THREADING_LAYER = "omp"
serial = {"nogil": True, "cache": True}
options = {"parallel": True, "fastmath": fast, "nogil": True, "cache": True}


def share_threads(wanted):
    """Let the next loops use so many of the threads that torch has started; how many they are."""
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
    """An element of an activation as float32."""
    raise NotImplementedError


def narrow(value, like):
    """A float32 as an element of the activation that `like` comes from; to bfloat16, the nearest, of two the even."""
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


@njit(inline="always")
def add_rows(x, y, dy, centre, totals, at, period, count):
    for lane in range(lanes):
        total, product = totals[0, lane], totals[1, lane]
        for row in range(count):
            k = at + row * period + lane
            value = widen(x[k]) - centre[lane]
            if dy is None:
                factor = value
            else:
                grad, output = widen(dy[k]), widen(y[k])
                factor = np.float32(0) if output <= 0 else grad
            total += factor
            product += factor * value
        totals[0, lane], totals[1, lane] = total, product


@njit(**options)
def sums(x, y, dy, centre, threads, out):
    """out[thread, :, place]: the sums of g and of g * (x - centre), where g is the gradient `dy` behind the ReLU, whose output
    was y; with None for both, of x - centre and of its square. `out` (threads, 2, period) float64, zeros before."""
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
                    add_rows(x, y, dy, middle, totals, np.uint64(row * period + chunk), width, some)
                for row in range(stop - (stop - start) % 8, stop):
                    add_rows(x, y, dy, middle, totals, np.uint64(row * period + chunk), width, one)
                out[thread, :, chunk : chunk + LANES] += totals
    for place in range(len(x) - rows * period):
        k = rows * period + place
        value = widen(x[k]) - centre[place]
        if dy is None:
            factor = value
        else:
            grad, output = widen(dy[k]), widen(y[k])
            factor = np.float32(0) if output <= 0 else grad
        out[0, 0, place] += factor
        out[0, 1, place] += factor * value


@njit(inline="always")
def norm_relu_row(x, add, scale, shift, y, at, place, count):
    for lane in range(count):
        value = widen(x[at + lane]) * scale[place + lane] + shift[place + lane]
        if add is not None:
            value += widen(add[at + lane])
        y[at + lane] = narrow(np.float32(0) if value < 0 else value, x[at + lane])


@njit(**options)
def norm_relu(x, add, scale, shift, threads, y):
    """y = relu(x * scale + shift + add); `add` may be None."""
    period, rows = len(scale), len(x) // LANES
    for thread in prange(threads):
        for row in range(rows * thread // threads, rows * (thread + 1) // threads):
            norm_relu_row(x, add, scale, shift, y, np.uint64(row * LANES), np.uint64(row * LANES % period), lanes)
    rest = np.uint64(len(x) - rows * LANES)
    norm_relu_row(x, add, scale, shift, y, np.uint64(rows * LANES), np.uint64(rows * LANES % period), rest)


@njit(inline="always")
def grad_input_row(x, y, dy, by_grad, by_x, constant, dx, dadd, at, place, count):
    for lane in range(count):
        k, c = at + lane, place + lane
        grad, output = widen(dy[k]), widen(y[k])
        grad = np.float32(0) if output <= 0 else grad
        dx[k] = narrow(grad * by_grad[c] + widen(x[k]) * by_x[c] + constant[c], x[k])
        if dadd is not None:
            dadd[k] = narrow(grad, x[k])


@njit(**options)
def grad_input(x, y, dy, by_grad, by_x, constant, threads, dx, dadd):
    """dx = g * by_grad + x * by_x + constant, and dadd = g, which may be None."""
    period, rows = len(by_x), len(x) // LANES
    for thread in prange(threads):
        for row in range(rows * thread // threads, rows * (thread + 1) // threads):
            at, place = np.uint64(row * LANES), np.uint64(row * LANES % period)
            grad_input_row(x, y, dy, by_grad, by_x, constant, dx, dadd, at, place, lanes)
    at, place, rest = np.uint64(rows * LANES), np.uint64(rows * LANES % period), np.uint64(len(x) - rows * LANES)
    grad_input_row(x, y, dy, by_grad, by_x, constant, dx, dadd, at, place, rest)


@njit(**serial)
def tiled(values, period):
    """(C,) -> (period,) float32."""
    found = np.empty(period, np.float32)
    for place in range(period):
        found[place] = values[place % len(values)]
    return found


@njit(**serial)
def gathered(totals, channels):
    """(threads, 2, period) -> (2, C) float64."""
    found = np.zeros((2, channels))
    for thread in range(totals.shape[0]):
        for place in range(totals.shape[2]):
            found[0, place % channels] += totals[thread, 0, place]
            found[1, place % channels] += totals[thread, 1, place]
    return found


@njit(**serial)
def period_of(channels):
    return channels * LANES // math.gcd(channels, LANES)


@njit(**serial)
def forward(x, add, weight, bias, running_mean, running_var, momentum, eps, threads, y, mean, deviation):
    """In training: y, the batch's mean and 1 / deviation (C,) float64, and the running statistics, moved towards it."""
    channels, period = len(weight), period_of(len(weight))
    count = len(x) // channels
    centre = np.empty(period, np.float32)  # some value of each channel: near its mean, so that squares stay small
    for place in range(period):
        centre[place] = widen(x[place % channels])
    totals = np.zeros((threads, 2, period))
    sums(x, None, None, centre, threads, totals)
    total = gathered(totals, channels)
    scale, shift = np.empty(channels), np.empty(channels)
    for c in range(channels):
        offset = total[0, c] / count
        var = total[1, c] / count - offset * offset
        var = 0.0 if var < 0 else var
        mean[c], deviation[c] = centre[c] + offset, 1 / math.sqrt(var + eps)
        running_mean[c] += momentum * (mean[c] - running_mean[c])
        running_var[c] += momentum * (var * count / max(1, count - 1) - running_var[c])
        scale[c] = weight[c] * deviation[c]
        shift[c] = bias[c] - mean[c] * scale[c]
    norm_relu(x, add, tiled(scale, period), tiled(shift, period), threads, y)


@njit(**serial)
def evaluate(x, add, weight, bias, running_mean, running_var, eps, threads, y):
    """With the running statistics."""
    period = period_of(len(weight))
    scale = weight / np.sqrt(running_var + eps)
    norm_relu(x, add, tiled(scale, period), tiled(bias - running_mean * scale, period), threads, y)


@njit(**serial)
def backward(x, y, dy, weight, mean, deviation, threads, dx, dadd, dweight, dbias):
    """All gradients; `dadd` may be None."""
    channels, period = len(weight), period_of(len(weight))
    count = len(x) // channels
    totals = np.zeros((threads, 2, period))
    sums(x, y, dy, tiled(mean, period), threads, totals)
    total = gathered(totals, channels)
    by_grad, by_x, constant = np.empty(channels), np.empty(channels), np.empty(channels)
    for c in range(channels):
        dbias[c], dweight[c] = total[0, c], total[1, c] * deviation[c]
        by_grad[c] = weight[c] * deviation[c]
        by_x[c] = -by_grad[c] * deviation[c] * dweight[c] / count
        constant[c] = -by_grad[c] * dbias[c] / count - by_x[c] * mean[c]
    grad_input(x, y, dy, tiled(by_grad, period), tiled(by_x, period), tiled(constant, period), threads, dx, dadd)
