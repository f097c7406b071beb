"""Maps are those of a second library on the same weights, or of the definition; with one, two and three axes."""

import numpy as np
import pytest
import torch

import resnets
from resnets.attribution.methods import METHODS, STEPS, attribute, enlarged
from resnets.attribution.seen import Evidence, Seen
from resnets.errors import InputError

LAYER, LABEL = "layer3", 4


def from_0_to_1(values):
    return (values - values.min()) / (values.max() - values.min())


@pytest.mark.parametrize(
    ("method", "name"),
    [("layercam", "LayerCAM"), ("gradcam", "GradCAM"), ("gradcam++", "GradCAMPlusPlus"), ("xgradcam", "XGradCAM")],
)
def test_class_activation_maps_are_pytorch_grad_cams(method, name, network, photographs, seen):
    import pytorch_grad_cam
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    label = ClassifierOutputTarget(LABEL)
    for pixels in photographs[:3]:
        given = seen(pixels, LABEL)
        given.evidence.number = lambda model, x: 1000 * model(x)[:, LABEL]  # gradients far above the epsilon of theirs
        own = enlarged(attribute(method, given, LAYER), given.size)
        with getattr(pytorch_grad_cam, name)(model=network, target_layers=[getattr(network, LAYER)]) as cam:
            theirs = cam(input_tensor=given.x.clone(), targets=[lambda output: 1000 * label(output)])[0]
        assert own.max() > 0
        assert np.abs(from_0_to_1(own) - theirs).max() < 2e-4


@pytest.mark.parametrize("method", ["layercam", "gradcam"])
def test_class_activation_maps_are_captums_parts(method, network, photographs, seen):
    from captum.attr import LayerGradCam, LayerGradientXActivation

    given = seen(photographs[0], LABEL)
    layer = getattr(network, LAYER)
    if method == "gradcam":
        theirs = LayerGradCam(network, layer).attribute(given.x, target=LABEL, relu_attributions=True)[0, 0]
    else:  # activations are not negative after the ReLU
        theirs = LayerGradientXActivation(network, layer).attribute(given.x, target=LABEL)[0].clamp(min=0).sum(0)
    theirs = theirs.detach().numpy()
    assert np.allclose(attribute(method, given, LAYER), theirs / theirs.max(), atol=1e-5)


def test_integrated_gradients_are_the_definition(network, photographs, seen):
    """The mean gradient at the nodes of Gauss and Legendre on the way, times the way; it sums to the difference of the ends."""
    given = seen(photographs[1], LABEL)
    nodes, weights = np.polynomial.legendre.leggauss(STEPS)
    total = torch.zeros_like(given.x)
    for node, weight in zip((nodes + 1) / 2, weights / 2, strict=True):
        x = (given.x * node).requires_grad_()
        total += weight * torch.autograd.grad(given.evidence(x).sum(), x)[0]
    map_ = METHODS["integrated_gradients"].map(given, "").detach()
    assert torch.allclose(map_, (given.x * total).sum(1)[0].clamp(min=0), atol=1e-4)
    with torch.no_grad():
        ends = given.evidence(given.x) - given.evidence(torch.zeros_like(given.x))
    assert (given.x * total).sum() == pytest.approx(float(ends), rel=0.1, abs=0.2)


def test_guided_backpropagation_is_the_definition(network, photographs, seen):
    given = seen(photographs[2], LABEL)
    own = METHODS["guided_backprop"].map(given, "")

    def watch(module, inputs, output):
        if output.requires_grad:
            output.register_hook(lambda gradient: gradient.clamp(min=0))

    handles = [module.register_forward_hook(watch) for module in network.modules() if isinstance(module, torch.nn.ReLU)]
    x = given.x.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(given.evidence(x).sum(), x)
    for handle in handles:
        handle.remove()
    assert torch.allclose(own, gradient.abs().sum(1)[0], atol=1e-6)


def test_occlusion_is_the_mean_fall_of_the_patches_over_a_position(photographs, seen):
    """Patches of 7 pixels every 4: as many as cover the picture, the last ones cut off at its edge."""
    given = seen(photographs[3], LABEL)
    whole, falls, counts = given.chance(given.pixels[None])[0], np.zeros((32, 32)), np.zeros((32, 32))
    for top in range(0, 32, 4):
        for left in range(0, 32, 4):
            if top + 7 > 32 + 3 or left + 7 > 32 + 3:
                continue
            hidden = given.pixels.copy()
            hidden[:, top : top + 7, left : left + 7] = 128
            falls[top : top + 7, left : left + 7] += whole - given.chance(hidden[None])[0]
            counts[top : top + 7, left : left + 7] += 1
    expected = (falls / counts).clip(0)
    assert np.allclose(attribute("occlusion", given, ""), expected / expected.max(), atol=1e-4)


@pytest.mark.parametrize("dims", [1, 2, 3])
@pytest.mark.parametrize("chans", [1, 13])
def test_any_number_of_axes_and_channels(dims, chans):
    torch.manual_seed(0)
    model = resnets.create_model("resnet20_cifar", depths=(1, 1, 1), width=4, dims=dims, in_chans=chans, num_classes=2).eval()
    size = (16,) * dims
    pixels = np.random.default_rng(0).normal(size=(chans, *size)).astype(np.float32)
    seen = Seen(
        pixels=pixels,
        blank=np.zeros((), np.float32),
        chance=lambda inputs: model(torch.from_numpy(inputs)).softmax(1)[:, 0].detach().numpy(),
        x=torch.from_numpy(pixels[None]),
        evidence=Evidence(model, lambda model, x: model(x)[:, 0] - model(x)[:, 1]),
    )
    for method, row in METHODS.items():
        if dims not in row.dims:
            with pytest.raises(InputError, match=f"{method} takes no inputs with 1 spatial axis; use another method"):
                attribute(method, seen, LAYER)
            continue
        values = attribute(method, seen, LAYER)
        assert values.shape == ((4,) * dims if row.of_layer else size), method
        assert values.dtype == np.float32 and values.min() >= 0 and values.max() in (0, pytest.approx(1)), method
        assert enlarged(values, size).shape == size


def test_frozen_weights_have_maps_too(network, photographs, seen):
    before = attribute("gradcam", seen(photographs[0]), LAYER)
    network.requires_grad_(False)
    try:
        assert np.array_equal(attribute("gradcam", seen(photographs[0]), LAYER), before)
    finally:
        network.requires_grad_(True)
