"""Post-training quantization: carries out a recipe and keeps each algorithm only where it measures better."""

from intaglio.calibrate.no_data import NoData
from intaglio.ptq.data_free import quantize_without_data
from intaglio.ptq.driver import Data, quantize_graph
from intaglio.ptq.equalization_choice import choose_equalization
from intaglio.ptq.limit import LossLimit
from intaglio.ptq.recipe import Recipe
from intaglio.ptq.smoothing_choice import smooth_activations

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
