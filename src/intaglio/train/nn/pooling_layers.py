"""Quantized pooling layers. A maximum keeps the parameters of its input; a mean has its own."""

from __future__ import annotations

from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from intaglio.plan import Format
from intaglio.train.nn.grid_tensor import on_grid
from intaglio.train.nn.layer import VALUE, Layer, given, value_quantizer, written


class _MaxPool(Layer):
    pool: Any

    def forward(self, x: Tensor) -> Tensor:
        """Pool a quantized value; the result has the same parameters."""
        data, grid = given(x, self)
        y: Tensor = self.pool(data)
        return y if grid is None else on_grid(y, grid)


class MaxPool1d(_MaxPool):
    """`torch.nn.MaxPool1d` on integers."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__()
        self.pool = nn.MaxPool1d(*args, **options)


class MaxPool2d(_MaxPool):
    """`torch.nn.MaxPool2d` on integers."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__()
        self.pool = nn.MaxPool2d(*args, **options)


class GlobalMaxPool(_MaxPool):
    """The maximum over all positions: (N, C, ...) to (N, C)."""

    def forward(self, x: Tensor) -> Tensor:
        """Pool a quantized value; the result has the same parameters."""
        data, grid = given(x, self)
        y = data.amax(tuple(range(2, data.ndim)))
        return y if grid is None else on_grid(y, grid)


class _MeanLayer(Layer):
    """Mean with an output format.

    Takes the arguments of PyTorch's layer, and by keyword:

    Args:
        output: the format of the result.
        method, estimator: see `Conv2d`.
    """

    def _quantize(self, output: Format | str, method: str, estimator: str) -> None:
        self.output_quantizer = value_quantizer(output, method, estimator)


class AvgPool2d(_MeanLayer):
    """`torch.nn.AvgPool2d` in integers; see `_MeanLayer` for the format."""

    def __init__(
        self,
        *args: Any,
        output: Format | str = VALUE,
        method: str = "lsq",
        estimator: str = "clipped",
        **options: Any,
    ) -> None:
        super().__init__()
        self.pool = nn.AvgPool2d(*args, **options)
        self._quantize(output, method, estimator)

    def forward(self, x: Tensor) -> Tensor:
        """Pool a quantized value and round the result to the output format."""
        return written(self.pool(given(x, self)[0]), self.output_quantizer)


class GlobalAvgPool(_MeanLayer):
    """The mean over all positions: (N, C, ...) to (N, C)."""

    def __init__(self, *, output: Format | str = VALUE, method: str = "lsq", estimator: str = "clipped") -> None:
        super().__init__()
        self._quantize(output, method, estimator)

    def forward(self, x: Tensor) -> Tensor:
        """Pool a quantized value and round the result to the output format."""
        data = given(x, self)[0]
        pool = F.adaptive_avg_pool1d if data.ndim == 3 else F.adaptive_avg_pool2d
        return written(pool(data, 1).flatten(1), self.output_quantizer)
