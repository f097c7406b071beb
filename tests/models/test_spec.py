"""What follows from a spec, against published counts; and what a spec refuses."""

import dataclasses
import json
import math

import pytest
import torch
import torchvision
from torch.utils.flop_counter import FlopCounterMode

from resnets.data.preprocess import Preprocess
from resnets.errors import InputError
from resnets.models import zoo
from resnets.models.parts import round_to_8
from resnets.models.spec import CHOICES, ResNetSpec, SpecFields

# Layers: parameters with shortcut A, with B, multiply-adds as printed.
CIFAR = {
    "resnet20_cifar": (269_722, 272_474, "40.55 M"),
    "resnet32_cifar": (464_154, 466_906, "68.86 M"),
    "resnet44_cifar": (658_586, 661_338, "97.17 M"),
    "resnet56_cifar": (853_018, 855_770, "125.49 M"),
    "resnet110_cifar": (1_727_962, 1_730_714, "252.89 M"),
    "resnet1202_cifar": (19_421_274, 19_424_026, "2.829 G"),
}
PRE = {
    ("preresnet110_cifar", 10): (1_727_962, "252.89 M"),
    ("preresnet164_cifar", 10): (1_703_258, "244.50 M"),
    ("preresnet164_cifar", 100): (1_726_388, "244.52 M"),
    ("preresnet1001_cifar", 10): (10_327_706, "1.488 G"),
}
TORCHVISION = {
    "resnet18": "1.814",
    "resnet34": "3.664",
    "resnet50": "4.089",
    "resnet101": "7.801",
    "resnet152": "11.514",
    "resnext50_32x4d": "4.230",
    "resnext101_32x8d": "16.414",
    "resnext101_64x4d": "15.460",
    "wide_resnet50_2": "11.398",
    "wide_resnet101_2": "22.753",
}
V1 = {"resnet50_v1": "3.858", "resnet101_v1": "7.570", "resnet152_v1": "11.282"}


def printed(macs):
    return f"{macs / 1e9:.3f} G" if macs >= 1e9 else f"{macs / 1e6:.2f} M"


@pytest.mark.parametrize("name", CIFAR)
def test_cifar_family_has_the_counts_of_both_shortcuts(name):
    params_a, params_b, macs = CIFAR[name]
    assert zoo.get(name).num_params == params_a
    assert zoo.get(name, shortcut="B").num_params == params_b
    assert printed(zoo.get(name).num_macs()) == macs


def test_plain_networks_have_the_parameters_of_shortcut_a():
    for depth in (20, 32, 44, 56, 110):
        assert zoo.get(f"plain{depth}_cifar").num_params == CIFAR[f"resnet{depth}_cifar"][0]


@pytest.mark.parametrize("key", PRE, ids=str)
def test_pre_activation_family_has_its_counts(key):
    name, num_classes = key
    spec = zoo.get(name, num_classes=num_classes)
    assert (spec.num_params, printed(spec.num_macs())) == PRE[key]


@pytest.mark.parametrize("name", TORCHVISION)
def test_imagenet_counts_are_those_of_torchvisions_metadata(name):
    meta = torchvision.models.get_model_weights(name).DEFAULT.meta
    spec = zoo.get(name)
    assert spec.num_params == meta["num_params"]
    assert f"{spec.num_macs(224) / 1e9:.3f}" == TORCHVISION[name]
    assert math.isclose(spec.num_macs(224) / 1e9, meta["_ops"], abs_tol=5e-4)


@pytest.mark.parametrize("name", V1)
def test_the_papers_stride_costs_less_with_the_same_parameters(name):
    spec, ours = zoo.get(name), zoo.get(name.removesuffix("_v1"))
    assert f"{spec.num_macs() / 1e9:.3f}" == V1[name]
    assert spec.num_params == ours.num_params
    assert spec.num_macs() < ours.num_macs()


def test_table_of_resnet50_is_the_papers():
    table = zoo.get("resnet50").table()
    assert [row.stage for row in table] == ["conv1", "conv2_x", "conv3_x", "conv4_x", "conv5_x", "head"]
    assert [row.size for row in table] == [(n, n) for n in (112, 56, 28, 14, 7, 1)]
    assert [row.channels for row in table] == [64, 256, 512, 1024, 2048, 1000]
    assert table[0].layers == "7×7, 64, stride 2"
    assert table[2].layers == "[1×1, 128; 3×3, 128; 1×1, 512] × 4"
    assert table[-1].num_params == 2048 * 1000 + 1000
    assert table[-1].num_macs == 2048 * 1000


