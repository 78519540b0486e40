"""Inputs of a network that hold integers: indices of rows and categories, masks, lengths."""

from __future__ import annotations

import onnx_ir as ir

INTEGER_INPUTS = frozenset(
    {
        ir.DataType.BOOL,
        ir.DataType.UINT8,
        ir.DataType.INT8,
        ir.DataType.UINT16,
        ir.DataType.INT16,
        ir.DataType.INT32,
        ir.DataType.INT64,
    }
)
"""Types of inputs that a Graph keeps as integers; all others are float32."""


def is_integer_input(value: ir.Value) -> bool:
    """Tell whether an input of the network holds integers, not real numbers."""
    return value.is_graph_input() and value.dtype in INTEGER_INPUTS
