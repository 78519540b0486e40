"""Resolve sequences of tensors, as TorchScript writes Python lists: what reads an element reads the tensor itself."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx_ir as ir

from intaglio.errors import ModelError
from intaglio.frontends.upgrade_inputs import proper_axes
from intaglio.graph.access import Array, attribute, constant, input_value, one_number, shape, where
from intaglio.graph.edit import AttributeValue, add_constant, can_be_output, insert, remove, replace

_AXES_AS_INPUT = 13
"""The first opset whose Unsqueeze has its axes, and Split its sizes, as an input."""


class Sequences:
    """The elements of the sequences of one graph, as far as the nodes visited so far say.

    Args:
        graph: changed in place.
    """

    def __init__(self, graph: ir.Graph) -> None:
        self._graph = graph
        self._elements: dict[ir.Value, list[ir.Value]] = {}

    def resolve(self, node: ir.Node) -> bool:
        """Note the elements of the sequence that a node makes, or replace a node that reads one.

        Returns:
            Whether the node was replaced, or became another.
        Raises:
            ModelError: it reads an element that is not there.
        """
        if node.domain:
            return False
        changed = node.op_type == "SplitToSequence" and self._split(node)
        first = input_value(node, 0)
        given = None if first is None else self._elements.get(first)
        made = self._made(node, given)
        if made is not None:
            self._elements[node.outputs[0]] = made
            return changed
        read = None if given is None else self._read(node, given)
        if read is None:
            return False
        output = node.outputs[0]
        if output.is_graph_output() and not can_be_output(read):
            read = insert(self._graph, node, "Identity", [read], name=f"{node.name}.out").outputs[0]
        if output.is_graph_output():
            replace(output, read)
        else:
            output.replace_all_uses_with(read)
        remove(self._graph, node)
        return True

    def _made(self, node: ir.Node, given: list[ir.Value] | None) -> list[ir.Value] | None:
        """List the elements of the sequence that a node makes; None where it makes none or they are not known."""
        if node.op_type == "SequenceEmpty":
            return []
        if node.op_type == "SequenceConstruct":
            return [value for value in node.inputs if value is not None]
        if given is None:
            return None
        if node.op_type == "Identity":
            return given
        if node.op_type == "SequenceInsert":
            position = _position(node, 2, len(given), len(given))
            element = input_value(node, 1)
            return None if position is None or element is None else [*given[:position], element, *given[position:]]
        if node.op_type == "SequenceErase":
            position = _position(node, 1, len(given) - 1, len(given) - 1)
            return None if position is None else [*given[:position], *given[position + 1 :]]
        return None

    def _read(self, node: ir.Node, given: list[ir.Value]) -> ir.Value | None:
        """Return what a node reads of a sequence."""
        if node.op_type == "SequenceLength":
            return add_constant(self._graph, f"{node.name}.length", np.array(len(given), np.int64))
        if node.op_type == "SequenceAt":
            position = _position(node, 1, 0, len(given) - 1)
            return None if position is None else given[position]
        if node.op_type != "ConcatFromSequence" or not given or any(value.shape is None for value in given):
            return None
        axis = int(attribute(node, "axis"))
        if attribute(node, "new_axis", 0):
            axis %= len(shape(given[0])) + 1
            given = [self._with_axis(node, value, axis) for value in given]
        return self._insert(node, "Concat", given, {"axis": axis})

    def _split(self, node: ir.Node) -> bool:
        """Turn SplitToSequence into SequenceConstruct of parts; say whether that could be done."""
        source, split = input_value(node, 0), input_value(node, 1)
        sizes = constant(split)
        if source is None or source.shape is None or (split is not None and sizes is None):
            return False
        axis = proper_axes(node, [int(attribute(node, "axis", 0))], len(shape(source)))[0]
        length = shape(source)[axis]
        if sizes is None and not attribute(node, "keepdims", 1):
            made = _stacked(source, axis) or [
                self._insert(node, "Gather", [source, self._integers(node, place)], {"axis": axis})
                for place in range(length)
            ]
        else:
            parts = _part_sizes(node, np.array(1) if sizes is None else sizes, length)
            made = self._parts(node, source, parts, axis)
        node.op_type = "SequenceConstruct"
        node.attributes.clear()
        node.resize_inputs(len(made))
        for index, value in enumerate(made):
            node.replace_input_with(index, value)
        return True

    def _parts(self, node: ir.Node, source: ir.Value, sizes: list[int], axis: int) -> list[ir.Value]:
        given, attributes = [source], dict[str, AttributeValue](axis=axis)
        if self._graph.opset_imports[""] < _AXES_AS_INPUT:
            attributes["split"] = sizes
        else:
            given.append(self._integers(node, sizes))
        split = insert(self._graph, node, "Split", given, attributes, name=f"{node.name}.split", outputs=len(sizes))
        return list(split.outputs)

    def _with_axis(self, node: ir.Node, value: ir.Value, axis: int) -> ir.Value:
        if self._graph.opset_imports[""] < _AXES_AS_INPUT:
            return self._insert(node, "Unsqueeze", [value], {"axes": [axis]})
        return self._insert(node, "Unsqueeze", [value, self._integers(node, [axis])], {})

    def _integers(self, node: ir.Node, numbers: int | Sequence[int]) -> ir.Value:
        return add_constant(self._graph, f"{node.name}.constant", np.array(numbers, np.int64))

    def _insert(
        self, node: ir.Node, op_type: str, inputs: Sequence[ir.Value], attributes: dict[str, AttributeValue]
    ) -> ir.Value:
        made = insert(self._graph, node, op_type, inputs, attributes, name=f"{node.name}.{op_type.lower()}")
        return made.outputs[0]


def _part_sizes(node: ir.Node, split: Array, length: int) -> list[int]:
    """List the sizes of the parts into which `split` divides an axis: one size for all but the last, or each one's."""
    sizes = (
        split.tolist() if split.ndim else [min(int(split), length - at) for at in range(0, length, max(1, int(split)))]
    )
    if split.ndim > 1 or (split <= 0).any() or sum(sizes) != length:
        raise ModelError(
            f"{where(node)} expected sizes of at least 1 that make {length} together, got {split.tolist()}; correct "
            "its second input"
        )
    return sizes


