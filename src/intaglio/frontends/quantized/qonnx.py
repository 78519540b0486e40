"""Write QONNX' quantizers as QuantizeLinear, Clip and DequantizeLinear.

    Quant(x, s, z, b) = (round(clamp(x / s + z, low, high)) - z) * s        low, high: of b bits, `signed` and `narrow`
    BipolarQuant(w, s) = s where w >= 0, else -s                            also Quant with b = 1 and `signed`

The quantizers of constants are computed here, with their rounding mode; those of values have the mode ROUND, to nearest
and ties to even. With an odd z a tie may go the other way: QuantizeLinear rounds x / s, Quant x / s + z.

Source: Pappalardo et al. 2022, arXiv:2206.07527; qonnx 1.0, https://github.com/fastmachinelearning/qonnx.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from intaglio.errors import UnsupportedOperatorError
from intaglio.graph.access import attribute, constant, input_value, where
from intaglio.graph.edit import add_constant, replace

DOMAINS = frozenset({"qonnx.custom_op.general", "finn.custom_op.general", "onnx.brevitas"})
QUANTIZERS = frozenset({"Quant", "IntQuant", "BipolarQuant"})
_LARGEST = 16
Array = NDArray[Any]


def _away(x: Array) -> Array:
    return np.sign(x) * np.ceil(np.abs(x))


def _half_away(x: Array) -> Array:
    return np.sign(x) * np.floor(np.abs(x) + 0.5)


def _half_to_zero(x: Array) -> Array:
    return np.sign(x) * np.ceil(np.abs(x) - 0.5)


_ROUND: dict[str, Callable[[Array], Array]] = {
    "ROUND": np.rint,
    "HALF_EVEN": np.rint,
    "CEIL": np.ceil,
    "FLOOR": np.floor,
    "UP": _away,
    "DOWN": np.trunc,
    "ROUND_TO_ZERO": np.trunc,
    "HALF_UP": _half_away,
    "HALF_DOWN": _half_to_zero,
}


def is_qonnx(node: ir.Node) -> bool:
    """Tell whether a node is of QONNX' domain."""
    return node.domain in DOMAINS


def expand_qonnx(model: ir.Model) -> list[str]:
    """Replace QONNX' quantizers by operators of ONNX, in place.

    Returns:
        One sentence that counts them, or none.
    Raises:
        UnsupportedOperatorError: parameters that are computed, more than 16 bits of a value, a rounding mode or one bit
            of a value that a program cannot have, or another operator of QONNX.
    """
    graph = model.graph
    found = [node for node in graph if is_qonnx(node)]
    for node in found:
        if node.op_type not in QUANTIZERS:
            raise UnsupportedOperatorError(
                f"{where(node)} expected one of QONNX' quantizers {', '.join(sorted(QUANTIZERS))}; "
                "export the network without it"
            )
        _expand(graph, node)
    return [f"{len(found)} quantizers of QONNX are read as QuantizeLinear and DequantizeLinear"] if found else []


def _expand(graph: ir.Graph, node: ir.Node) -> None:
    x = input_value(node, 0)
    scale, axis = _scale(node)
    if x is None:
        raise UnsupportedOperatorError(f"{where(node)} expected a value to quantize, got none")
    zero_point = 0 if node.op_type == "BipolarQuant" else _whole(node, 2, "a zero point")
    bits = 1 if node.op_type == "BipolarQuant" else _whole(node, 3, "a number of bits")
    signed = node.op_type == "BipolarQuant" or bool(attribute(node, "signed", 1))
    narrow = bool(attribute(node, "narrow", 0))
    mode = str(attribute(node, "rounding_mode", "ROUND")).upper()
    if bits < 1 or mode not in _ROUND:
        raise UnsupportedOperatorError(
            f"{where(node)} expected at least 1 bit and a rounding mode of {', '.join(_ROUND)}, got {bits} and {mode}"
        )
    low = -(1 << bits - 1) + narrow if signed else 0
    high = (1 << bits - 1) - 1 if signed else (1 << bits) - 1 - narrow
    weight = constant(x)
    bipolar = bits == 1 and signed
    if weight is not None:
        real = weight.astype(np.float32) / _spread(scale, axis, weight.ndim) + np.float32(zero_point)
        codes = np.where(real >= 0, 1, -1) if bipolar else _ROUND[mode](np.clip(real, low, high))
        bounds = (-1, 1) if bipolar else (low, high)
        kept = _clipped(graph, node, add_constant(graph, f"{node.name}.codes", codes.astype(_type(*bounds))), *bounds)
    elif bipolar or bits > _LARGEST or _ROUND[mode] is not np.rint:
        raise UnsupportedOperatorError(
            f"{where(node)} expected a value with 2 to {_LARGEST} bits (or 1, not signed), rounded to nearest, got "
            f"{bits} bits and {mode}; quantize the network again with these"
        )
    else:
        at = add_constant(graph, f"{node.name}.zero_point", np.full(scale.shape, zero_point, _type(low, high)))
        by = add_constant(graph, f"{node.name}.step", scale)
        kept = _clipped(graph, node, _inserted(graph, node, "QuantizeLinear", [x, by, at], axis), low, high)
    by = add_constant(graph, f"{node.name}.scale", scale)
    assert kept.dtype is not None
    at = add_constant(graph, f"{node.name}.zero", np.full(scale.shape, zero_point, kept.dtype.numpy()))
    real_value = _inserted(graph, node, "DequantizeLinear", [kept, by, at], axis)
    replace(node.outputs[0], real_value)
    graph.remove(node, safe=True)


