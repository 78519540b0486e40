"""A short name for a network: two Graphs with the same one compute the same, value by value."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from intaglio.files import Digest
from intaglio.graph.access import attribute, constant
from intaglio.graph.graph import Graph

_DIGITS = 32


def graph_fingerprint(graph: Graph) -> str:
    """Of all that decides what each value holds, under which name; not of where the file lay or who wrote it.

    That is: inputs and outputs, operators with domain, attributes and operands, constants, shapes.
    """
    digest = Digest()
    for value in (*graph.inputs, *graph.outputs):
        digest.text(repr((value.name, value.dtype, str(value.shape))))
    for node in graph.nodes:
        operands = [None if value is None else value.name for value in node.inputs]
        results = [(value.name, str(value.shape)) for value in node.outputs]
        attributes = [_described(node, name) for name in sorted(node.attributes)]
        digest.text(repr((node.domain, node.op_type, node.name, operands, results, attributes)))
    for value in sorted(graph.initializers, key=lambda value: str(value.name)):
        array = constant(value)
        assert array is not None, value.name
        digest.text(repr((value.name, str(array.dtype), array.shape))).elements(array)
    return digest.name(_DIGITS)


def node_meaning(node: ir.Node) -> tuple[object, ...]:
    """What a node computes, whatever it is called and wherever it stands; hashable.

    Operator, attributes, constant operands, and which operands are computed; not their shapes.
    """
    operands: list[object] = []
    for value in node.inputs:
        array = None if value is None else constant(value)
        computed = value is not None and array is None
        operands.append(computed if array is None else (str(array.dtype), array.shape, array.tobytes()))
    attributes = tuple(_described(node, name) for name in sorted(node.attributes))
    return node.domain, node.op_type, repr(attributes), tuple(operands)


def _described(node: ir.Node, name: str) -> tuple[str, str, object]:
    """An attribute's name, type and value; floats to the last digit, tensors with type, shape and elements."""
    value = attribute(node, name)
    if isinstance(value, np.ndarray):
        value = (str(value.dtype), value.shape, value.tobytes())
    return name, str(node.attributes[name].type), value
