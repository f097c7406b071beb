"""The trunk: what it refuses and warns of, gradients through 1202 layers, and activations computed twice."""

import copy
import warnings

import pytest
import torch

from resnets.errors import InputError
from resnets.models import zoo
from resnets.models.nn import trunk
from resnets.models.nn.trunk import Trunk
from resnets.models.spec import ResNetSpec
from resnets.ship.hub import create_model

SMALL = {
    "basic": {},
    "pre": {"order": "pre"},
    "bottleneck, groups, SE": {"block": "bottleneck", "groups": 2, "group_width": 32, "attention": "se"},
    "drop_path": {"drop_path": 0.5},
    "plain": {"shortcut": "none"},
}


def step(model, x, targets):
    """The loss of a training step, gradients, and what batch norms remember."""
    torch.manual_seed(1)
    loss = torch.nn.functional.cross_entropy(model(x), targets)
    loss.backward()
    return loss.detach(), {n: p.grad for n, p in model.named_parameters()}, dict(model.named_buffers())


@pytest.mark.parametrize("kind", SMALL)
def test_checkpointing_changes_nothing_but_memory(kind):
    torch.manual_seed(0)
    name = ResNetSpec(depths=(5, 3), width=8, stem="small", num_classes=4, **SMALL[kind])
    model = create_model(name)
    twin = copy.deepcopy(model)
    twin.checkpoint_activations = True
    x, targets = torch.randn(6, 3, 8, 8), torch.arange(6) % 4
    for _ in range(2):  # gradients add up, statistics move on
        loss, grads, buffers = step(model, x, targets)
        again, grads_again, buffers_again = step(twin, x, targets)
    assert torch.equal(loss, again)
    for one, two in ((grads, grads_again), (buffers, buffers_again)):
        torch.testing.assert_close(two, one, rtol=0, atol=0)
    assert all(int(n) == 2 for name, n in buffers_again.items() if name.endswith("num_batches_tracked"))


def test_checkpointing_forgets_activations():
    model = create_model("resnet56_cifar", num_classes=4)
    x, saved = torch.randn(2, 3, 16, 16), {}
    for on in (False, True):
        model.checkpoint_activations, kept = on, []
        with torch.autograd.graph.saved_tensors_hooks(lambda t, kept=kept: (kept.append(t), t)[1], lambda t: t):
            model(x)
        own = {p.data_ptr() for p in model.parameters()} | {b.data_ptr() for b in model.buffers()}
        saved[on] = sum({t.data_ptr(): t.numel() for t in kept if t.data_ptr() not in own}.values())
    assert saved[True] < saved[False] / 4


def test_checkpointing_works_in_groups_of_the_square_root(monkeypatch):
    """One group for all would compute, and keep, every activation at once in the backward pass."""
    lengths = []
    monkeypatch.setattr(trunk, "checkpoint", lambda part, x, **settings: (lengths.append(len(part)), part(x))[1])
    model = create_model(ResNetSpec(depths=(9, 5, 1), width=8, stem="small"))
    model.checkpoint_activations = True
    model(torch.zeros(2, 3, 8, 8))
    assert lengths == [3, 3, 3, 3, 2, 1]
    with torch.no_grad():
        model(torch.zeros(2, 3, 8, 8))
    assert len(lengths) == 6  # without gradients there is nothing to forget


def test_checkpointing_in_evaluation_reads_the_running_statistics():
    model = create_model("resnet20_cifar").eval()
    for norm in (m for m in model.modules() if isinstance(m, torch.nn.BatchNorm2d)):
        torch.nn.init.uniform_(norm.running_mean)
    x = torch.randn(2, 3, 8, 8, requires_grad=True)
    grads = []
    for model.checkpoint_activations in (False, True):
        grads += torch.autograd.grad(model(x).logsumexp(1).sum(), x)
    assert torch.equal(*grads)


def test_gradients_reach_the_first_of_1202_layers():
    torch.manual_seed(0)
    model = create_model("resnet1202_cifar")
    torch.nn.functional.cross_entropy(model(torch.randn(2, 3, 8, 8)), torch.tensor([0, 1])).backward()
    grad = model.conv1.weight.grad
    assert torch.isfinite(grad).all() and grad.abs().max() > 1e-6


@pytest.mark.slow
def test_gradients_reach_the_first_of_1202_layers_at_full_size():
    torch.manual_seed(0)
    model = create_model("resnet1202_cifar")
    model.checkpoint_activations = True
    torch.nn.functional.cross_entropy(model(torch.randn(2, 3, 32, 32)), torch.tensor([0, 1])).backward()
    assert all(torch.isfinite(p.grad).all() for p in model.parameters())
    assert model.conv1.weight.grad.abs().max() > 1e-6


@pytest.mark.parametrize("shape", [(1, 1, 96, 96), (1, 4, 96, 96), (3, 96, 96), (1, 3, 96), (1, 3, 96, 96, 96)])
def test_input_of_another_shape_is_refused(shape):
    with (
        torch.device("meta"),
        pytest.raises(InputError, match=r"resnet18 takes input of shape \(N, 3, H, W\).*in_chans or dims"),
    ):
        create_model("resnet18")(torch.empty(shape))


@pytest.mark.parametrize("dims, axes", [(1, "(N, 2, W)"), (3, "(N, 2, D, H, W)")])
def test_refusal_names_the_axes(dims, axes):
    with torch.device("meta"), pytest.raises(InputError) as caught:
        create_model("resnet20_cifar", dims=dims, in_chans=2)(torch.empty(1, 3, 8, 8))
    assert axes in str(caught.value)


@pytest.mark.parametrize("stem", ["imagenet", "deep"])
def test_small_pictures_in_a_large_stem_earn_one_warning_with_the_remedy(stem):
    model = create_model("resnet18", stem=stem).eval()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        for _ in range(3):
            model(torch.zeros(1, 3, 32, 32))
    assert len(caught) == 1
    message = str(caught[0].message)
    assert all(part in message for part in ("resnet18", "32 pixels to 1", "_cifar", "--stem small", "--img-size"))


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    "name, size, changes", [("resnet18", 96, {}), ("resnet18", 32, {"stem": "small"}), ("resnet20_cifar", 32, {})]
)
def test_inputs_that_fit_earn_no_warning(name, size, changes):
    with torch.device("meta"):
        create_model(name, **changes)(torch.empty(1, 3, size, size))


def test_pre_activation_normalises_the_last_level_alone():
    pre = Trunk(zoo.get("preresnet164_cifar")).eval()
    assert not hasattr(pre, "bn1")
    with torch.no_grad():
        levels = pre.features(torch.randn(2, 3, 16, 16))
    assert levels["c4"].min() == 0
    assert all(levels[name].min() < 0 for name in ("c1", "c2", "c3"))
