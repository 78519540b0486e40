"""Read off batch norms the mean and standard deviation of every channel of the values that they write.

    y = gamma * (x - mean x) / sqrt(var x + eps) + beta
    mean y = beta,   std y = |gamma| sqrt(var x / (var x + eps))

Training has measured both, so they are known without any data. They are read off a model before its batch norms are
folded; a value's name stands for one real tensor, so they stay with the name.

Exports that write a batch norm as `(x - mean) * factor + beta` keep gamma and variance as one number: the mean is
known, the standard deviation is not.

Source: Nagel et al. 2019, arXiv:1906.04721, section 4.2.1.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from intaglio.graph.access import Array, attribute, constant, input_value, shape, single_consumer


@dataclass(frozen=True)
class Moments:
    """Mean and standard deviation of a value's channels, over samples and positions.

    Args:
        mean: (C,), float64.
        std: (C,), float64; NaN where it is not known.
    """

    mean: Array
    std: Array

    def divided(self, factors: Array) -> Moments:
        """Compute the moments of `x / factors`. factors: (C,), not 0."""
        return Moments(self.mean / factors, self.std / np.abs(factors))


def batch_norm_moments(graph: ir.Graph) -> dict[str, Moments]:
    """Collect the moments of the values that batch norms of a model write, by value name.

    Args:
        graph: before any pass.
    """
    found = {}
    for node in graph:
        moments = None
        if node.op_type == "BatchNormalization" and not node.domain:
            moments = _of_batch_normalization(node)
        elif node.op_type == "Add":
            moments = _of_sub_mul_add(node)
        if moments is not None and np.isfinite(moments.mean).all() and not np.isinf(moments.std).any():
            found[str(node.outputs[0].name)] = moments
    return found


def _of_batch_normalization(node: ir.Node) -> Moments | None:
    arrays = [constant(input_value(node, index)) for index in (1, 2, 3, 4)]
    if any(array is None for array in arrays):
        return None
    gamma, beta, mean, variance = (array.astype(np.float64) for array in arrays if array is not None)
    if not mean.any() and (variance == 1).all():
        return None  # never trained, or a scale and shift that was only written this way
    epsilon = float(attribute(node, "epsilon", 1e-5))
    return Moments(beta, np.abs(gamma) * np.sqrt(variance / (variance + epsilon)))


def _of_sub_mul_add(node: ir.Node) -> Moments | None:
    """Find the moments of `Add(Mul(Sub(x, mean), factor), beta)` with one number per channel each, given the Add."""
    mul = node.inputs[0].producer() if node.inputs[0] is not None else None
    if mul is None or mul.op_type != "Mul" or mul.inputs[0] is None:
        return None
    sub = mul.inputs[0].producer()
    if sub is None or sub.op_type != "Sub" or sub.inputs[0] is None:
        return None
    if single_consumer(sub.outputs[0]) is not mul or single_consumer(mul.outputs[0]) is not node:
        return None
    vectors = [_vector(step.inputs[1], shape(step.outputs[0])) for step in (sub, mul, node)]
    if any(v is None for v in vectors) or len({len(v) for v in vectors if v is not None}) != 1:
        return None
    beta = vectors[2]
    assert beta is not None
    return Moments(beta, np.full(len(beta), np.nan))


def _vector(value: ir.Value | None, result: tuple[int, ...]) -> Array | None:
    """Get a constant that varies along one axis only, which is not the batch."""
    array = constant(value)
    if array is None or array.dtype != np.float32 or array.ndim > len(result) or array.size < 2:
        return None
    padded = (1,) * (len(result) - array.ndim) + array.shape
    axes = [axis for axis, size in enumerate(padded) if size != 1]
    if len(axes) != 1 or axes[0] == 0 or padded[axes[0]] != result[axes[0]]:
        return None
    return array.astype(np.float64).ravel()
