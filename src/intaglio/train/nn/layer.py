"""Base of quantized layers: create quantizers, read quantized inputs, round outputs."""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from intaglio.errors import UsageError
from intaglio.plan import Format
from intaglio.train.estimators.estimator_registry import estimator_makers
from intaglio.train.estimators.grid import rounded_through
from intaglio.train.nn.exporting import is_exporting, mark
from intaglio.train.nn.format_names import value_format, weight_format
from intaglio.train.nn.grid_tensor import Sums, on_grid, read
from intaglio.train.quantizers.quantizer import Quantizer
from intaglio.train.quantizers.quantizer_registry import quantizer_makers

WEIGHT = "int8n symmetric channel"
"""Default format of weights."""

VALUE = "uint8 asymmetric"
"""Default format of computed values."""

CLAMPS = {"relu": (0.0, None), "relu6": (0.0, 6.0), "hardtanh": (-1.0, 1.0)}
"""Bounds of the activations that a layer's saturation can compute, by name."""


class Layer(nn.Module):
    """Layer whose operands have formats."""

    @property
    def reads(self) -> dict[int, Quantizer]:
        """Quantizers of the inputs in the last call, by operand index."""
        found: dict[int, Quantizer] = self.__dict__.setdefault("_reads", {})
        return found

    def weights(self) -> Iterator[tuple[str, Quantizer]]:
        """Yield names and quantizers of the weight parameters."""
        return iter(())

    def settle(self) -> None:
        """Replace the parameters by the constants of the frozen network; cannot be undone."""


def weight_quantizer(format: Format | str, weight: Tensor, method: str, estimator: str) -> Quantizer:
    """Create the quantizer of a weight.

    Raises:
        UsageError: unknown method, estimator or format.
    """
    if estimator == "proxquant":
        raise UsageError(
            "estimator: expected one that needs only the forward pass, got 'proxquant', which needs a proximal step "
            "after each optimizer step; use intaglio.prepare_qat for it"
        )
    found = weight_format(format)
    make, rounds = quantizer_makers(method)[0], estimator_makers(estimator)[0]
    shape = found.granularity.param_shape(tuple(weight.shape))
    return make(found, shape, ties_up=False, estimator=rounds(_seed(estimator)))


def value_quantizer(format: Format | str, method: str, estimator: str, *, ties_up: bool = True) -> Quantizer:
    """Create the quantizer of a computed value; ties go up as in requantization, to even for network inputs.

    Raises:
        UsageError: unknown method, estimator or format.
    """
    make, rounds = quantizer_makers(method)[1], estimator_makers(estimator)[1]
    found = value_format(format)
    return make(found, (), ties_up=ties_up, estimator=rounds(_seed(estimator)))


def _seed(estimator: str) -> int:
    """Draw an estimator's seed from PyTorch's generator, which also draws initial weights."""
    return 0 if estimator == "clipped" else int(torch.randint(2**31, ()))


def given(x: Tensor, layer: Layer, operand: int = 0) -> tuple[Tensor, Quantizer | None]:
    """Return the numbers of a layer's operand, and the quantizer that rounded them (None during export).

    Args:
        x: the operand.
        layer: the layer, which remembers the quantizer for compiled code.
        operand: index of the operand.
    Raises:
        UsageError: the value has no format; or the layer is compiled before its first call.
    """
    if torch.compiler.is_dynamo_compiling():
        if operand not in layer.reads:
            raise UsageError(
                f"[{type(layer).__name__}] expected a call before torch.compile, got none; call the network once first"
            )
        return x, layer.reads[operand]
    if is_exporting():
        return x, None
    data, layer.reads[operand] = read(x, layer)
    return data, layer.reads[operand]


def written(x: Tensor, quantizer: Quantizer | None, sums: Sums | None = None) -> Tensor:
    """Round a layer's result; without a quantizer return it as accumulator sums.

    Args:
        x: real numbers.
        quantizer: quantizer of the layer's output; None: no output format.
        sums: quantizers of data and weight, if x is a sum of products.
    """
    if torch.compiler.is_dynamo_compiling():
        return x if quantizer is None else quantizer(x)
    if quantizer is None:
        return x if is_exporting() else on_grid(x, None, sums)
    return mark(x, quantizer) if is_exporting() else on_grid(quantizer(x), quantizer)


def clamped(x: Tensor, activation: str | None) -> Tensor:
    """Apply an activation of `CLAMPS`."""
    if activation is None:
        return x
    low, high = CLAMPS[activation]
    if high is None:
        return F.relu(x)
    return F.relu6(x) if (low, high) == (0.0, 6.0) else F.hardtanh(x, low, high)


def check_activation(layer: str, activation: str | None, output: object) -> None:
    """Check that an activation is a clamp and has an output format.

    Raises:
        UsageError: it is not, or has none.
    """
    if activation is not None and activation not in CLAMPS:
        raise UsageError(
            f"[{layer}] activation: expected {', '.join(CLAMPS)} or None, got {activation!r}; use other functions "
            "as layers of their own (Sigmoid, HardSwish, ...)"
        )
    if activation is not None and output is None:
        raise UsageError(f"[{layer}] expected an output format beside activation={activation!r}, got none; set output")


def rounded_bias(bias: Tensor, data: Quantizer | None, weight: Quantizer) -> Tensor:
    """Round a bias to the scale of the products, scale_x * scale_w; not during export."""
    if data is None:
        return bias
    step = data.scale_now() * weight.scale_now()
    return rounded_through(bias / step) * step
