"""Read the scales and zero points of QuantizeLinear and DequantizeLinear nodes as `QuantParams`."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from intaglio.errors import ModelError, UsageError
from intaglio.graph import attribute, constant
from intaglio.graph.access import input_value, where
from intaglio.number import IntType, PerChannel, PerGroup, PerTensor, QuantParams
from intaglio.number.granularity import Granularity

TYPES = {
    ir.DataType.INT2: IntType(2),
    ir.DataType.UINT2: IntType(2, signed=False),
    ir.DataType.INT4: IntType(4),
    ir.DataType.UINT4: IntType(4, signed=False),
    ir.DataType.INT8: IntType(8),
    ir.DataType.UINT8: IntType(8, signed=False),
    ir.DataType.INT16: IntType(16),
    ir.DataType.UINT16: IntType(16, signed=False),
    ir.DataType.INT32: IntType(32),
}


def read_params(node: ir.Node) -> QuantParams:
    """Read the parameters of a QuantizeLinear or DequantizeLinear node.

    Raises:
        ModelError: the parameters are computed at run time, have no integer type, or are not valid.
    """
    scale = _constant(node, 1, "scale")
    zero_point = _constant(node, 2, "zero point") if input_value(node, 2) is not None else None
    kind = TYPES.get(_type(node))
    if kind is None:
        raise ModelError(
            f"{where(node)} expected integers of 2, 4, 8 or 16 bits (or 32 for biases), got {_type(node).name}; "
            "quantize the model to integers"
        )
    codes = np.zeros(scale.shape, np.int32) if zero_point is None else zero_point.astype(np.int32)
    granularity, squeezed = _granularity(node, scale)
    if codes.size != scale.size:
        raise ModelError(f"{where(node)} expected as many zero points as scales, got {codes.size} and {scale.size}")
    try:
        return QuantParams(kind, scale.reshape(squeezed), codes.reshape(squeezed), granularity)
    except UsageError as error:
        raise ModelError(f"{where(node)} {error}") from error


def _granularity(node: ir.Node, scale: NDArray[Any]) -> tuple[Granularity, tuple[int, ...]]:
    """Return the granularity and the shape of the parameters."""
    axis, block = int(attribute(node, "axis", 1)), int(attribute(node, "block_size", 0))
    if block and axis < 0:
        axis += scale.ndim  # blocked scales have as many axes as the tensor
    if block and not 0 <= axis < scale.ndim:
        raise ModelError(f"{where(node)} expected block_size along one of {scale.ndim} axes, got axis {axis}")
    if block:
        return _blocks(scale.shape, axis, block)
    if scale.size == 1:
        return PerTensor(), ()
    if scale.ndim != 1:
        raise ModelError(f"{where(node)} expected one scale, one per channel or block_size, got scales {scale.shape}")
    return PerChannel(axis), scale.shape


def _blocks(size: tuple[int, ...], axis: int, block: int) -> tuple[Granularity, tuple[int, ...]]:
    """Return the granularity of blocked scales; a single block along the axis means one scale per channel."""
    channels = [other for other, count in enumerate(size) if other != axis and count > 1]
    if size[axis] > 1 or len(channels) > 1:
        return PerGroup(axis, block), size
    return (PerChannel(channels[0]), (size[channels[0]],)) if channels else (PerTensor(), ())


def _type(node: ir.Node) -> ir.DataType:
    """Return the type of the codes: the zero point's type if there is a zero point."""
    codes = node.inputs[0] if node.op_type == "DequantizeLinear" else node.outputs[0]
    typed = input_value(node, 2) or codes
    assert typed is not None
    assert typed.dtype is not None
    return typed.dtype


def _constant(node: ir.Node, index: int, what: str) -> NDArray[Any]:
    value = input_value(node, index)
    array = constant(value)
    if array is None:
        name = value.name if value is not None else ""
        raise ModelError(
            f"{where(node)} expected a constant {what}, got {name!r}, which is computed at run time. Dynamic "
            "quantization is not supported, as its scales are not known before run time; quantize the original float "
            "network with intaglio.quantize"
        )
    return array


def narrowed(params: QuantParams, low: int, high: int) -> QuantParams | None:
    """Narrow the type to the codes [low, high] on the same grid; None if no integer type has exactly this range."""
    for bits in range(1, params.type.bits + 1):
        for signed, narrow in ((True, False), (True, True), (False, False)):
            if narrow and bits < 2:
                continue
            kind = IntType(bits, signed=signed, narrow=narrow)
            fits = ((params.zero_point >= low) & (params.zero_point <= high)).all()
            if (kind.qmin, kind.qmax) == (low, high) and fits:
                return QuantParams(kind, params.scale, params.zero_point, params.granularity)
    return None
