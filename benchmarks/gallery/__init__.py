"""Common networks at small sizes, and how each is driven from PyTorch to a compiled program (`coverage.py`)."""

from __future__ import annotations

import os
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gallery.network import Network

for _variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):  # read when NumPy and PyTorch are imported
    os.environ.setdefault(_variable, "1")

FIELDS = (
    "classification", "detection", "segmentation", "restoration", "generators", "audio", "speech", "text", "tabular",
    "graph", "video",
)  # fmt: skip


def networks() -> list[Network]:
    """Every network of the gallery, field by field."""
    return [network for field in FIELDS for network in import_module(f"gallery.{field}").NETWORKS]