def test_levels_state_channels_and_strides():
    def levels(name, **changes):
        return [(level.name, level.channels, level.stride) for level in zoo.get(name, **changes).levels]

    assert levels("resnet50") == [("c1", 64, 2), ("c2", 256, 4), ("c3", 512, 8), ("c4", 1024, 16), ("c5", 2048, 32)]
    assert levels("resnet20_cifar") == [("c1", 16, 1), ("c2", 16, 1), ("c3", 32, 2), ("c4", 64, 4)]
    assert levels("wrn28_10_cifar") == [("c1", 16, 1), ("c2", 160, 1), ("c3", 320, 2), ("c4", 640, 4)]
    assert levels("resnet18", stem="small")[-1] == ("c5", 512, 8)
    assert levels("resnet18", stem_stride=1)[-1] == ("c5", 512, 16)
    assert [level[2] for level in levels("preresnet50", stage_stride="last")] == [2, 8, 16, 32, 32]


def test_dlibs_network_pads_nothing_where_it_strides():
    spec = zoo.get("resnet29_dlib")
    assert [row.size[0] for row in spec.table()] == [72, 35, 17, 8, 4, 2, 1]  # 8 to 4: the branch, of 3, is padded
    assert [level[1] for level in map(dataclasses.astuple, spec.levels)] == [32, 32, 64, 128, 256, 256]
    assert spec.least_size == 103 and zoo.get("resnet50").least_size == 1
    with pytest.raises(InputError, match=r"output_stride: .*shortcut='pool'.*cannot replace"):
        _ = zoo.get("resnet29_dlib", output_stride=32).stages


def test_output_stride_bounds_the_strides_of_levels():
    assert [level.stride for level in zoo.get("resnet50", output_stride=16).levels] == [2, 4, 8, 16, 16]
    assert [level.stride for level in zoo.get("resnet50", output_stride=8).levels] == [2, 4, 8, 8, 8]
    assert zoo.get("resnet20_cifar", output_stride=8).levels == zoo.get("resnet20_cifar").levels  # theirs end at 4
    dense, usual = zoo.get("resnet50", output_stride=16), zoo.get("resnet50")
    assert dense.num_params == usual.num_params
    # Stage 5 at four times the positions; the first 1x1 of its first block has been there before.
    stage, first = usual.table()[4].num_macs, 14 * 14 * 1024 * 512
    assert dense.table()[4].num_macs - first == 4 * (stage - first)


def test_without_norms_convolutions_have_biases_in_their_place():
    with_norms, without = zoo.get("resnet20_cifar"), zoo.get("resnet20_cifar", norm="none")
    assert with_norms.num_params - without.num_params == 7 * 16 + 6 * 32 + 6 * 64  # a bias for a scale and a shift
    assert without.num_macs() == with_norms.num_macs() and zoo.get("resnet18", norm="none").num_macs() == 1_814_073_344
    assert zoo.get("preresnet18", norm="none").table()[-1].layers == "ReLU, average pool, 1000-d fc"


def test_drop_path_grows_linearly_from_the_first_branch():
    blocks = [block for stage in zoo.get("resnet18", drop_path=0.7).stages for block in stage]
    assert [round(block.drop_path, 6) for block in blocks] == [round(0.1 * n, 6) for n in range(8)]


@pytest.mark.parametrize("value, rounded", [(4, 8), (8, 8), (12, 16), (16, 16), (19.9, 24), (20, 24), (28, 32), (128, 128)])
def test_round_to_8_is_that_of_the_mobilenets(value, rounded):
    assert round_to_8(value) == rounded


INVALID = [
    *[
        (field, "other")
        for field in ("block", "stem", "shortcut", "stride_in", "order", "norm", "activation", "attention", "depth_counts")
    ],
    ("stage_stride", "middle"),
    *[("stem_stride", value) for value in (0, 3, "2", True, 1.5)],
    ("block", None),
    *[(field, 0) for field in ("width", "most_width", "groups", "group_width", "in_chans")],
    *[(field, value) for field in ("width", "in_chans", "num_classes") for value in (-1, 2.5, "64", True, None)],
    *[("depths", value) for value in ((), (2,) * 8, (2, 0), (2, -1), (2.5, 2), 5, "2222", None, (2, "2"), (True, True))],
    *[("drop_path", value) for value in (1, -0.1, math.nan, "0.1", None)],
    *[("dims", value) for value in (0, 4, "2", None, 2.5)],
    *[("stem_width", value) for value in (0, -1, "64", 2.5)],
    *[("output_stride", value) for value in (0, 4, 128, "16", 16.0, True, None)],
    *[
        ("strides", value)
        for value in (("11", "22"), ("11", "22", "22", "13"), ("11", "22", "22", "2"), "1122", (1, 2, 2, 2), 4)
    ],
    ("zero_init_last", "no"),
]


@pytest.mark.parametrize("field, value", INVALID)
def test_invalid_value_is_refused_by_the_fields_name(field, value):
    with pytest.raises(InputError, match=field):
        ResNetSpec(**{field: value})


