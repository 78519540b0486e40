"""Compare, merge and narrow the grids that a file states, and requantize from one to another."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from intaglio.frontends.quantized.pairs import SATURATION_KEY
from intaglio.frontends.quantized.parameters import narrowed
from intaglio.graph import shape
from intaglio.graph.edit import add_constant, insert
from intaglio.number import BIPOLAR, INT16, IntType, QuantParams, Scheme, choose_params


def common_grid(asked: list[QuantParams]) -> QuantParams:
    """Choose a value's grid from those that its readers use: their common grid, or 16 bits over all of them."""
    if all(params == asked[0] for params in asked):
        return asked[0]
    low, high = min(float(p.range[0].min()) for p in asked), max(float(p.range[1].max()) for p in asked)
    return choose_params(low, high, INT16, Scheme.SYMMETRIC)


def saturated(node: ir.Node, params: QuantParams) -> QuantParams | None:
    """Return the parameters with the type to which a constant's codes were clipped; None if they were not."""
    bounds = node.metadata_props.get(SATURATION_KEY)
    return None if bounds is None else narrowed(params, *map(int, bounds.split()))


def tight(params: QuantParams, codes: NDArray[np.int32]) -> QuantParams:
    """Drop the type's most negative code if no element uses it (the narrow range that most tools use).

    For four bits, also choose the fewest bits that hold the codes: files store one and two bits in four, because ONNX
    has no narrower integers before opset 25.
    """
    kind = params.type
    if not kind.signed or kind.bits == 32 or params.zero_point.any() or not codes.size:
        return params
    kinds = [IntType(kind.bits, narrow=True)]
    if kind.bits == 4:
        kinds = [BIPOLAR, IntType(2, narrow=True), IntType(2), *kinds]
    found = next((one for one in kinds if one.holds(codes)), kind)
    return QuantParams(found, params.scale, params.zero_point, params.granularity)


def real_numbers(params: QuantParams, codes: NDArray[np.int32]) -> NDArray[np.float32]:
    """Dequantize codes to float32.

    An int32 bias may need more than float32's 24 bits: it is computed in float64 and rounded once, so that quantizing
    it returns the same codes.
    """
    if params.type.bits < 32:
        return params.dequantize(codes)
    scale = params.granularity.expand(params.scale, codes.shape)
    return np.asarray(codes * scale.astype(np.float64)).astype(np.float32)


def requantization(graph: ir.Graph, before: ir.Node, source: ir.Value, params: QuantParams, name: str) -> ir.Value:
    """Insert a Clip to the whole range of the parameters, so that its result is the source on a grid of its own."""
    low, high = params.range
    bounds = [add_constant(graph, f"{name}.{which}", np.asarray(end)) for which, end in (("low", low), ("high", high))]
    node = insert(graph, before, "Clip", [source, *bounds], name=name)
    assert shape(node.outputs[0]) == shape(source)
    return node.outputs[0]


def same_grid(a: QuantParams, b: QuantParams) -> bool:
    """Whether two parameters map codes to the same real numbers; their types may differ."""
    same = a.granularity == b.granularity and np.array_equal(a.scale, b.scale)
    return same and np.array_equal(a.zero_point, b.zero_point)


def text_of(params: QuantParams) -> str:
    """Describe parameters for error texts."""
    if params.scale.size > 1:
        return f"{params.type}, {params.scale.size} scales"
    return f"{params.type}, scale {float(params.scale):.6g}, zero point {int(params.zero_point)}"
