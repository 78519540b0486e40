"""How parameters of a Plan are changed once they are found: a new scale, and a word on why."""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from intaglio.errors import CalibrationError, UsageError
from intaglio.number import QuantParams
from intaglio.plan import ValuePlan


def rescaled(params: QuantParams, scale: NDArray[np.float64], where: str, name: str) -> QuantParams:
    """The parameters with another scale, rounded to float32.

    Raises:
        CalibrationError: no such scale exists; naming the operator and the value.
    """
    try:
        return dataclasses.replace(params, scale=np.asarray(scale, np.float64).astype(np.float32))
    except UsageError as error:
        raise CalibrationError(f"{where} value {name!r}: {error}") from None


def note(value: ValuePlan, text: str) -> None:
    """Add to why a value is represented as it is, once."""
    if text not in value.why:
        value.why += f"; {text}"


def channels_of(channels: NDArray[np.int64]) -> str:
    """Channels in words, the first few of many."""
    text = ", ".join(map(str, channels[:5].tolist()))
    more = f" and {len(channels) - 5} more" if len(channels) > 5 else ""
    return f"channel{'s' if len(channels) > 1 else ''} {text}{more}"
