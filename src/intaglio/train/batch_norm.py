"""Find batch norms that stay trainable, and fold them into weights as the frozen network does.

    y = gamma * (conv(x, W) + b - mean) / sqrt(var + eps) + beta

In training the product uses the quantized folded weight of the frozen network, W gamma / sigma with the running sigma.
Division by gamma / sigma then recovers the input of batch norm, which normalizes with batch statistics. In the frozen
network the running statistics are folded into weights and bias. A batch norm that cannot be folded into a product stays
an operator with constants.

Source: Jacob et al. 2018, arXiv:1712.05877, section 3.2; Krishnamoorthi 2018, arXiv:1806.08342, section 3.2.2.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import onnx_ir as ir
import torch
from torch import Tensor

from intaglio.graph import Graph
from intaglio.graph.access import attribute, constant, input_value
from intaglio.graph.operators import named
from intaglio.graph.weights import product
from intaglio.number.params import SMALLEST_SCALE
from intaglio.train.quantizers.quantizer import Quantizer

# The weight of a ConvTranspose has no axis of its own for the output channels where it is grouped.
PRODUCTS_WITH_NORM = named("biased") - {"ConvTranspose"}


@dataclass(frozen=True)
class BatchNorm:
    """Trainable batch norm and the product before it.

    Args:
        weight, bias: names of the constants of the product before it; bias is empty if there is none, both are empty
            for a batch norm without a product.
        gamma, beta, mean, variance: names of the batch norm's constants.
        epsilon: number added to the variance.
        output: name of its output, which the product computes after folding.
        axis: axis of the output channels in the weight.
    """

    weight: str
    bias: str
    gamma: str
    beta: str
    mean: str
    variance: str
    epsilon: float
    output: str
    axis: int = 0


def batch_norms(raw: Graph, prepared: Graph) -> dict[str, BatchNorm]:
    """Return the batch norms that can stay trainable, by output name.

    Args:
        raw: the network before any pass.
        prepared: the same network with batch norms folded where possible.
    """
    after_products = {
        str(node.outputs[0].name): norm for node in raw.nodes if (norm := _after_product(node)) is not None
    }
    alone = {str(node.outputs[0].name): norm for node in prepared.nodes if (norm := _batch_norm(node)) is not None}
    return {name: norm for name, norm in after_products.items() if folds_to(raw, norm, prepared)} | alone


def _after_product(node: ir.Node) -> BatchNorm | None:
    norm = _batch_norm(node)
    source = node.inputs[0] if norm is not None else None
    before = None if source is None else source.producer()
    if norm is None or source is None or before is None or len(source.uses()) != 1:
        return None
    weight, bias = input_value(before, 1), input_value(before, 2)
    if before.op_type not in PRODUCTS_WITH_NORM or product(before) is None or weight is None:
        return None
    axis = 1 if before.op_type == "Gemm" and not attribute(before, "transB", 0) else 0
    return replace(norm, weight=str(weight.name), bias="" if bias is None else str(bias.name), axis=axis)


def _batch_norm(node: ir.Node) -> BatchNorm | None:
    """Read a node as a batch norm without a product; None if it is another operator, or has computed constants."""
    if node.op_type != "BatchNormalization":
        return None
    constants = [v for v in node.inputs[1:5] if v is not None and constant(v) is not None]
    if len(constants) != 4:
        return None
    gamma, beta, mean, variance = (str(v.name) for v in constants)
    epsilon = float(attribute(node, "epsilon", 1e-5))
    return BatchNorm("", "", gamma, beta, mean, variance, epsilon, str(node.outputs[0].name))


def folds_to(raw: Graph, norm: BatchNorm, prepared: Graph) -> bool:
    """Return whether the prepared network contains this product with only its batch norm folded in."""
    value = prepared.values().get(norm.output)
    node = None if value is None else value.producer()
    found = None if node is None else product(node)
    if found is None or found.node.inputs[1] is None or found.node.inputs[1].name != norm.weight:
        return False
    weight, gamma, variance = (
        np.asarray(constant(raw.value(name)), np.float64) for name in (norm.weight, norm.gamma, norm.variance)
    )
    if weight.shape != found.weight.shape:
        return False
    want = weight * found.spread(gamma / np.sqrt(variance + norm.epsilon), out=True)
    return bool(np.allclose(found.weight, want, rtol=1e-4, atol=1e-6 * float(np.abs(want).max(initial=1e-30))))


def folded_weight(quantizer: Quantizer, weight: Tensor, factor: Tensor, axis: int = 0) -> Tensor:
    """Return the quantized folded weight of the frozen network, W gamma / sigma.

    Args:
        quantizer: quantizer of the folded weight.
        weight: real weight of any shape, with O output channels along `axis`.
        factor: gamma / sigma with the running sigma, (O,).
        axis: axis of the output channels.
    """
    quantizer.measured_in(factor.detach().abs())
    rounded: Tensor = quantizer(weight * along(factor, weight, axis))
    return rounded


def unfolded_weight(quantizer: Quantizer, weight: Tensor, factor: Tensor, axis: int = 0) -> Tensor:
    """Return the quantized folded weight divided by its factor: the weight of a product before a trainable batch norm.

    The factor has no gradient here: gamma is learned in the batch norm, not from rounding errors.
    """
    factor = factor.detach()
    whole = torch.where(factor.abs() < SMALLEST_SCALE, torch.ones_like(factor), factor)
    return folded_weight(quantizer, weight, factor, axis) / along(whole, weight, axis)


def along(factor: Tensor, weight: Tensor, axis: int = 0) -> Tensor:
    """Reshape a factor per channel, (O,), to broadcast against a weight with its channels along an axis."""
    return factor.reshape([-1 if i == axis else 1 for i in range(weight.ndim)])
