"""What tasks with one answer per picture share."""

import pytest

from resnets import tasks
from resnets.data.preprocess import Preprocess
from resnets.data.sources import open_source
from resnets.models.header import Header
from resnets.models.zoo import get
from tests.data.made_folders import folder


@pytest.mark.parametrize(("size", "rule"), [((64, 106), "shorter"), ((48, 40), "keep")])
def test_weights_of_a_task_with_free_sizes_give_a_square_of_the_shorter_side(size, rule, tmp_path):
    """Such as a segmenter's: its resize is no setting here, and was refused in the user's name."""
    folder(tmp_path / "train", a=2, b=2)
    spec = get("resnet20_cifar", num_classes=2)
    header = Header(spec, "segment", Preprocess(size=size, resize=rule), ("a", "b"), metrics={}, provenance={})
    design = tasks.get("classify").design({}, open_source(str(tmp_path), "classes"), header, get)
    assert (design.preprocess.size, design.preprocess.resize) == ((min(size),) * 2, "crop")
