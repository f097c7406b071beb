"""Blocks left out, exchanged and measured, in every form of block."""

import copy

import pytest
import torch

import resnets
from resnets.attribution import blocks

FORMS = [
    {}, {"order": "pre"}, {"block": "bottleneck"}, {"attention": "se"}, {"shortcut": "B"}, {"norm": "none"},
    {"order": "pre", "shortcut": "B", "attention": "se"},
]  # fmt: skip


def made(**changes):
    torch.manual_seed(0)
    network = resnets.create_model("resnet20_cifar", depths=(2, 3), width=8, num_classes=3, **changes).eval()
    return network, torch.randn(2, 3, 16, 16)


@pytest.mark.parametrize("changes", FORMS)
def test_without_its_branch_a_block_is_its_shortcut(changes):
    network, x = made(**changes)
    whole = network(x)
    for place in blocks.places(network):
        changed = copy.deepcopy(network)
        twin = next(each for each in blocks.places(changed) if each.name == place.name).block
        conv, norm = twin.layers()[-1]
        for module in (conv, norm):  # the branch ends in zeros
            for parameter in module.parameters():
                torch.nn.init.zeros_(parameter)
        if not twin.pre and isinstance(norm, torch.nn.Identity) and conv.bias is not None:
            torch.nn.init.zeros_(conv.bias)
        with blocks.without(place):
            assert torch.allclose(network(x), changed(x), atol=1e-5), place.name
    assert torch.equal(network(x), whole)


@pytest.mark.parametrize("changes", FORMS)
def test_norms_are_those_of_the_sum(changes):
    network, x = made(**changes)
    place = blocks.places(network)[1]  # the second of the first stage: its shortcut is the identity
    given = []
    handle = place.block.register_forward_pre_hook(lambda module, inputs: given.append(inputs[0].clone()))
    with torch.no_grad(), blocks.norms(network) as found:
        network(x)
    handle.remove()
    assert set(found) == {"layer1.0", "layer1.1", "layer2.0", "layer2.1", "layer2.2"}
    with torch.no_grad():
        if place.block.pre:
            added = place.block(given[0].clone()) - given[0]
        else:
            *_, (conv, norm) = place.block.layers()
            y = given[0]
            for inner, inner_norm in place.block.layers()[:-1]:
                y = inner_norm(inner(y)).relu()
            added = norm(conv(y))
            added = place.block.se(added) if hasattr(place.block, "se") else added
    for number, (branch, shortcut) in enumerate(found["layer1.1"]):
        assert branch == pytest.approx(float(added[number].norm()), rel=1e-4)
        assert shortcut == pytest.approx(float(given[0][number].norm()), rel=1e-5)


def test_neighbours_of_one_shape_are_exchanged_and_put_back():
    network, x = made()
    whole = network(x)
    names = [(one.name, other.name) for one, other in blocks.pairs(network)]
    assert names == [("layer1.0", "layer1.1"), ("layer2.1", "layer2.2")]
    one, other = blocks.pairs(network)[0]
    order = list(network.layer1)
    with blocks.exchanged(one, other):
        assert list(network.layer1) == order[::-1]
        assert not torch.equal(network(x), whole)
    assert list(network.layer1) == order and torch.equal(network(x), whole)


def test_plain_networks_have_no_blocks_to_leave_out():
    assert blocks.places(resnets.create_model("plain20_cifar", num_classes=3)) == []
