"""What quantized layers have in common: quantizers by name, values read from a grid and written to one."""

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
"""The format of weights, where none is given."""

VALUE = "uint8 asymmetric"
"""The format of computed values, where none is given."""

CLAMPS = {"relu": (0.0, None), "relu6": (0.0, 6.0), "hardtanh": (-1.0, 1.0)}
"""Activations that are the saturation of the layer that they belong to, by name."""


class Layer(nn.Module):
    """A layer whose operands have formats."""

    @property
    def reads(self) -> dict[int, Quantizer]:
        """The quantizers of what it was last called with, by operand."""
        found: dict[int, Quantizer] = self.__dict__.setdefault("_reads", {})
        return found

    def weights(self) -> Iterator[tuple[str, Quantizer]]:
        """Names of its parameters that are multiplied, with their quantizers."""
        return iter(())

    def settle(self) -> None:
        """Put the constants of the frozen network in place of the parameters, for good."""


def weight_quantizer(format: Format | str, weight: Tensor, method: str, estimator: str) -> Quantizer:
    """A quantizer for a weight.

    Raises:
        UsageError: no such method, estimator or format.
    """
    if estimator == "proxquant":
        raise UsageError(
            "estimator: expected one that works in the forward pass, got 'proxquant', whose proximal step follows each "
            "step of the optimizer; train such a network with intaglio.prepare_qat"
        )
    found = weight_format(format)
    make, rounds = quantizer_makers(method)[0], estimator_makers(estimator)[0]
    shape = found.granularity.param_shape(tuple(weight.shape))
    return make(found, shape, ties_up=False, estimator=rounds(_seed(estimator)))


def value_quantizer(format: Format | str, method: str, estimator: str, *, ties_up: bool = True) -> Quantizer:
    """A quantizer for a computed value, whose ties go up as requantization rounds; to even for what is given.

    Raises:
        UsageError: no such method, estimator or format.
    """
    make, rounds = quantizer_makers(method)[1], estimator_makers(estimator)[1]
    found = value_format(format)
    return make(found, (), ties_up=ties_up, estimator=rounds(_seed(estimator)))


def _seed(estimator: str) -> int:
    """Of the draws of an estimator; torch's own seed decides it, as it decides initial weights."""
    return 0 if estimator == "clipped" else int(torch.randint(2**31, ()))


def given(x: Tensor, layer: Layer, operand: int = 0) -> tuple[Tensor, Quantizer | None]:
    """The numbers that a layer reads, and the quantizer that rounded them (None while the network is exported).

    Args:
        x: an operand.
        layer: who reads it; remembers the quantizer, for compiled code.
        operand: which of its operands it is.
    Raises:
        UsageError: a value without a format; or code is compiled that has never been called.
    """
    if torch.compiler.is_dynamo_compiling():
        if operand not in layer.reads:
            raise UsageError(f"[{type(layer).__name__}] call the network once before it is compiled")
        return x, layer.reads[operand]
    if is_exporting():
        return x, None
    data, layer.reads[operand] = read(x, layer)
    return data, layer.reads[operand]


def written(x: Tensor, quantizer: Quantizer | None, sums: Sums | None = None) -> Tensor:
    """What a layer computed, rounded to its grid; without a quantizer as it lies in the accumulator.

    Args:
        x: real numbers.
        quantizer: of the layer's output.
        sums: the quantizers of what it is a sum of products of.
    """
    if torch.compiler.is_dynamo_compiling():
        return x if quantizer is None else quantizer(x)
    if quantizer is None:
        return x if is_exporting() else on_grid(x, None, sums)
    return mark(x, quantizer) if is_exporting() else on_grid(quantizer(x), quantizer)


def clamped(x: Tensor, activation: str | None) -> Tensor:
    """An activation of `CLAMPS`."""
    if activation is None:
        return x
    low, high = CLAMPS[activation]
    if high is None:
        return F.relu(x)
    return F.relu6(x) if (low, high) == (0.0, 6.0) else F.hardtanh(x, low, high)


def check_activation(layer: str, activation: str | None, output: object) -> None:
    """Refuse an activation that is no clamp, or whose result has no format.

    Raises:
        UsageError: it is one of these.
    """
    if activation is not None and activation not in CLAMPS:
        raise UsageError(
            f"[{layer}] activation: expected {', '.join(CLAMPS)} or None, got {activation!r}; put other functions "
            "behind the layer, as layers of their own (Sigmoid, HardSwish, ...)"
        )
    if activation is not None and output is None:
        raise UsageError(f"[{layer}] expected an output format beside activation={activation!r}, got none")


def rounded_bias(bias: Tensor, data: Quantizer | None, weight: Quantizer) -> Tensor:
    """A bias on the grid of the products, scale_x * scale_w; as it is where it is exported."""
    if data is None:
        return bias
    step = data.scale_now() * weight.scale_now()
    return rounded_through(bias / step) * step
