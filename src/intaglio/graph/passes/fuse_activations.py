"""Fuse activations that exporters decomposed: a table of (pattern, operator).

Patterns are written for what `canonicalize` leaves: no Sub or Div by a constant, no Min or Max with one, Pow for a
square. Bounds of Clip must be numbers, so they are compared in the builders.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from intaglio.graph.access import attribute, constant, input_value, where
from intaglio.graph.edit import AttributeValue, add_constant, insert, remove_unread_before, rename, replace
from intaglio.graph.graph import Graph
from intaglio.graph.pattern import Constant, Match, Number, Op, Pattern, Var, equals, find, keeps_shape

Attributes = Mapping[str, AttributeValue]


@dataclass(frozen=True)
class FusionRow:
    """One way in which an activation of `x` is written, and what it is called."""

    op_type: str
    pattern: Op
    attributes: Callable[[Match], Attributes | None] = lambda match: {}


x = Var("x")
_SQRT_HALF = math.sqrt(0.5)
_GELU_SCALE = math.sqrt(2.0 / math.pi)


def _scaled(pattern: Pattern, factor: float) -> Op:
    return Op("Mul", pattern, Number(factor))


def _clip_between(name: str, low: float, high: float) -> Callable[[Match], bool]:
    def test(match: Match) -> bool:
        node = match.named[name]
        return equals(constant(input_value(node, 1)), low, 0.0) and equals(constant(input_value(node, 2)), high)

    return test


def _hard_swish(match: Match) -> Attributes | None:
    return {} if _clip_between("clip", 0.0, 6.0)(match) else None


def _hard_sigmoid_6(match: Match) -> Attributes | None:
    return {"alpha": 1.0 / 6.0, "beta": 0.5} if _clip_between("clip", 0.0, 6.0)(match) else None


def _hard_sigmoid_1(match: Match) -> Attributes | None:
    """Clip(alpha * x + beta, 0, 1) with numbers alpha and beta."""
    factor, offset = match.array("factor"), match.array("offset")
    if factor.size != 1 or offset.size != 1 or not _clip_between("clip", 0.0, 1.0)(match):
        return None
    return {"alpha": float(factor.ravel()[0]), "beta": float(offset.ravel()[0])}


def _hard_swish_parts(match: Match) -> Attributes | None:
    node = match.named["gate"]
    alpha, beta = attribute(node, "alpha", 0.2), attribute(node, "beta", 0.5)
    return {} if math.isclose(alpha, 1 / 6, rel_tol=1e-5) and math.isclose(beta, 0.5, rel_tol=1e-6) else None


def _swish_alpha(match: Match) -> Attributes | None:
    factor = match.array("alpha")
    return {"alpha": float(factor.ravel()[0])} if factor.size == 1 else None


def _leaky(match: Match) -> Attributes | None:
    factor = match.array("alpha")
    return {"alpha": float(factor.ravel()[0])} if factor.size == 1 and 0.0 <= float(factor.ravel()[0]) <= 1.0 else None


def _any_slope(match: Match) -> Attributes | None:
    factor = match.array("alpha")
    return {"alpha": float(factor.ravel()[0])} if factor.size == 1 else None


def _beyond_rounding(match: Match) -> Attributes | None:
    """softplus(x) - x = log(1 + exp(-x)) is below half an ulp of a float32 x from 17 on."""
    return {} if float(match.array("threshold").min()) >= 17.0 else None


_RELU6_OF_SHIFTED = Op("Clip", Op("Add", x, Number(3.0)), name="clip")
_ERF = Op("Add", Op("Erf", _scaled(x, _SQRT_HALF)), Number(1.0))
_CUBE = (Op("Pow", x, Number(3.0)), Op("Mul", Op("Pow", x, Number(2.0)), x))
_SOFTPLUS = Op("Log", Op("Add", Op("Exp", x), Number(1.0)))
_TANH_ARGUMENTS = (
    *(_scaled(Op("Add", x, _scaled(cube, 0.044715)), _GELU_SCALE) for cube in _CUBE),
    # x * (1 + 0.044715 * x**2) * sqrt(2 / pi), in both orders of the factors
    _scaled(Op("Mul", x, Op("Add", _scaled(Op("Pow", x, Number(2.0)), 0.044715), Number(1.0))), _GELU_SCALE),
    Op("Mul", _scaled(x, _GELU_SCALE), Op("Add", _scaled(Op("Pow", x, Number(2.0)), 0.044715), Number(1.0))),
)


def _half_of_product(other: Pattern) -> tuple[Op, ...]:
    """Write 0.5 * x * other in the three orders of multiplication."""
    return (_scaled(Op("Mul", x, other), 0.5), Op("Mul", x, _scaled(other, 0.5)), Op("Mul", _scaled(x, 0.5), other))


TABLE: tuple[FusionRow, ...] = (
    # x * relu6(x + 3) / 6
    FusionRow("HardSwish", Op("Mul", x, _scaled(_RELU6_OF_SHIFTED, 1 / 6)), _hard_swish),
    FusionRow("HardSwish", _scaled(Op("Mul", x, _RELU6_OF_SHIFTED), 1 / 6), _hard_swish),
    FusionRow("HardSwish", Op("Mul", _scaled(x, 1 / 6), _RELU6_OF_SHIFTED), _hard_swish),
    FusionRow("HardSwish", Op("Mul", x, Op("HardSigmoid", x, name="gate")), _hard_swish_parts),
    FusionRow("HardSigmoid", _scaled(_RELU6_OF_SHIFTED, 1 / 6), _hard_sigmoid_6),
    FusionRow(
        "HardSigmoid",
        Op("Clip", Op("Add", Op("Mul", x, Constant("factor")), Constant("offset")), name="clip"),
        _hard_sigmoid_1,
    ),
    # 1 / (1 + exp(-x))
    *(
        FusionRow("Sigmoid", Op("Reciprocal", Op("Add", Op("Exp", minus), Number(1.0))))
        for minus in (Op("Neg", x), _scaled(x, -1.0))
    ),
    *(
        FusionRow("Sigmoid", _scaled(Op("Reciprocal", Op("Add", Op("Exp", minus), Number(1.0))), 1.0))
        for minus in (Op("Neg", x), _scaled(x, -1.0))
    ),
    # exp(x) / (1 + exp(x)) and (1 + tanh(x / 2)) / 2
    FusionRow("Sigmoid", Op("Div", Op("Exp", x), Op("Add", Op("Exp", x), Number(1.0)))),
    FusionRow("Sigmoid", Op("Add", _scaled(Op("Tanh", _scaled(x, 0.5)), 0.5), Number(0.5))),
    FusionRow("Sigmoid", _scaled(Op("Add", Op("Tanh", _scaled(x, 0.5)), Number(1.0)), 0.5)),
    # 2 sigmoid(2 x) - 1 and (exp(x) - exp(-x)) / (exp(x) + exp(-x))
    FusionRow("Tanh", Op("Add", _scaled(Op("Sigmoid", _scaled(x, 2.0)), 2.0), Number(-1.0))),
    *(
        FusionRow(
            "Tanh", Op("Div", Op("Sub", Op("Exp", x), Op("Exp", minus)), Op("Add", Op("Exp", x), Op("Exp", minus)))
        )
        for minus in (Op("Neg", x), _scaled(x, -1.0))
    ),
    FusionRow("Softsign", Op("Div", x, Op("Add", Op("Abs", x), Number(1.0)))),
    FusionRow("Swish", Op("Mul", x, Op("Sigmoid", x)), lambda match: {"alpha": 1.0}),
    FusionRow("Swish", Op("Mul", x, Op("Sigmoid", Op("Mul", x, Constant("alpha")))), _swish_alpha),
    *(
        FusionRow("Swish", Op("Div", x, Op("Add", Op("Exp", minus), Number(1.0))), lambda match: {"alpha": 1.0})
        for minus in (Op("Neg", x), _scaled(x, -1.0))
    ),
    FusionRow("Softplus", _SOFTPLUS),
    # torch keeps x itself where softplus(x) rounds to it
    FusionRow("Softplus", Op("Where", Op("Greater", x, Constant("threshold")), x, Op("Softplus", x)), _beyond_rounding),
    FusionRow("Mish", Op("Mul", x, Op("Tanh", Op("Softplus", x)))),
    FusionRow("Mish", Op("Mul", x, Op("Tanh", _SOFTPLUS))),
    *(FusionRow("Gelu", pattern) for pattern in _half_of_product(_ERF)),
    *(
        FusionRow("Gelu", pattern, lambda match: {"approximate": "tanh"})
        for argument in _TANH_ARGUMENTS
        for pattern in _half_of_product(Op("Add", Op("Tanh", argument), Number(1.0)))
    ),
    FusionRow("LeakyRelu", Op("Max", x, Op("Mul", x, Constant("alpha"))), _leaky),
    FusionRow(
        "LeakyRelu",
        Op("Where", Op("Greater|GreaterOrEqual", x, Number(0.0)), x, Op("Mul", x, Constant("alpha"))),
        _any_slope,
    ),
    # relu(x) - a * relu(-x): a PRelu as Keras exports it
    *(
        FusionRow("PRelu", Op(kind, Op("Relu", x), Op("Mul", Op("Relu", minus), Constant(slope))))
        for kind, slope in (("Add", "negated slope"), ("Sub", "slope"))
        for minus in (Op("Neg", x), _scaled(x, -1.0))
    ),
)


def fuse_activations(graph: Graph) -> list[str]:
    """Replace every expression of the table by its operator, until none is left."""
    changes: list[str] = []
    inner = graph.model.graph
    for node in graph.nodes:
        if node.graph is None:
            continue  # it was part of an expression found before
        for row in TABLE:
            if node.op_type not in row.pattern.op_types:
                continue
            match = find(row.pattern, node)
            attributes = row.attributes(match) if match is not None else None
            if match is None or attributes is None or not keeps_shape(node, match.value("x")):
                continue
            changes.append(f"{where(node)} and the {len(match.nodes) - 1} before it are one {row.op_type}")
            inputs: list[ir.Value | None] = [match.value("x")]
            if row.op_type == "PRelu":
                slope = match.array("slope") if "slope" in match.values else -match.array("negated slope")
                inputs.append(add_constant(inner, f"{node.name}.slope", slope.astype(np.float32)))
            fused = insert(inner, node, row.op_type, inputs, attributes, name=f"{node.name}.{row.op_type.lower()}")
            name = str(node.name)
            replace(node.outputs[0], fused.outputs[0])
            remove_unread_before(inner, node)
            rename(fused, name)
            break
    return changes
