"""Read and scale the constant weights of products along input and output channels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from intaglio.graph.access import Array, attribute, constant, input_value, rank, shape
from intaglio.graph.edit import set_constant
from intaglio.graph.operators import facts


@dataclass(frozen=True)
class WeightedProduct:
    """A Conv, ConvTranspose, Gemm or MatMul whose weight is constant.

    Attributes:
        node: the node; input 1 is the weight, input 2, where there is one, the bias.
        input_axis: the channel axis of the node's first input.
        output_axis: the channel axis of the node's result.
        outputs: how many output channels there are.
        takes_bias: whether the operator has a place for a bias per output channel.
        sees_no_padding: whether each output is a full sum over inputs, so that a shift of the input is a bias.
    """

    node: ir.Node
    input_axis: int
    output_axis: int
    outputs: int
    takes_bias: bool
    sees_no_padding: bool

    @property
    def weight(self) -> Array:
        """Get the weight as it is stored in the graph."""
        array = constant(self.node.inputs[1])
        assert array is not None
        return array

    @property
    def rows(self) -> Array:
        """Arrange the weights by output channel, (outputs, weights of one)."""
        weight, kind = self.weight, self.node.op_type
        if kind == "Conv" or (kind == "Gemm" and attribute(self.node, "transB", 0)):
            return weight.reshape(len(weight), -1)
        if kind == "ConvTranspose":  # (C, M / group, ...)
            group = int(attribute(self.node, "group", 1))
            each = weight.reshape(group, -1, *weight.shape[1:])
            return np.moveaxis(each, 2, 1).reshape(self.outputs, -1)
        return np.ascontiguousarray(weight.T)

    @property
    def bias(self) -> Array | None:
        """Get the bias, float64, shape (outputs,); None where there is none."""
        array = constant(input_value(self.node, 2))
        return None if array is None else np.broadcast_to(array.astype(np.float64).ravel(), (self.outputs,))

    def scale_outputs(self, factors: Array) -> None:
        """Multiply the weights of each output channel. factors: shape (outputs,)."""
        self._scale(factors, out=True)

    def scale_inputs(self, factors: Array) -> None:
        """Multiply the weights of each input channel. factors: shape (inputs,)."""
        self._scale(factors, out=False)

    def _scale(self, factors: Array, out: bool) -> None:
        value = self.node.inputs[1]
        assert value is not None
        spread = self.spread(factors, out)
        set_constant(value, (self.weight.astype(np.float64) * spread).astype(np.float32))

    def spread(self, factors: Array, out: bool) -> Array:
        """Reshape factors per channel so that they broadcast against the weight."""
        weight = self.weight
        tail = (1,) * (weight.ndim - 2)
        kind = self.node.op_type
        if kind == "Conv":  # (M, C / group, ...): output channel m sees the inputs of group m // (M / group)
            if out:
                return factors.reshape(-1, 1, *tail)
            group = int(attribute(self.node, "group", 1))
            return np.repeat(factors.reshape(group, -1), weight.shape[0] // group, axis=0).reshape(
                weight.shape[0], -1, *tail
            )
        if kind == "ConvTranspose":  # (C, M / group, ...)
            if not out:
                return factors.reshape(-1, 1, *tail)
            group = int(attribute(self.node, "group", 1))
            return np.repeat(factors.reshape(group, -1), weight.shape[0] // group, axis=0).reshape(
                weight.shape[0], -1, *tail
            )
        rows = out == bool(kind == "Gemm" and attribute(self.node, "transB", 0))
        return factors.reshape(-1, 1) if rows else factors.reshape(1, -1)

    def apply(self, vector: Array) -> Array:
        """Apply the weight to a constant input of one number per channel. vector: (inputs,) -> (outputs,)."""
        weight = self.weight.astype(np.float64)
        if self.node.op_type == "Conv":
            return np.asarray((weight * self.spread(vector, out=False)).reshape(self.outputs, -1).sum(axis=1))
        assert self.node.op_type == "Gemm"
        return np.asarray(weight @ vector if attribute(self.node, "transB", 0) else vector @ weight)


def product(node: ir.Node) -> WeightedProduct | None:
    """Describe a node as a `WeightedProduct`; None if it is not one or its weight is computed."""
    if node.domain or not facts(node.op_type).product:
        return None
    source, weight, bias = (input_value(node, index) for index in (0, 1, 2))
    if source is None or source.is_initializer() or weight is None or not weight.is_initializer():
        return None
    if bias is not None and not bias.is_initializer():
        return None
    sizes = shape(weight)
    if facts(node.op_type).channels_first:
        outputs = shape(node.outputs[0])[1]
        unpadded = node.op_type == "Conv" and not any(attribute(node, "pads", ()))
        return WeightedProduct(node, 1, 1, outputs, True, unpadded)
    if node.op_type == "Gemm":
        plain = attribute(node, "alpha", 1.0) == 1.0 and attribute(node, "beta", 1.0) == 1.0
        if not plain or attribute(node, "transA", 0) or (bias is not None and shape(bias) != (sizes_out(node),)):
            return None
        return WeightedProduct(node, 1, 1, sizes_out(node), True, True)
    if len(sizes) != 2 or rank(source) < 2:
        return None
    return WeightedProduct(node, rank(source) - 1, rank(node.outputs[0]) - 1, sizes[1], False, True)


def sizes_out(node: ir.Node) -> int:
    """Count the numbers that a Gemm computes per row."""
    return shape(node.outputs[0])[1]
