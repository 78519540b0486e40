"""Find where a Plan puts an operator's result: after the activations fused into it."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from intaglio.number import QuantParams
from intaglio.ops import Result, float_operator
from intaglio.plan.plan import Plan


def fused_chain(plan: Plan, node: ir.Node) -> list[ir.Node]:
    """List a node and the activations that are fused into it, in their order."""
    chain = [node]
    for name in plan.operators[str(node.name)].fused:
        after = next(user for user, _ in chain[-1].outputs[0].uses() if str(user.name) == name)
        chain.append(after)
    return chain


def planned_result(plan: Plan, node: ir.Node, index: int = 0, params: QuantParams | None = None) -> Result:
    """Describe what an operator writes: the value, its parameters, and the bounds of fused clamps in its codes.

    Args:
        plan: calibrated.
        node: not fused itself.
        index: of its outputs.
        params: instead of those that the Plan has for the value.
    """
    chain = fused_chain(plan, node)
    value = node.outputs[index] if len(chain) == 1 else chain[-1].outputs[0]
    params = params or plan.params(str(value.name))
    assert params is not None, value.name
    low, high = params.type.qmin, params.type.qmax
    for member in chain:
        bounds = float_operator(member).contract(member).clamp
        if bounds is not None:
            codes = params.quantize(np.array([max(bounds[0], -3e38), min(bounds[1], 3e38)], np.float32))
            low, high = max(low, int(codes[0])), min(high, int(codes[1]))
    return Result(value, params, low, high)
