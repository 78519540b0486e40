"""Bit packing: codes of 1 to 16 bits as a dense stream of bytes.

Element i occupies bits `i * bits` to `(i + 1) * bits - 1` of the stream, the lowest bit first, byte 0 first; signed
codes are two's complement; the last byte is filled with zeros. A 4-bit pair is thus `first | second << 4`. The bits of
the bipolar codes -1 and +1 are 0 and 1.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from intaglio.errors import UsageError
from intaglio.number.types import IntType


def packed_size(count: int, bits: int) -> int:
    """Bytes that `count` codes of `bits` bits take."""
    return (count * bits + 7) // 8


def pack(codes: NDArray[Any], type: IntType) -> NDArray[np.uint8]:
    """Codes of `type`, any shape, as a stream of `packed_size` bytes.

    Raises:
        UsageError: the type has more than 16 bits, or a code is outside it.
    """
    if type.bits > 16:
        raise UsageError(f"packing: expected a type of at most 16 bits, got {type}")
    if not type.holds(codes):
        raise UsageError(f"packing: expected codes of {type}, got {codes.min()} to {codes.max()}")
    if type.bipolar:
        codes = codes > 0
    raw = codes.reshape(-1).astype(np.int32).astype("<u2", casting="unsafe")
    bits = np.unpackbits(raw.view(np.uint8).reshape(-1, 2), axis=1, bitorder="little")[:, : type.bits]
    return np.packbits(bits.reshape(-1), bitorder="little")


def unpack(stream: NDArray[np.uint8], type: IntType, shape: tuple[int, ...]) -> NDArray[Any]:
    """What `pack` packed, as codes of `type.dtype` in `shape`.

    Raises:
        UsageError: the stream's length does not fit the shape, or a code is outside the type.
    """
    count = int(np.prod(shape, dtype=object))
    if type.bits > 16 or stream.size != packed_size(count, type.bits):
        raise UsageError(
            f"packing: shape {shape} of {type} needs {packed_size(count, type.bits)} bytes, got {stream.size}"
        )
    bits = np.unpackbits(stream, count=count * type.bits, bitorder="little").reshape(count, type.bits)
    if type.bipolar:
        return (2 * bits.astype(type.dtype) - 1).reshape(shape)
    padded = np.zeros((count, 16), np.uint8)
    padded[:, : type.bits] = bits
    if type.signed:
        padded[:, type.bits :] = bits[:, -1:]
    raw = np.packbits(padded, axis=1, bitorder="little").view("<u2").reshape(shape)
    codes = raw.view("<i2") if type.signed else raw
    codes = codes.astype(type.dtype)
    if not type.holds(codes):
        raise UsageError(f"packing: the stream holds codes that are outside {type}")
    return codes
