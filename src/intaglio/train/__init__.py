"""Quantization-aware training; a trained network is frozen to Graph and Plan, and lowered to a Program."""

from __future__ import annotations

from importlib import import_module
from typing import Any


def __getattr__(name: str) -> Any:
    if name == "nn":  # loaded on first use, because nothing else here needs it
        return import_module("intaglio.train.nn")
    raise AttributeError(f"module 'intaglio.train' has no attribute {name!r}")
