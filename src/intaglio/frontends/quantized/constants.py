"""How constants are represented: weights as the file says, biases on the accumulator's grid."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from intaglio.errors import ModelError
from intaglio.frontends.quantized.formats import FILE, format_of
from intaglio.frontends.quantized.strip import Stripped
from intaglio.graph import attribute, constant, shape
from intaglio.graph.access import where
from intaglio.number import INT16, INT32, PerChannel, PerTensor, QuantParams, Scheme, choose_params
from intaglio.ops import Contract, Role
from intaglio.plan import Plan, Source, ValuePlan


@dataclass(frozen=True)
class Constants:
    """Adds the constants of a graph to its Plan.

    Args:
        stripped: the graph, and what its file says.
        plan: what they are added to.
        params: the parameters of computed values.
    """

    stripped: Stripped
    plan: Plan
    params: Callable[[ir.Value | None], QuantParams | None]

    def add(self, node: ir.Node, contract: Contract) -> None:
        """The constants of one node.

        Raises:
            ModelError: scales that lie along another axis than integers can use.
        """
        for value, role in zip(node.inputs, contract.roles, strict=False):
            if value is None or not value.is_initializer():
                continue
            if role is Role.WEIGHT:
                self._weight(node, value, contract.weight_axis)
            elif role is Role.SIDE:
                self._side(node, value)
            elif role is Role.BIAS:
                self._bias(node, value)

    def _weight(self, node: ir.Node, value: ir.Value, axis: int | None) -> None:
        params, rank = self.stripped.constants[value], len(shape(value))
        if isinstance(params.granularity, PerChannel):
            found = params.granularity.axis % rank
            if found != axis:
                raise ModelError(
                    f"{where(node)} weight '{value.name}': expected scales per output channel (axis {axis}), got them "
                    f"along axis {found}; quantize the weight per output channel or per tensor"
                )
            params = QuantParams(params.type, params.scale, params.zero_point, PerChannel(found))
        self._add(value, Role.WEIGHT, Source.OWN, f"weight of {node.name}: {FILE}", params)

    def _side(self, node: ir.Node, value: ir.Value) -> None:
        params, why = self.stripped.constants.get(value), f"constant operand of {node.name}: {FILE}"
        if params is None:
            array = constant(value)
            assert array is not None
            params = choose_params(float(array.min()), float(array.max()), INT16, Scheme.SYMMETRIC)
            why = f"constant operand of {node.name}, float in the file: 16 bits"
            self.stripped.notes.append(
                f"{where(node)} its constant '{value.name}' is float in the file: held in 16 bits"
            )
        if not isinstance(params.granularity, PerTensor):
            raise ModelError(
                f"{where(node)} constant '{value.name}': expected one scale, got {params.scale.size}; quantize the "
                "constants of elementwise operators per tensor"
            )
        self._add(value, Role.SIDE, Source.OWN, why, params)

    def _bias(self, node: ir.Node, value: ir.Value) -> None:
        """On the accumulator's grid, whatever the file has: the same one up to rounding, another, or float."""
        data, weight = node.inputs[0], node.inputs[1]
        assert data is not None
        assert weight is not None
        x, w, given = self.params(data), self.stripped.constants[weight], self.stripped.constants.get(value)
        assert x is not None
        gain = attribute(node, "alpha", 1.0) / attribute(node, "beta", 1.0) if node.op_type == "Gemm" else 1.0
        scale = w.scale.astype(np.float64) * float(x.scale) * gain
        if scale.ndim:  # a grouped ConvTranspose has its weight channels once per group
            scale = np.tile(scale, max(1, int(np.prod(shape(value))) // scale.size))
        granularity = PerChannel(max(1, len(shape(value))) - 1) if scale.ndim else PerTensor()
        params = QuantParams(INT32, scale.astype(np.float32), granularity=granularity)
        why = f"bias of {node.name}: int32 on the accumulator's grid, scale_x * scale_w"
        if given is None:
            why += "; float in the file"
        elif given.type == INT32 and _nearly_equal(given.scale, params.scale):
            params = QuantParams(INT32, np.broadcast_to(given.scale, params.scale.shape), granularity=granularity)
            why += f", {FILE}"
        else:
            why += f"; {given.type} on another grid in the file"
        self._add(value, Role.BIAS, Source.DERIVED, why, params, str(data.name), str(weight.name))

    def _add(self, value: ir.Value, role: Role, source: Source, why: str, params: QuantParams, *of: str) -> None:
        name = str(value.name)
        fmt = None if role is Role.BIAS else format_of(params)
        self.plan.values[name] = ValuePlan(name, role, source, why, fmt, of, None, params)


def _nearly_equal(given: NDArray[np.float32], wanted: NDArray[np.float32]) -> bool:
    """Whether the file's scales of a bias are the accumulator's, but for the rounding of a product."""
    return given.size in (1, wanted.size) and bool(np.allclose(given, wanted, rtol=1e-5, atol=0.0))
