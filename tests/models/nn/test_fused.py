"""The fused operation gives what torch's norm, addition and ReLU give one after the other."""

import math

import pytest
import torch
from torch import nn

from resnets import create_model
from resnets.models.nn import fused
from resnets.models.nn.layers import NORM, InstanceNorm

pytestmark = pytest.mark.skipif(fused.kernels() is None, reason="no Numba with OpenMP here")
LAYOUTS = {4: torch.channels_last, 5: torch.channels_last_3d}
# (N, C, *spatial): C that divides a vector's lanes, is a multiple, is neither; memory that ends within a row.
SHAPES = [
    (8, 16, 8, 8),
    (3, 32, 5, 7),
    (2, 64, 9, 9),
    (5, 3, 11, 3),
    (4, 48, 6, 5),
    (3, 160, 7, 7),
    (2, 256, 1, 1),
    (2, 16, 5, 4, 3),
]
SHAPES += [(130, 16, 32, 32)]  # several stretches of rows


# The norm, and what follows it.
KINDS = {
    "batch": (lambda shape: NORM[len(shape) - 2](shape[1]), nn.ReLU()),
    "batch-leaky": (lambda shape: NORM[len(shape) - 2](shape[1]), nn.LeakyReLU(0.01)),
    "instance": (lambda shape: InstanceNorm(shape[1], len(shape) - 2), nn.ReLU()),
    "instance-leaky": (lambda shape: InstanceNorm(shape[1], len(shape) - 2), nn.LeakyReLU(0.2)),
}


def made(shape, dtype, seed=0, kind="batch"):
    """A norm with drawn parameters and statistics, x, what is added to it, and the gradient behind."""
    torch.manual_seed(seed)
    norm = KINDS[kind][0](shape)
    for name, tensor in [*norm.named_parameters(), *norm.named_buffers()]:
        if tensor.is_floating_point():
            nn.init.uniform_(tensor, *((0.5, 1.5) if name in ("weight", "running_var") else (-0.5, 0.5)))
    x, add, dy = (torch.randn(shape).to(dtype, memory_format=LAYOUTS[len(shape)]) for _ in range(3))
    return norm, x * 2 + 1, add, dy


def results(norm, x, add, dy, on, kind="batch"):
    """Output, gradients and statistics after one step."""
    fused.enable(norm, on)
    x, add = x.clone().requires_grad_(), None if add is None else add.clone().requires_grad_()
    y = fused.norm_relu(norm, KINDS[kind][1], x, add)
    assert ("NormReLU" in type(y.grad_fn).__name__) == on
    y.backward(dy)
    found = {"y": y, "dx": x.grad, "dweight": norm.weight.grad, "dbias": norm.bias.grad}
    found |= {"dadd": add.grad} if add is not None else {}
    return {name: value.detach().float() for name, value in found.items()} | {
        name: value.clone() for name, value in norm.named_buffers()
    }


def off_the_kink(norm, x, add, dy):
    """`dy` without gradient where rounding decides on which side of the ReLU's kink a place lies."""
    if isinstance(norm, InstanceNorm):
        z = nn.functional.group_norm(x.double(), x.shape[1], norm.weight.double(), norm.bias.double())
    else:
        z = nn.functional.batch_norm(x.double(), None, None, norm.weight.double(), norm.bias.double(), training=True)
    z = z if add is None else z + add
    return torch.where(z.abs() > 0.01, dy, 0)


def assert_close(ours, theirs, tolerance):
    assert ours.keys() == theirs.keys()
    for name, value in theirs.items():
        scale = value.float().abs().max().item() or 1.0
        label = f"{name}: {{}}".format
        torch.testing.assert_close(ours[name], value, rtol=tolerance, atol=tolerance * scale, msg=label)


@pytest.mark.parametrize("adds", [False, True], ids=["alone", "added"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_float32_is_torchs(shape, adds):
    norm, x, add, dy = made(shape, torch.float32)
    twin, *_ = made(shape, torch.float32)
    add = add if adds else None
    dy = off_the_kink(norm, x, add, dy)
    assert_close(results(norm, x, add, dy, True), results(twin, x, add, dy, False), 2e-5)


@pytest.mark.parametrize("shape", [(3, 32, 5, 7), (5, 3, 11, 3), (3, 160, 7, 7), (2, 16, 5, 4, 3), (3, 16, 3, 3)], ids=str)
@pytest.mark.parametrize("adds", [False, True], ids=["alone", "added"])
@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "batch"])
def test_norms_of_samples_and_leaky_relu_are_torchs(kind, adds, shape):
    norm, x, add, dy = made(shape, torch.float32, kind=kind)
    twin, *_ = made(shape, torch.float32, kind=kind)
    add = add if adds else None
    dy = off_the_kink(norm, x, add, dy)
    assert_close(results(norm, x, add, dy, True, kind), results(twin, x, add, dy, False, kind), 2e-5)


@pytest.mark.parametrize("kind", ["instance-leaky", "batch-leaky"])
def test_in_evaluation_too(kind):
    norm, x, add, _ = made((5, 48, 7, 3), torch.float32, kind=kind)
    with torch.inference_mode():
        expected = fused.norm_relu(norm.eval(), KINDS[kind][1], x, add)
        fused.enable(norm)
        found = fused.norm_relu(norm, KINDS[kind][1], x, add)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    assert (found < 0).any()


