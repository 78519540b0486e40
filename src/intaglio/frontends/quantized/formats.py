"""Derive formats from the parameters of a file; the texts for the Plan."""

from __future__ import annotations

import numpy as np

from intaglio.number import QuantParams, Scheme
from intaglio.plan import Format

FILE = "as the file says"


def format_of(params: QuantParams) -> Format:
    """Return the format of parameters, with the most specific scheme that fits them."""
    if not params.symmetric or not params.type.signed:
        return Format(params.type, Scheme.ASYMMETRIC, params.granularity)
    exponents = np.log2(params.scale)
    powers = np.array_equal(exponents, np.rint(exponents))
    return Format(params.type, Scheme.POWER_OF_TWO if powers else Scheme.SYMMETRIC, params.granularity)
