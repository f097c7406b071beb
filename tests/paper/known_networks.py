"""Networks whose responses and gradients can be worked out by hand."""

from torch import nn

from resnets.models.spec import ResNetSpec
from resnets.ship.hub import create_model


def doubling(**changes):
    """One block of one channel whose convolutions hand on the middle of their kernel: the stem 1 x, then 2 x, then 3 x."""
    model = create_model(ResNetSpec(depths=(1,), width=1, stem="small", in_chans=1, num_classes=2, **changes)).eval()
    for number, conv in enumerate((model.conv1, model.layer1[0].conv1, model.layer1[0].conv2), start=1):
        nn.init.zeros_(conv.weight)
        conv.weight.data[..., 1, 1] = number
    return model
