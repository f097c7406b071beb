"""Other people's networks, with every parameter and statistic drawn anew so that each shows in the output."""

import torch
import torch.nn.functional as F
from torch import nn

from resnets.models.nn.layers import CONVS, NORMS


@torch.no_grad()
def randomise(model, seed=0):
    """`model` in evaluation mode, outputs of about 1 through any depth."""
    torch.manual_seed(seed)
    for module in model.modules():
        weight, bias = getattr(module, "weight", None), getattr(module, "bias", None)
        if isinstance(module, NORMS):
            module.running_mean.uniform_(-0.5, 0.5)
            module.running_var.uniform_(0.5, 1.5)
            weight.uniform_(0.5, 1.5)
            bias.uniform_(-0.5, 0.5)
        elif isinstance(module, (*CONVS, nn.Linear)):
            weight.uniform_(-1, 1).mul_((3 / weight[0].numel()) ** 0.5)
            if bias is not None:
                bias.uniform_(-0.5, 0.5)
    return model.eval()


@torch.inference_mode()
def difference(one, two, *sizes, chans=3, dims=2):
    """The largest difference of the outputs of two functions on pictures of `sizes`, relative where outputs exceed 1."""
    worst = 0.0
    for size in sizes:
        torch.manual_seed(size)
        x = torch.rand(2, chans, *[size + axis for axis in range(dims)])
        expected, found = one(x), two(x)
        assert expected.shape == found.shape and expected.std() > 0.01
        worst = max(worst, float((expected - found).abs().max() / expected.abs().max().clamp(min=1)))
    return worst


class CifarBlock(nn.Module):
    """Of akamaster's (option A, `shortcut`) or chenyaofo's (1x1 convolution and norm, `downsample`) repository."""

    def __init__(self, in_planes, planes, stride, option):
        super().__init__()
        self.conv1 = nn.Conv2d(in_planes, planes, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(planes)
        self.conv2 = nn.Conv2d(planes, planes, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(planes)
        self.planes, self.changes, self.projection = planes, stride > 1 or in_planes != planes, None
        if option != "A" and self.changes:
            projection = nn.Sequential(nn.Conv2d(in_planes, planes, 1, stride, bias=False), nn.BatchNorm2d(planes))
            self.projection = option
            self.add_module(option, projection)

    def forward(self, x):
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        if self.projection:
            x = getattr(self, self.projection)(x)
        elif self.changes:  # akamaster's LambdaLayer
            x = F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, self.planes // 4, self.planes // 4), "constant", 0)
        return F.relu(y + x)


class CifarNet(nn.Module):
    """Args: option: "A", or the name of the projection; head: the name of the classifier; widths: of the stages."""

    def __init__(self, num_blocks, option, head, num_classes=10, widths=(16, 32, 64)):
        super().__init__()
        self.conv1 = nn.Conv2d(3, widths[0], 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(widths[0])
        chans = widths[0]
        for number, width in enumerate(widths, start=1):
            blocks = []
            for position in range(num_blocks):
                blocks.append(CifarBlock(chans, width, 2 if number > 1 and position == 0 else 1, option))
                chans = width
            self.add_module(f"layer{number}", nn.Sequential(*blocks))
        self.widths, self.head = widths, head
        self.add_module(head, nn.Linear(chans, num_classes))

    def forward(self, x):
        x = F.relu(self.bn1(self.conv1(x)))
        for number in range(1, len(self.widths) + 1):
            x = getattr(self, f"layer{number}")(x)
        return getattr(self, self.head)(x.mean((2, 3)))
