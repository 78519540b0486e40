"""Clamps of a Program's operators as TFLite's fused activations, or as MAXIMUM and MINIMUM behind the operator."""

from __future__ import annotations

import math

import numpy as np

from intaglio.export.tflite.tflite_file import TfliteFile
from intaglio.number import QuantParams
from intaglio.program.factors import scale_of, zero_point_of

_BOUNDS = {"NONE": (None, None), "RELU": (0.0, None), "RELU6": (0.0, 6.0), "RELU_N1_TO_1": (-1.0, 1.0)}


class Clamped:
    """The output of an operator that clamps its codes.

    `activation` is the number of TFLite's fused activation, `output` the tensor that the operator writes. Call `finish`
    once the operator is in the file.

    Args:
        file: the file.
        name: the Program's tensor that holds the result.
        low, high: clamp in its codes.
        fuses: whether TFLite's operator has fused activations.
    """

    def __init__(self, file: TfliteFile, name: str, low: int, high: int, *, fuses: bool = True) -> None:
        info = file.program.tensors[name]
        assert info.params is not None
        self.file, self.name, self.low, self.high = file, name, low, high
        kinds = _BOUNDS if fuses else ("NONE",)
        fitting = (kind for kind in kinds if activation_range(kind, info.params) == (low, high))
        kind = next(fitting, None)
        self.activation = file.flat.number("ActivationFunctionType", kind or "NONE")
        self.output = file.tensor(name) if kind is not None else file.between(name, "unclamped")
        self._open = kind is None

    def finish(self) -> None:
        """Add the clamp, unless it is fused."""
        if self._open:
            add_clamp(self.file, self.output, self.name, self.low, self.high)


def add_clamp(file: TfliteFile, x: int, name: str, low: int, high: int) -> None:
    """Add MAXIMUM and MINIMUM, whose kernels compare codes, from a tensor of the file to one of the Program."""
    kind = file.program.tensors[name].type
    bounds = [("MAXIMUM", low)] if low > kind.qmin else []
    bounds += [("MINIMUM", high)] if high < kind.qmax else []
    for i, (op, bound) in enumerate(bounds):
        y = file.tensor(name) if i == len(bounds) - 1 else file.between(name, "raised")
        constant = file.codes(f"{name}.{op.lower()}", np.full((1,), bound, kind.dtype), name)
        file.operator(op, [x, constant], y, "MaximumMinimumOptions")
        x = y


def activation_range(kind: str, y: QuantParams) -> tuple[int, int]:
    """Return the codes between which a fused activation clamps, as TFLite computes them in float32.

    Source: TensorFlow Lite, CalculateActivationRangeQuantizedImpl in kernels/kernel_util.cc.
    """
    low, high = _BOUNDS[kind]
    scale, zero_point = np.float32(scale_of(y)), zero_point_of(y)

    def code(real: float) -> int:
        steps = float(np.float32(real) / scale)
        return zero_point + int(math.copysign(math.floor(abs(steps) + 0.5), steps))

    least = y.type.qmin if low is None else max(y.type.qmin, code(low))
    most = y.type.qmax if high is None else min(y.type.qmax, code(high))
    return least, most
