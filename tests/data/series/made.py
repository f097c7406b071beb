"""Small sets of series for tests: two classes that differ in the shape of a bump, in every layout."""

from pathlib import Path

import numpy as np
from scipy.io import wavfile


def bumps(num, length=32, chans=1, seed=0):
    """X (num, chans, length) float32 and y: a rising or a falling ramp somewhere in noise, alternating."""
    random = np.random.default_rng(seed)
    x = random.normal(0, 0.2, (num, chans, length)).astype(np.float32)
    y = np.arange(num) % 2
    ramp = np.linspace(0, 2, length // 4)
    for series, label, start in zip(x, y, random.integers(0, length - length // 4, num), strict=True):
        series[:, start : start + length // 4] += ramp[::-1] if label else ramp
    return x, y


def save_npz(path: Path, train=12, test=6, **settings):
    (x, y), (x_test, y_test) = bumps(train, **settings), bumps(test, seed=1, **settings)
    np.savez(path, X_train=x, y_train=y, X_test=x_test, y_test=y_test)
    return path


def ts(path: Path, x, y, head="@univariate true", labels=("0", "1")):
    """A .ts file of series (C, L) each; NaN is written as ?."""
    cell = lambda value: "?" if np.isnan(value) else f"{value:.5f}"  # noqa: E731
    rows = [
        ":".join([*(",".join(map(cell, channel)) for channel in series), str(label)])
        for series, label in zip(x, y, strict=True)
    ]
    path.write_text(
        "\n".join(["# of a test", "@problemName Bumps", head, f"@classLabel true {' '.join(labels)}", "@data", *rows, ""])
    )
    return path


def save_wav(path: Path, values, rate=8000):
    """Values as SciPy writes them: (L,) or (L, C)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    wavfile.write(path, rate, values)
    return path
