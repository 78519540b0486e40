"""Mean and spread of every value without data, from those of the input and from what batch norm recorded.

Each element is a cut normal number (see `normals`). From operands to results:

- movements, and steps `s * x + t` with constants: exactly; so are Relu, Clip, and minima and maxima with constants.
- sums: means and variances add, as if the operands were independent.
- products with constant weights (convolutions, dense layers): the mean is exact, at padded borders too. The variance is
  that of `correlation`.
- means over positions (average pools): the same, with weights 1 / n.
- LeakyRelu, PRelu: moments of the two rectified halves.
- anything else: the operator is run on `DRAWS` draws.

Where batch norm recorded the moments of a value, these are put in the place of what the layers before predict. Where it
recorded the mean alone, the spread is the one that explains the recorded means behind the next layer best.

Source: Nagel et al. 2019, arXiv:1906.04721, section 4.2.1 and appendix C; correlations and spreads from means: ours.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import onnx_ir as ir
import torch
from torch import Tensor

from intaglio.calibrate.clipped_gaussian import ClippedGaussian
from intaglio.calibrate.correlation import FEATURES, IMAGE, Correlation
from intaglio.graph import Graph
from intaglio.graph.access import attribute, constant, consumers, shape, single_consumer
from intaglio.graph.bounds import bounds
from intaglio.graph.moments import Moments
from intaglio.graph.operators import facts, named
from intaglio.ops import float_operator
from intaglio.progress import progress

DRAWS = 32
LAYER_FACTORS = tuple(float(f) for f in np.exp2(np.arange(-2, 5) / 4))
"""By which a predicted spread may be off. Too narrow a range costs more than one that is too wide."""
INPUT_FACTORS = tuple(float(f) for f in np.exp2(np.arange(-32, 41) / 4))
"""The same for an input of which nothing is known."""

_MOVEMENTS = {*named("moves"), "Concat", "Dropout", "Resize"}
_CLAMPS = {"Clip", "Max", "Min", "Relu"}

Operands = list[ClippedGaussian | Tensor | None]


def propagate(graph: Graph, inputs: Mapping[str, ClippedGaussian]) -> dict[str, ClippedGaussian]:
    """Moments of every computed value.

    Args:
        graph: in normal form.
        inputs: of the network's inputs, in the Graph's shapes.
    Returns:
        By value name, the inputs among them.
    """
    walk = Walk(graph)
    known = dict(inputs)
    nodes = graph.nodes
    with torch.no_grad():
        for node in progress(nodes, len(nodes), "moments"):
            for output, result in zip(node.outputs, walk.results(node, known), strict=False):
                if output.name:
                    known[str(output.name)] = walk.recorded(output, result)
    return known


class Walk:
    """A Graph's constants, in float64, and its rules."""

    def __init__(self, graph: Graph) -> None:
        self.moments = graph.moments
        self.constants: dict[str, Tensor] = {}
        for value in graph.initializers:
            array = constant(value)
            assert array is not None
            tensor = torch.as_tensor(np.array(array))
            self.constants[str(value.name)] = tensor.double() if tensor.is_floating_point() else tensor
        self.images = {str(v.name) for v in graph.inputs if len(shape(v)) > 2}

    def operands(self, node: ir.Node, known: Mapping[str, ClippedGaussian]) -> Operands:
        """What a node reads: constants as tensors."""
        return [None if v is None else self.constants.get(str(v.name), known.get(str(v.name))) for v in node.inputs]

    def results(self, node: ir.Node, known: Mapping[str, ClippedGaussian]) -> tuple[ClippedGaussian, ...]:
        """What a node makes of its operands."""
        source = node.inputs[0] if node.inputs else None
        of_image = source is not None and source.name in self.images
        if of_image and node.op_type in _MOVEMENTS:
            self.images.update(str(v.name) for v in node.outputs)
        return _results(node, self.operands(node, known), IMAGE if of_image else FEATURES)

    def recorded(
        self, value: ir.Value, predicted: ClippedGaussian, factors: Sequence[float] = LAYER_FACTORS
    ) -> ClippedGaussian:
        """The prediction, or what batch norm knew better; `factors`: see `spread_factor`."""
        moments = self.moments.get(str(value.name))
        if moments is None:
            return predicted
        found = corrected(predicted, moments)
        factor = self.spread_factor(value, found, factors) if np.isnan(moments.std).any() else None
        return found if factor is None else ClippedGaussian(found.mean, found.std * factor, found.low, found.high)

    def spread_factor(self, value: ir.Value, found: ClippedGaussian, factors: Sequence[float]) -> float | None:
        """The factor on a spread with which the recorded means behind the next layer come out best, if any does."""
        clamps = []
        while (clamp := single_consumer(value)) is not None and clamp.op_type in _CLAMPS:
            clamps.append(clamp)
            value = clamp.outputs[0]
        readers = [node for node in consumers(value) if facts(node.op_type).product and node.inputs[0] is value]
        layer = next((node for node in readers if str(node.outputs[0].name) in self.moments), None)
        if layer is None or not clamps:  # without a clamp the mean says nothing of the spread
            return None
        wanted, operands = self.moments[str(layer.outputs[0].name)], self.operands(layer, {})
        axis = channel_axis(torch.empty(shape(layer.outputs[0])), len(wanted.mean))
        if axis is None or not isinstance(operands[1], Tensor):
            return None
        rest = [k for k in range(len(shape(layer.outputs[0]))) if k != axis]
        size = _run(layer, [found.std, operands[1].abs()], lambda x: x.mean)[0].mean(rest).clamp_min(1e-300)
        errors = []
        for factor in factors:
            x = ClippedGaussian(found.mean, found.std * factor, found.low, found.high)
            for clamp in clamps:
                x = _clamp(clamp, [x if v is None else v for v in self.operands(clamp, {})])
            (y,) = _run(layer, [x.moments()[0], *operands[1:]], lambda x: x.mean)
            off = ((y.mean(rest) - torch.as_tensor(wanted.mean)) / size).abs()
            errors.append((off + 1e-3).log().mean())  # some channels explain nothing, whatever the factor
        return factors[int(torch.stack(errors).argmin())]


