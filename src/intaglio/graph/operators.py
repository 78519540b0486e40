"""Properties of each ONNX operator: one row for each, which every rule about batch, axes, bounds and channels reads.

A row holds facts of mathematics, not choices: what a pass or a placement makes of them stands there. An operator
without a row has none of these properties.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace

Interval = tuple[float, float]
_ANY, _POSITIVE, _UNIT, _SIGNED = (-math.inf, math.inf), (0.0, math.inf), (0.0, 1.0), (-1.0, 1.0)


@dataclass(frozen=True)
class OperatorFacts:
    """The properties of one operator.

    Args:
        elementwise: an element of the result is a function of one element of each operand; operands broadcast.
        function: elementwise, of its first operand alone; further ones are parameters.
        channels_first: images: axis 0 is the batch, axis 1 the channels, the rest space.
        reduces: over axes that it names.
        commutative: the order of two operands makes no difference.
        affine: a x + b of each operand, where the others are constants.
        adds: a sum or difference of two operands.
        clamps: its first operand, limited to an interval that the other operands or the operator itself state.
        extremum: elementwise the largest or the smallest operand.
        product: of data and a weight.
        biased: a product that takes a bias, one number for each output channel.
        moves: an element of the result is one of the first operand's, or a constant that pads.
        reshapes: the elements of its operand, in their order, in another shape.
        averages: an element of the result is a mean of some of the first operand's.
        largest: an element of the result is the largest or smallest of some of the first operand's.
        position: a result is the index of an element.
        decides: a result is a boolean.
        homogeneous: f(s x) = s f(x) for every factor s above 0.
        by_channel: a channel of the result depends on the same channel of the first operand only.
        normalizes: the first operand, shifted and scaled so that its statistics are fixed.
        squashes: large differences of the operand become small ones of the result.
        range: in which every element of the result lies.
    """

    elementwise: bool = False
    function: bool = False
    channels_first: bool = False
    reduces: bool = False
    commutative: bool = False
    affine: bool = False
    adds: bool = False
    clamps: bool = False
    extremum: bool = False
    product: bool = False
    biased: bool = False
    moves: bool = False
    reshapes: bool = False
    averages: bool = False
    largest: bool = False
    position: bool = False
    decides: bool = False
    homogeneous: bool = False
    by_channel: bool = False
    normalizes: bool = False
    squashes: bool = False
    range: Interval = _ANY


_FUNCTION = OperatorFacts(elementwise=True, function=True)
_SEVERAL = OperatorFacts(elementwise=True)
_IMAGE = OperatorFacts(channels_first=True)
_REDUCTION = OperatorFacts(reduces=True)
_MOVE = OperatorFacts(moves=True, homogeneous=True)


def _all(names: str, facts: OperatorFacts) -> Iterable[tuple[str, OperatorFacts]]:
    return ((name, facts) for name in names.split())


OPERATORS: dict[str, OperatorFacts] = {
    # Functions of one value.
    **dict(_all("Asin Asinh Atan Atanh Sinh Tan", _FUNCTION)),
    **dict(_all("Cast Ceil Celu Elu Floor Gelu HardSwish Log Mish Reciprocal Round Selu Shrink Swish", _FUNCTION)),
    "ThresholdedRelu": _FUNCTION,
    **dict(_all("Not IsNaN IsInf", replace(_FUNCTION, decides=True))),
    **dict(_all("LeakyRelu Neg", replace(_FUNCTION, homogeneous=True))),
    "Clip": replace(_FUNCTION, clamps=True),
    "Relu": replace(_FUNCTION, clamps=True, homogeneous=True, range=_POSITIVE),
    "Abs": replace(_FUNCTION, homogeneous=True, range=_POSITIVE),
    **dict(_all("Acos Acosh Cosh Exp Softplus Sqrt", replace(_FUNCTION, range=_POSITIVE))),
    **dict(_all("Cos Erf Sin Softsign", replace(_FUNCTION, range=_SIGNED))),
    "Identity": replace(_FUNCTION, moves=True, homogeneous=True),
    "Sign": replace(_FUNCTION, range=_SIGNED),
    "Tanh": replace(_FUNCTION, squashes=True, range=_SIGNED),
    **dict(_all("HardSigmoid Sigmoid", replace(_FUNCTION, squashes=True, range=_UNIT))),
    # Functions of several values.
    "Add": replace(_SEVERAL, adds=True, affine=True, commutative=True),
    "Sub": replace(_SEVERAL, adds=True, affine=True),
    "Mul": replace(_SEVERAL, affine=True, commutative=True),
    "Div": _SEVERAL,
    **dict(_all("Min Max", replace(_SEVERAL, extremum=True, commutative=True))),
    **dict(_all("Sum Mean", replace(_SEVERAL, commutative=True))),
    **dict(_all("Pow Mod Where BitShift Dropout", _SEVERAL)),
    **dict(_all("Equal And Or Xor", replace(_SEVERAL, commutative=True, decides=True))),
    **dict(_all("Greater GreaterOrEqual Less LessOrEqual", replace(_SEVERAL, decides=True))),
    "PRelu": replace(_SEVERAL, homogeneous=True),
    # Products.
    **dict(_all("Conv ConvTranspose", replace(_IMAGE, product=True, biased=True))),
    "Gemm": OperatorFacts(product=True, biased=True),
    "MatMul": OperatorFacts(product=True),
    # Images.
    "LRN": _IMAGE,
    **dict(_all("GroupNormalization InstanceNormalization", replace(_IMAGE, normalizes=True))),
    **dict(_all("BatchNormalization", replace(_IMAGE, by_channel=True))),
    **dict(_all("LpPool GlobalLpPool", replace(_IMAGE, by_channel=True, homogeneous=True, range=_POSITIVE))),
    **dict(_all("MaxPool GlobalMaxPool", replace(_IMAGE, largest=True, homogeneous=True, by_channel=True))),
    **dict(_all("AveragePool GlobalAveragePool", replace(_IMAGE, averages=True, homogeneous=True, by_channel=True))),
    **dict(_all("DepthToSpace SpaceToDepth", replace(_IMAGE, moves=True, homogeneous=True))),
    # Reductions.
    **dict(_all("ReduceSum ReduceProd ReduceLogSum ReduceLogSumExp", _REDUCTION)),
    **dict(_all("ReduceL1 ReduceL2 ReduceSumSquare", replace(_REDUCTION, range=_POSITIVE))),
    "ReduceMean": replace(_REDUCTION, averages=True, homogeneous=True),
    **dict(_all("ReduceMax ReduceMin", replace(_REDUCTION, largest=True, homogeneous=True))),
    # Numbers that only move.
    **dict(_all("Flatten Reshape Squeeze Unsqueeze", replace(_MOVE, reshapes=True))),
    **dict(_all("Expand Gather GatherElements Pad Slice Split Tile Transpose", _MOVE)),
    # Over an axis.
    **dict(_all("Softmax Hardmax", OperatorFacts(squashes=True, range=_UNIT))),
    "LogSoftmax": OperatorFacts(squashes=True, range=(-math.inf, 0.0)),
    "LpNormalization": OperatorFacts(normalizes=True, squashes=True, range=_SIGNED),
    **dict(_all("LayerNormalization MeanVarianceNormalization RMSNormalization", OperatorFacts(normalizes=True))),
    **dict(_all("ArgMax ArgMin", OperatorFacts(position=True, squashes=True, range=_POSITIVE))),
}

_NOTHING = OperatorFacts()


def facts(op_type: str) -> OperatorFacts:
    """Look up the row of an operator of ONNX's own domain; a row without properties where there is none."""
    return OPERATORS.get(op_type, _NOTHING)


def named(fact: str) -> frozenset[str]:
    """List the operators that have a property, given as the name of the field."""
    return frozenset(op_type for op_type, row in OPERATORS.items() if getattr(row, fact))


def rearranges(op_type: str) -> bool:
    """Tell whether every element of an operator's result is one of its first operand; a Pad adds others."""
    return facts(op_type).moves and op_type != "Pad"
