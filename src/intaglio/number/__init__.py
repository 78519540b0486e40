"""Number formats and their exact arithmetic. NumPy only."""

from intaglio.number.exact import exact_matmul
from intaglio.number.granularity import Granularity, PerChannel, PerElement, PerGroup, PerTensor
from intaglio.number.params import QuantParams, Scheme, choose_params
from intaglio.number.requantize import Requantize, Rule
from intaglio.number.types import BIPOLAR, BOOLEAN, INT8, INT8_NARROW, INT16, INT32, UINT8, IntType

__all__ = [
    "BIPOLAR",
    "BOOLEAN",
    "INT8",
    "INT8_NARROW",
    "INT16",
    "INT32",
    "UINT8",
    "Granularity",
    "IntType",
    "PerChannel",
    "PerElement",
    "PerGroup",
    "PerTensor",
    "QuantParams",
    "Requantize",
    "Rule",
    "Scheme",
    "choose_params",
    "exact_matmul",
]