def corrected(predicted: ClippedGaussian, recorded: Moments) -> ClippedGaussian:
    """A prediction moved and stretched, channel by channel, to the recorded moments.

    How the mean differs between positions (at padded borders) stays as predicted.
    """
    axis = channel_axis(predicted.mean, len(recorded.mean))
    if axis is None:
        return predicted
    rest = [k for k in range(predicted.mean.ndim) if k != axis]
    size = [1] * predicted.mean.ndim
    size[axis] = -1
    wanted = torch.as_tensor(recorded.mean).reshape(size)
    std = torch.as_tensor(recorded.std).reshape(size)
    mean = predicted.mean.mean(rest, keepdim=True) if rest else predicted.mean
    between = (predicted.mean - mean).square().mean(rest, keepdim=True) if rest else torch.zeros_like(mean)
    within = predicted.std.square().mean(rest, keepdim=True) if rest else predicted.std.square()
    least = 0.01 * std.square()  # where borders alone are said to vary more than the whole, they are not believed
    spread = predicted.mean - mean
    spread = torch.where(between > std.square() - least, torch.zeros_like(spread), spread)
    left = torch.where(between > std.square() - least, std.square(), std.square() - between)
    flat = torch.where(within > 0, predicted.std * (left / within.clamp_min(1e-300)).sqrt(), left.sqrt())
    return ClippedGaussian.uncut(
        wanted + torch.where(std.isnan(), predicted.mean - mean, spread), torch.where(std.isnan(), predicted.std, flat)
    )


def channel_axis(x: Tensor, channels: int) -> int | None:
    """The axis of a value's channels: 1, or else the last; None where neither has so many."""
    for axis in (1, x.ndim - 1):
        if 0 < axis < x.ndim and x.shape[axis] == channels:
            return axis
    return None


