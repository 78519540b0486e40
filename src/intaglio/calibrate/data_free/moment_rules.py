"""Rules for mean and spread without data: from the operands of a node to its results.

Each element is a normal number cut to an interval (see `clipped_gaussian`):

- data movement, and steps `s * x + t` with constants: exact; so are Relu, Clip, and minima and maxima with constants.
- sums: means and variances add, as if the operands were independent.
- products with constant weights (convolutions, dense layers): the mean is exact, at padded borders too. The variance is
  that of `correlation`.
- means over positions (average pools): the same, with weights 1 / n.
- LeakyRelu, PRelu: moments of the two rectified halves.
- any other operator: run on `DRAWS` random draws of its operands.

Source: Nagel et al. 2019, arXiv:1906.04721, section 4.2.1 and appendix C; correlations: ours.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import onnx_ir as ir
import torch
from torch import Tensor

from intaglio.calibrate.data_free.clipped_gaussian import ClippedGaussian
from intaglio.calibrate.data_free.correlation import Correlation
from intaglio.graph.access import attribute, constant, shape
from intaglio.graph.bounds import bounds
from intaglio.graph.operators import facts, named
from intaglio.ops import float_operator
from intaglio.ops.prelu import Leaky

DRAWS = 32
MOVEMENTS = {*named("moves"), "Concat", "Dropout", "Resize"}
CLAMPS = named("clamps") | named("extremum")
_AFFINE_OF_FIRST = named("affine") | {"BatchNormalization", "Div"}

Operands = list[ClippedGaussian | Tensor | None]
"""What a node reads: moments of computed values, tensors of constants, None for inputs that are left out."""


def result_moments(node: ir.Node, operands: Operands, correlation: Correlation) -> tuple[ClippedGaussian, ...]:
    """Predict the moments of a node's results from those of its operands.

    Args:
        node: any float operator.
        operands: one for each input of the node.
        correlation: what is assumed of the values that the node reads.
    Returns:
        One for each output.
    """
    kind, computed = node.op_type, [isinstance(x, ClippedGaussian) for x in operands]
    alone = computed.count(True) == 1 and computed[0]
    if kind in MOVEMENTS or kind == "Neg" or (alone and kind in _AFFINE_OF_FIRST):
        return _affine(node, operands)
    if facts(kind).affine and facts(kind).commutative and computed.count(True) == 1:
        return _affine(node, operands)
    if kind in CLAMPS and computed.count(True) == 1:
        return (clamped(node, operands),)
    if facts(kind).adds:
        return (_sum(node, operands),)
    x = operands[0] if operands else None
    if isinstance(x, ClippedGaussian):
        if facts(kind).product and alone:
            return (_product(node, x, operands[1:], correlation),)
        if facts(kind).averages:
            return (_average(node, x, correlation),)
        if kind in Leaky.op_types and alone:
            return (_leaky(node, x, operands[1:]),)
    return _drawn(node, operands, correlation.neighbours)


def run_on(node: ir.Node, operands: Operands, take: Callable[[ClippedGaussian], Tensor]) -> tuple[Tensor, ...]:
    """Run the operator on one tensor of each operand, which `take` chooses."""
    results = float_operator(node).real(node, *(take(x) if isinstance(x, ClippedGaussian) else x for x in operands))
    return results if isinstance(results, tuple) else (results,)


def _affine(node: ir.Node, operands: Operands) -> tuple[ClippedGaussian, ...]:
    """Map `s * x + t`, element by element: the standard deviation is mapped without t."""
    means = run_on(node, operands, lambda x: x.mean)
    offsets = run_on(node, operands, lambda x: torch.zeros_like(x.mean))
    stds = run_on(node, operands, lambda x: x.std)
    ends = [
        run_on(node, operands, lambda x, side=side: getattr(x, side).expand(x.mean.shape))  # type: ignore[misc]
        for side in ("low", "high")
    ]
    found = []
    for mean, offset, std, one, other in zip(means, offsets, stds, *ends, strict=True):
        low = torch.minimum(one, other).nan_to_num(nan=-math.inf, posinf=math.inf, neginf=-math.inf)
        high = torch.maximum(one, other).nan_to_num(nan=math.inf, posinf=math.inf, neginf=-math.inf)
        found.append(ClippedGaussian(mean, (std - offset).abs(), _narrow(low), _narrow(high)))
    return tuple(found)


def _narrow(bound: Tensor) -> Tensor:
    """Keep one number where all bounds are equal, to save memory."""
    first = bound.reshape(-1)[:1]
    return first.reshape(()) if first.numel() and bool((bound == first).all()) else bound


def clamped(node: ir.Node, operands: Operands) -> ClippedGaussian:
    """Clamp the only computed operand of a node: its bounds get closer, mean and std before clipping stay."""
    (x,) = (x for x in operands if isinstance(x, ClippedGaussian))
    (low,) = run_on(node, operands, lambda x: x.low.expand(x.mean.shape))
    (high,) = run_on(node, operands, lambda x: x.high.expand(x.mean.shape))
    return ClippedGaussian(x.mean.expand(low.shape), x.std.expand(low.shape), _narrow(low), _narrow(high))


def _sum(node: ir.Node, operands: Operands) -> ClippedGaussian:
    (a, b) = ((x.moments(), x) for x in operands if isinstance(x, ClippedGaussian))
    sign = 1 if node.op_type == "Add" else -1
    low, high = (b[1].low, b[1].high) if sign > 0 else (-b[1].high, -b[1].low)
    mean = a[0][0] + sign * b[0][0]
    std = (a[0][1].square() + b[0][1].square()).sqrt()
    return ClippedGaussian(mean, std, a[1].low + low, a[1].high + high)


def _product(node: ir.Node, x: ClippedGaussian, rest: Operands, correlation: Correlation) -> ClippedGaussian:
    mean, std = x.moments()
    (y,) = run_on(node, [mean, *rest], lambda x: x.mean)
    weight = rest[0]
    assert isinstance(weight, Tensor)
    (variance,) = run_on(node, [std.square(), correlation.variance_weights(node, weight)], lambda x: x.mean)
    return ClippedGaussian.uncut(y, (variance * float(attribute(node, "alpha", 1.0))).clamp_min(0).sqrt())


def _average(node: ir.Node, x: ClippedGaussian, correlation: Correlation) -> ClippedGaussian:
    """Average n numbers: of their mean variance as much remains as their correlations leave."""
    mean, std = x.moments()
    (y,), (variance,) = (run_on(node, [t], lambda x: x.mean) for t in (mean, std.square()))
    if node.op_type == "AveragePool":
        sizes = attribute(node, "kernel_shape")
    elif node.op_type == "GlobalAveragePool":
        sizes = shape(node.inputs[0])[2:]
    else:
        axes = constant(node.inputs[1]) if len(node.inputs) > 1 else None
        full = shape(node.inputs[0])
        sizes = full if axes is None else [full[int(k)] for k in axes.reshape(-1)]
    left = correlation.of_a_mean(sizes)
    (low,), (high,) = (run_on(node, [end.expand(mean.shape)], lambda x: x.mean) for end in (x.low, x.high))
    return ClippedGaussian(y, (variance * left).sqrt(), _narrow(low), _narrow(high))


def _leaky(node: ir.Node, x: ClippedGaussian, rest: Operands) -> ClippedGaussian:
    """Compute y = r(x) - a r(-x), r(x) = max(x, 0); r(x) r(-x) = 0, so E[y**2] = E[r(x)**2] + a**2 E[r(-x)**2]."""
    mean, std = x.moments()
    slope: Tensor | float = float(attribute(node, "alpha", 0.01))
    if node.op_type == "PRelu":
        assert isinstance(rest[0], Tensor)
        slope = rest[0]
    zero, edge = mean.new_zeros(()), mean.new_tensor(math.inf)
    (up, up_std), (down, down_std) = (ClippedGaussian(m, std, zero, edge).moments() for m in (mean, -mean))
    y = up - slope * down
    square = up.square() + up_std.square() + slope**2 * (down.square() + down_std.square())
    (low,), (high,) = (run_on(node, [end.expand(mean.shape), *rest], lambda x: x.mean) for end in (x.low, x.high))
    least, most = torch.minimum(low, high), torch.maximum(low, high)
    return ClippedGaussian(y, (square - y.square()).clamp_min(0).sqrt(), _narrow(least), _narrow(most))


def _drawn(node: ir.Node, operands: Operands, neighbours: float) -> tuple[ClippedGaussian, ...]:
    """Run the operator on random draws of its operands, the same ones at every call."""
    generator = torch.Generator().manual_seed(0)
    totals: list[Tensor] = []
    squares: list[Tensor] = []
    common = [_quantiles(x, generator) if isinstance(x, ClippedGaussian) else None for x in operands]
    for k in range(DRAWS):
        drawn = [
            _draw(x, c[k], generator, neighbours) if isinstance(x, ClippedGaussian) and c is not None else x
            for x, c in zip(operands, common, strict=True)
        ]
        results = run_on(node, drawn, lambda x: x.mean)
        if not totals:
            totals, squares = ([torch.zeros_like(y, dtype=torch.float64) for y in results] for _ in range(2))
        for y, total, square in zip(results, totals, squares, strict=True):
            total += y
            square += y.double().square()
    low, high = bounds(node.outputs[0])
    found = []
    for total, square in zip(totals, squares, strict=True):
        mean, second = _over_positions(total / DRAWS), _over_positions(square / DRAWS)
        std = (second - mean.square()).clamp_min(0).sqrt()
        found.append(ClippedGaussian(mean, std, mean.new_tensor(low), mean.new_tensor(high)))
    return tuple(found)


def _quantiles(x: ClippedGaussian, generator: torch.Generator) -> Tensor:
    """Draw what the positions of a channel share in each draw, (DRAWS, ...): the same normal numbers, shuffled."""
    size = (*x.mean.shape[:2], *[1] * (x.mean.ndim - 2))
    order = torch.rand((DRAWS, *size), generator=generator, dtype=torch.float64).argsort(dim=0)
    numbers: Tensor = torch.special.ndtri((order.double() + 0.5) / DRAWS)
    return numbers


def _draw(x: ClippedGaussian, common: Tensor, generator: torch.Generator, neighbours: float) -> Tensor:
    """Draw every element; positions of a channel share a part of the draw, so that they are correlated."""
    if x.mean.ndim > 2:
        own = torch.randn(x.mean.shape, generator=generator, dtype=torch.float64)
        common = math.sqrt(1 - neighbours) * own + math.sqrt(neighbours) * common
    return torch.minimum(torch.maximum(x.mean + x.std * common, x.low), x.high)


def _over_positions(x: Tensor) -> Tensor:
    """Average over the positions of an image, which reduces the error of few draws."""
    return x.mean(tuple(range(2, x.ndim)), keepdim=True).expand(x.shape) if x.ndim > 3 else x
