"""Constants that an operator needs to know: sizes, axes, paddings."""

from __future__ import annotations

from intaglio.errors import UnsupportedOperatorError
from intaglio.frontends.tflite.contents import TfliteOperator


def int_list(op: TfliteOperator, index: int) -> list[int]:
    """Return the numbers of an input that must be a constant.

    Raises:
        UnsupportedOperatorError: it is computed.
    """
    tensor = op.input(index)
    if tensor.data is None or tensor.data.dtype.kind not in "iu":
        raise UnsupportedOperatorError(
            f"{op.where} expected constant integers as input {index}, got '{tensor.name}' of type {tensor.kind}; "
            "convert the model with static shapes"
        )
    return [int(x) for x in tensor.data.reshape(-1)]
