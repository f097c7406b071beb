"""How many cores a GPU needs: by rates and clocks that the tests give."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from resnets.data.pictures.stored import FileImages
from resnets.engine import pace
from resnets.engine.pace import Pace, decode_rate, words


@pytest.mark.parametrize(
    "trained, decoded, cores, workers, end",
    [
        (2400, 180, 8, 8, "14 cores keep it busy, and there are 8: `resnets data pack` makes them smaller, or --cache memory"),
        (2400, 180, 64, 8, "14 cores keep it busy, and 8 workers decode: --workers 14"),
        (700, 180, 64, 8, "4 cores keep it busy, and 8 workers decode"),
        (90, 180, 1.5, 1, "1 core keeps it busy, and 1 workers decode"),
    ],
)
def test_what_the_rates_mean(trained, decoded, cores, workers, end):
    line = words(trained, decoded, "pictures", cores, workers)
    assert line == f"data     one core decodes {decoded} pictures a second; this GPU trains {trained:,}: {end}"


class Clock:
    """A time that only moves where somebody works."""

    def __init__(self):
        self.time, self.waits = 0.0, 0

    def __call__(self):
        return self.time


def test_the_first_steps_are_not_timed_and_the_line_comes_once():
    clock = Clock()

    def wait():  # for the second half of each step, which the device does in the background
        clock.waits += 1
        clock.time += 0.005 if clock.waits % 2 == 0 else 0

    paced = Pace(99.0, images="pictures", cores=4, workers=4, wait=wait, now=clock)
    lines = []
    for step in range(pace.COLD + pace.TIMED + 5):
        clock.time += 7  # data, which is not the GPU's
        with paced.timed(32):
            clock.time += 3 if step < pace.COLD else 0.005
        lines.append(paced.told())
    said = [line for line in lines if line]
    assert said == [words(3200, 99, "pictures", 4, 4)] and lines[pace.COLD + pace.TIMED - 1] == said[0]
    assert "this GPU trains 3,200: 33 cores keep it busy" in said[0]
    waits = clock.waits
    with paced.timed(32):
        pass
    assert clock.waits == waits == 2 * (pace.COLD + pace.TIMED), "steps after the line are not waited for"


@pytest.fixture
def _two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    assert torch.get_num_threads() == 2
    torch.set_num_threads(before)


@pytest.mark.usefixtures("_two_threads")
def test_a_core_is_measured_for_a_second_without_the_first_image():
    clock, read, threads = Clock(), [], []

    class Reader:
        def __getitem__(self, key):
            read.append(key)
            threads.append(torch.get_num_threads())
            clock.time += 9 if len(read) == 1 else 0.125

    samples = SimpleNamespace(reader=lambda batch_size: Reader(), order=lambda epoch: np.arange(1000)[::-1])
    assert decode_rate(samples, 8, clock) == pytest.approx(8) and len(read) == 10
    assert read[:3] == [(0, 0, 999), (0, 1, 998), (0, 2, 997)] and set(threads) == {1}
    few = SimpleNamespace(reader=lambda batch_size: Reader(), order=lambda epoch: np.arange(3))
    assert decode_rate(few, 8, clock) == pytest.approx(8)


@pytest.mark.parametrize("device, images, said", [
    ("cuda", FileImages(["a.jpg"], 3), True), ("cpu", FileImages(["a.jpg"], 3), False), ("cuda", object(), False),
])  # fmt: skip
def test_it_is_said_on_a_gpu_that_decodes_files(device, images, said, monkeypatch):
    monkeypatch.setattr(pace, "decode_rate", lambda samples, batch_size: 50.0)
    loader = SimpleNamespace(samples=SimpleNamespace(split=SimpleNamespace(images=images)), batch_size=8, workers=4)
    job = SimpleNamespace(
        train=loader, device=SimpleNamespace(torch_device=torch.device(device)), processes=SimpleNamespace(local_world=2)
    )
    assert (Pace.of(job).decoded is not None) is said
