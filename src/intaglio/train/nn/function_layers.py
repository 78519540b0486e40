"""Quantized layers of one value: network input, clamps, functions by lookup table.   y = f(x)"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from intaglio.plan import Format
from intaglio.train.nn.fixed import over
from intaglio.train.nn.format_names import value_format
from intaglio.train.nn.grid_tensor import OnGrid, on_grid, plain
from intaglio.train.nn.layer import CLAMPS, VALUE, Layer, clamped, given, value_quantizer, written
from intaglio.train.nn.table_layers import written_by_table


class Input(Layer):
    """Quantize a network input; the first layer of a network, one for each input.

    Args:
        output: the format of the input.
        method, estimator: see `Conv2d`.
    """

    def __init__(self, output: Format | str = VALUE, *, method: str = "lsq", estimator: str = "clipped") -> None:
        super().__init__()
        self.output_quantizer = value_quantizer(output, method, estimator, ties_up=False)

    def forward(self, x: Tensor) -> Tensor:
        """Quantize real numbers."""
        return written(plain(x), self.output_quantizer)


class Requantize(Layer):
    """Change the format of a value, such as 2 bits for a convolution beside 8 bits for a residual sum.

    Args:
        output: the format of the result.
        method, estimator: see `Conv2d`.
    """

    def __init__(self, output: Format | str = VALUE, *, method: str = "lsq", estimator: str = "clipped") -> None:
        super().__init__()
        self.output_quantizer = value_quantizer(output, method, estimator)

    def forward(self, x: Tensor) -> Tensor:
        """Round a quantized value to another format."""
        return written(given(x, self)[0], self.output_quantizer)


class _Clamp(Layer):
    """Clamp layer.

    Args:
        output: the format of the result; None: the format of the input.
        method, estimator: see `Conv2d`.
    """

    activation: ClassVar[str]

    def __init__(self, output: Format | str | None = None, *, method: str = "lsq", estimator: str = "clipped") -> None:
        super().__init__()
        self.output_quantizer = None if output is None else value_quantizer(output, method, estimator)

    def forward(self, x: Tensor) -> Tensor:
        """Clamp a quantized value, or the accumulator sums of a layer without an output format."""
        if self.output_quantizer is not None:
            sums = isinstance(x, OnGrid) and x.quantizer is None
            checked = sums or torch.compiler.is_dynamo_compiling()
            data = plain(x) if checked else given(x, self)[0]
            return written(clamped(data, self.activation), self.output_quantizer)
        data, grid = given(x, self)
        if grid is None:
            return clamped(data, self.activation)
        step = grid.scale_now()
        low, high = (None if b is None else torch.round(b / step) * step for b in CLAMPS[self.activation])
        return on_grid(data.clamp(low, high), grid)  # bounds are rounded to the nearest code


class ReLU(_Clamp):
    """max(x, 0)."""

    activation = "relu"


class ReLU6(_Clamp):
    """min(max(x, 0), 6)."""

    activation = "relu6"


class Hardtanh(_Clamp):
    """min(max(x, -1), 1)."""

    activation = "hardtanh"


class _Function(Layer):
    """Function that is a lookup table in the integer program.

    Args:
        output: the format of the result.
        method, estimator: see `Conv2d`.
    Attributes:
        op_type, attributes: the function as an ONNX operator.
    """

    op_type: ClassVar[str]
    attributes: ClassVar[Mapping[str, float]] = {}

    def __init__(self, output: Format | str = VALUE, *, method: str = "lsq", estimator: str = "clipped") -> None:
        super().__init__()
        self.output_quantizer = value_quantizer(output, method, estimator)

    def function(self, x: Tensor) -> Tensor:
        """Compute the real function."""
        raise AssertionError(type(self))

    def forward(self, x: Tensor) -> Tensor:
        """Apply the function elementwise and round the result to the output format."""
        data, grid = given(x, self)
        function = self.op_type, self.attributes
        return written_by_table(self, self.function(data), self.output_quantizer, data, grid, function)


class HardSwish(_Function):
    """x min(max(x + 3, 0), 6) / 6."""

    op_type = "HardSwish"

    def function(self, x: Tensor) -> Tensor:
        """Compute the real function."""
        return F.hardswish(x)


class HardSigmoid(_Function):
    """min(max(x + 3, 0), 6) / 6."""

    op_type = "HardSigmoid"
    attributes: ClassVar[Mapping[str, float]] = {"alpha": 1 / 6, "beta": 0.5}

    def function(self, x: Tensor) -> Tensor:
        """Compute the real function."""
        return F.hardsigmoid(x)


class SiLU(_Function):
    """x sigmoid(x)."""

    op_type = "Swish"

    def function(self, x: Tensor) -> Tensor:
        """Compute the real function."""
        return F.silu(x)


class GELU(_Function):
    """x Phi(x)."""

    op_type = "Gelu"

    def function(self, x: Tensor) -> Tensor:
        """Compute the real function."""
        return F.gelu(x)


class LeakyReLU(_Function):
    """max(x, x / 100)."""

    op_type = "LeakyRelu"

    def function(self, x: Tensor) -> Tensor:
        """Compute the real function."""
        return F.leaky_relu(x)


class _Known(Layer):
    """Function with a known range, and so with fixed output parameters.

    Args:
        output: the format of the result.
    Attributes:
        op_type, attributes: the function as an ONNX operator.
        low: lower end of its range.
    """

    op_type: ClassVar[str]
    attributes: ClassVar[Mapping[str, float]] = {}
    low: ClassVar[float]

    def __init__(self, output: Format | str = VALUE) -> None:
        super().__init__()
        self.output_quantizer = over(value_format(output), self.low, 1.0)

    def function(self, x: Tensor) -> Tensor:
        """Compute the real function."""
        raise AssertionError(type(self))

    def forward(self, x: Tensor) -> Tensor:
        """Apply the function elementwise and round the result to the output format."""
        data, grid = given(x, self)
        function = self.op_type, self.attributes
        return written_by_table(self, self.function(data), self.output_quantizer, data, grid, function)


class Sigmoid(_Known):
    """1 / (1 + exp(-x)), in [0, 1)."""

    op_type = "Sigmoid"
    low = 0.0

    def function(self, x: Tensor) -> Tensor:
        """Compute the real function."""
        return torch.sigmoid(x)


class Tanh(_Known):
    """tanh(x), in [-1, 1)."""

    op_type = "Tanh"
    low = -1.0

    def function(self, x: Tensor) -> Tensor:
        """Compute the real function."""
        return torch.tanh(x)
