"""The functions of one real value that ONNX has, in torch; from these tables are made and the simulator runs."""

from __future__ import annotations

import math
from collections.abc import Callable

import onnx_ir as ir
import torch
import torch.nn.functional as F
from torch import Tensor

from intaglio.graph.access import attribute

Function = Callable[[ir.Node, Tensor], Tensor]


def _hard_sigmoid(node: ir.Node, x: Tensor) -> Tensor:
    alpha, beta = float(attribute(node, "alpha", 0.2)), float(attribute(node, "beta", 0.5))
    return (alpha * x + beta).clamp(0.0, 1.0)


def _selu(node: ir.Node, x: Tensor) -> Tensor:
    alpha = float(attribute(node, "alpha", 1.6732632423543772))
    gamma = float(attribute(node, "gamma", 1.0507009873554805))
    return gamma * F.elu(x, alpha)


def _shrink(node: ir.Node, x: Tensor) -> Tensor:
    bias, edge = attribute(node, "bias", 0.0), attribute(node, "lambd", 0.5)
    return torch.where(x < -edge, x + bias, torch.where(x > edge, x - bias, torch.zeros_like(x)))


def _swish(node: ir.Node, x: Tensor) -> Tensor:
    return x * torch.sigmoid(attribute(node, "alpha", 1.0) * x)


def _thresholded_relu(node: ir.Node, x: Tensor) -> Tensor:
    return torch.where(x > attribute(node, "alpha", 1.0), x, torch.zeros_like(x))


def _reciprocal(node: ir.Node, x: Tensor) -> Tensor:
    return 1.0 / (x + 0.0)  # a grid has one zero: -0.0 becomes 0.0, whose reciprocal is +inf


FUNCTIONS: dict[str, Function] = {
    "Abs": lambda node, x: x.abs(),
    "Acos": lambda node, x: x.acos(),
    "Acosh": lambda node, x: x.acosh(),
    "Asin": lambda node, x: x.asin(),
    "Asinh": lambda node, x: x.asinh(),
    "Atan": lambda node, x: x.atan(),
    "Atanh": lambda node, x: x.atanh(),
    "Ceil": lambda node, x: x.ceil(),
    "Celu": lambda node, x: F.celu(x, attribute(node, "alpha", 1.0)),
    "Cos": lambda node, x: x.cos(),
    "Cosh": lambda node, x: x.cosh(),
    "Elu": lambda node, x: F.elu(x, attribute(node, "alpha", 1.0)),
    "Erf": lambda node, x: torch.erf(x),
    "Exp": lambda node, x: x.exp(),
    "Floor": lambda node, x: x.floor(),
    "Gelu": lambda node, x: F.gelu(x, approximate=attribute(node, "approximate", "none")),
    "HardSigmoid": _hard_sigmoid,
    "HardSwish": lambda node, x: F.hardswish(x),
    "Log": lambda node, x: x.log(),
    "Mish": lambda node, x: F.mish(x),
    "Neg": lambda node, x: -x,
    "Reciprocal": _reciprocal,
    "Round": lambda node, x: x.round(),
    "Selu": _selu,
    "Shrink": _shrink,
    "Sigmoid": lambda node, x: x.sigmoid(),
    "Sin": lambda node, x: x.sin(),
    "Sinh": lambda node, x: x.sinh(),
    "Softplus": lambda node, x: F.softplus(x),
    "Softsign": lambda node, x: F.softsign(x),
    "Sqrt": lambda node, x: x.sqrt(),
    "Swish": _swish,
    "Tan": lambda node, x: x.tan(),
    "Tanh": lambda node, x: x.tanh(),
    "ThresholdedRelu": _thresholded_relu,
}

POLES = frozenset({"Acos", "Acosh", "Asin", "Atanh", "Div", "Exp", "Log", "Pow", "Reciprocal", "Sqrt", "Tan"})
"""Functions that are infinite, or infinitely steep, at a number that float32 has; in training neither gets further."""

DOMAINS = {
    "Log": (0.0, math.inf),
    "Sqrt": (0.0, math.inf),
    **dict.fromkeys(("Acos", "Asin", "Atanh"), (-1.0, 1.0)),
    "Acosh": (1.0, math.inf),
}
"""Where functions are defined. A number that its grid rounds to one outside takes the value at the edge."""

KNOWN_RANGES = frozenset({"Erf", "Sigmoid", "Softsign", "Tanh"})
"""Functions whose results have the half-open range of their row in `graph.operators`; it is not measured. They flatten
out at both ends, and inputs of -10 and 10 bring them to within 10 % of these."""
