"""What parameters from a file look like as a format, and the words for it."""

from __future__ import annotations

import numpy as np

from intaglio.number import QuantParams, Scheme
from intaglio.plan import Format

FILE = "as the file says"
TARGET = "as-the-file-says"
"""The target of a Plan that was read from a file."""


def format_of(params: QuantParams) -> Format:
    """The format that parameters have; the scheme is the narrowest that they fit."""
    if not params.symmetric or not params.type.signed:
        return Format(params.type, Scheme.ASYMMETRIC, params.granularity)
    exponents = np.log2(params.scale)
    powers = np.array_equal(exponents, np.rint(exponents))
    return Format(params.type, Scheme.POWER_OF_TWO if powers else Scheme.SYMMETRIC, params.granularity)