@pytest.mark.parametrize(
    "changes, said",
    [
        ({"block": "basic", "groups": 32}, "groups"),
        ({"block": "basic", "group_width": 4}, "group_width"),
        ({"block": "bottleneck", "width": 4, "group_width": 4}, "group_width"),
        ({"stem": "deep", "width": 15}, "stem_width"),
        ({"stem": "keras"}, "order='pre'"),
        ({"stem": "none", "stem_stride": 2}, "has stride 1"),
        ({"shortcut": "norm", "order": "pre"}, "order=.post."),
        ({"block": "wang", "groups": 2}, "groups=2: with block='wang'"),
        ({"strides": ("11", "21", "12", "22"), "shortcut": "A"}, "strides: need shortcut B, C or D"),
        ({"strides": ("11", "21", "12", "22"), "stage_stride": "last"}, "strides: need .* first block"),
        ({"strides": ("11", "21", "12", "22"), "output_stride": 8}, "strides: need .* output_stride"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(changes, said):
    with pytest.raises(InputError, match=said):
        ResNetSpec(**changes)


@pytest.mark.parametrize("shortcut", ["B", "C", "D", "none"])
@pytest.mark.parametrize("block", ["basic", "bottleneck"])
def test_strides_along_each_axis_are_those_of_the_network(block, shortcut):
    """Sizes, parameters and channels that the spec states are the modules'; an axis that is kept keeps its length."""
    from resnets.models.nn.trunk import Trunk

    shape = {"depths": (1, 2, 1), "width": 4, "most_width": 6, "strides": ("111", "122", "221")}
    spec = zoo.get("resenc54", **shape, block=block, shortcut=shortcut, num_classes=0)
    trunk = Trunk(spec).eval()
    features = trunk.features(torch.zeros(1, 1, 5, 9, 8))
    steps = {level.name: level.steps for level in spec.levels}
    assert steps == {"c1": (), "c2": (1, 1, 1), "c3": (1, 2, 2), "c4": (2, 4, 2)}
    assert [tuple(features[name].shape[2:]) for name in steps] == [(5, 9, 8), (5, 9, 8), (5, 5, 4), (3, 3, 4)]
    assert [features[level.name].shape[1] for level in spec.levels] == [level.channels for level in spec.levels]
    assert [row.size for row in spec.table((5, 9, 8))[:-1]] == [tuple(features[name].shape[2:]) for name in steps]
    assert sum(parameter.numel() for parameter in trunk.parameters()) == spec.num_params
    with FlopCounterMode(display=False) as counter:
        trunk.features(torch.zeros(1, 1, 5, 9, 8))
    assert spec.num_macs((5, 9, 8)) == counter.get_total_flops() // 2


def test_widths_double_up_to_the_most():
    assert [level.channels for level in zoo.get("resenc54").levels] == [32, 32, 64, 128, 256, 320, 320]
    assert [level.channels for level in zoo.get("resnet18", most_width=100).levels] == [64, 64, 100, 100, 100]


def test_a_file_says_new_fields_where_they_are_used_alone():
    new = {"most_width", "strides", "activation"}
    assert not new & zoo.get("resnet18").to_json().keys()
    spec = zoo.get("resenc54", depths=(1, 1), strides=("111", "122"))
    assert new <= spec.to_json().keys() and ResNetSpec(**json.loads(json.dumps(spec.to_json()))) == spec


def test_shortcut_a_cannot_narrow():
    with pytest.raises(InputError, match="shortcut A"):
        _ = ResNetSpec(shortcut="A", stem_width=128).stages


@pytest.mark.parametrize(
    "field, value",
    [
        ("size", (224,) * 4), ("size", (0, 224)), ("crop_pct", 0), ("crop_pct", 1.1), ("crop_pct", math.nan),
        ("resize", "stretch"), ("interpolation", "nearest"), ("mean", (0.5,)), ("mean", (math.nan,) * 3), ("std", (0.0,) * 3),
        ("std", (math.inf,) * 3),
    ],
)  # fmt: skip
def test_invalid_preprocess_is_refused_by_the_fields_name(field, value):
    with pytest.raises(InputError, match=field):
        Preprocess(**{field: value})


@pytest.mark.parametrize("name", zoo.names())
def test_json_keeps_a_spec(name):
    spec = zoo.get(name)
    again = ResNetSpec(**json.loads(json.dumps(dataclasses.asdict(spec))))
    assert again == spec and hash(again) == hash(spec)


def test_json_keeps_a_preprocess():
    row = Preprocess(size=(2, 3), resize="pad", mean=tuple(n / 7 for n in range(6)), std=(0.3,))
    assert Preprocess(**json.loads(json.dumps(dataclasses.asdict(row)))) == row
    assert row.in_chans == 1


def test_choices_name_fields_that_exist():
    fields = {field.name for row in (ResNetSpec, Preprocess) for field in dataclasses.fields(row)}
    assert set(CHOICES) <= fields


def test_typed_fields_are_those_of_the_spec():
    fields = [field.name for field in dataclasses.fields(ResNetSpec)]
    assert ["name", *SpecFields.__annotations__] == fields
