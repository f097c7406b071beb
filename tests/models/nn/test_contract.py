"""The contract that every named network keeps: what its spec states is what its modules do."""

import itertools
import math

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from resnets.models import zoo
from resnets.models.nn.trunk import Trunk
from resnets.models.spec import ResNetSpec
from resnets.ship.hub import create_model
from resnets.tasks.classify.task import Classify

pytestmark = pytest.mark.filterwarnings("ignore:.*its stem is made for")
# A few that differ in each switch, small enough to run.
TRAINABLE = ["resnet18", "resnet20_cifar", "plain20_cifar", "preresnet18", "wrn16_8_cifar", "seresnet18", "resnet18d"]
TRAINABLE += ["resnext29_8x64d_cifar"]


def padded(spec):
    return spec.stem != "dlib" and spec.shortcut != "pool"


def check(name, size, **changes):
    """Levels, parameters and multiply-adds of one network, counted by torch on the meta device, against its spec."""
    with torch.device("meta"):
        model = create_model(name, **changes)
        x = torch.empty(2, model.spec.in_chans, *size)
        spec = model.eval().spec
        with FlopCounterMode(display=False) as counter:
            features = y = model.features(x)
            for head in model.head_names:
                y = getattr(model, head)(y)
    assert {n: f.shape[1] for n, f in features.items()} == {level.name: level.channels for level in spec.levels}
    for level, row in zip(spec.levels, spec.table(size), strict=False):
        if padded(spec):
            assert row.size == tuple(math.ceil(n / level.stride) for n in size)
        assert features[level.name].shape == (2, level.channels, *row.size), level.name
    assert list(features) == [level.name for level in spec.levels]
    assert y.shape == (2, spec.num_classes or spec.num_features)
    assert sum(p.numel() for p in model.parameters()) == spec.num_params
    assert counter.get_total_flops() == 2 * 2 * spec.num_macs(size)  # a batch of two; a multiply-add is two operations
    assert spec.num_params == sum(row.num_params for row in spec.table(size))


def thinned(*options, every):
    """Every combination of the options. One of so many is quick, and so chosen that any two options meet in a quick one."""
    return [
        pytest.param(*(value for _, value in pairs), marks=[pytest.mark.slow] * (sum(place for place, _ in pairs) % every > 0))
        for pairs in itertools.product(*map(enumerate, options))
    ]


# A deep network has no block that a shallower one of its kind has not; its counts are those of tests/models/test_spec.py.
NAMES = [pytest.param(name, marks=[pytest.mark.slow] * (zoo.get(name).num_layers > 60)) for name in zoo.names()]


@pytest.mark.parametrize("name", NAMES)
def test_network_is_what_its_spec_states(name):
    spec = zoo.get(name)
    check(name, (spec.img_size,) * spec.dims)


@pytest.mark.parametrize("name", [*TRAINABLE, "resnet50_v1", "resnet50d", "seresnet50", "resnext50_32x4d", "resnet10_wang"])
@pytest.mark.parametrize("size", [(97, 75), (1, 1), (130,), (33, 65, 17)], ids=str)
def test_odd_sizes_and_other_dimensions(name, size):
    check(name, size, dims=len(size), depths=(1,) * len(zoo.get(name).depths))


@pytest.mark.parametrize("name", TRAINABLE)
@pytest.mark.parametrize("in_chans", [1, 4])
def test_other_channels(name, in_chans):
    check(name, (64, 64), in_chans=in_chans, num_classes=7)


@pytest.mark.parametrize("name", TRAINABLE)
def test_without_a_classifier_it_gives_pooled_features(name):
    check(name, (64, 64), num_classes=0)


STEMS, SHORTCUTS = ("imagenet", "small", "deep"), ("A", "B", "C", "D", "none")
ORDERS, BLOCKS = ("post", "pre"), ("basic", "bottleneck")


@pytest.mark.parametrize(
    ("stem", "shortcut", "order", "block", "dims"),
    thinned((*STEMS, "dlib"), (*SHORTCUTS, "pool"), ORDERS, BLOCKS, (1, 2, 3), every=5),
)
def test_switches_in_every_combination(stem, shortcut, order, block, dims):
    spec = ResNetSpec(block=block, depths=(2, 1, 2), width=16, stem=stem, shortcut=shortcut, order=order, attention="se")
    check(spec, (37, 50, 21)[:dims] if padded(spec) else (87, 90, 89)[:dims], dims=dims)


@pytest.mark.parametrize(("stem", "shortcut", "order", "block"), thinned(STEMS, SHORTCUTS, ORDERS, BLOCKS, every=3))
def test_without_norms(stem, shortcut, order, block):
    spec = ResNetSpec(block=block, depths=(2, 1, 2), width=16, stem=stem, shortcut=shortcut, order=order, norm="none")
    check(spec, (37, 50))


STRIDES = (
    {"stem": "keras", "order": "pre", "stage_stride": "last"},
    {"stage_stride": "last"},
    {"stem_stride": 1},
    {"stem": "small", "stem_stride": 2},
    {"stem": "deep", "stem_stride": 1},
    {"output_stride": 8},
    {"stage_stride": "last", "output_stride": 8, "order": "pre"},
)


@pytest.mark.parametrize(
    ("changes", "shortcut", "block", "dims"), thinned(STRIDES, SHORTCUTS, BLOCKS, (1, 2, 3), every=4), ids=str
)
def test_other_places_of_strides(changes, shortcut, block, dims):
    spec = ResNetSpec(block=block, depths=(2, 1, 3), width=16, shortcut=shortcut, **changes)
    check(spec, (37, 50, 21)[:dims], dims=dims)


@pytest.mark.parametrize("changes", [{}, {"in_chans": 1}, {"in_chans": 4}, {"dims": 1}, {"dims": 3}], ids=str)
@pytest.mark.parametrize("name", TRAINABLE)
def test_every_parameter_gets_a_finite_gradient(name, changes):
    torch.manual_seed(0)
    # A quarter of the width is the same network for this purpose.
    quarter = {} if "cifar" in name and "resnext" not in name else {"width": 16}
    model = create_model(name, num_classes=5, **quarter, **changes)
    spec = model.spec
    x = torch.randn(2, spec.in_chans, *[{1: 64, 2: 40, 3: 33}[spec.dims] // (1 if spec.has_max_pool else 4)] * spec.dims)
    torch.nn.functional.cross_entropy(model(x), torch.tensor([0, 1])).backward()
    for parameter_name, parameter in model.named_parameters():
        assert parameter.grad is not None and torch.isfinite(parameter.grad).all(), parameter_name
    assert next(model.parameters()).grad.any()


def test_a_model_is_its_trunk_and_its_head():
    torch.manual_seed(0)
    model = create_model("resnet20_cifar").eval()
    trunk = Trunk(model.spec).eval()
    trunk.load_state_dict({n: t for n, t in model.state_dict().items() if not n.startswith("fc.")})
    x = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        features = trunk.features(x)
        torch.testing.assert_close(model(x), model.fc(features["c4"].mean((2, 3))))
    assert model.head_names == tuple(Classify().head(model, {})) == ("avgpool", "fc")
