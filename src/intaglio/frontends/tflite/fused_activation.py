"""Activations that TFLite fuses into the operator before them."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from intaglio.errors import UnsupportedOperatorError
from intaglio.frontends.tflite.contents import TfliteOperator
from intaglio.frontends.tflite.schema import names_of
from intaglio.frontends.tflite.tflite_builder import TfliteBuilder

CLAMPS: dict[str, tuple[float | None, float | None]] = {
    "RELU": (0.0, None),
    "RELU6": (0.0, 6.0),
    "RELU_0_TO_1": (0.0, 1.0),
    "RELU_N1_TO_1": (-1.0, 1.0),
}
"""Activations that clamp, by their names as operators and in options."""


def clamp(b: TfliteBuilder, value: ir.Value, kind: str) -> ir.Value:
    """Add an activation that clamps."""
    low, high = CLAMPS[kind]
    if high is None:
        return b.node("Relu", [value])
    name = str(value.name)
    bounds = [b.constant(np.array(end, np.float32), f"{name}.{which}") for which, end in (("low", low), ("high", high))]
    return b.node("Clip", [value, *bounds])


def activate(b: TfliteBuilder, op: TfliteOperator, value: ir.Value, *, first: bool = False) -> None:
    """Add the fused activation of an operator, and define its result; errors as in `activated`."""
    b.define(op.outputs[0], activated(b, op, value), first=first)


def activated(b: TfliteBuilder, op: TfliteOperator, value: ir.Value) -> ir.Value:
    """Add the fused activation of an operator.

    Raises:
        UnsupportedOperatorError: Intaglio has no such activation, or codes are written before it.
    """
    number = op.options.get("FusedActivationFunction", 0)
    kind = names_of("ActivationFunctionType").get(number, str(number))
    if kind == "NONE":
        return value
    if kind in CLAMPS:
        return clamp(b, value, kind)
    if kind == "TANH" and b.is_real(op.outputs[0]):
        return b.node("Tanh", [value])
    raise UnsupportedOperatorError(
        f"{op.where} expected one of {', '.join(CLAMPS)} as fused activation, got {kind}; convert the model with "
        "the activation as an operator of its own"
    )
