"""Segmentation heads: shapes over every kind of trunk, gradients, and what they refuse."""

import pytest
import torch

from resnets.errors import InputError
from resnets.models import zoo
from resnets.models.spec import ResNetSpec
from resnets.tasks.segment.head import HEADS, Segmenter, Supervised, segmentation
from resnets.tasks.segment.losses import criterion

pytestmark = pytest.mark.filterwarnings("ignore:.*its stem is made for")

SMALL = {"depths": (1, 1, 1, 1), "width": 8, "num_classes": 5}
TRUNKS = {
    "imagenet": {},
    "small stem": {"stem": "small", "depths": (1, 1, 1)},
    "pre, bottleneck": {"order": "pre", "block": "bottleneck"},
    "deep stem, dilated": {"stem": "deep", "shortcut": "D", "output_stride": 8},
    "keras": {"stem": "keras", "order": "pre", "stage_stride": "last"},
    "no norms": {"norm": "none"},
    "one stage": {"depths": (1,)},
}


@pytest.mark.parametrize("trunk", TRUNKS)
@pytest.mark.parametrize("head", HEADS)
def test_every_position_gets_a_logit_a_class(head, trunk):
    spec = ResNetSpec(**(SMALL | TRUNKS[trunk]))
    for dims, sizes in ((1, [(130,)]), (2, [(64, 96), (67, 33), (1, 1)]), (3, [(33, 17, 20)])):
        with torch.device("meta"):
            model = Segmenter(zoo.change(spec, dims=dims, in_chans=2), head).eval()
            for size in sizes:
                assert model(torch.empty(2, 2, *size))["out"].shape == (2, 5, *size)


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("head", HEADS)
def test_every_parameter_learns_from_a_batch_of_one(head, dims):
    torch.manual_seed(0)
    auxiliary = head != "deep_unet"
    model = Segmenter(ResNetSpec(**SMALL | {"dims": dims, "stem": "small"}), head, auxiliary=auxiliary)
    size = (33, 20, 9)[:dims]
    outputs = model(torch.randn(1, 3, *size))
    assert list(outputs) == (["out", "aux"] if auxiliary else ["out"])
    targets = torch.randint(5, (1, *size))
    sum(criterion("ce", 0.0, None)(output, targets)["loss"] for output in outputs.values()).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None and torch.isfinite(parameter.grad).all(), name
    assert model.conv1.weight.grad.any() and (not auxiliary or model.aux.logits.weight.grad.any())


@pytest.mark.parametrize("head", HEADS)
def test_a_few_steps_tell_two_halves_apart(head):
    """Each position's own class comes out, at an odd size: left and right are told by colour."""
    torch.manual_seed(0)
    model = Segmenter(ResNetSpec(depths=(1, 1), width=8, stem="small", num_classes=2), head)
    x, targets = torch.randn(4, 3, 21, 19) * 0.3, torch.zeros(4, 21, 19, dtype=torch.long)
    x[..., 9:] += 1
    targets[..., 9:] = 1
    optimiser = torch.optim.Adam(model.parameters(), 5e-3)
    for _ in range(25):
        optimiser.zero_grad()
        criterion("ce", 0.0, None)(model(x)["out"], targets)["loss"].backward()
        optimiser.step()
    with torch.inference_mode():
        right = (model.eval()(x)["out"].argmax(1) == targets).float().mean()
    assert right > 0.9


def test_unet_reads_every_level():
    model = Segmenter(ResNetSpec(**SMALL), "unet").eval()
    features = model.features(torch.randn(1, 3, 64, 64))
    with torch.inference_mode():
        whole = model.head(features, (64, 64))
        for name in features:
            without = features | {name: torch.zeros_like(features[name])}
            assert not torch.equal(model.head(without, (64, 64)), whole), name


def test_deep_unet_says_something_at_every_resolution_in_training_alone():
    spec = zoo.get("resenc54", depths=(1, 1, 1, 1), width=4, strides=("111", "122", "222", "212"), num_classes=3)
    model, x = Segmenter(spec, "deep_unet"), torch.randn(1, 1, 6, 11, 16)
    found = model(x)["out"]
    assert isinstance(found, Supervised)
    assert [tuple(logits.shape[2:]) for logits in (found.logits, *found.lower)] == [(6, 11, 16), (6, 6, 8), (3, 3, 4)]
    assert torch.allclose(model.eval()(x)["out"], found.logits, atol=1e-5)  # instance norm is the same in evaluation
    assert model.head.beside == ["c4", "c3", "c2"]  # of c1 and c2, of one size, the deeper one


def test_dilations_follow_the_stride():
    def dilations(**changes):
        head = HEADS["deeplabv3"].make(zoo.get("resnet18", **changes))
        return [branch[0].dilation[0] for branch in head.branches]

    assert dilations(output_stride=8) == [1, 12, 24, 36]
    assert dilations(output_stride=16) == [1, 6, 12, 18]
    assert dilations(stem="small", depths=(1, 1, 1)) == [1, 12, 24, 36]


@pytest.mark.parametrize(
    "arguments, said",
    [
        ({"spec": ResNetSpec(), "head": "segformer"}, "use one of: unet, fcn, deeplabv3"),
        ({"spec": ResNetSpec(num_classes=0)}, "num_classes=0"),
        ({"spec": ResNetSpec(depths=(1,)), "auxiliary": True}, "single stage"),
        ({"spec": ResNetSpec(), "head": "deep_unet", "auxiliary": True}, "no auxiliary head beside it"),
    ],
    ids=["head", "classes", "auxiliary", "deep"],
)
def test_what_cannot_be_is_refused(arguments, said):
    with pytest.raises(InputError, match=said):
        segmentation(**arguments)
