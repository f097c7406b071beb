"""From pixels to class indices: windows and slabs beside the whole, for pictures and volumes."""

import tracemalloc
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F

import resnets
from resnets.data.preprocess import Preprocess
from resnets.tasks.segment import inference
from resnets.tasks.segment.inference import classes_of, enlarged, logits_of, window_side
from tests.tasks.segment.made import model


def test_infer_gives_the_pictures_own_size():
    net, x = model(), torch.randn(1, 3, 21, 34)
    with torch.inference_mode():
        logits = net(x)
        for whole in ((21, 34), (40, 30), (7, 90)):
            expected = F.interpolate(logits, whole, mode="bilinear").argmax(1)[0].numpy()
            assert np.array_equal(classes_of(net, x, whole, net.header), expected)


@pytest.mark.parametrize("whole", [(97, 45), (31, 20), (13, 300)], ids=str)
def test_a_large_answer_is_made_a_few_rows_at_a_time_and_is_the_same(whole, monkeypatch):
    logits = torch.randn(1, 3, 12, 17, generator=torch.Generator().manual_seed(0))
    expected = F.interpolate(logits, whole, mode="bilinear")[0].numpy()
    monkeypatch.setattr(inference, "WHOLE", 4 * whole[1])
    slabs = list(enlarged(logits, whole))
    assert [part.stop for part, _ in slabs[:-1]] == [part.start for part, _ in slabs[1:]] and slabs[-1][0].stop == whole[0]
    assert max(scores.shape[1] for _, scores in slabs) == 4
    assert np.abs(np.concatenate([scores for _, scores in slabs], 1) - expected).max() < 1e-5


@pytest.fixture
def small_windows(monkeypatch):
    monkeypatch.setattr(inference, "WHOLE", 400)
    monkeypatch.setattr(inference, "WINDOW", {2: 16})


class Local(torch.nn.Module):
    """Scores that depend on 5 x 5 pixels around each, so that a window changes them near its edges only."""

    header = SimpleNamespace(spec=SimpleNamespace(dims=2), preprocess=SimpleNamespace(size=(64, 40)))

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        first, last = torch.nn.Conv2d(3, 8, 3, padding=1), torch.nn.Conv2d(8, 3, 3, padding=1)
        self.layers = torch.nn.Sequential(first, torch.nn.ReLU(), last)
        self.seen = []

    def forward(self, x):
        self.seen.append(tuple(x.shape[2:]))
        return self.layers(x)


@torch.inference_mode()
def test_a_window_that_slides_says_what_the_whole_says_away_from_its_edges(small_windows):
    net, x = Local(), torch.randn(1, 3, 64, 40, generator=torch.Generator().manual_seed(1))
    expected = net.layers(x)[0].numpy()
    slabs = list(logits_of(net, x, (64, 40), window_side(net.header)))
    assert set(net.seen) == {(16, 16)}, "never more than a window"
    assert [part.stop for part, _ in slabs[:-1]] == [part.start for part, _ in slabs[1:]] and slabs[-1][0].stop == 64
    assert max(scores.shape[1] for _, scores in slabs) <= 16
    found = np.concatenate([scores for _, scores in slabs], 1)
    # Each place is in the middle of some window, whose weight is by far the largest; at the edge of the picture all agree.
    assert np.abs(found - expected).mean() < 0.02 * np.abs(expected).mean()
    assert (found.argmax(0) == expected.argmax(0)).mean() > 0.99
    assert np.abs(found[:, :6, :6] - expected[:, :6, :6]).max() < 1e-5, "only one window sees a corner of the picture"


@torch.inference_mode()
@pytest.mark.parametrize("whole", [(128, 80), (32, 20), (65, 39)], ids=str)
def test_what_slides_is_brought_to_its_own_size_row_by_row(whole, small_windows):
    net, x = Local(), torch.randn(1, 3, 64, 40, generator=torch.Generator().manual_seed(1))
    at_input = classes_of(net, x, (64, 40), net.header)
    expected = F.interpolate(torch.from_numpy(at_input)[None, None], whole, mode="nearest-exact")[0, 0].numpy()
    assert np.array_equal(classes_of(net, x, whole, net.header), expected)


