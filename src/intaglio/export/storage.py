"""Map integer types and granularities to ONNX: element types, scales, zero points, axes and blocks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import ml_dtypes
import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from intaglio.errors import ExportError
from intaglio.number import IntType, PerChannel, PerElement, PerGroup, PerTensor, QuantParams

TWO_BITS = 25
"""First opset with 2-bit integers."""

# Integer types of QuantizeLinear and DequantizeLinear: bits, signed, ONNX type, NumPy type, first opset and IR version.
_ROWS = (
    (2, True, ir.DataType.INT2, np.dtype(ml_dtypes.int2), TWO_BITS, 13),
    (2, False, ir.DataType.UINT2, np.dtype(ml_dtypes.uint2), TWO_BITS, 13),
    (4, True, ir.DataType.INT4, np.dtype(ml_dtypes.int4), 21, 10),
    (4, False, ir.DataType.UINT4, np.dtype(ml_dtypes.uint4), 21, 10),
    (8, True, ir.DataType.INT8, np.dtype(np.int8), 10, 7),
    (8, False, ir.DataType.UINT8, np.dtype(np.uint8), 10, 7),
    (16, True, ir.DataType.INT16, np.dtype(np.int16), 21, 7),
    (16, False, ir.DataType.UINT16, np.dtype(np.uint16), 21, 7),
    (32, True, ir.DataType.INT32, np.dtype(np.int32), 10, 7),
)
_FIRST_PER_CHANNEL, _FIRST_BLOCKED = 13, 21


@dataclass(frozen=True)
class Storage:
    """ONNX integer type that stores the codes of an `IntType`.

    Args:
        type: type of the codes.
        bits: bits of the ONNX type, at least those of the codes.
        dtype, array: ONNX type and NumPy type.
        opset: first opset in which QuantizeLinear and DequantizeLinear support the type.
        ir_version: first IR version with the type.
    """

    type: IntType
    bits: int
    dtype: ir.DataType
    array: np.dtype[Any]
    opset: int
    ir_version: int

    @property
    def exact(self) -> bool:
        """Whether the ONNX type saturates at the same codes."""
        return self.bits == self.type.bits and not self.type.narrow

    def tensor(self, codes: NDArray[Any], name: str) -> ir.Tensor[Any]:
        """Convert codes to an ONNX tensor."""
        return ir.Tensor(np.array(codes, self.array, order="C"), dtype=self.dtype, name=name)


def storage(type: IntType, *, least_bits: int = 4) -> Storage:
    """Return the smallest ONNX integer type that can store a type.

    Args:
        type: type of the codes.
        least_bits: narrower ONNX types are not used.
    """
    for bits, signed, dtype, array, opset, ir_version in _ROWS:
        if bits >= max(type.bits, least_bits) and signed == type.signed:
            return Storage(type, bits, dtype, array, opset, ir_version)
    raise ExportError(f"{type}: ONNX has no integers for it")


def placement(params: QuantParams, shape: tuple[int, ...]) -> tuple[dict[str, int], int]:
    """Return the attributes that express a granularity, and the first opset that has them.

    Args:
        params: quantization parameters of the tensor.
        shape: shape of the tensor.
    """
    match params.granularity:
        case PerTensor():
            return {}, 10
        case PerChannel(axis):
            return {"axis": axis % len(shape)}, _FIRST_PER_CHANNEL
        case PerGroup(axis, size):
            return {"axis": axis % len(shape), "block_size": size}, _FIRST_BLOCKED
        case PerElement():
            return ({"axis": len(shape) - 1, "block_size": 1}, _FIRST_BLOCKED) if shape else ({}, 10)
