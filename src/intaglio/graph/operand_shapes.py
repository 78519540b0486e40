"""Check the shapes of operands that ONNX's own inference does not check."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import onnx_ir as ir

from intaglio.errors import ModelError
from intaglio.graph.access import input_value, shape, where

Shape = tuple[int, ...]
Fits = Callable[[ir.Node, Shape], str | None]


def verify_operand_shapes(node: ir.Node) -> None:
    """Check the operands of a node whose shapes are all static.

    Raises:
        ModelError: naming node and operand.
    """
    for index, fits in OPERANDS.get(node.op_type, {}).items():
        value = input_value(node, index)
        if value is None or node.domain:
            continue
        expected = fits(node, shape(value))
        if expected is not None:
            raise ModelError(f"{where(node)} expected '{value.name}' to be {expected}, got shape {shape(value)}")


def _one_number(node: ir.Node, got: Shape) -> str | None:
    return None if all(size == 1 for size in got) else "one number"


def _per_channel(node: ir.Node, got: Shape) -> str | None:
    wanted = shape(node.inputs[0])[1:2]
    return None if got == wanted else f"of shape {wanted}"


def _broadcast_to(target: Callable[[ir.Node], Shape]) -> Fits:
    """Require that the operand broadcasts to the target, which keeps its shape."""

    def fits(node: ir.Node, got: Shape) -> str | None:
        wanted = target(node)
        tail = wanted[len(wanted) - len(got) :]
        if len(got) <= len(wanted) and all(size in (1, n) for size, n in zip(got, tail, strict=True)):
            return None
        return f"of a shape that broadcasts to {wanted}"

    return fits


def _result(node: ir.Node) -> Shape:
    return shape(node.outputs[0])


def _data(node: ir.Node) -> Shape:
    return shape(node.inputs[0])


OPERANDS: Mapping[str, Mapping[int, Fits]] = {
    "BatchNormalization": dict.fromkeys(range(1, 5), _per_channel),
    "Clip": dict.fromkeys((1, 2), _one_number),
    "Gemm": {2: _broadcast_to(_result)},
    "GroupNormalization": dict.fromkeys((1, 2), _per_channel),
    "InstanceNormalization": dict.fromkeys((1, 2), _per_channel),
    "LayerNormalization": dict.fromkeys((1, 2), _broadcast_to(_data)),
    "PRelu": {1: _broadcast_to(_data)},
    "Pad": {2: _one_number},
    "RMSNormalization": {1: _broadcast_to(_data)},
}
"""By operator and input position: what is wrong with a shape, or None."""
