"""Quantized network whose weights get their codes layer by layer.

The float weight is set to `scale * (code - zero_point)`, which every later quantization with the same parameters maps
to exactly that code.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir as ir
import torch
from numpy.typing import NDArray
from torch import Tensor

from intaglio.calibrate.parameters.derive import LARGEST_BIAS
from intaglio.graph import Graph
from intaglio.graph.access import attribute, constant, rank
from intaglio.graph.edit import set_constant
from intaglio.graph.operators import facts
from intaglio.number import QuantParams
from intaglio.ops import Role, float_operator
from intaglio.ops.min_max import MinMax
from intaglio.plan import Plan
from intaglio.recover.biases import CHANNEL_AXIS, add_to_bias, settle
from intaglio.recover.blocks import caps_behind
from intaglio.recover.im2col import LAYERS, weight_index
from intaglio.simulate import Simulator

_WIDEST = 16  # bits of the widest weight type

Array = NDArray[Any]


@dataclass(frozen=True)
class LearnedCodes:
    """Learned codes and bias shift of one layer.

    Args:
        codes: integers in the weight's shape.
        shift: shift of the bias, (O,); zeros for a layer that cannot have a bias.
    """

    codes: Array
    shift: Array


class Rounded:
    """Quantized network whose weights get their codes layer by layer.

    Args:
        graph, plan: the calibrated network; not modified (copied).
        reference: the float network with unrounded weights; same nodes.
    """

    def __init__(self, graph: Graph, plan: Plan, reference: Graph) -> None:
        self.graph, self.plan, self.reference = graph.copy(), plan.copy(), reference
        assert [n.name for n in graph.nodes] == [n.name for n in reference.nodes]
        self.quantized = Simulator(self.graph, self.plan)
        self.layers = {str(node.name): node for node in self.graph.nodes if self._has_codes(node)}
        values = reference.values()
        self.real_weights: dict[str, Array] = {}
        for name, node in self.layers.items():
            held, real = constant(node.inputs[1]), constant(values.get(str(node.inputs[1].name)))  # type: ignore[union-attr]
            assert held is not None
            self.real_weights[name] = held if real is None or real.shape != held.shape else real

    def copy(self) -> Rounded:
        """Return an independent copy in the current state."""
        return Rounded(self.graph, self.plan, self.reference)

    def _has_codes(self, node: ir.Node) -> bool:
        if node.op_type not in LAYERS or float_operator(node).contract(node).roles[1] is not Role.WEIGHT:
            return False
        array, params = constant(node.inputs[1]), self.plan.params(str(node.inputs[1].name))  # type: ignore[union-attr]
        if array is None or not array.size or params is None or params.type.bipolar:
            return False  # binary weights take the sign: there is no rounding up or down to learn
        return params.type.bits <= _WIDEST

    def params(self, name: str) -> QuantParams:
        """Return the quantization parameters of a layer's weight."""
        found = self.plan.params(str(self.layers[name].inputs[1].name))  # type: ignore[union-attr]
        assert found is not None
        return found

    def matrix(self, name: str, values: Array, index: Tensor) -> Tensor:
        """Broadcast values to a layer's weight and return them as a matrix, (G, K, O / G); see `im2col`."""
        full = np.broadcast_to(values, self.real_weights[name].shape).astype(np.float32).reshape(-1)
        return torch.as_tensor(full, device=self.quantized.device)[index.to(self.quantized.device)].contiguous()

    def grid(self, name: str, index: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return a layer's real weights in steps (W / s), scales, lowest and highest step; (G, K, O / G) each."""
        params, weight = self.params(name), self.real_weights[name]
        expand = params.granularity.expand
        scale, zero_point = expand(params.scale, weight.shape), expand(params.zero_point, weight.shape)
        arrays = (weight / scale, scale, params.type.qmin - zero_point, params.type.qmax - zero_point)
        steps, scales, low, high = (self.matrix(name, a, index) for a in arrays)
        return steps, scales, low, high

    def codes(self, name: str, steps: Tensor, index: Tensor) -> Array:
        """Convert codes minus zero point, (G, K, O / G), to codes in the weight's shape."""
        params, size = self.params(name), self.real_weights[name].shape
        flat = np.zeros(self.real_weights[name].size, np.int64)
        flat[index.reshape(-1).numpy()] = steps.reshape(-1).cpu().numpy().astype(np.int64)
        zero_point = params.granularity.expand(params.zero_point, size)
        return np.asarray((flat.reshape(size) + zero_point).astype(params.type.dtype))

    def clamp(self, name: str) -> tuple[Tensor, Tensor] | None:
        """Return the bounds of the activations after a layer, each (1, 1, 1) or (G, 1, O / G); None without bounds."""
        node = self.layers[name]
        groups, _, outer = weight_index(node).shape
        low, high = np.full((1, 1, 1), -np.inf), np.full((1, 1, 1), np.inf)
        for after in caps_behind(node, self.plan.operators[name].fused):
            if facts(after.op_type).extremum:
                bounds, axis = MinMax.bounds(after)
                if axis is not None and axis != CHANNEL_AXIS.get(node.op_type, -1) % rank(after.outputs[0]):
                    break
                each = bounds.reshape(1, 1, 1) if axis is None else bounds.reshape(groups, 1, outer)
                low, high = (low, np.minimum(high, each)) if after.op_type == "Min" else (np.maximum(low, each), high)
            else:
                found = float_operator(after).contract(after).clamp
                if found is not None:
                    low, high = np.maximum(low, found[0]), np.minimum(high, found[1])
        if np.isinf(low).all() and np.isinf(high).all():
            return None
        return tuple(torch.as_tensor(a, dtype=torch.float32, device=self.quantized.device) for a in (low, high))  # type: ignore[return-value]

    def bias(self, name: str, index: Tensor) -> Tensor:
        """Return the rounded bias, (G, 1, O / G); zeros without a bias."""
        node, (groups, _, outer) = self.layers[name], index.shape
        value = node.inputs[2] if len(node.inputs) > 2 else None
        if value is None:
            return torch.zeros((groups, 1, outer), device=self.quantized.device)
        bias = self.quantized.constants[str(value.name)].reshape(-1) * float(attribute(node, "beta", 1.0))
        return bias.expand(groups * outer).reshape(groups, 1, outer)

    def fitting(self, name: str, shift: Tensor, bias: Tensor, scale: Tensor) -> Tensor:
        """Limit the shift of a bias: zero in channels whose bias would overflow, and for layers without a bias.

        Args:
            name: name of the layer.
            shift, bias: shift and current bias, (G, 1, O / G).
            scale: scale of the weights, (G, K, O / G).
        """
        node = self.layers[name]
        data = self.plan.params(str(node.inputs[0].name))  # type: ignore[union-attr]
        if node.op_type not in CHANNEL_AXIS or data is None:
            return torch.zeros_like(shift)
        gain = abs(float(attribute(node, "alpha", 1.0)))
        unit = scale.amin(dim=1, keepdim=True) * float(data.scale) * gain
        fits = ((bias + shift).abs() < LARGEST_BIAS * unit) & shift.isfinite()
        return torch.where(fits, shift, 0.0)

    def take(self, found: Mapping[str, LearnedCodes]) -> int:
        """Set codes and shift biases of layers; return the number of codes that are not the nearest."""
        changed = 0
        for name, learned in found.items():
            node, params = self.layers[name], self.params(name)
            changed += int((params.quantize(self.real_weights[name]) != learned.codes).sum())
            set_constant(node.inputs[1], params.dequantize(learned.codes))  # type: ignore[arg-type]
            self._add_bias(node, learned.shift)
        self._settle([self.layers[name] for name in found])
        return changed

    def move_bias(self, name: str, shift: Array) -> None:
        """Shift the bias of a layer by (O,)."""
        self._add_bias(self.layers[name], shift)
        self._settle([self.layers[name]])

    def _add_bias(self, node: ir.Node, shift: Array) -> None:
        if shift.any():
            add_to_bias(self.graph, self.plan, node, shift / attribute(node, "beta", 1.0))

    def _settle(self, nodes: Sequence[ir.Node]) -> None:
        self.quantized = settle(self.graph, self.plan, self.quantized, nodes)

    def held(self, name: str) -> Array:
        """Return the codes that lowering and export will compute for a layer."""
        array = constant(self.layers[name].inputs[1])
        assert array is not None
        return self.params(name).quantize(array)
