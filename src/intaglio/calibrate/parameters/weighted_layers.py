"""Find the layers with weights, and the values of the Plan whose scales meet in their accumulators."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from intaglio.calibrate.parameters.adjust import result_of
from intaglio.graph.access import constant
from intaglio.ops import Role, float_operator
from intaglio.plan import Plan, Source, ValuePlan
from intaglio.plan.accumulator_grid import product_gain

Scales = NDArray[np.float64]


@dataclass(frozen=True)
class WeightedLayer:
    """An operator with a weight, and the Plan's values of its operands and its result.

    Args:
        node: the operator.
        data, weight, output: the values that own the parameters of data, weight and result.
        bias: the bias, where its parameters are derived; else None.
        array: the weight, float32.
        offsets: that bias, float64, (channels,).
        gain: factor of the products relative to the bias (alpha / beta of Gemm).
        bias_rank: number of axes of the bias; the channels are on the last one.
    """

    node: ir.Node
    data: ValuePlan
    weight: ValuePlan
    output: ValuePlan
    bias: ValuePlan | None
    array: NDArray[np.float32]
    offsets: Scales | None
    gain: float
    bias_rank: int

    @property
    def where(self) -> str:
        """The operator as errors name it."""
        return f"[{self.node.op_type} {self.node.name!r}]"


def weighted_layers(plan: Plan, nodes: Iterable[ir.Node]) -> Iterator[WeightedLayer]:
    """Find the layers whose data, weight and output have parameters in the Plan.

    Args:
        plan: with parameters of activations and weights.
        nodes: the nodes to look at; those without such a weight are passed over.
    """
    for node in nodes:
        roles = float_operator(node).contract(node).roles
        operands = zip(node.inputs, roles, strict=False)
        by_role = {role: v for v, role in operands if v is not None and v.name in plan.values}
        weight, bias = by_role.get(Role.WEIGHT), by_role.get(Role.BIAS)
        if weight is None or Role.ACTIVATION not in roles or plan.params(str(weight.name)) is None:
            continue
        data = node.inputs[roles.index(Role.ACTIVATION)]
        found = plan.root(str(data.name)) if data is not None else None
        result = result_of(node, plan)
        if found is None or found.params is None or result.params is None:
            continue
        array, offsets = constant(weight), constant(bias)
        derived = bias is not None and plan[str(bias.name)].source is Source.DERIVED
        yield WeightedLayer(
            node,
            found,
            plan[str(weight.name)],
            result,
            plan[str(bias.name)] if derived and bias is not None else None,
            np.asarray(array, np.float32),
            np.asarray(offsets, np.float64).reshape(-1) if derived and offsets is not None else None,
            product_gain(node),
            max(1, np.ndim(offsets)) if offsets is not None else 1,
        )
