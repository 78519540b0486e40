"""Quantized layers of several values: sum, difference, product, concatenation."""

from __future__ import annotations

import torch
from torch import Tensor

from intaglio.plan import Format
from intaglio.train.nn.layer import VALUE, Layer, check_activation, clamped, given, value_quantizer, written


class _Join(Layer):
    """Layer of several computed values.

    Args:
        output: the format of the result; None if a clamp layer with a format follows.
        activation, method, estimator: see `Conv2d`.
    """

    def __init__(
        self,
        output: Format | str | None = VALUE,
        *,
        activation: str | None = None,
        method: str = "lsq",
        estimator: str = "clipped",
    ) -> None:
        super().__init__()
        check_activation(type(self).__name__, activation, output)
        self.activation = activation
        self.output_quantizer = None if output is None else value_quantizer(output, method, estimator)

    def _written(self, y: Tensor) -> Tensor:
        return written(clamped(y, self.activation), self.output_quantizer)


class Add(_Join):
    """a + b: a residual sum."""

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        """Combine quantized values and round the result to the output format."""
        return self._written(given(a, self)[0] + given(b, self, 1)[0])


class Sub(_Join):
    """a - b."""

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        """Combine quantized values and round the result to the output format."""
        return self._written(given(a, self)[0] - given(b, self, 1)[0])


class Mul(_Join):
    """a b: a gate, or channels that are scaled (squeeze and excitation)."""

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        """Combine quantized values and round the result to the output format."""
        return self._written(given(a, self)[0] * given(b, self, 1)[0])


class Concat(Layer):
    """Concatenation of values, all rounded to one format.

    Args:
        dim: axis of the concatenation.
        output: the format of the result.
        method, estimator: see `Conv2d`.
    """

    def __init__(
        self,
        dim: int = 1,
        output: Format | str = VALUE,
        *,
        method: str = "lsq",
        estimator: str = "clipped",
    ) -> None:
        super().__init__()
        self.dim = dim
        self.output_quantizer = value_quantizer(output, method, estimator)

    def forward(self, *parts: Tensor) -> Tensor:
        """Combine quantized values and round the result to the output format."""
        return written(
            torch.cat([given(part, self, k)[0] for k, part in enumerate(parts)], self.dim), self.output_quantizer
        )