# --- volumes -------------------------------------------------------------------------------------------------


def small_net():
    torch.manual_seed(0)
    return resnets.create_model(
        "resnet20_cifar", task="segment", depths=(1,), width=4, dims=3, in_chans=1, labels=["a", "b", "c"],
        preprocess=Preprocess(size=(8, 8, 8), resize="keep", crop_pct=1.0, mean=(0.0,), std=(1.0,)),
    ).eval()  # fmt: skip


@torch.inference_mode()
def test_the_sliding_window_is_the_whole_pass_where_it_sees_as_much(monkeypatch):
    model, x = small_net(), torch.randn(1, 1, 48, 20, 22)
    whole = model(x)[0].numpy()
    monkeypatch.setattr(inference, "WHOLE", 1000)
    monkeypatch.setitem(inference.WINDOW, 3, 24)
    slabs = list(logits_of(model, x, (48, 20, 22), window_side(model.header)))
    assert [(part.start, part.stop) for part, _ in slabs] == [(0, 12), (12, 24), (24, 48)]
    slid = np.concatenate([scores for _, scores in slabs], axis=1)
    assert slid.shape == whole.shape
    for rows in (slice(0, 12), slice(36, 48)):  # that one window sees, far from its edge within the volume
        assert np.allclose(slid[:, rows], whole[:, rows], atol=1e-5)
    assert np.abs(slid - whole).max() < 1 < np.abs(whole).max()
    found = classes_of(model, x, (48, 20, 22), model.header)
    assert found.dtype == np.uint8 and (found == slid.argmax(0)).all()


def test_a_window_is_at_least_a_patch(monkeypatch):
    model = small_net()
    monkeypatch.setitem(inference.WINDOW, 3, 6)
    assert window_side(model.header) == 8
    model.preprocess = Preprocess(size=(4, 20, 5), resize="keep", crop_pct=1.0, mean=(0.0,), std=(1.0,))
    assert window_side(model.header) == 20


def test_norms_of_what_they_see_are_shown_what_they_have_learnt_with():
    """With instance norm a network sees patches as in training: windows of that size, zeros around smaller volumes."""
    torch.manual_seed(0)
    net = resnets.create_model(
        "resenc54", task="segment", depths=(1, 1), width=4, labels=["a", "b"],
        preprocess=Preprocess(size=(8, 6, 10), resize="keep", crop_pct=1.0, mean=(0.0,), std=(1.0,)),
    ).eval()  # fmt: skip
    seen = []

    def run(x):
        seen.append(tuple(x.shape[2:]))
        with torch.inference_mode():
            return net(torch.as_tensor(x)).numpy() if isinstance(x, np.ndarray) else net(x)

    for size, num in (((8, 6, 10), 1), ((5, 6, 9), 1), ((8, 7, 10), 2), ((9, 5, 30), 2 * 5)):
        x, answers = torch.randn(1, 1, *size), []
        for pixels in (x, x.numpy()):
            seen.clear()
            answers.append(classes_of(run, pixels, size, net.header))
            assert seen == [(8, 6, 10)] * num
        assert answers[0].shape == size and (answers[0] == answers[1]).all()
    x = torch.randn(1, 1, 5, 6, 9)
    with torch.inference_mode():
        expected = net(F.pad(x, (0, 1, 0, 0, 1, 2)))[0, :, 1:6, :, :9].argmax(0).numpy()
    assert (classes_of(run, x, (5, 6, 9), net.header) == expected).all()


def test_scores_of_a_longer_volume_take_no_more_memory(monkeypatch):
    model = small_net()
    monkeypatch.setattr(inference, "WHOLE", 100)
    monkeypatch.setitem(inference.WINDOW, 3, 24)
    peaks = []
    for length in (48, 240):
        rows = []
        tracemalloc.start()
        with torch.inference_mode():
            for part, scores in logits_of(model, torch.zeros(1, 1, length, 24, 24), (length, 24, 24), 24):
                rows.append(part.stop - part.start)
                assert scores.shape == (3, rows[-1], 24, 24)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert sum(rows) == length and max(rows) <= 24
    assert peaks[1] < 1.3 * peaks[0]
