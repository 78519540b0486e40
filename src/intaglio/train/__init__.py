"""Training with quantization in the forward path; what is trained freezes to Graph and Plan, and so to a Program."""

from __future__ import annotations

from importlib import import_module
from typing import Any


def __getattr__(name: str) -> Any:
    if name == "nn":  # loaded when it is first used: everything else here does without it
        return import_module("intaglio.train.nn")
    raise AttributeError(f"module 'intaglio.train' has no attribute {name!r}")
