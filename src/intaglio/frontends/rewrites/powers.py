"""Pools of powers: LpPool and GlobalLpPool as roots of means.   y = (sum |x|**p)**(1 / p) = (n mean |x|**p)**(1 / p)"""

from __future__ import annotations

import math

import onnx_ir as ir

from intaglio.frontends.rewrites.rewriting import Rewriting
from intaglio.graph.access import attribute, shape
from intaglio.graph.edit import AttributeValue


def lp_pool(to: Rewriting) -> None:
    """Rewrite LpPool -> Pow, AveragePool, Mul, Pow."""
    names = ("kernel_shape", "strides", "pads", "dilations")
    window: dict[str, AttributeValue] = {n: attribute(to.node, n) for n in names if attribute(to.node, n) is not None}
    if not attribute(to.node, "ceil_mode", 0):  # its last windows have fewer elements
        mean = to.apply("AveragePool", _powers(to), count_include_pad=1, **window)
        _root(to, mean, math.prod(attribute(to.node, "kernel_shape")))


def global_lp_pool(to: Rewriting) -> None:
    """Rewrite GlobalLpPool -> Pow, GlobalAveragePool, Mul, Pow."""
    _root(to, to.apply("GlobalAveragePool", _powers(to)), math.prod(shape(to.input(0))[2:]))


def _powers(to: Rewriting) -> ir.Value:
    p = int(attribute(to.node, "p", 2))
    x = to.input(0) if p % 2 == 0 else to.apply("Abs", to.input(0))
    return x if p == 1 else to.apply("Pow", x, to.number(p, "power"))


def _root(to: Rewriting, mean: ir.Value, count: int) -> None:
    total = to.apply("Mul", mean, to.number(count, "count"))
    p = int(attribute(to.node, "p", 2))
    to.finish(total if p == 1 else to.apply("Pow", total, to.number(1 / p, "root")))
