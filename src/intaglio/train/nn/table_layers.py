"""Layers whose functions are lookup tables: in evaluation their results come from the integer program's tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import onnx_ir as ir
import torch
from numpy.typing import NDArray
from torch import Tensor

from intaglio.errors import LoweringError
from intaglio.number import QuantParams, Rule
from intaglio.ops import Result, unary_operator
from intaglio.program import Operator
from intaglio.train.function_tables import Table
from intaglio.train.nn.exporting import is_exporting
from intaglio.train.nn.grid_tensor import on_grid
from intaglio.train.nn.layer import Layer, written
from intaglio.train.quantizers.quantizer import Quantizer


def written_by_table(
    layer: Layer,
    y: Tensor,
    quantizer: Quantizer,
    x: Tensor,
    grid: Quantizer | None,
    function: tuple[str, Mapping[str, float]],
    place: str = "",
) -> Tensor:
    """Round the result of a function; in evaluation look it up in the integer program's table.

    Args:
        layer: the layer, which stores the table.
        y: real result of the function.
        quantizer: quantizer of y.
        x: quantized input.
        grid: quantizer of x; None during export.
        function: ONNX operator type and attributes.
        place: distinguishes several functions of one layer.
    """
    if grid is None or is_exporting():
        return written(y, quantizer)
    tables: dict[str, Table] = layer.__dict__.setdefault("_tables", {})
    if not torch.compiler.is_dynamo_compiling():  # compiled code finds the table of an earlier call (see `given`)
        types = grid.format.type, quantizer.format.type
        if place not in tables or tables[place].types != types:
            tables[place] = Table(partial(_operator, function), *types)
    if layer.training:
        return written(y, quantizer)
    rounded, zero = quantizer(y), torch.zeros(())
    return on_grid(tables[place](x, rounded, grid.grid(zero), quantizer.grid(zero)), quantizer)


def _operator(
    function: tuple[str, Mapping[str, float]], x: QuantParams, y: QuantParams, constants: Sequence[NDArray[Any]]
) -> Operator | None:
    op_type, attributes = function
    node = ir.node(op_type, [ir.Value(name="x")], dict(attributes))
    result = Result(node.outputs[0], y, y.type.qmin, y.type.qmax)
    try:
        return unary_operator(node, x, result, Rule.HALF_UP)
    except LoweringError:  # freezing reports the reason
        return None
