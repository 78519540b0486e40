"""Steps of the forward pass in training, prepared once from the nodes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import onnx_ir as ir

from intaglio.graph.access import attribute
from intaglio.ops import Role, float_operator
from intaglio.ops.functions import DOMAINS, POLES
from intaglio.plan import Plan
from intaglio.simulate.calls import NodeCall
from intaglio.train.batch_norm import BatchNorm


@dataclass(frozen=True, eq=False)
class ModuleStep:
    """One node in training.

    Args:
        call: inputs, outputs and function of the node.
        norm: trainable batch norm after the node, or the node itself.
        biased: whether its constant bias is rounded to the scale of its products.
        sign: whether it is a Sign with a one-bit result.
        summed: whether a one-bit Sign is fused into it.
        channels: channel axis of its result.
        has_poles: whether its function has infinite values or slopes.
        domain: where its function is defined; None for every number.
    """

    call: NodeCall
    norm: BatchNorm | None
    biased: bool
    sign: bool
    summed: bool
    channels: int
    has_poles: bool
    domain: tuple[float, float] | None

    @property
    def name(self) -> str:
        """Name of the node."""
        return str(self.call.node.name)

    @property
    def factors(self) -> tuple[str, str]:
        """Names of data and weight of a product."""
        data, weight = self.call.inputs[:2]
        assert data is not None
        assert weight is not None
        return data, weight

    @property
    def title(self) -> str:
        """Operator and name, for error messages."""
        return f"[{self.call.node.op_type} {self.call.node.name!r}]"


def steps(calls: Sequence[NodeCall], plan: Plan, norms: Mapping[str, BatchNorm]) -> list[ModuleStep]:
    """Prepare the steps of a network.

    Args:
        calls: its nodes.
        plan: its Plan.
        norms: trainable batch norms by output name.
    """
    signs = {
        str(call.node.name) for call in calls if call.node.op_type == "Sign" and _is_one_bit(call.outputs[0], plan)
    }
    summed = {name for name, operator in plan.operators.items() if signs & set(operator.fused)}
    return [
        ModuleStep(
            call.opaque(),
            norms.get(call.outputs[0]),
            _adds_bias(call.node),
            str(call.node.name) in signs,
            str(call.node.name) in summed,
            1 if call.node.op_type.startswith("Conv") else -1,
            call.node.op_type in POLES,
            DOMAINS.get(call.node.op_type),
        )
        for call in calls
    ]


def _is_one_bit(name: str, plan: Plan) -> bool:
    params = plan.params(name)
    return params is not None and params.type.bipolar


def _adds_bias(node: ir.Node) -> bool:
    """Return whether a node adds a constant bias to its products without a factor."""
    contract = float_operator(node).contract(node)
    has = len(node.inputs) > 2 and node.inputs[2] is not None
    plain = attribute(node, "alpha", 1.0) == attribute(node, "beta", 1.0) == 1.0
    return has and plain and contract.roles[2] is Role.BIAS
