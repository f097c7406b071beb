"""Modules of version 0.1.0 that have moved: their paths work, and warn with the new one."""

import importlib
import importlib.util
import subprocess
import sys
import warnings

import pytest

import resnets

MOVED = resnets._MOVED

# What the docs of 0.1.0 named, and where it is.
NAMED = {
    "data.images.FileImages": "data.pictures.stored.FileImages",
    "data.images.open_picture": "data.pictures.images.open_picture",
    "data.labelled.cut_val": "data.splits.cut_val",
    "data.windows.blend": "tasks.segment.windows.blend",
    "dense.Boxes": "data.targets.Boxes",
    "dense.Detections": "data.targets.Detections",
    "hub.transfer": "ship.hub.transfer",
    "metrics.Collected": "tasks.detect.average_precision.Collected",
    "metrics.Counted": "tasks.segment.overlap.Counted",
    "nn.blocks.ResidualBlock": "models.nn.blocks.ResidualBlock",
    "nn.detection.Detecting": "tasks.detect.head.Detecting",
    "nn.detection.Detector": "tasks.detect.head.Detector",
    "nn.segmentation.Segmenter": "tasks.segment.head.Segmenter",
    "paper.external.load": "ship.external.load",
    "plots_dense.boxes": "tasks.detect.draw.boxes",
    "plots_dense.instances": "tasks.detect.draw.instances",
    "plots_dense.precision_recall": "tasks.detect.draw.precision_recall",
    "plots_dense.segments": "tasks.segment.draw.segments",
    "plots_dense.worst": "draw.panels.worst",
    "pretrained.dense.from_torchvision": "models.pretrained.dense.from_torchvision",
    "pretrained.dense.to_torchvision": "models.pretrained.dense.to_torchvision",
    "spec.InputError": "errors.InputError",
    "spec.Preprocess": "data.preprocess.Preprocess",
    "spec.ResNetSpec": "models.spec.ResNetSpec",
    "training.preview": "verbs.preview.preview",
}


@pytest.fixture
def unused():
    """No module of an old name is imported yet."""
    for old in MOVED:
        sys.modules.pop(f"resnets.{old}", None)


def named(path):
    module, _, name = path.rpartition(".")
    return getattr(importlib.import_module(f"resnets.{module}"), name)


@pytest.mark.parametrize("old", MOVED)
def test_an_old_path_imports_and_warns_with_the_new_one(old, unused):
    with pytest.warns(DeprecationWarning) as seen:
        module = importlib.import_module(f"resnets.{old}")
    places = [f"resnets.{place}" for place in MOVED[old].split()]
    assert str(seen[-1].message) == f"resnets.{old} has moved to {', '.join(places)}; the old name will go"
    assert all(importlib.util.find_spec(place) for place in places)
    assert module is sys.modules[f"resnets.{old}"]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("old", NAMED)
def test_what_the_docs_named_is_the_same_thing(old):
    assert named(old) is named(NAMED[old])


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_what_is_not_there_is_missing_as_anywhere():
    with pytest.raises(ModuleNotFoundError, match=r"resnets\.nn\.convolutions"):
        importlib.import_module("resnets.nn.convolutions")
    with pytest.raises(ModuleNotFoundError, match=r"resnets\.hubs"):
        importlib.import_module("resnets.hubs")
    with pytest.raises(AttributeError, match="no attribute 'place_files' any more"):
        named("shipping.place_files")
    assert not hasattr(importlib.import_module("resnets.shipping"), "__file__")


def test_the_warning_is_the_importers(unused):
    """So that Python shows it to whoever runs a script, and tests may fail for their own imports alone."""
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        from resnets.zoo import get  # noqa: F401
    assert [warning.filename for warning in seen] == [__file__]


def test_an_old_module_is_an_attribute_too():
    code = "import resnets; print(resnets.zoo.get is resnets.get_spec)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "True\n"


def test_the_package_itself_imports_no_old_path():
    rooms = "resnets.cli.main, resnets.verbs.train, resnets.verbs.report, resnets.tasks.classify.task"
    code = f"import sys, {rooms}; print([name for name in resnets._MOVED if f'resnets.{{name}}' in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
