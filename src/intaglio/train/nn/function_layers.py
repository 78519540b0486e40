"""Quantized functions of one value: the network's input, clamps, tables.   y = f(x)"""

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
    """Rounds what the network is given; one stands before the first layer, one for each input.

    Args:
        output: the format of the input.
        method, estimator: see `Conv2d`.
    """

    def __init__(self, output: Format | str = VALUE, *, method: str = "lsq", estimator: str = "clipped") -> None:
        super().__init__()
        self.output_quantizer = value_quantizer(output, method, estimator, ties_up=False)

    def forward(self, x: Tensor) -> Tensor:
        """Real numbers to the same on a grid."""
        return written(plain(x), self.output_quantizer)


class Requantize(Layer):
    """The same value in another format, such as 2 bits for a convolution where the sum that follows keeps 8.

    Args:
        output: the format of the result.
        method, estimator: see `Conv2d`.
    """

    def __init__(self, output: Format | str = VALUE, *, method: str = "lsq", estimator: str = "clipped") -> None:
        super().__init__()
        self.output_quantizer = value_quantizer(output, method, estimator)

    def forward(self, x: Tensor) -> Tensor:
        """A value on a grid to the nearest on another."""
        return written(given(x, self)[0], self.output_quantizer)


class _Clamp(Layer):
    """A clamp.

    Args:
        output: the format of the result; None keeps the grid of what is clamped.
        method, estimator: see `Conv2d`.
    """

    activation: ClassVar[str]

    def __init__(self, output: Format | str | None = None, *, method: str = "lsq", estimator: str = "clipped") -> None:
        super().__init__()
        self.output_quantizer = None if output is None else value_quantizer(output, method, estimator)

    def forward(self, x: Tensor) -> Tensor:
        """A value on a grid, or the sums of a layer without an output format, whose saturation this then is."""
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
        return on_grid(data.clamp(low, high), grid)  # a bound between two codes is rounded to one


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
    """A function that is a table in the integer program.

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
        """In real numbers."""
        raise AssertionError(type(self))

    def forward(self, x: Tensor) -> Tensor:
        """Elementwise; a value on a grid to one on the output's."""
        data, grid = given(x, self)
        function = self.op_type, self.attributes
        return written_by_table(self, self.function(data), self.output_quantizer, data, grid, function)


class HardSwish(_Function):
    """x min(max(x + 3, 0), 6) / 6."""

    op_type = "HardSwish"

    def function(self, x: Tensor) -> Tensor:
        """See the class."""
        return F.hardswish(x)


class HardSigmoid(_Function):
    """min(max(x + 3, 0), 6) / 6."""

    op_type = "HardSigmoid"
    attributes: ClassVar[Mapping[str, float]] = {"alpha": 1 / 6, "beta": 0.5}

    def function(self, x: Tensor) -> Tensor:
        """See the class."""
        return F.hardsigmoid(x)


class SiLU(_Function):
    """x sigmoid(x)."""

    op_type = "Swish"

    def function(self, x: Tensor) -> Tensor:
        """See the class."""
        return F.silu(x)


class GELU(_Function):
    """x Phi(x)."""

    op_type = "Gelu"

    def function(self, x: Tensor) -> Tensor:
        """See the class."""
        return F.gelu(x)


class LeakyReLU(_Function):
    """max(x, x / 100)."""

    op_type = "LeakyRelu"

    def function(self, x: Tensor) -> Tensor:
        """See the class."""
        return F.leaky_relu(x)


class _Known(Layer):
    """A function whose range is known, and with it its grid.

    Args:
        output: the format of the result.
    Attributes:
        op_type, attributes: the function as an ONNX operator.
        low: where its range begins.
    """

    op_type: ClassVar[str]
    attributes: ClassVar[Mapping[str, float]] = {}
    low: ClassVar[float]

    def __init__(self, output: Format | str = VALUE) -> None:
        super().__init__()
        self.output_quantizer = over(value_format(output), self.low, 1.0)

    def function(self, x: Tensor) -> Tensor:
        """In real numbers."""
        raise AssertionError(type(self))

    def forward(self, x: Tensor) -> Tensor:
        """Elementwise; a value on a grid to one on the output's."""
        data, grid = given(x, self)
        function = self.op_type, self.attributes
        return written_by_table(self, self.function(data), self.output_quantizer, data, grid, function)


class Sigmoid(_Known):
    """1 / (1 + exp(-x)), in [0, 1)."""

    op_type = "Sigmoid"
    low = 0.0

    def function(self, x: Tensor) -> Tensor:
        """See the class."""
        return torch.sigmoid(x)


class Tanh(_Known):
    """tanh(x), in [-1, 1)."""

    op_type = "Tanh"
    low = -1.0

    def function(self, x: Tensor) -> Tensor:
        """See the class."""
        return torch.tanh(x)
