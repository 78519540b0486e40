"""Clip with computed bounds.   y = min(max(x, low), high)"""

from __future__ import annotations

import math

from intaglio.frontends.rewrites.rewriting import Rewriting, is_float
from intaglio.graph.access import constant, input_value, rank, shape


def clip(to: Rewriting) -> None:
    """Rewrite Clip with a computed bound -> Max and Min; where the bounds cross, the upper one wins in both."""
    x, low, high = to.input(0), input_value(to.node, 1), input_value(to.node, 2)
    given = [bound for bound in (low, high) if bound is not None]
    if all(constant(bound) is not None for bound in given) or not is_float(x) or not rank(x):
        return
    if any(math.prod(shape(bound)) != 1 or rank(bound) > rank(x) for bound in given):
        return  # ONNX allows one number only
    x = x if low is None else to.apply("Max", x, low)
    to.finish(x if high is None else to.apply("Min", x, high))