def channel_moments(x: ClippedGaussian, channels: int) -> Moments | None:
    """Mean and standard deviation of a value's channels over its positions; None where it has not so many."""
    mean, std = x.moments()
    axis = channel_axis(mean, channels)
    if axis is None:
        return None
    rest = [k for k in range(mean.ndim) if k != axis]
    between = mean.var(rest, unbiased=False)
    return Moments(mean.mean(rest).numpy(), (std.square().mean(rest) + between).sqrt().numpy())


def _results(node: ir.Node, operands: Operands, correlation: Correlation) -> tuple[ClippedGaussian, ...]:
    kind, computed = node.op_type, [isinstance(x, ClippedGaussian) for x in operands]
    alone = computed.count(True) == 1 and computed[0]
    if kind in _MOVEMENTS or kind == "Neg" or (alone and kind in ("Add", "BatchNormalization", "Div", "Mul", "Sub")):
        return _affine(node, operands)
    if kind in ("Add", "Mul") and computed.count(True) == 1:
        return _affine(node, operands)
    if kind in _CLAMPS and computed.count(True) == 1:
        return (_clamp(node, operands),)
    if kind in ("Add", "Sub"):
        return (_sum(node, operands),)
    x = operands[0] if operands else None
    if isinstance(x, ClippedGaussian):
        if facts(kind).product and alone:
            return (_product(node, x, operands[1:], correlation),)
        if facts(kind).averages:
            return (_average(node, x, correlation),)
        if kind in ("LeakyRelu", "PRelu") and alone:
            return (_leaky(node, x, operands[1:]),)
    return _drawn(node, operands, correlation.neighbours)


def _run(node: ir.Node, operands: Operands, take: Callable[[ClippedGaussian], Tensor]) -> tuple[Tensor, ...]:
    """The operator on one tensor of each operand."""
    results = float_operator(node).real(node, *(take(x) if isinstance(x, ClippedGaussian) else x for x in operands))
    return results if isinstance(results, tuple) else (results,)


def _affine(node: ir.Node, operands: Operands) -> tuple[ClippedGaussian, ...]:
    """`s * x + t`, element by element: the standard deviation is what is left without t."""
    means = _run(node, operands, lambda x: x.mean)
    offsets = _run(node, operands, lambda x: torch.zeros_like(x.mean))
    stds = _run(node, operands, lambda x: x.std)
    ends = [
        _run(node, operands, lambda x, side=side: getattr(x, side).expand(x.mean.shape))  # type: ignore[misc]
        for side in ("low", "high")
    ]
    found = []
    for mean, offset, std, one, other in zip(means, offsets, stds, *ends, strict=True):
        low = torch.minimum(one, other).nan_to_num(nan=-math.inf, posinf=math.inf, neginf=-math.inf)
        high = torch.maximum(one, other).nan_to_num(nan=math.inf, posinf=math.inf, neginf=-math.inf)
        found.append(ClippedGaussian(mean, (std - offset).abs(), _narrow(low), _narrow(high)))
    return tuple(found)


def _narrow(bound: Tensor) -> Tensor:
    """One number where all are equal: bounds are kept for every value."""
    first = bound.reshape(-1)[:1]
    return first.reshape(()) if first.numel() and bool((bound == first).all()) else bound


def _clamp(node: ir.Node, operands: Operands) -> ClippedGaussian:
    (x,) = (x for x in operands if isinstance(x, ClippedGaussian))
    (low,) = _run(node, operands, lambda x: x.low.expand(x.mean.shape))
    (high,) = _run(node, operands, lambda x: x.high.expand(x.mean.shape))
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
    (y,) = _run(node, [mean, *rest], lambda x: x.mean)
    weight = rest[0]
    assert isinstance(weight, Tensor)
    (variance,) = _run(node, [std.square(), correlation.variance_weights(node, weight)], lambda x: x.mean)
    return ClippedGaussian.uncut(y, (variance * float(attribute(node, "alpha", 1.0))).clamp_min(0).sqrt())


