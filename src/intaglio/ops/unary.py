"""Integer operators of functions of one value, made once: tables of 16 bits take a tenth of a second each."""

from __future__ import annotations

from collections import OrderedDict

import onnx_ir as ir

from intaglio.graph.fingerprint import node_meaning
from intaglio.number import QuantParams, Rule
from intaglio.ops.float_operator import FLOAT_OPERATORS, FloatOperator, Result, known_operator
from intaglio.program import Operator

_LIMIT = 256  # operators that are kept; a table of 16 bits has 130 kB at most
_made: OrderedDict[object, Operator | None] = OrderedDict()


def may_be_unary(node: ir.Node) -> bool:
    """Whether the node's operator is a function of one quantized value for some attributes and constants."""
    found = known_operator(node) or FloatOperator
    return found.unary.__func__ is not FloatOperator.unary.__func__  # type: ignore[attr-defined]


def unary_operator(node: ir.Node, x: QuantParams, result: Result, rule: Rule) -> Operator | None:
    """`FloatOperator.unary` of a node; the same object where the same was asked for before.

    Args:
        node, x, result, rule: see `FloatOperator.unary`.
    Raises:
        LoweringError: there is none for these parameters.
    """
    key = node_meaning(node), _key(x), _key(result.params), result.low, result.high, rule
    if key in _made:
        _made.move_to_end(key)
        return _made[key]
    operator = FLOAT_OPERATORS[node.op_type].unary(node, x, result, rule)
    _made[key] = operator
    while len(_made) > _LIMIT:
        _made.popitem(last=False)
    return operator


def _key(params: QuantParams) -> tuple[object, ...]:
    return params.type, params.scale.tobytes(), params.zero_point.tobytes()
