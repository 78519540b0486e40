"""Replace rounding rules `half_even` and `half_away` by `half_up`, which has vector kernels, where no ties occur."""

from __future__ import annotations

from dataclasses import fields, replace

from intaglio.number import Requantize, Rule
from intaglio.program import Node, Program


def without_ties(program: Program) -> Program:
    """Return a Program with equal results that uses `half_up` where other rules differ only in ties that cannot occur.

    The result is only for kernels: its factors no longer follow its own rule.
    """
    return replace(program, nodes=[_settled(program, node) for node in program.nodes])


def _settled(program: Program, node: Node) -> Node:
    operator = node.operator
    factors = {f.name: getattr(operator, f.name) for f in fields(operator)}
    once = {
        name: factor
        for name, factor in factors.items()
        if isinstance(factor, Requantize) and factor.rule in (Rule.HALF_EVEN, Rule.HALF_AWAY)
    }
    if not once or not operator.bounds_factors:
        return node
    infos = [program.tensors[name] for name in node.inputs]
    bound = operator.accumulator_bound(tuple(i.shape for i in infos), tuple(i.type for i in infos))
    if any(factor.ties(bound) for factor in once.values()):
        return node
    changed = {name: replace(factor, rule=Rule.HALF_UP) for name, factor in once.items()}
    return replace(node, operator=replace(operator, **changed))
