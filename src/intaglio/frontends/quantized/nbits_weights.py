"""Unpack weights of few bits, as ONNX Runtime's MatMulNBits packs them."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from intaglio.errors import ModelError
from intaglio.graph.access import Array, attribute, constant, input_value, where


def unpack_nbits(node: ir.Node) -> Array:
    """Dequantize the weight of a MatMulNBits.

        w[k, n] = (code[n, k] - zero_point[n, k // block]) * scale[n, k // block]

    Returns:
        float32, (K, N): the right operand of a MatMul.
    Raises:
        ModelError: computed weights, other bits than 2, 4 and 8, or columns in another order.
    """
    k, n, block = (int(attribute(node, name)) for name in ("K", "N", "block_size"))
    bits = int(attribute(node, "bits", 4))
    packed, scales = constant(node.inputs[1]), constant(node.inputs[2])
    order = input_value(node, 4)
    if packed is None or scales is None or bits not in (2, 4, 8) or order is not None:
        raise ModelError(
            f"{where(node)} expected constant weights of 2, 4 or 8 bits in their order, got {bits} bits"
            f"{' and an order of columns' if order is not None else ''}; give the float network that it was made from"
        )
    blocks = -(-k // block)
    codes = _bit_fields(packed.reshape(n, -1), bits)[:, : blocks * block].reshape(n, blocks, block)
    given = input_value(node, 3)
    zeros: Array = np.array(2.0 ** (bits - 1), np.float32)
    if given is not None:
        array = constant(given)
        if array is None:
            raise ModelError(f"{where(node)} expected constant zero points, got '{given.name}', computed at run time")
        fields = array.reshape(n, -1)
        zeros = (_bit_fields(fields, bits) if fields.dtype == np.uint8 else fields)[:, :blocks].reshape(n, blocks, 1)
    real = (codes.astype(np.float32) - zeros) * scales.reshape(n, blocks, 1).astype(np.float32)
    return np.ascontiguousarray(real.reshape(n, -1)[:, :k].T.astype(np.float32))


def _bit_fields(packed: Array, bits: int) -> Array:
    """Split bytes into fields of some bits, the lowest bits first, along the last axis."""
    shifts = np.arange(0, 8, bits, dtype=np.uint8)
    fields = (packed[..., None] >> shifts) & np.uint8(2**bits - 1)
    return fields.reshape(*packed.shape[:-1], -1)
