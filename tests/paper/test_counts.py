"""Table 1 and the parameters of Table 6, which need no training."""

from resnets.models import zoo
from resnets.paper import counts, published


def test_flops_of_the_paper():
    """By hand: ResNet-34 without projections is 3.644, which rounds to the 3.6 that is printed; ResNet-50 has 3.858."""
    found = {verdict.claim.split()[0]: verdict for verdict in counts.flops_verdicts()}
    assert {name: verdict.holds for name, verdict in found.items()} == {
        "ResNet-18": "holds", "ResNet-34": "holds", "ResNet-50": "fails", "ResNet-101": "holds", "ResNet-152": "holds",
    }  # fmt: skip
    assert "3.644" in found["ResNet-34"].because and "3.858" in found["ResNet-50"].because


def test_layers_and_sizes():
    assert [verdict.holds for verdict in (*counts.layer_verdicts(), *counts.size_verdicts())] == ["holds", "holds"]


def test_parameters_of_the_cifar_networks(monkeypatch):
    assert {verdict.holds for verdict in counts.params_verdicts()} == {"holds"}
    monkeypatch.setitem(counts.CIFAR_EXACT, "resnet20_cifar", 269_723)  # a count that is off by one is seen
    assert [verdict.claim.split()[0] for verdict in counts.params_verdicts() if verdict.holds == "fails"] == ["ResNet-20"]


def test_without_norms():
    """ResNet-20: 19 convolutions, behind each a norm with two values a channel: 7 of 16, 6 of 32 and 6 of 64 channels."""
    spec = zoo.get("resnet20_cifar")
    assert spec.num_params - counts.without_norms(spec) == 2 * (7 * 16 + 6 * 32 + 6 * 64)


def test_tables_have_every_network():
    assert len(counts.stages_table().rows) == 5 * 6
    assert [row[-1] for row in counts.flops_table().rows] == [published.FLOPS.values[name] for name in counts.IMAGENET]
    assert len(counts.cifar_table().rows) == len(counts.CIFAR)