def _scale(node: ir.Node) -> tuple[NDArray[np.float32], int | None]:
    """Look up the scale: (), or (C,) and its axis."""
    array = constant(input_value(node, 1))
    if array is None or sum(size > 1 for size in array.shape) > 1:
        raise UnsupportedOperatorError(
            f"{where(node)} expected a constant scale, one or one for each channel, got "
            f"{'a computed one' if array is None else f'shape {array.shape}'}; export the network with constant scales"
        )
    axis = next((index - array.ndim for index, size in enumerate(array.shape) if size > 1), None)
    return array.astype(np.float32).reshape(() if axis is None else (-1,)), axis


def _spread(scale: Array, axis: int | None, axes: int) -> Array:
    """Give a scale the axes of what it divides; `axis` counts from the end."""
    return scale if axis is None else scale.reshape([-1 if k == axes + axis else 1 for k in range(axes)])


def _whole(node: ir.Node, index: int, what: str) -> int:
    array = constant(input_value(node, index))
    if array is None or array.size == 0 or not bool((array == array.flat[0]).all()) or array.flat[0] % 1:
        raise UnsupportedOperatorError(
            f"{where(node)} expected {what} that is one constant integer, got "
            f"{'a computed one' if array is None else array.reshape(-1)[:4].tolist()}"
        )
    return int(array.flat[0])


def _type(low: int, high: int) -> type[np.integer[Any]]:
    """Return the smallest type of ONNX that holds the codes."""
    types = (np.int8, np.int16, np.int32) if low < 0 else (np.uint8, np.uint16, np.int32)
    return next((t for t in types if np.iinfo(t).min <= low and high <= np.iinfo(t).max), np.int32)


def _clipped(graph: ir.Graph, node: ir.Node, codes: ir.Value, low: int, high: int) -> ir.Value:
    """Bound codes that do not fill their type, so that they get a type of fewer bits."""
    assert codes.dtype is not None
    dtype = codes.dtype.numpy()
    if dtype == np.int32 or (np.iinfo(dtype).min, np.iinfo(dtype).max) == (low, high):
        return codes
    ends = [
        add_constant(graph, f"{node.name}.{name}", np.array(v, dtype)) for name, v in (("low", low), ("high", high))
    ]
    return _inserted(graph, node, "Clip", [codes, *ends], None)


def _inserted(graph: ir.Graph, node: ir.Node, op_type: str, inputs: list[ir.Value], axis: int | None) -> ir.Value:
    """Insert an operator, whose types the loader infers; `axis` counts from the end."""
    attributes = [] if axis is None else [ir.AttrInt64("axis", axis)]
    made = ir.Node("", op_type, inputs, attributes, name=f"{node.name}.{op_type}", num_outputs=1)
    made.outputs[0].name = f"{node.outputs[0].name}.{op_type}"
    if op_type != "DequantizeLinear":
        made.outputs[0].type = ir.TensorType(inputs[-1].dtype) if inputs[-1].dtype is not None else None
    graph.insert_before(node, made)
    return made.outputs[0]
