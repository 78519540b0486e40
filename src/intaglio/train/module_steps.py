"""What a network in training does at each node, looked up once: the forward pass sees tensors and names alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import onnx_ir as ir

from intaglio.graph.access import attribute
from intaglio.ops import Role, float_operator
from intaglio.ops.functions import POLES
from intaglio.plan import Plan
from intaglio.simulate.calls import Call
from intaglio.train.batch_norm import BatchNorm


@dataclass(frozen=True, eq=False)
class Step:
    """A node in training.

    Args:
        call: what it reads, makes and computes.
        norm: the batch norm that lives behind it, or that it is.
        biased: its constant bias lies on the grid of its products.
        sign: it takes signs of one bit, which is how its result is rounded.
        summed: the sign of its sums is taken in its place.
        channels: the axis of its results that holds channels.
        has_poles: its function is infinite, or infinitely steep, somewhere.
    """

    call: Call
    norm: BatchNorm | None
    biased: bool
    sign: bool
    summed: bool
    channels: int
    has_poles: bool

    @property
    def name(self) -> str:
        """Of the node."""
        return str(self.call.node.name)

    @property
    def factors(self) -> tuple[str, str]:
        """Names of the data and the weight of a product."""
        data, weight = self.call.inputs[:2]
        assert data is not None
        assert weight is not None
        return data, weight

    @property
    def title(self) -> str:
        """Operator and name, for errors."""
        return f"[{self.call.node.op_type} {self.call.node.name!r}]"


def steps(calls: Sequence[Call], plan: Plan, norms: Mapping[str, BatchNorm]) -> list[Step]:
    """The steps of a network.

    Args:
        calls: its nodes.
        plan: how its values are represented.
        norms: batch norms that live, by the name of the value behind each.
    """
    signs = {
        str(call.node.name) for call in calls if call.node.op_type == "Sign" and _is_one_bit(call.outputs[0], plan)
    }
    summed = {name for name, operator in plan.operators.items() if signs & set(operator.fused)}
    return [
        Step(
            call.opaque(),
            norms.get(call.outputs[0]),
            _adds_bias(call.node),
            str(call.node.name) in signs,
            str(call.node.name) in summed,
            1 if call.node.op_type.startswith("Conv") else -1,
            call.node.op_type in POLES,
        )
        for call in calls
    ]


def _is_one_bit(name: str, plan: Plan) -> bool:
    params = plan.params(name)
    return params is not None and params.type.bipolar


def _adds_bias(node: ir.Node) -> bool:
    """Whether a node adds a constant bias to its products as it is, without a factor."""
    contract = float_operator(node).contract(node)
    has = len(node.inputs) > 2 and node.inputs[2] is not None
    plain = attribute(node, "alpha", 1.0) == attribute(node, "beta", 1.0) == 1.0
    return has and plain and contract.roles[2] is Role.BIAS
