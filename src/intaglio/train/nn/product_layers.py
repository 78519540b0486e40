"""Quantized convolution and dense layers, with or without batch norm.   y = clamp(x * W + b)

As in the integer program, the weight is rounded by its quantizer, the bias to the scale of the products, and the result
once, after the activation. Parameters have the names of PyTorch's layers.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from intaglio.errors import DataError, UsageError
from intaglio.plan import Format
from intaglio.train.batch_norm import along, folded_weight, unfolded_weight
from intaglio.train.nn.exporting import is_exporting
from intaglio.train.nn.grid_tensor import Sums
from intaglio.train.nn.layer import (
    VALUE,
    WEIGHT,
    Layer,
    check_activation,
    clamped,
    given,
    rounded_bias,
    value_quantizer,
    weight_quantizer,
    written,
)
from intaglio.train.quantizers.quantizer import Quantizer


class _Product(Layer):
    """Layer with one weight.

    Takes the arguments of PyTorch's layer, and by keyword:

    Args:
        weight: the format of the weight.
        activation: `relu`, `relu6` or `hardtanh`, computed by the saturation of the output.
        output: the format of the result; None if a clamp layer with a format follows.
        method: quantizer that finds scales: a name of `train.quantizers.quantizer_registry.METHODS`.
        estimator: rounding in training and its gradient: a name of `train.estimators.estimator_registry.ESTIMATORS`.
    Raises:
        UsageError: unknown format, activation, method or estimator.
    """

    weight: Tensor
    bias: Any
    weight_quantizer: Quantizer
    output_quantizer: Quantizer | None

    def _quantize(
        self,
        weight: Format | str,
        activation: str | None,
        output: Format | str | None,
        method: str,
        estimator: str,
    ) -> None:
        check_activation(type(self).__name__, activation, output)
        self.activation = activation
        self.weight_quantizer = weight_quantizer(weight, self.weight, method, estimator)
        self.output_quantizer = None if output is None else value_quantizer(output, method, estimator)

    def _multiplied(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        raise AssertionError(type(self))

    def forward(self, x: Tensor) -> Tensor:
        """Compute the layer from a quantized input and round the result to the output format."""
        data, grid = given(x, self)
        weight = self.weight if is_exporting() else self.weight_quantizer(self.weight)
        bias = None if self.bias is None else rounded_bias(self.bias, grid, self.weight_quantizer)
        y = clamped(self._multiplied(data, weight, bias), self.activation)
        return written(y, self.output_quantizer, None if grid is None else self._sums(grid))

    def _sums(self, data: Quantizer) -> Sums | None:
        """Return the quantizers of data and weight; None if the channels of the result are not on axis 1."""
        return data, self.weight_quantizer

    def weights(self) -> Iterator[tuple[str, Quantizer]]:
        """Yield name and quantizer of the weight."""
        yield "weight", self.weight_quantizer

    def settle(self) -> None:
        """Replace the parameters by their frozen values."""
        with torch.no_grad():
            self.weight_quantizer(self.weight)  # updates an observed range to the current weight
            self.weight.copy_(self.weight_quantizer.frozen(self.weight))


class _Convolution(_Product):
    _conv_forward: Any

    def _multiplied(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        y: Tensor = self._conv_forward(x, weight, bias)
        return y


class Conv1d(_Convolution, nn.Conv1d):
    """`torch.nn.Conv1d` in integers; see `_Product` for the formats."""

    def __init__(
        self,
        *args: Any,
        weight: Format | str = WEIGHT,
        activation: str | None = None,
        output: Format | str | None = VALUE,
        method: str = "lsq",
        estimator: str = "clipped",
        **options: Any,
    ) -> None:
        nn.Conv1d.__init__(self, *args, **options)
        self._quantize(weight, activation, output, method, estimator)


class Conv2d(_Convolution, nn.Conv2d):
    """`torch.nn.Conv2d` in integers; see `_Product` for the formats."""

    def __init__(
        self,
        *args: Any,
        weight: Format | str = WEIGHT,
        activation: str | None = None,
        output: Format | str | None = VALUE,
        method: str = "lsq",
        estimator: str = "clipped",
        **options: Any,
    ) -> None:
        nn.Conv2d.__init__(self, *args, **options)
        self._quantize(weight, activation, output, method, estimator)


class Linear(_Product, nn.Linear):
    """`torch.nn.Linear` in integers, for (N, features) and (N, positions, features); see `_Product` for the formats."""

    def __init__(
        self,
        *args: Any,
        weight: Format | str = WEIGHT,
        activation: str | None = None,
        output: Format | str | None = VALUE,
        method: str = "lsq",
        estimator: str = "clipped",
        **options: Any,
    ) -> None:
        nn.Linear.__init__(self, *args, **options)
        self._quantize(weight, activation, output, method, estimator)
        self._over_positions = False

    def _multiplied(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        if x.ndim not in (2, 3):
            raise UsageError(f"[Linear] expected (N, features) or (N, positions, features), got {tuple(x.shape)}")
        self._over_positions = x.ndim == 3
        if x.ndim == 2:
            return F.linear(x, weight, bias)
        # As a convolution over the positions its bias stays in the accumulator; a MatMul of rank 3 has none.
        return F.conv1d(x.transpose(1, 2), weight if weight.ndim == 3 else weight.unsqueeze(2), bias).transpose(1, 2)

    def _sums(self, data: Quantizer) -> Sums | None:
        return None if self._over_positions else super()._sums(data)

    def settle(self) -> None:
        """Replace the weight by its frozen value, in the shape of the last call, so that it keeps its name."""
        super().settle()
        if self._over_positions:
            self.weight = nn.Parameter(self.weight.unsqueeze(2))


class _ProductBn(Layer):
    """Product with folded batch norm: the quantized weight is W gamma / sigma.

    In training the quantized weight is divided by gamma / sigma (running sigma) again, and batch norm normalizes with
    batch statistics. In evaluation and after `freeze_batch_norm`, running statistics are folded into weight and bias.
    Parameters are those of the parts: `conv.weight`, `bn.weight`, `bn.running_mean` and so on.

    Takes the arguments of PyTorch's layer, and by keyword:

    Args:
        eps, momentum: parameters of batch norm.
        weight, activation, output, method, estimator: see `Conv2d`.
    Raises:
        UsageError: unknown format, activation, method or estimator.
        DataError: in training, a batch with only one value per channel.
    Source: Jacob et al. 2018, arXiv:1712.05877, section 3.2; Krishnamoorthi 2018, arXiv:1806.08342, section 3.2.2.
    """

    conv: nn.Conv1d | nn.Conv2d
    bn: nn.BatchNorm1d | nn.BatchNorm2d

    def _quantize(
        self,
        weight: Format | str,
        activation: str | None,
        output: Format | str | None,
        method: str,
        estimator: str,
    ) -> None:
        check_activation(type(self).__name__, activation, output)
        self.activation, self.batch_norm_frozen, self._settled = activation, False, False
        self.weight_quantizer = weight_quantizer(weight, self.conv.weight, method, estimator)
        self.output_quantizer = None if output is None else value_quantizer(output, method, estimator)

    def forward(self, x: Tensor) -> Tensor:
        """Compute the layer from a quantized input and round the result to the output format."""
        data, grid = given(x, self)
        y = clamped(self._normalized(data, grid), self.activation)
        return written(y, self.output_quantizer, None if grid is None else (grid, self.weight_quantizer))

    def _normalized(self, x: Tensor, grid: Quantizer | None) -> Tensor:
        if self._settled:
            return self._multiplied(x, self.conv.weight, self.conv.bias)
        factor, quantizer = self._factor(), self.weight_quantizer
        if not self.bn.training or self.batch_norm_frozen:
            weight = folded_weight(quantizer, self.conv.weight, factor)
            return self._multiplied(x, weight, rounded_bias(self._folded_bias(factor), grid, quantizer))
        y = self._multiplied(x, unfolded_weight(quantizer, self.conv.weight, factor), self.conv.bias)
        if y.numel() // y.shape[1] < 2:
            raise DataError(
                f"[{type(self).__name__}] batch norm in training: expected more than 1 value per channel, got shape "
                f"{tuple(y.shape)}; give larger batches, or freeze batch norm (freeze_batch_norm)"
            )
        normalized: Tensor = self.bn(y)
        return normalized

    def _multiplied(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        y: Tensor = self.conv._conv_forward(x, weight, bias)
        return y

    def _factor(self) -> Tensor:
        """Return gamma / sigma with the running sigma before this step's update."""
        assert self.bn.running_var is not None
        return self.bn.weight / torch.sqrt(self.bn.running_var.clone() + self.bn.eps)

    def _folded_bias(self, factor: Tensor) -> Tensor:
        assert self.bn.running_mean is not None
        offset = 0.0 if self.conv.bias is None else self.conv.bias
        return self.bn.bias + (offset - self.bn.running_mean) * factor

    def weights(self) -> Iterator[tuple[str, Quantizer]]:
        """Yield name and quantizer of the weight."""
        yield "conv.weight", self.weight_quantizer

    def settle(self) -> None:
        """Replace the parameters by their frozen values."""
        with torch.no_grad():
            factor = self._factor()
            folded = self.conv.weight * along(factor, self.conv.weight)
            folded_weight(self.weight_quantizer, self.conv.weight, factor)
            bias = self._folded_bias(factor)
            self.conv.weight.copy_(self.weight_quantizer.frozen(folded))
        self.conv.bias = nn.Parameter(bias)
        self._settled = True


class ConvBn1d(_ProductBn):
    """1-D convolution followed by batch norm; see `_ProductBn`."""

    def __init__(
        self,
        *args: Any,
        eps: float = 1e-5,
        momentum: float = 0.1,
        weight: Format | str = WEIGHT,
        activation: str | None = None,
        output: Format | str | None = VALUE,
        method: str = "lsq",
        estimator: str = "clipped",
        **options: Any,
    ) -> None:
        super().__init__()
        self.conv = nn.Conv1d(*args, **{"bias": False, **options})
        self.bn = nn.BatchNorm1d(self.conv.out_channels, eps, momentum)
        self._quantize(weight, activation, output, method, estimator)


class ConvBn2d(_ProductBn):
    """2-D convolution followed by batch norm; see `_ProductBn`."""

    def __init__(
        self,
        *args: Any,
        eps: float = 1e-5,
        momentum: float = 0.1,
        weight: Format | str = WEIGHT,
        activation: str | None = None,
        output: Format | str | None = VALUE,
        method: str = "lsq",
        estimator: str = "clipped",
        **options: Any,
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(*args, **{"bias": False, **options})
        self.bn = nn.BatchNorm2d(self.conv.out_channels, eps, momentum)
        self._quantize(weight, activation, output, method, estimator)
