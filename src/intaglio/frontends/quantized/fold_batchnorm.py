"""Fold a BatchNormalization after a quantized product into the scales of its weight; the codes do not change.

    g * (s_w * q_w) = (g * s_w) * q_w        one gain g per output channel

A negative gain also negates the channel's codes. If one of them has no negative, as -128 of int8, nothing is folded.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from intaglio.frontends.quantized.scales import with_gain
from intaglio.frontends.quantized.strip import Stripped
from intaglio.graph import constant, shape
from intaglio.graph.access import input_value, single_consumer, where
from intaglio.graph.edit import add_constant, remove, replace, set_constant
from intaglio.graph.operators import facts
from intaglio.ops import Role, float_operator
from intaglio.ops.batch_normalization import BatchNormalization


def fold_batchnorm_into_weights(stripped: Stripped) -> list[str]:
    """Fold every BatchNormalization whose input the file does not quantize; return a sentence for each."""
    changes = []
    for node in stripped.graph.nodes:
        value = node.inputs[0] if node.inputs else None
        product = value.producer() if value is not None else None
        if node.op_type != "BatchNormalization" or value is None or product is None or value in stripped.params:
            continue
        if not facts(product.op_type).biased or single_consumer(value) is not node:
            continue
        before = where(node)
        if _absorb(stripped, product, node):
            changes.append(f"{before} folded into the weight scales and bias of {where(product)}")
    return changes


def _absorb(stripped: Stripped, product: ir.Node, node: ir.Node) -> bool:
    weight, bias = product.inputs[1], input_value(product, 2)
    contract = float_operator(product).contract(product)
    axis = contract.weight_axis
    if contract.roles[1] is not Role.WEIGHT or weight not in stripped.constants or axis is None:
        return False
    if bias is not None and constant(bias) is None:
        return False
    params, array = stripped.constants[weight], constant(weight)
    assert array is not None
    channels = shape(node.outputs[0])[1]
    if shape(weight)[axis] != channels:  # a grouped ConvTranspose has only the channels of one group on this axis
        return False
    gain, offset = BatchNormalization.affine(node)
    changed = with_gain(params, params.quantize(array).astype(np.int32), gain, axis)
    if changed is None:
        return False
    real, stripped.constants[weight] = changed
    set_constant(weight, real)
    old = np.zeros(channels) if bias is None else np.asarray(constant(bias), np.float64).reshape(-1)
    moved = np.broadcast_to(old, (channels,)) * gain + offset
    inner = stripped.graph.model.graph
    if bias is None:
        product.resize_inputs(3)
        product.replace_input_with(2, add_constant(inner, f"{weight.name}_bias", moved.astype(np.float32)))
    else:
        set_constant(bias, moved.astype(np.float32))
        stripped.constants.pop(bias, None)
    output = node.outputs[0]
    known = stripped.params.pop(output, None)
    replace(output, product.outputs[0])
    if known is not None:
        stripped.params[product.outputs[0]] = known
    remove(inner, node)
    return True
