"""How exporters write normalizations, as patterns for what `canonicalize` leaves; `fuse_normalization` reads them."""

from __future__ import annotations

from intaglio.graph.pattern import Constant, Number, Op, Pattern, Var

x = Var("x")


def minus(left: Pattern, right: Pattern) -> tuple[Op, ...]:
    """Write left - right, also as left + (-right)."""
    return Op("Sub", left, right), Op("Add", left, Op("Neg", right)), Op("Add", left, Op("Mul", right, Number(-1.0)))


def over(numerator: Pattern, denominator: Pattern) -> tuple[Op, ...]:
    """Write numerator / denominator, also with Reciprocal."""
    return Op("Div", numerator, denominator), Op("Mul", numerator, Op("Reciprocal", denominator))


def over_root(numerator: Pattern, square: Pattern) -> tuple[Op, ...]:
    """Write numerator / sqrt(square)."""
    return *over(numerator, Op("Sqrt", square)), Op("Mul", numerator, Op("Pow", square, Number(-0.5)))


_MEAN = Op("ReduceMean", x, name="mean")
_CENTRED = minus(x, _MEAN)
_VARIANCES = (
    *(Op("ReduceMean", Op("Pow", centred, Number(2.0)), name="variance") for centred in _CENTRED),
    *(Op("ReduceMean", Op("Mul", centred, centred), name="variance") for centred in _CENTRED),
)
_SQUARE = Op("Pow", x, Number(2.0))

# (x - mean) / sqrt(variance + epsilon)
LAYER_NORMALIZATION: tuple[Op, ...] = tuple(
    pattern
    for centred in _CENTRED
    for variance in _VARIANCES
    for pattern in over_root(centred, Op("Add", variance, Constant("epsilon")))
)

# (x - mean) / (sqrt(variance) + tiny), as ONNX defines MeanVarianceNormalization
MEAN_VARIANCE_NORMALIZATION: tuple[Op, ...] = tuple(
    pattern
    for centred in _CENTRED
    for variance in _VARIANCES
    for pattern in over(centred, Op("Add", Op("Sqrt", variance), Constant("tiny")))
)

# x * s + (beta - mean * s) with s = gamma / sqrt(variance + epsilon), as TensorFlow writes it
TF_LAYER_NORMALIZATION: tuple[Op, ...] = tuple(
    Op("Add", Op("Mul", x, scale), Op("Add", Op("Mul", Op("Mul", _MEAN, scale), Number(-1.0)), Constant("beta")))
    for variance in _VARIANCES
    for deviation in (Op("Sqrt", Op("Add", variance, Constant("epsilon"))),)
    for scale in (Op("Mul", Op("Reciprocal", deviation), Constant("gamma")),)
)

# x / sqrt(mean of x^2 + epsilon)
RMS_NORMALIZATION: tuple[Op, ...] = over_root(x, Op("Add", Op("ReduceMean", _SQUARE, name="mean"), Constant("epsilon")))

# x / sqrt(sum of x^2 + epsilon)
_SUM = (Op("ReduceSum", _SQUARE, name="sum"), Op("ReduceSumSquare", x, name="sum"))
ROOT_OF_SUM: tuple[Op, ...] = tuple(
    pattern for total in _SUM for pattern in over_root(x, Op("Add", total, Constant("epsilon")))
)

# x / norm, where nothing, a lower bound or a small addend keeps the norm from 0
_NORMS = (Op("ReduceL2", x, name="norm"), *(Op("Sqrt", total) for total in _SUM))
L2_NORMALIZATION: tuple[Op, ...] = (
    *(pattern for norm in _NORMS for pattern in over(x, norm)),
    *(pattern for norm in _NORMS for pattern in over(x, Op("Clip", norm, Constant("tiny"), name="clip"))),
    *(pattern for norm in _NORMS for pattern in over(x, Op("Add", norm, Constant("added")))),
    *(pattern for total in _SUM for pattern in over_root(x, Op("Clip", total, Constant("tiny square"), name="clip"))),
)

# sum of x^2 and its root, with a factor
SUM_OF_SQUARES: tuple[Op, ...] = (Op("ReduceSum|ReduceMean", _SQUARE, name="sum"),)
_ROOTED = (Op("ReduceSum|ReduceMean", _SQUARE, name="sum"), Op("ReduceSumSquare", x, name="sum"))
ROOT_OF_SQUARES: tuple[Op, ...] = (
    *(Op("Sqrt", total) for total in _ROOTED),
    *(Op("Sqrt", Op("Mul", total, Constant("factor"))) for total in _ROOTED),
)

# the root of a product of two sums of squares, as cosine similarity has it
_OTHER = Var("other")
PRODUCT_OF_NORMS = Op(
    "Sqrt", Op("Mul", Op("ReduceSumSquare", x, name="first"), Op("ReduceSumSquare", _OTHER, name="second"))
)

# exp(x) / sum(exp(x)), with or without the largest x taken off first
_SHIFTED: tuple[Pattern, ...] = (*minus(x, Op("ReduceMax", x, name="max")), x)
SOFTMAX: tuple[Op, ...] = tuple(
    pattern
    for shifted in _SHIFTED
    for pattern in over(Op("Exp", shifted), Op("ReduceSum", Op("Exp", shifted), name="sum"))
)

# x - log(sum(exp(x))), with the largest x taken off first and added again, or not
_LOG_OF_SUM = tuple(Op("Log", Op("ReduceSum", Op("Exp", shifted), name="sum")) for shifted in _SHIFTED)
LOG_SOFTMAX: tuple[Op, ...] = (
    *(pattern for shifted, total in zip(_SHIFTED, _LOG_OF_SUM, strict=True) for pattern in minus(shifted, total)),
    *(pattern for total in _LOG_OF_SUM[:-1] for pattern in minus(x, Op("Add", Op("ReduceMax", x, name="max"), total))),
)
