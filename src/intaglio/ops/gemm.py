"""Matrix products with constant weights.   y = alpha * x @ w + b"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray
from torch import Tensor

from intaglio.graph.access import attribute, shape
from intaglio.number import QuantParams
from intaglio.ops.contract import Contract, Role
from intaglio.ops.float_operator import FloatOperator, Lowering
from intaglio.program.operators.dense import Dense


class Gemm(FloatOperator):
    """ONNX Gemm: alpha * A' B' + beta * C."""

    op_types = ("Gemm",)

    @classmethod
    def real(cls, node: ir.Node, *inputs: Tensor | None) -> Tensor:
        """A (M, K) or its transpose, B (K, N) or its transpose, C broadcast to (M, N)."""
        a, b, c = (*inputs, None)[:3]
        assert a is not None and b is not None
        a = a.T if attribute(node, "transA", 0) else a
        b = b.T if attribute(node, "transB", 0) else b
        y = float(attribute(node, "alpha", 1.0)) * (a @ b)
        return y if c is None else y + float(attribute(node, "beta", 1.0)) * c

    @classmethod
    def contract(cls, node: ir.Node) -> Contract:
        """Weight per output channel: axis 0 of a transposed B, else 1."""
        weight_axis = 0 if attribute(node, "transB", 0) else 1
        return Contract(
            (Role.ACTIVATION, Role.WEIGHT, Role.BIAS), fuses_clamp=True, fuses_sign=True, weight_axis=weight_axis
        )

    @classmethod
    def lower(cls, node: ir.Node, to: Lowering) -> None:
        """One `dense`; alpha goes into the multiplier. (beta is 1 or folded in a prepared Graph.)"""
        codes, params = to.weight(node.inputs[1])
        if not attribute(node, "transB", 0):
            codes = codes.T
        bias = node.inputs[2] if len(node.inputs) > 2 else None
        lower_dense(node, to, codes, params, bias, attribute(node, "alpha", 1.0))


def lower_dense(
    node: ir.Node,
    to: Lowering,
    codes: NDArray[Any],
    params: QuantParams,
    bias: ir.Value | None,
    alpha: float,
) -> None:
    """Emit `y = x @ codes.T + b` for codes (O, K); the input may be a flattened channels-last image."""
    x, order = to.matrix_operand(node.inputs[0], codes.shape[1])
    if order is not None:
        codes = codes[:, order]
    result = to.result(node)
    operator = Dense.from_real(
        x.quant,
        params,
        result.params,
        np.ascontiguousarray(codes),
        to.bias(bias, codes.shape[0]),
        to.rule,
        low=result.low,
        high=result.high,
        accumulator=to.accumulator,
        gain=alpha,
    )
    to.emit(node, operator, [x], result.value, tuple(range(len(shape(result.value)))))
