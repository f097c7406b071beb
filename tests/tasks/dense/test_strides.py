"""The strides of a trunk suit the pictures and the head."""

import pytest

import resnets
from resnets import tasks
from resnets.engine.plan import settle
from resnets.engine.settings import read_file
from resnets.tasks.segment.settings import SegmentSettings
from tests.data.made_dense import segments
from tests.tasks.dense.made import TINY, train


@pytest.mark.parametrize(
    ("side", "settings", "strides"),
    [
        (360, {}, (2, 32)),  # a stem that keeps every pixel of large pictures gets a stride
        (360, {"stem_stride": 1}, (1, 32)),
        (360, {"img_size": 64}, (None, 32)),
        (64, {}, (None, 32)),
        (64, {"head": "deeplabv3"}, (None, 8)),  # reads the last level alone, which must not be coarse
        (64, {"head": "fcn", "output_stride": 16}, (None, 16)),
    ],
    ids=str,
)
def test_strides_suit_the_pictures_and_the_head(side, settings, strides, tmp_path, undrawn):
    data = segments(tmp_path / "data", size=(side, side), train=2, val=1)
    train(data, tmp_path / "run", "segment", epochs=1, **settings)
    spec = resnets.load(tmp_path / "run").spec
    assert (spec.stem_stride, spec.output_stride) == strides
    origins = settle(tasks.get("segment"), {"flag": {"data": str(data), "task": "segment"} | TINY | settings}, None).origins
    for name, stride in zip(("stem_stride", "output_stride"), strides, strict=True):
        assert origins[name] == ("flag" if name in settings else "default" if stride in (None, 32) else "the task")
    kept = SegmentSettings(**read_file(tmp_path / "run" / "recipe.yaml"))
    assert kept.stem_stride == strides[0] and kept.output_stride == (None if strides[1] == 32 else strides[1])


def test_a_trunk_under_its_own_head_keeps_its_strides(tmp_path, undrawn):
    small, large = (segments(tmp_path / str(side), size=(side, side), train=2, val=1) for side in (64, 360))
    train(small, tmp_path / "first", "segment", epochs=1)
    train(large, tmp_path / "next", "segment", epochs=1, weights=str(tmp_path / "first"), model="auto", depths=None, width=None)
    assert resnets.load(tmp_path / "next").spec.stem_stride is None
