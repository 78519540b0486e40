"""What the products of a layer take: weights of 8 or 16 bits, and inputs as the instructions want them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from intaglio.kernels.kernel import Tensor, int8_codes
from intaglio.kernels.vector.vector_isas import Ints, Vector
from intaglio.program.operators.conv2d import Conv2d
from intaglio.program.weighted import Weighted


@dataclass(frozen=True)
class Products:
    """Products of bytes by bytes, four a lane, or of 16-bit numbers, two a lane.

    Args:
        weight: int8 or int16, the shape of the operator's.
        zero_point: int32, (O,): what remains to be taken off the weights; None for nothing.
        sums: int64, (O,): sums of the weights, without their zero points.
        flip: the inputs' top bits are flipped on the way in.
        moved: what that, or widening, adds to each input.
        item: bytes of an input.
    """

    weight: Ints
    zero_point: Ints | None
    sums: Ints
    flip: bool
    moved: int
    item: int

    @classmethod
    def of(cls, op: Weighted, x: Tensor, vector: Vector, *, widened: bool = False) -> Products:
        """Those of an operator that `serves_products` accepts; `widened`: inputs come from `widen_stage`.

        Weights of up to 8 bits without their zero points fit 16 bits, so these products need no correction.
        """
        centred = op.centred()
        sums = centred.reshape(centred.shape[0], -1).sum(axis=1, dtype=np.int64)
        if x.type.bits > 8 or widened:
            moved = -op.x_zero_point if widened else 0
            return cls(centred.astype(np.int16), None, sums, flip=False, moved=moved, item=2)
        weight, zero_point = int8_codes(op.weight, op.weight_zero_point)
        left = np.broadcast_to(zero_point.reshape(-1), sums.shape) if zero_point.any() else None
        flip = x.type.signed == vector.unsigned
        return cls(weight, left, sums, flip, (128 if vector.unsigned else -128) if flip else 0, 1)

    @property
    def step(self) -> int:
        """Products a lane."""
        return 4 // self.item

    def bias(self, op: Weighted) -> Ints:
        """What the accumulators start with, int64, (O,); inputs are then taken as they are, flips included."""
        return np.asarray(op.bias.astype(np.int64) - (op.x_zero_point + self.moved) * self.sums)

    def pack(self, weight: Ints, channels: Ints, vector: Vector) -> Ints:
        """(O, segments, depth) to [segments][depth / step][blocks][lanes][step]; planar pairs: [2][lanes].

        Args:
            weight: of the type of `self.weight`; depth is a multiple of the step.
            channels: (blocks, lanes), of each lane; -1 for none, which gets zeros.
        """
        _, segments, depth = weight.shape
        flat = channels.reshape(-1)
        picked = np.where(flat[:, None, None] >= 0, weight[np.maximum(flat, 0)], np.zeros((), weight.dtype))
        steps = picked.reshape(*channels.shape, segments, depth // self.step, self.step)
        planar = self.item == 2 and vector.planar
        return np.ascontiguousarray(steps.transpose(2, 3, 0, *((4, 1) if planar else (1, 4)))).reshape(-1)


def serves_products(op: Conv2d, x: Tensor) -> bool:
    """Inputs of up to 8 bits, or signed ones of up to 16; weights of up to 8 bits.

    Borders are filled byte by byte, so a zero point of more than 8 bits must be 0 where there are any.
    """
    if x.type.bits <= 8:
        return op.weight_type.bits <= 8 and not op.requantize.wide
    return op.weight_type.bits <= 8 and x.type.signed and (op.x_zero_point == 0 or not any(op.pads))


def widens(op: Conv2d, x: Tensor, y: Tensor, vector: Vector) -> bool:
    """Whether 8-bit inputs are better widened first; weights take twice the memory, so not for a few outputs."""
    return vector.widen and x.type.bits <= 8 and y.shape[1] * y.shape[2] >= 16


def to_int32(bias: Ints) -> Ints:
    """Modulo 2**32: the accumulator itself is proved to fit, whatever happens on the way."""
    return np.asarray(bias.astype(np.uint64).astype(np.uint32).view(np.int32))
