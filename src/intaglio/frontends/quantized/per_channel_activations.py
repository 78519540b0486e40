"""Replace per-channel scales of an activation by one scale, if only depthwise convolutions read it.

    x[c] = s[c] * (q - z)        =        r[c] * S * (q - z),    r[c] = s[c] / S

A depthwise convolution never adds values of different channels. So the factor `1 / r[c]` moves into the weight scales
of the operator that computes the channel, and `r[c]` into those of the depthwise convolution. No code changes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from intaglio.frontends.quantized.scales import with_gain
from intaglio.frontends.quantized.strip import Stripped
from intaglio.graph import attribute, constant, consumers, is_output, shape
from intaglio.graph.access import input_value, single_consumer
from intaglio.graph.edit import set_constant
from intaglio.graph.operators import facts, named
from intaglio.number import PerChannel, QuantParams
from intaglio.ops import Role, float_operator
from intaglio.ops.clamp import clamp_bounds

_PRODUCTS = named("biased") - {"ConvTranspose"}  # weights of that one may lie apart in groups


@dataclass(frozen=True)
class _Change:
    """The new real values and parameters of one weight, whose codes stay the same."""

    weight: ir.Value
    real: NDArray[np.float32]
    params: QuantParams


def merge_channel_scales(stripped: Stripped) -> list[str]:
    """Give one scale to every value with per-channel scales that only depthwise convolutions read."""
    changes = []
    for value, params in list(stripped.params.items()):
        if isinstance(params.granularity, PerChannel) and _level(stripped, value, params):
            changes.append(
                f"'{value.name}' has a scale per channel in the file: moved into the weight scales around it"
            )
    return changes


def _level(stripped: Stripped, value: ir.Value, params: QuantParams) -> bool:
    rank = len(shape(value))
    clamps, product = _origin(stripped, value)
    same_zero = (params.zero_point == params.zero_point[0]).all()
    if product is None or not same_zero or params.granularity != PerChannel(1 % rank) or is_output(value):
        return False
    if not all(_is_scale_free(clamp, params, rank) for clamp in clamps):
        return False
    scale = params.scale.astype(np.float64)
    ratio = scale / scale.max()
    changes = [_rescaled(stripped, product, 1.0 / ratio)]
    for reader in consumers(value):
        depthwise = (
            reader.op_type == "Conv" and attribute(reader, "group", 1) == len(ratio) and reader.inputs[0] is value
        )
        if not depthwise:
            return False
        changes.append(_rescaled(stripped, reader, np.repeat(ratio, shape(reader.outputs[0])[1] // len(ratio))))
    if any(change is None for change in changes):
        return False
    for change in changes:
        assert change is not None
        set_constant(change.weight, change.real)
        stripped.constants[change.weight] = change.params
    bias = input_value(product, 2)
    if bias is not None:
        array = constant(bias)
        assert array is not None
        set_constant(bias, (array.astype(np.float64) / ratio).astype(np.float32))
        stripped.constants.pop(bias, None)
    for clamp in clamps:
        _keep_sign_only(stripped, clamp)
    stripped.params[value] = QuantParams(params.type, np.asarray(scale.max()), params.zero_point[0])
    return True


def _origin(stripped: Stripped, value: ir.Value) -> tuple[list[ir.Node], ir.Node | None]:
    """Walk back from a value over its clamps to the product; None if there is none or another node reads in between."""
    clamps: list[ir.Node] = []
    node = value.producer()
    while node is not None and facts(node.op_type).clamps:
        source = node.inputs[0]
        assert source is not None
        if source in stripped.params or single_consumer(source) is not node:
            return clamps, None
        clamps.append(node)
        node = source.producer()
    return clamps, node if node is not None and node.op_type in _PRODUCTS else None


def _is_scale_free(clamp: ir.Node, params: QuantParams, rank: int) -> bool:
    """Whether a clamp still means the same after scaling channels: its bounds are 0 or cut off no code."""
    low, high = clamp_bounds(clamp)
    size = (1, params.scale.size) + (1,) * (rank - 2)
    ends = [params.quantize(np.full(size, np.clip(bound, -3e38, 3e38), np.float32)) for bound in (low, high)]
    return (low == 0.0 or bool((ends[0] == params.type.qmin).all())) and bool((ends[1] == params.type.qmax).all())


def _keep_sign_only(stripped: Stripped, clamp: ir.Node) -> None:
    """Turn a Clip from 0 into a Relu: its upper bound is that of the codes, which saturation applies anyway."""
    if clamp.op_type != "Clip" or clamp_bounds(clamp)[0] != 0.0:
        return
    bounds = [bound for bound in clamp.inputs[1:] if bound is not None]
    clamp.resize_inputs(1)
    clamp.op_type = "Relu"
    for bound in bounds:
        if not bound.uses():
            stripped.graph.model.graph.initializers.pop(str(bound.name))


def _rescaled(stripped: Stripped, node: ir.Node, gain: NDArray[np.float64]) -> _Change | None:
    """Multiply a node's weight by a gain per output channel; None if it cannot be moved into the scales."""
    weight, contract = node.inputs[1], float_operator(node).contract(node)
    bias = input_value(node, 2)
    if weight not in stripped.constants or contract.roles[1] is not Role.WEIGHT or contract.weight_axis is None:
        return None
    if bias is not None and (constant(bias) is None or constant(bias).size != gain.size):  # type: ignore[union-attr]
        return None
    params, array = stripped.constants[weight], constant(weight)
    assert array is not None
    if array.shape[contract.weight_axis] != gain.size:
        return None
    changed = with_gain(params, params.quantize(array).astype(np.int32), gain, contract.weight_axis)
    return None if changed is None else _Change(weight, *changed)
