"""Residual networks: define, train, evaluate, keep and use them. Importing this imports no torch; using it does.

model = resnets.create_model("resnet50", num_classes=10)
run = resnets.train(data="cifar10", model="resnet20_cifar", time="10m")
resnets.load("runs/classify/train1").predict(["photo.jpg"])
"""

import importlib
from typing import TYPE_CHECKING, Any

from resnets.spec import InputError, Preprocess, ResNetSpec
from resnets.zoo import get as get_spec
from resnets.zoo import names as list_models

if TYPE_CHECKING:
    from resnets.evaluation import evaluate as evaluate
    from resnets.folds import cross_validate as cross_validate
    from resnets.hub import convert as convert
    from resnets.hub import create_model as create_model
    from resnets.hub import load as load
    from resnets.hub import save as save
    from resnets.prediction import predict as predict
    from resnets.shipping import export as export
    from resnets.training import train as train

__version__ = "0.1.0"

# Where the names are that need torch: imported when first asked for.
_LATER = {
    "convert": "resnets.hub",
    "create_model": "resnets.hub",
    "load": "resnets.hub",
    "save": "resnets.hub",
    "train": "resnets.training",
    "cross_validate": "resnets.folds",
    "evaluate": "resnets.evaluation",
    "predict": "resnets.prediction",
    "export": "resnets.shipping",
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
