"""Items that open models: which runs they need, and what becomes of them, on random networks in place of trained ones."""

import pytest

from resnets.engine.recipe import Recipe
from resnets.paper import items, opening, scales
from resnets.ship import hub
from resnets.ship.external import ExternalSpec
from tests.paper.finished_runs import reproduced, said, store

SCALES = list(scales.SCALES.values())


@pytest.mark.parametrize("scale", SCALES, ids=lambda scale: scale.name)
@pytest.mark.parametrize("name", ["fig7", "gradients", "table4", "table5", "previous"])
def test_trainings_are_recipes_with_folders_of_their_own(scale, name, tmp_path):
    found = items.get(name).trainings(scale, "cifar10")
    assert len({training.folder(tmp_path) for training in found}) == len(found) > 0
    for training in found:
        assert Recipe(**training.settings).seed == training.seed and training.cost > 0


def test_runs_are_shared_where_the_protocol_is():
    small = scales.get("small")
    shared = {*items.get("fig6").trainings(small, "cifar10"), *items.get("identity").trainings(small, "cifar10")}
    assert {*items.get("fig7").trainings(small, "cifar10"), *items.get("table4").trainings(small, "cifar10")} < shared
    assert not shared & {
        *items.get("gradients").trainings(small, "cifar10"),
        *items.get("previous").trainings(small, "cifar10"),
    }


@pytest.mark.parametrize("name", [name for name in opening.PREVIOUS if "/" in name])
def test_stated_multiply_adds_are_those_of_the_network(name):
    settings, stated = opening.PREVIOUS[name]
    assert ExternalSpec(name=name, num_classes=10).num_macs(settings["img_size"]) == stated


def test_other_networks_join_the_comparison():
    found = items.get("previous").needed(scales.get("tiny"), "cifar10", ["timm/vgg11", "resnet32_cifar", "plain20_cifar"])
    assert [training.network for training in found] == [*opening.PREVIOUS, "timm/vgg11", "resnet32_cifar"]


@pytest.mark.slow
def test_an_item_that_opens_models_keeps_its_protocol_and_evidence(tmp_path):
    """Runs with random weights: what is told of them is the same."""
    from resnets.data import sources

    tiny, data = scales.get("tiny", depths=(20,)), "digits"
    store(tmp_path, "table4", scale=tiny, data=data)
    labels = sources.open_source(data).labels
    for training in items.get("table4").trainings(tiny, data):
        model = hub.create_model("resnet20_cifar", in_chans=1, labels=labels)
        hub.save(model, training.folder(tmp_path) / "best.safetensors")
    for name in ("table4", "table5"):
        result = reproduced(tmp_path, name, scale=tiny, data=data)
        assert [record["run"] for record in result.evidence] == ["runs/tiny-digits/resnet20_cifar/seed0"]
        assert any("120 steps instead" in line for line in result.deviations)


def test_models_are_for_items_that_take_some(tmp_path, capsys):
    _, err = said(capsys, f"paper fig6 --model x --out {tmp_path}", code=2)
    assert "--model is for table4, table5, previous" in err
    _, err = said(capsys, f"paper table4 --model {tmp_path / 'none'} --out {tmp_path}", code=2)
    assert "no such file" in err
