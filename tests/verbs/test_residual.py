"""What blocks add, for every kind of answer; the first layer's responses, by hand."""

import numpy as np
import pytest
import torch

import resnets
from resnets.data.preprocess import Preprocess
from resnets.errors import InputError
from resnets.tasks import get
from resnets.verbs import residual
from tests.data.made_dense import objects, segments
from tests.tasks.contract.made import graded, tagged

HEADS = {"detect": {"least_score": 0.0, "most_objects": 8, "width": 16, "region_width": 16, "proposals": [60, 30]}}
LABELS = {"tag": ("green", "red"), "grade": ("brightness",), "segment": ("background", "cell", "wall"), "detect": ("object",)}


@pytest.mark.parametrize(("task", "data"), [("tag", tagged), ("grade", graded), ("segment", segments), ("detect", objects)])
def test_blocks_of_any_task(task, data, tmp_path):
    torch.manual_seed(0)
    config = {"loss": "mse", "target": "brightness", "scale": "linear", "mean": 15.0, "std": 5.0}
    head = HEADS.get(task, config if task == "grade" else None)
    preprocess = Preprocess(size=(32, 40), resize="keep")
    network = resnets.create_model(
        "resnet20_cifar", depths=(1, 2), width=4, task=task, labels=LABELS[task], head_config=head, preprocess=preprocess
    ).eval()
    source = get(task).open_for(network.header, str(data(tmp_path / "data", train=3, val=3)), {}, data_dir=None)
    found = residual.measure(network, source, "val", out=tmp_path, num=3)
    assert [row["block"] for row in found["blocks"]] == ["layer1.0", "layer2.0", "layer2.1"]
    assert all(row["added"] > 0 and np.isfinite(row["without"]) for row in found["blocks"])
    assert [row["blocks"] for row in found["exchanged"]] == [] and found["name"] == get(task).scores[0].words
    assert sorted(path.name for path in tmp_path.glob("*.png")) == ["blocks.png", "filters.png", "stages.png"]


def test_a_plain_network_is_refused():
    with pytest.raises(InputError, match="plain20_cifar has no shortcuts: without a block there is no way through it"):
        residual.measure(resnets.create_model("plain20_cifar", num_classes=2).eval(), None, "val")


def test_filters_respond_to_edges_of_their_own_angle():
    """Of a filter that is an edge: light to the right (0 degrees), or below (90 degrees)."""
    network = resnets.create_model("resnet20_cifar", depths=(1, 1), width=4, num_classes=2)
    edge = torch.tensor([[-1.0, 0, 1]] * 3)
    with torch.no_grad():
        network.conv1.weight.zero_()
        network.conv1.weight[0], network.conv1.weight[1] = edge, edge.T
        network.conv1.weight[2] = 1.0  # even: it responds to no edge
    weight, responses = residual.first_layer(network)
    assert weight.shape == (4, 3, 3, 3) and responses.shape == (4, 8)
    assert responses[0].argmax() == 0 and responses[1].argmax() == 4 and np.allclose(responses[0, 0], 54**0.5)  # their norm
    assert np.allclose(responses[2:], 0, atol=1e-6) and np.isclose(responses[0, 4], 0, atol=1e-6)
