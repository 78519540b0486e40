"""Plan the constants: weights with the file's parameters, biases on the accumulator's grid."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from intaglio.errors import ModelError
from intaglio.frontends.quantized.formats import FILE, format_of
from intaglio.frontends.quantized.strip import Stripped
from intaglio.graph import constant, shape
from intaglio.graph.access import where
from intaglio.number import INT16, INT32, PerChannel, PerTensor, QuantParams, Scheme, choose_params
from intaglio.ops import Role
from intaglio.plan import PlanBuilder
from intaglio.plan.accumulator_grid import accumulator_scale, product_gain


def plan_constants(plan: PlanBuilder, node: ir.Node, stripped: Stripped) -> None:
    """Add the constants of one node to the Plan of a graph.

    Args:
        plan: already has the parameters of every computed value.
        node: a node of the graph.
        stripped: the graph and the file's parameters; a note is added for each float constant.
    Raises:
        ModelError: the scales lie along an axis that integer kernels cannot use, or there is more than one where only
            one is supported.
    """
    for value, role in plan.constants(node):
        match role:
            case Role.WEIGHT:
                params = _weight(node, value, plan.contract(node).weight_axis, stripped.constants[value])
                plan.own(value, f"weight of {node.name}: {FILE}", format_of(params), params, role=role)
            case Role.SIDE:
                params, why = _side(node, value, stripped)
                plan.own(value, why, format_of(params), params, role=role)
            case Role.BIAS:
                params, note = _bias(node, value, plan, stripped.constants)
                plan.bias(node, value, params, note)


def _weight(node: ir.Node, value: ir.Value, axis: int | None, params: QuantParams) -> QuantParams:
    """Return a weight's parameters, with a non-negative axis."""
    if not isinstance(params.granularity, PerChannel):
        return params
    found = params.granularity.axis % len(shape(value))
    if found != axis:
        raise ModelError(
            f"{where(node)} weight '{value.name}': expected scales per output channel (axis {axis}), got them "
            f"along axis {found}; quantize the weight per output channel or per tensor"
        )
    return QuantParams(params.type, params.scale, params.zero_point, PerChannel(found))


def _side(node: ir.Node, value: ir.Value, stripped: Stripped) -> tuple[QuantParams, str]:
    """Return the parameters of an elementwise operator's constant, and the reason for the Plan."""
    params, why = stripped.constants.get(value), f"constant operand of {node.name}: {FILE}"
    if params is None:
        array = constant(value)
        assert array is not None
        params = choose_params(float(array.min()), float(array.max()), INT16, Scheme.SYMMETRIC)
        why = f"constant operand of {node.name}, float in the file: 16 bits"
        stripped.notes.append(f"{where(node)} its constant '{value.name}' is float in the file: held in 16 bits")
    if not isinstance(params.granularity, PerTensor):
        raise ModelError(
            f"{where(node)} constant '{value.name}': expected one scale, got {params.scale.size}; quantize the "
            "constants of elementwise operators per tensor"
        )
    return params, why


def _bias(
    node: ir.Node, value: ir.Value, plan: PlanBuilder, constants: Mapping[ir.Value, QuantParams]
) -> tuple[QuantParams, str]:
    """Return a bias's parameters on the accumulator's grid, and a note that says what the file has.

    The file may have the same scales up to rounding, other scales, or a float bias.
    """
    data, weight = node.inputs[0], node.inputs[1]
    assert data is not None
    assert weight is not None
    x, w, given = plan.params(data), constants[weight], constants.get(value)
    assert x is not None
    scale = accumulator_scale(x, w.scale, int(np.prod(shape(value))), product_gain(node)).astype(np.float32)
    granularity = PerChannel(max(1, len(shape(value))) - 1) if scale.ndim else PerTensor()
    if given is None:
        note = "; float in the file"
    elif given.type == INT32 and _nearly_equal(given.scale, scale):
        scale, note = np.broadcast_to(given.scale, scale.shape), f", {FILE}"
    else:
        note = f"; {given.type} on another grid in the file"
    return QuantParams(INT32, scale, granularity=granularity), note


def _nearly_equal(given: NDArray[np.float32], wanted: NDArray[np.float32]) -> bool:
    """Whether the file's bias scales equal the accumulator's, up to the rounding of the product of two scales."""
    return given.size in (1, wanted.size) and bool(np.allclose(given, wanted, rtol=1e-5, atol=0.0))
