"""A quantized network that is being given its codes, layer by layer.

Codes are exact: the float weight becomes `scale * (code - zero_point)`, which every later quantization with the same
parameters maps to that code.
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
from intaglio.number import QuantParams
from intaglio.ops import Role, float_operator
from intaglio.ops.extremes import Extreme
from intaglio.plan import Plan
from intaglio.recover.biases import CHANNEL_AXIS, add_to_bias, settle
from intaglio.recover.blocks import caps_behind
from intaglio.recover.im2col import LAYERS, weight_index
from intaglio.simulate import Simulator

_WIDEST = 16  # bits; wider codes are no weights

Array = NDArray[Any]


@dataclass(frozen=True)
class Learned:
    """What was found for one layer.

    Args:
        codes: integers, in the weight's shape.
        shift: what its bias moves by, (O,); zeros for a layer that has no place for a bias.
    """

    codes: Array
    shift: Array


class Rounded:
    """A quantized network that is being given its codes.

    Args:
        graph, plan: calibrated; both are left as they are.
        reference: the float network with its real weights, node for node the same.
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
        """One of its own, as far as this one has come."""
        return Rounded(self.graph, self.plan, self.reference)

    def _has_codes(self, node: ir.Node) -> bool:
        if node.op_type not in LAYERS or float_operator(node).contract(node).roles[1] is not Role.WEIGHT:
            return False
        array, params = constant(node.inputs[1]), self.plan.params(str(node.inputs[1].name))  # type: ignore[union-attr]
        if array is None or not array.size or params is None or params.type.bipolar:
            return False  # a sign is not rounded: between -1 and +1 is no code
        return params.type.bits <= _WIDEST

    def params(self, name: str) -> QuantParams:
        """The grid of a layer's weight."""
        found = self.plan.params(str(self.layers[name].inputs[1].name))  # type: ignore[union-attr]
        assert found is not None
        return found

    def matrix(self, name: str, values: Array, index: Tensor) -> Tensor:
        """What broadcasts against a layer's weight, as a matrix of that layer, (G, K, O / G); see `columns`."""
        full = np.broadcast_to(values, self.real_weights[name].shape).astype(np.float32).reshape(-1)
        return torch.as_tensor(full, device=self.quantized.device)[index.to(self.quantized.device)].contiguous()

    def grid(self, name: str, index: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """A layer's real weights in steps, their scale, and the lowest and highest step; (G, K, O / G) each."""
        params, weight = self.params(name), self.real_weights[name]
        expand = params.granularity.expand
        scale, zero_point = expand(params.scale, weight.shape), expand(params.zero_point, weight.shape)
        arrays = (weight / scale, scale, params.type.qmin - zero_point, params.type.qmax - zero_point)
        steps, scales, low, high = (self.matrix(name, a, index) for a in arrays)
        return steps, scales, low, high

    def codes(self, name: str, steps: Tensor, index: Tensor) -> Array:
        """Codes in the weight's shape, of codes minus zero point (G, K, O / G)."""
        params, size = self.params(name), self.real_weights[name].shape
        flat = np.zeros(self.real_weights[name].size, np.int64)
        flat[index.reshape(-1).numpy()] = steps.reshape(-1).cpu().numpy().astype(np.int64)
        zero_point = params.granularity.expand(params.zero_point, size)
        return np.asarray((flat.reshape(size) + zero_point).astype(params.type.dtype))

    def clamp(self, name: str) -> tuple[Tensor, Tensor] | None:
        """Bounds of the activations behind a layer, each (1, 1, 1) or (G, 1, O / G); None where it has none."""
        node = self.layers[name]
        groups, _, outer = weight_index(node).shape
        low, high = np.full((1, 1, 1), -np.inf), np.full((1, 1, 1), np.inf)
        for after in caps_behind(node, self.plan.operators[name].fused):
            if after.op_type in ("Min", "Max"):
                bounds, axis = Extreme.bounds(after)
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
        """The rounded bias, (G, 1, O / G); zeros where there is none."""
        node, (groups, _, outer) = self.layers[name], index.shape
        value = node.inputs[2] if len(node.inputs) > 2 else None
        if value is None:
            return torch.zeros((groups, 1, outer), device=self.quantized.device)
        bias = self.quantized.constants[str(value.name)].reshape(-1) * float(attribute(node, "beta", 1.0))
        return bias.expand(groups * outer).reshape(groups, 1, outer)

    def fitting(self, name: str, shift: Tensor, bias: Tensor, scale: Tensor) -> Tensor:
        """A bias's shift, none in channels whose bias would then not fit its integers, or that have none.

        Args:
            name: of the layer.
            shift, bias: (G, 1, O / G).
            scale: of the weights, (G, K, O / G).
        """
        node = self.layers[name]
        data = self.plan.params(str(node.inputs[0].name))  # type: ignore[union-attr]
        if node.op_type not in CHANNEL_AXIS or data is None:
            return torch.zeros_like(shift)
        gain = abs(float(attribute(node, "alpha", 1.0)))
        unit = scale.amin(dim=1, keepdim=True) * float(data.scale) * gain
        fits = ((bias + shift).abs() < LARGEST_BIAS * unit) & shift.isfinite()
        return torch.where(fits, shift, 0.0)

    def take(self, found: Mapping[str, Learned]) -> int:
        """Let layers have their codes, and move their biases; how many codes are not the nearest."""
        changed = 0
        for name, learned in found.items():
            node, params = self.layers[name], self.params(name)
            changed += int((params.quantize(self.real_weights[name]) != learned.codes).sum())
            set_constant(node.inputs[1], params.dequantize(learned.codes))  # type: ignore[arg-type]
            self._add_bias(node, learned.shift)
        self._settle([self.layers[name] for name in found])
        return changed

    def move_bias(self, name: str, shift: Array) -> None:
        """Move the bias of a layer by (O,)."""
        self._add_bias(self.layers[name], shift)
        self._settle([self.layers[name]])

    def _add_bias(self, node: ir.Node, shift: Array) -> None:
        if shift.any():
            add_to_bias(self.graph, self.plan, node, shift / attribute(node, "beta", 1.0))

    def _settle(self, nodes: Sequence[ir.Node]) -> None:
        self.quantized = settle(self.graph, self.plan, self.quantized, nodes)

    def held(self, name: str) -> Array:
        """The codes that lowering and export will find for a layer."""
        array = constant(self.layers[name].inputs[1])
        assert array is not None
        return self.params(name).quantize(array)
