"""Residual networks: define, train, evaluate, keep and use them. Importing this imports no torch; using it does.

model = resnets.create_model("resnet50", num_classes=10)
run = resnets.train(data="cifar10", model="resnet20_cifar", time="10m")
resnets.load("runs/classify/train1").predict(["photo.jpg"])
"""

import importlib
import sys
import warnings
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import TYPE_CHECKING, Any

from resnets.data.preprocess import Preprocess
from resnets.errors import InputError
from resnets.models.spec import ResNetSpec
from resnets.models.zoo import get as get_spec
from resnets.models.zoo import names as list_models
from resnets.plugins import load_plugin, register

if TYPE_CHECKING:
    from resnets.ship.external import load
    from resnets.ship.hub import convert, create_model, save
    from resnets.verbs.calibrate import calibrate
    from resnets.verbs.cluster import cluster
    from resnets.verbs.embed import embed
    from resnets.verbs.evaluate import evaluate
    from resnets.verbs.explain import explain
    from resnets.verbs.export import export
    from resnets.verbs.index import Index
    from resnets.verbs.loaders import loaders
    from resnets.verbs.predict import predict
    from resnets.verbs.push import push
    from resnets.verbs.repair import repair
    from resnets.verbs.repeats import cross_validate, repeat
    from resnets.verbs.train import train
    from resnets.verbs.tune import tune

__version__ = "0.2.0"

# Where the names are that need torch: imported when first asked for.
_LATER = {
    "convert": "resnets.ship.hub",
    "create_model": "resnets.ship.hub",
    "load": "resnets.ship.external",
    "save": "resnets.ship.hub",
    "train": "resnets.verbs.train",
    "cross_validate": "resnets.verbs.repeats",
    "repeat": "resnets.verbs.repeats",
    "calibrate": "resnets.verbs.calibrate",
    "evaluate": "resnets.verbs.evaluate",
    "predict": "resnets.verbs.predict",
    "push": "resnets.verbs.push",
    "repair": "resnets.verbs.repair",
    "explain": "resnets.verbs.explain",
    "embed": "resnets.verbs.embed",
    "Index": "resnets.verbs.index",
    "cluster": "resnets.verbs.cluster",
    "loaders": "resnets.verbs.loaders",
    "export": "resnets.verbs.export",
    "tune": "resnets.verbs.tune",
}

__all__ = [
    "Index",
    "InputError",
    "Preprocess",
    "ResNetSpec",
    "__version__",
    "calibrate",
    "cluster",
    "convert",
    "create_model",
    "cross_validate",
    "embed",
    "evaluate",
    "explain",
    "export",
    "get_spec",
    "list_models",
    "load",
    "load_plugin",
    "loaders",
    "predict",
    "push",
    "register",
    "repair",
    "repeat",
    "save",
    "train",
    "tune",
]

# Modules of version 0.1.0, and where their names are now, below `resnets`.
_MOVED = {
    "bench": "verbs.bench",
    "contracts": "engine.contract data.types errors",
    "dense": "data.targets",
    "evaluation": "verbs.evaluate",
    "folds": "verbs.repeats",
    "hub": "ship.hub",
    "metrics": "tasks.detect.average_precision tasks.segment.overlap",
    "metrics.boundaries": "tasks.segment.boundaries",
    "metrics.boxes": "tasks.detect.average_precision tasks.detect.objects",
    "metrics.coco": "tasks.detect.coco",
    "metrics.segments": "tasks.segment.overlap",
    "metrics.voc": "tasks.detect.voc",
    "model": "models.model",
    "nn": "models.nn",
    "nn.detection": "tasks.detect.head",
    "nn.pyramid": "tasks.detect.pyramid",
    "nn.segmentation": "tasks.segment.head",
    "paint": "draw.paint",
    "paper.external": "ship.external",
    "plan": "engine.plan models.zoo",
    "plots": "draw.curves draw.confusion draw.gallery draw.reliability draw.style measures.calibration",
    "plots_dense": "draw.panels tasks.detect.draw tasks.segment.draw",
    "prediction": "verbs.predict",
    "pretrained": "models.pretrained",
    "probe": "verbs.probe",
    "report": "verbs.report.run verbs.report.page verbs.report.values",
    "run": "engine.run",
    "saved": "models.header",
    "shipping": "verbs.export verbs.export_check verbs.export_data",
    "spec": "models.spec data.preprocess errors",
    "training": "verbs.train verbs.preview",
    "weights": "models.weights",
    "zoo": "models.zoo",
    "data.dense": "data.sources data.types",
    "data.fit": "data.pictures.resize",
    "data.known": "data.readers.known data.readers.cifar",
    "data.labelled": "data.types data.splits data.readers.names",
    "data.images": "data.pictures.images data.pictures.stored data.machine",
    "data.loaders": "data.loader data.workers data.statistics",
    "data.preview": "tasks.image_level.preview",
    "data.windows": "tasks.segment.windows",
}
for _old, _new, _names in (  # whole folders
    ("bench", "verbs.bench", "predict process rows stopwatch table train train_usual"),
    ("data", "data.pictures", "jpeg samples volumes"),
    ("data", "data.readers", "boxes coco download label_rules layouts masks outlines shards volume_labels"),
    ("nn", "models.nn", "blocks fused heads kernels layers shortcuts sync trunk"),
    ("pretrained", "models.pretrained", "adapting dense facts families files folding infer keras keymaps names opening"),
):
    _MOVED |= {f"{_old}.{name}": f"{_new}.{name}" for name in _names.split()}


class _Moved(ModuleType):
    """A module of version 0.1.0, which looks names up where they are now."""

    def __getattr__(self, name: str) -> Any:
        for place in [] if name.startswith("__") else _places(self.__name__):
            if hasattr(module := importlib.import_module(place), name):
                return getattr(module, name)
        raise AttributeError(f"module {self.__name__!r} has no attribute {name!r} any more; CHANGELOG.md says what replaces it")


class _Finder:
    """Finds modules of version 0.1.0, where no other finder has found one of that name, and warns of them."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        is_folder = any(old.startswith(f"{name.removeprefix('resnets.')}.") for old in _MOVED)
        return ModuleSpec(name, self, is_package=is_folder) if _places(name) else None  # type: ignore[arg-type]

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return _Moved(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        words = f"{module.__name__} has moved to {', '.join(_places(module.__name__))}; the old name will go"
        warnings.warn(words, DeprecationWarning, stacklevel=2)


def _places(name: str) -> list[str]:
    """Where the names of module `name` of version 0.1.0 are now; nowhere if there was none, or it has not moved."""
    root, _, old = name.partition(".")
    return [f"resnets.{new}" for new in _MOVED.get(old, "").split()] if root == "resnets" else []


sys.meta_path.append(_Finder())


def __getattr__(name: str) -> Any:
    if name in _MOVED:
        return importlib.import_module(f"resnets.{name}")
    if name not in _LATER:
        raise AttributeError(f"module 'resnets' has no attribute {name!r}")
    return getattr(importlib.import_module(_LATER[name]), name)


def __dir__() -> list[str]:
    return __all__
