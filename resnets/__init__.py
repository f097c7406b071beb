"""Residual networks: `create_model`, `load`, `save`, `train`, `list_models`. Importing this imports no torch."""

__version__ = "0.1.0"
