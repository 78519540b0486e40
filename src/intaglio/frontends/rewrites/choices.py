"""Operators that choose one of their operands as a whole, and the best of several as an index."""

from __future__ import annotations

from intaglio.frontends.rewrites.rewriting import Rewriting, axis_of, constant_input
from intaglio.graph.access import attribute, shape
from intaglio.graph.edit import replace


def where_all(to: Rewriting) -> None:
    """Rewrite Where with a constant condition that holds everywhere, or nowhere: it is one of its operands."""
    condition = constant_input(to.node, 0)
    if condition is None or not condition.size or condition.any() != condition.all():
        return
    chosen = to.input(1 if condition.all() else 2)
    sizes = shape(to.node.outputs[0])
    to.finish(chosen if shape(chosen) == sizes else to.apply("Expand", chosen, to.ints(sizes, "shape")))


def top_one(to: Rewriting) -> None:
    """Rewrite TopK of one element -> its maximum and its index; of equal ones both are the first."""
    count = constant_input(to.node, 1)
    if count is None or int(count.reshape(-1)[0]) != 1:
        return
    axis, end = axis_of(to.node, -1), "Max" if attribute(to.node, "largest", 1) else "Min"
    replace(to.node.outputs[1], to.apply(f"Arg{end}", to.input(0), axis=axis, keepdims=1))
    to.finish(to.apply(f"Reduce{end}", to.input(0), to.ints([axis], "axes"), keepdims=1))
