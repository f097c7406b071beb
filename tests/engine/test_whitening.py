"""The stem as whitening filters: what they do to the images that they were made of, and that a run starts from them."""

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from resnets.data.types import Batch
from resnets.engine.run import RunDir
from resnets.engine.whitening import NOISE, whiten
from resnets.errors import InputError
from resnets.verbs.train import prepare, train
from tests.engine.made import TINY, arrays


class Net(nn.Module):
    def __init__(self, stem):
        super().__init__()
        self.conv1 = stem


def smooth(*shape):
    """Images whose neighbours are alike, and whose channels are too."""
    x = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    for axis in range(1, x.ndim):
        x = x + 0.9 * x.roll(1, axis)
    return x / x.std()


def batches(images, size=16):
    return [Batch(part, None, torch.arange(len(part))) for part in images.split(size)]


@pytest.mark.parametrize(
    "conv, images",
    [
        (nn.Conv2d(3, 24, 3, padding=1, bias=False), smooth(300, 3, 12, 12)),
        (nn.Conv2d(1, 8, 3, stride=2, padding=1), smooth(300, 1, 13, 16)),
        (nn.Conv1d(2, 6, 7, padding=3), smooth(300, 2, 40)),
        (nn.Conv3d(1, 12, 3, padding=1), smooth(100, 1, 8, 7, 6)),
    ],
    ids=["pictures", "stride", "series", "volumes"],
)
def test_outputs_are_uncorrelated(conv, images):
    whiten(Net(conv), batches(images))
    without = type(conv)(conv.in_channels, conv.out_channels, conv.kernel_size, stride=conv.stride, bias=False)
    without.weight.data = conv.weight.data
    with torch.no_grad():
        out = without(images).transpose(0, 1).flatten(1).double()  # (channels, positions), without padding
    half = conv.out_channels // 2
    assert torch.equal(out[:half], -out[half:])
    found = out[:half] @ out[:half].T / out.shape[1]
    variances = found.diagonal()
    assert (found - torch.diag(variances)).abs().max() < 0.02
    assert (variances > 0.9).all() and (variances < 1.01).all()


def test_what_hardly_varies_is_not_magnified():
    images = smooth(200, 1, 10, 10) * 1e-4
    conv = nn.Conv2d(1, 4, 3)
    whiten(Net(conv), batches(images))
    assert conv.weight.abs().max() <= 1 / NOISE**0.5


def test_filters_beyond_the_directions_stay():
    conv = nn.Conv2d(1, 64, 3)
    drawn = conv.weight.detach().clone()
    whiten(Net(nn.Sequential(conv, nn.ReLU())), batches(smooth(50, 1, 8, 8)))
    assert torch.equal(conv.weight[18:], drawn[18:]) and not torch.isclose(conv.weight[:18], drawn[:18]).any()


@pytest.mark.parametrize("stem", [nn.Identity(), nn.Conv2d(4, 8, 3, groups=2)])
def test_no_stem_to_whiten(stem):
    with pytest.raises(InputError, match="stem_init=whitening"):
        whiten(Net(stem), [])


def test_images_smaller_than_filters():
    with pytest.raises(InputError, match="smaller than the stem's filters"):
        whiten(Net(nn.Conv2d(1, 8, 7)), batches(smooth(4, 1, 5, 9)))


def test_a_run_starts_from_it(tmp_path):
    data = arrays(tmp_path / "set.npz")
    options = {name: value for name, value in TINY.items() if name != "epochs"}
    options |= {"data": str(data), "steps": 2, "keep_at": "0", "stem_init": "whitening"}
    run = train(out=tmp_path / "run", **options)
    began = load_file(RunDir(run.path).at_step(0))["conv1.weight"]
    assert torch.equal(began[:2], -began[2:])
    job, _ = prepare(out=tmp_path / "again", **options)
    assert torch.equal(job.model.conv1.weight, began)