def _average(node: ir.Node, x: ClippedGaussian, correlation: Correlation) -> ClippedGaussian:
    """The mean of n numbers: of the mean variance as much as their correlations leave."""
    mean, std = x.moments()
    (y,), (variance,) = (_run(node, [t], lambda x: x.mean) for t in (mean, std.square()))
    if node.op_type == "AveragePool":
        sizes = attribute(node, "kernel_shape")
    elif node.op_type == "GlobalAveragePool":
        sizes = shape(node.inputs[0])[2:]
    else:
        axes = constant(node.inputs[1]) if len(node.inputs) > 1 else None
        full = shape(node.inputs[0])
        sizes = full if axes is None else [full[int(k)] for k in axes.reshape(-1)]
    left = correlation.of_a_mean(sizes)
    (low,), (high,) = (_run(node, [end.expand(mean.shape)], lambda x: x.mean) for end in (x.low, x.high))
    return ClippedGaussian(y, (variance * left).sqrt(), _narrow(low), _narrow(high))


def _leaky(node: ir.Node, x: ClippedGaussian, rest: Operands) -> ClippedGaussian:
    """y = r(x) - a r(-x), r(x) = max(x, 0); r(x) r(-x) = 0, so E[y**2] = E[r(x)**2] + a**2 E[r(-x)**2]."""
    mean, std = x.moments()
    slope: Tensor | float = float(attribute(node, "alpha", 0.01))
    if node.op_type == "PRelu":
        assert isinstance(rest[0], Tensor)
        slope = rest[0]
    zero, edge = mean.new_zeros(()), mean.new_tensor(math.inf)
    (up, up_std), (down, down_std) = (ClippedGaussian(m, std, zero, edge).moments() for m in (mean, -mean))
    y = up - slope * down
    square = up.square() + up_std.square() + slope**2 * (down.square() + down_std.square())
    (low,), (high,) = (_run(node, [end.expand(mean.shape), *rest], lambda x: x.mean) for end in (x.low, x.high))
    least, most = torch.minimum(low, high), torch.maximum(low, high)
    return ClippedGaussian(y, (square - y.square()).clamp_min(0).sqrt(), _narrow(least), _narrow(most))


def _drawn(node: ir.Node, operands: Operands, neighbours: float) -> tuple[ClippedGaussian, ...]:
    """Draws of the operands, one run of the operator on each; the same ones at every call."""
    generator = torch.Generator().manual_seed(0)
    totals: list[Tensor] = []
    squares: list[Tensor] = []
    common = [_quantiles(x, generator) if isinstance(x, ClippedGaussian) else None for x in operands]
    for k in range(DRAWS):
        drawn = [
            _draw(x, c[k], generator, neighbours) if isinstance(x, ClippedGaussian) and c is not None else x
            for x, c in zip(operands, common, strict=True)
        ]
        results = _run(node, drawn, lambda x: x.mean)
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
    """What the positions of a channel share in each draw, (DRAWS, ...): the same normal numbers, shuffled."""
    size = (*x.mean.shape[:2], *[1] * (x.mean.ndim - 2))
    order = torch.rand((DRAWS, *size), generator=generator, dtype=torch.float64).argsort(dim=0)
    numbers: Tensor = torch.special.ndtri((order.double() + 0.5) / DRAWS)
    return numbers


def _draw(x: ClippedGaussian, common: Tensor, generator: torch.Generator, neighbours: float) -> Tensor:
    """Positions of a channel share a part of what is drawn, so that they are correlated."""
    if x.mean.ndim > 2:
        own = torch.randn(x.mean.shape, generator=generator, dtype=torch.float64)
        common = math.sqrt(1 - neighbours) * own + math.sqrt(neighbours) * common
    return torch.minimum(torch.maximum(x.mean + x.std * common, x.low), x.high)


def _over_positions(x: Tensor) -> Tensor:
    """The mean over the positions of an image, which steadies what few draws gave."""
    return x.mean(tuple(range(2, x.ndim)), keepdim=True).expand(x.shape) if x.ndim > 3 else x