@pytest.mark.parametrize("adds", [False, True], ids=["alone", "added"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_bfloat16_is_the_float32_result_rounded_once(shape, adds):
    norm, x, add, dy = made(shape, torch.bfloat16)
    twin, *_ = made(shape, torch.bfloat16)
    add = add if adds else None
    dy = off_the_kink(norm, x, add, dy)
    ours = results(norm, x, add, dy, True)
    exact = results(twin, x.float(), None if add is None else add.float(), dy.float(), False)
    torch.testing.assert_close(ours["y"], exact["y"], rtol=2**-8, atol=5e-3)  # half of a last place
    assert_close(ours, exact, 2**-8)


def test_a_mean_far_from_the_running_one_costs_no_precision():
    norm, x, _, dy = made((16, 16, 8, 8), torch.float32)
    twin, *_ = made((16, 16, 8, 8), torch.float32)
    ours, theirs = results(norm, x + 300, None, dy, True), results(twin, (x + 300).double().float(), None, dy, False)
    torch.testing.assert_close(ours["running_var"], theirs["running_var"], rtol=1e-4, atol=0)
    torch.testing.assert_close(ours["y"], theirs["y"], rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_what_is_not_finite_is_passed_on(dtype):
    norm, x, _, dy = made((4, 16, 8, 8), dtype)
    x[2, 5, 1, 1] = math.nan
    found = results(norm, x, None, dy, True)
    assert found["y"][:, 5].isnan().all() and found["dx"][:, 5].isnan().all() and found["running_mean"][5].isnan()
    assert found["y"][:, 6].isfinite().all()


@pytest.mark.parametrize("adds", [False, True], ids=["alone", "added"])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-6), (torch.bfloat16, 2**-7)], ids=str)
def test_in_evaluation_the_running_statistics_serve(dtype, tolerance, adds):
    norm, x, add, _ = made((5, 48, 7, 3), dtype)
    add = add if adds else None
    with torch.inference_mode():
        expected = fused.norm_relu(norm.eval(), nn.ReLU(), x, add)
        before = {name: value.clone() for name, value in norm.named_buffers()}
        fused.enable(norm)
        found = fused.norm_relu(norm, nn.ReLU(), x, add)
    torch.testing.assert_close(found, expected, rtol=tolerance, atol=tolerance * 4)
    assert found.dtype == dtype and all(torch.equal(value, before[name]) for name, value in norm.named_buffers())


def test_the_same_bits_each_time():
    found = []
    for _ in range(2):
        norm, x, add, dy = made((32, 16, 16, 16), torch.bfloat16)
        found.append(results(norm, x, add, dy, True))
    assert all(torch.equal(found[0][name], found[1][name]) for name in found[0])


def test_numbas_threads_leave_torchs_as_they_are():
    before = torch.get_num_threads()
    try:
        for threads in (1, before):
            torch.set_num_threads(threads)
            norm, x, _, dy = made((8, 16, 8, 8), torch.float32)
            results(norm, x, None, dy, True)
            assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)


def elsewhere():
    norm, x, _, _ = made((4, 16, 8, 8), torch.float32)
    yield "evaluation with a gradient", norm.eval(), x
    norm, *_ = made((4, 16, 8, 8), torch.float32)
    yield "rows", norm, x.contiguous()
    yield "float64", NORM[2](16).double(), x.double()
    hooked, *_ = made((4, 16, 8, 8), torch.float32)
    hooked.register_forward_hook(lambda *_: None)
    yield "a hook", hooked, x
    yield "no statistics", nn.BatchNorm2d(16, track_running_stats=False), x
    yield "no parameters", nn.BatchNorm2d(16, affine=False), x


@pytest.mark.parametrize(("norm", "x"), [pytest.param(norm, x, id=name) for name, norm, x in elsewhere()])
def test_elsewhere_torch_does_it(norm, x):
    fused.enable(norm)
    y = fused.norm_relu(norm, nn.ReLU(), x.requires_grad_())
    assert "Relu" in type(y.grad_fn).__name__
    torch.testing.assert_close(y, norm(x).relu())


@pytest.mark.parametrize(
    "name", ["resnet20_cifar", "preresnet110_cifar", "plain20_cifar", "resnet50", "seresnet18", "wrn16_8_cifar"]
)
@pytest.mark.parametrize("forgets", [False, True], ids=["", "checkpointed"])
@pytest.mark.filterwarnings("ignore:.*its stem is made for")
def test_networks_learn_alike(name, forgets):
    changes = {"depths": (1, 1, 1, 1) if name in ("resnet50", "seresnet18") else (1, 1, 1), "width": 16, "num_classes": 4}
    found = []
    for on in (False, True):
        torch.manual_seed(0)
        model = create_model(name, **changes).to(memory_format=torch.channels_last).train()
        model.checkpoint_activations = forgets
        fused.enable(model, on)
        x = torch.randn(6, 3, 40, 40).to(memory_format=torch.channels_last)
        loss = nn.functional.cross_entropy(model(x), torch.tensor([0, 1, 2, 3, 0, 1]))
        loss.backward()
        gradients = {name: parameter.grad for name, parameter in model.named_parameters()}
        found.append({"loss": loss.detach()} | gradients | dict(model.named_buffers()))
    assert_close(found[1], found[0], 2e-4)
