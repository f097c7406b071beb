"""Residual networks: define, train, evaluate, keep and use them. Importing this imports no torch; using it does.

model = resnets.create_model("resnet50", num_classes=10)
run = resnets.train(data="cifar10", model="resnet20_cifar", time="10m")
resnets.load("runs/classify/train1").predict(["photo.jpg"])
"""

import importlib
from typing import TYPE_CHECKING, Any

from resnets.data.preprocess import Preprocess
from resnets.errors import InputError
from resnets.models.spec import ResNetSpec
from resnets.models.zoo import get as get_spec
from resnets.models.zoo import names as list_models

if TYPE_CHECKING:
    from resnets.ship.hub import convert, create_model, load, save
    from resnets.verbs.evaluate import evaluate
    from resnets.verbs.export import export
    from resnets.verbs.folds import cross_validate
    from resnets.verbs.predict import predict
    from resnets.verbs.train import train

__version__ = "0.1.0"

# Where the names are that need torch: imported when first asked for.
_LATER = {
    "convert": "resnets.ship.hub",
    "create_model": "resnets.ship.hub",
    "load": "resnets.ship.hub",
    "save": "resnets.ship.hub",
    "train": "resnets.verbs.train",
    "cross_validate": "resnets.verbs.folds",
    "evaluate": "resnets.verbs.evaluate",
    "predict": "resnets.verbs.predict",
    "export": "resnets.verbs.export",
}

__all__ = [
    "InputError",
    "Preprocess",
    "ResNetSpec",
    "__version__",
    "convert",
    "create_model",
    "cross_validate",
    "evaluate",
    "export",
    "get_spec",
    "list_models",
    "load",
    "predict",
    "save",
    "train",
]


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"module 'resnets' has no attribute {name!r}")
    return getattr(importlib.import_module(_LATER[name]), name)


def __dir__() -> list[str]:
    return __all__
