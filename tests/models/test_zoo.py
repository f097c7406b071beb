"""The table of names: each is there, is as deep as it says, and a wrong one is answered with the nearest."""

import re
import subprocess
import sys

import pytest

from resnets.errors import InputError
from resnets.models import zoo

PROMISED = """
    resnet18 resnet34 resnet50 resnet101 resnet152 resnet200 resnet50_v1 resnet101_v1 resnet152_v1 plain18 plain34
    resnet20_cifar resnet32_cifar resnet44_cifar resnet56_cifar resnet110_cifar resnet1202_cifar plain20_cifar
    plain32_cifar plain44_cifar plain56_cifar plain110_cifar preresnet18 preresnet34 preresnet50 preresnet101
    preresnet152 preresnet200 preresnet110_cifar preresnet164_cifar preresnet1001_cifar resnext50_32x4d resnext101_32x8d
    resnext101_64x4d resnext29_8x64d_cifar wide_resnet50_2 wide_resnet101_2 wrn16_8_cifar wrn28_10_cifar wrn40_4_cifar
    seresnet18 seresnet34 seresnet50 seresnet101 seresnet152 resnet18d resnet34d resnet50d resnet101d resnet152d
    resnet8_cifar resnet9_cifar resnet10_wang resnet29_dlib resenc54
""".split()  # noqa: SIM905


def test_names_are_those_promised():
    assert sorted(zoo.names()) == sorted(PROMISED)


@pytest.mark.parametrize("name", zoo.names())
def test_depth_is_the_number_in_the_name(name):
    spec = zoo.get(name)
    assert spec.name == name
    assert spec.num_layers == int(re.search(r"\d+", name)[0])


def test_names_match_a_pattern():
    assert zoo.names("*cifar*") == [name for name in PROMISED if name in zoo.names() and "cifar" in name]
    assert zoo.names("resnext") == zoo.names("*resnext*") == [name for name in zoo.names() if "resnext" in name]
    assert zoo.names("resnet1?") == ["resnet18"]
    assert zoo.names("PLAIN*") == zoo.names("plain*") != []
    assert zoo.names("nothing") == []


@pytest.mark.parametrize(
    "wrong, near", [("resnet51", "resnet50"), ("ResNet50", "resnet50"), ("resnet20cifar", "resnet20_cifar")]
)
def test_wrong_name_is_answered_with_the_nearest(wrong, near):
    with pytest.raises(InputError, match=rf"{wrong}.*did you mean.*\b{near}\b"):
        zoo.get(wrong)


def test_name_like_no_other_has_no_hint():
    with pytest.raises(InputError, match="resnets models") as caught:
        zoo.get("zzz")
    assert "did you mean" not in str(caught.value)


def test_unknown_change_is_refused():
    with pytest.raises(InputError, match=r"'in_channels'.*in_chans"):
        zoo.get("resnet18", in_channels=1)
    with pytest.raises(InputError, match="'name'"):
        zoo.change(zoo.get("resnet18"), name="mine")


def test_changes_leave_the_row_as_it_is():
    changed = zoo.get("resnet18", in_chans=1, dims=3, stem="small", shortcut="C")
    assert (changed.name, changed.in_chans, changed.dims, changed.stem, changed.shortcut) == ("resnet18", 1, 3, "small", "C")
    assert zoo.get("resnet18").in_chans == 3


WITHOUT = {
    **dict.fromkeys(
        ["resnets", "resnets.models.spec", "resnets.models.zoo", "resnets.engine.recipe", "resnets.tasks", "resnets.files"],
        ("torch", "torchvision", "numpy"),
    ),
    "resnets.engine.contract": ("torch", "torchvision"),
}


@pytest.mark.parametrize("module", WITHOUT)
def test_names_answer_without_torch(module):
    code = f"import sys, {module}; print([m for m in {WITHOUT[module]} if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
