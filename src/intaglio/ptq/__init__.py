"""Post-training quantization: carries out a recipe and keeps each algorithm only where it measures better."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from intaglio.calibrate.no_data import NoData
    from intaglio.ptq.data_free import quantize_without_data
    from intaglio.ptq.driver import Data, quantize_graph
    from intaglio.ptq.equalization_choice import choose_equalization
    from intaglio.ptq.limit import LossLimit
    from intaglio.ptq.recipe import Recipe
    from intaglio.ptq.smoothing_choice import smooth_activations

_HOMES = {
    "Data": "intaglio.ptq.driver",
    "LossLimit": "intaglio.ptq.limit",
    "NoData": "intaglio.calibrate.no_data",
    "Recipe": "intaglio.ptq.recipe",
    "choose_equalization": "intaglio.ptq.equalization_choice",
    "quantize_graph": "intaglio.ptq.driver",
    "quantize_without_data": "intaglio.ptq.data_free",
    "smooth_activations": "intaglio.ptq.smoothing_choice",
}
"""Loaded when they are first used: `ptq.recipe` alone needs no PyTorch."""

__all__ = [
    "Data",
    "LossLimit",
    "NoData",
    "Recipe",
    "choose_equalization",
    "quantize_graph",
    "quantize_without_data",
    "smooth_activations",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'intaglio.ptq' has no attribute {name!r}; it has {', '.join(__all__)}")
    return getattr(import_module(_HOMES[name]), name)
