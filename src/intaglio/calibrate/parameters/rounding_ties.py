"""Nudge scales that cause rounding ties, so that float32 rounds as integers do.

Simulation, and QDQ files in other engines, compute in float32. A result within float32's error of a tie (half way
between two codes) may be rounded one way there and the other way in integers. Where such a result is common, many
outputs differ at once, and layers of few bits amplify each difference.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
from numpy.typing import ArrayLike, NDArray

from intaglio.calibrate.parameters.adjust import channel_list, note, params_of, rescaled, result_of
from intaglio.graph import Graph
from intaglio.graph.operators import facts
from intaglio.number import QuantParams, Scheme
from intaglio.ops import Role
from intaglio.plan import Plan, Source, ValuePlan

_SUMS = np.arange(1, 33)  # of products; odd multiples of a sum that ties tie too, so small sums suffice
_WIDTH = 2.0**-19  # relative to the factor: float32's error up to a sum of products, with a margin
_MOVE = 1 + 2.0**-14  # moves 8-bit results by up to 1/64 step; more than float32 loses where terms cancel

_FEW_BITS = 4  # of activations: with more bits, one step more or less of a sum is negligible
_FLOAT_ERROR = 2.0**-22  # relative to the operands: two products, their sum and the division, each rounded once
_INTEGER_ERROR = 2.0**-19  # relative to the coarser operand's step: both are rounded at 2**-20 of twice it
_FINE_MOVE = 2.0**-20  # a smaller move takes no result off its tie, a larger one puts other results on ties
_MOST_MOVES = 64


def avoid_product_ties(x: ValuePlan, w: ValuePlan, y: ValuePlan, gain: float, where: str) -> None:
    """Raise weight scales with which small sums of products tie: factors near odd fractions, such as 7/8.

    Power-of-two scales stay: float32 and integers compute both exactly, ties included. So do layers with results of
    more than 8 bits: one step is negligible there, and the move would be several steps.

    Args:
        x, w, y: the values of data, weight and result; that of the weight is changed.
        gain: factor of the products (see `WeightedLayer`).
        where: the operator, for errors.
    """
    of_x, of_w, of_y = params_of(x), params_of(w), params_of(y)
    if of_y.type.bits > 8 or _is_power_of_two(w):
        return
    scale = of_w.scale.astype(np.float64)
    factor = scale * float(of_x.scale) * abs(gain) / float(of_y.scale)
    exact = all(_exact(part) for part in (of_x.scale, of_y.scale, abs(gain))) & _exact(scale)
    halves = 2 * factor[..., None] * _SUMS
    near = np.rint(halves)
    ties = ((np.abs(halves - near) <= near * _WIDTH) & (near % 2 == 1)).any(axis=-1) & ~exact
    if not ties.any():
        return
    w.params = rescaled(of_w, np.where(ties, scale * _MOVE, scale), where, w.name)
    which = f" of {channel_list(np.flatnonzero(ties))}" if scale.ndim else ""
    note(w, f"scale{which} raised by 0.006 %: sums would lie half way between two codes of the output")


def avoid_sum_ties(graph: Graph, plan: Plan) -> None:
    """Move the result scales of Add and Sub by as little as takes every pair of codes off a tie.

    Of the 2**16 pairs of 8-bit codes, usually one or two lie within float32's error of a tie. Where these pairs are
    common, a residual network of 2 bits predicts another class for one image in fifty. Plans without activations of 4
    bits or fewer stay as they are.

    Args:
        graph: in normal form.
        plan: with parameters of every activation; changed in place.
    """
    if not any(_is_coarse(value) for value in plan.values.values()):
        return
    for node in graph.nodes:
        if facts(node.op_type).adds and (node.domain, len(node.inputs)) == ("", 2):
            _avoid_ties_of(node, result_of(node, plan), plan)


def _avoid_ties_of(node: ir.Node, result: ValuePlan, plan: Plan) -> None:
    names = [str(v.name) for v in node.inputs if v is not None]
    if any(name not in plan.values for name in names):  # an addend that masks scores has no format of its own
        return
    first, second = map(plan.root, names)
    a, b = first.params, second.params
    if a is None or b is None or result.params is None or result.source is not Source.OWN or _is_power_of_two(result):
        return
    if result.name in (first.name, second.name):  # with one scale for both (of a Concat, say), both would move
        return
    if any(p.type.bits > 8 or p.scale.size > 1 for p in (a, b, result.params)):
        return
    if all(_exact(p.scale) for p in (a, b, result.params)):
        return
    sums = _Sums(a, b, result.params, -1 if node.op_type == "Sub" else 1)
    scale, least, count = sums.scale, 0, sums.ties(sums.scale)
    for move in (sign * size for size in range(1, _MOST_MOVES + 1) for sign in (1, -1)):
        if not count:
            break
        moved = float(np.float32(sums.scale * (1 + move * _FINE_MOVE)))
        left = sums.ties(moved)
        if left < count:
            scale, least, count = moved, move, left
    if least:
        result.params = rescaled(result.params, np.asarray(scale), f"[{node.op_type} {node.name!r}]", result.name)
        by = f"{abs(least)} millionth{'s' if abs(least) > 1 else ''}"
        note(result, f"scale {'raised' if least > 0 else 'lowered'} by {by}: sums would lie half way between two codes")


class _Sums:
    """The results of a sum for all pairs of codes of its two operands.

    Args:
        a, b, y: parameters of the operands and of the result, one scale each.
        sign: of the second operand.
    """

    def __init__(self, a: QuantParams, b: QuantParams, y: QuantParams, sign: int) -> None:
        of_a, of_b = (_reals(p) for p in (a, b))
        self.scale = float(y.scale)
        self._values = of_a[:, None] + sign * of_b
        self._errors = _FLOAT_ERROR * (np.abs(of_a)[:, None] + np.abs(of_b))
        self._errors += _INTEGER_ERROR * max(float(a.scale), float(b.scale))
        self._low, self._high = (bound - int(y.zero_point) for bound in (y.type.qmin, y.type.qmax))

    def ties(self, scale: float) -> int:
        """Count results within the error of half way between two codes of a result with this scale."""
        steps = self._values / scale
        near = np.abs(steps - np.floor(steps) - 0.5) * scale <= self._errors
        return int((near & (steps > self._low) & (steps < self._high)).sum())


def _reals(params: QuantParams) -> NDArray[np.float64]:
    codes = np.arange(params.type.qmin, params.type.qmax + 1, dtype=np.float64)
    return (codes - int(params.zero_point)) * float(params.scale)


def _is_coarse(value: ValuePlan) -> bool:
    return value.role is Role.ACTIVATION and value.params is not None and value.params.type.bits <= _FEW_BITS


def _exact(scale: ArrayLike) -> NDArray[np.bool_]:
    """Tell which scales are powers of two: float32 multiplies by them exactly."""
    return np.asarray(np.frexp(scale)[0] == 0.5)


def _is_power_of_two(value: ValuePlan) -> bool:
    return value.format is None or value.format.scheme is Scheme.POWER_OF_TWO