def _stacked(source: ir.Value, axis: int) -> list[ir.Value] | None:
    """List the values that are stacked along a new axis, as results of a loop's steps are; None if it is no stack."""
    concat = source.producer()
    if concat is None or concat.op_type != "Concat" or attribute(concat, "axis") != axis:
        return None
    rows = [value.producer() for value in concat.inputs if value is not None]
    values = [row.inputs[0] for row in rows if row is not None and row.op_type == "Unsqueeze" and _axes(row) == [axis]]
    found = [value for value in values if value is not None]
    return found if len(found) == len(concat.inputs) else None


def _axes(unsqueeze: ir.Node) -> list[int]:
    given = constant(input_value(unsqueeze, 1))
    return [int(axis) for axis in (attribute(unsqueeze, "axes", ()) if given is None else given)]


def _position(node: ir.Node, index: int, default: int, last: int) -> int | None:
    """Return the position that a node names, from the front; None where it is computed.

    Args:
        node: that reads a sequence.
        index: of the input that holds the position.
        default: the position where that input is left out.
        last: the last position allowed; -1 is the last element.
    """
    value, size = input_value(node, index), last + (node.op_type != "SequenceInsert")
    array = constant(value)
    if value is not None and array is None:
        return None
    position = default if array is None else int(one_number(node, array, "position"))
    if not -size <= position <= last:
        raise ModelError(f"{where(node)} expected a position within a sequence of {size}, got {position}")
    return position + size if position < 0 else position
