"""Layer sensitivity, partial quantization, recipe search, and surveys of schemes and methods."""

from intaglio.search.effect import Effect
from intaglio.search.layer_groups import LayerGroup, layers_of
from intaglio.search.partial import Partial, Tried, partial, wider_formats, wider_values
from intaglio.search.sample_split import held_back
from intaglio.search.sensitivity import sensitivity
from intaglio.search.sensitivity_table import LayerSensitivity, Sensitivities

__all__ = [
    "Effect",
    "LayerGroup",
    "LayerSensitivity",
    "Partial",
    "Sensitivities",
    "Tried",
    "held_back",
    "layers_of",
    "partial",
    "sensitivity",
    "wider_formats",
    "wider_values",
]
