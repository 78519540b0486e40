"""Bring ONNX's LSTM, GRU and RNN to the form that a Graph has of them (`graph.time_loops`), with the batch in axis 0.

ONNX puts time in front of the batch: its layers stand between Transposes. They are looked through here, so that a
network whose samples are in axis 0 keeps them there, and layers behind each other have no Transpose in between.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from intaglio.graph.access import attribute, constant, consumers, input_value, shape
from intaglio.graph.edit import add_constant, insert, insert_in_domain, remove_unread_before, rename, replace
from intaglio.graph.operators import facts
from intaglio.graph.time_loops import (
    DOMAIN,
    DOMAIN_VERSION,
    GATES,
    STATES,
    activation,
    directions,
    initial_rows,
    refusal,
    split_bias,
)
from intaglio.graph.unique_names import new_value_name

_SWAP = (1, 0, 2)


def split_recurrent_layers(model: ir.Model) -> None:
    """Rewrite every such layer that has no `refusal`; the others are refused later, by name."""
    graph = model.graph
    layers = [
        _Layer(graph, node) for node in graph if node.op_type in GATES and not node.domain and refusal(node) is None
    ]
    if not layers:
        return
    model.graph.opset_imports[DOMAIN] = DOMAIN_VERSION
    finals: dict[ir.Value, list[ir.Value]] = {}
    for layer in layers:
        layer.split()
        finals.update(layer.finals())
    for node in list(graph):
        index = constant(input_value(node, 1)) if node.op_type == "Gather" and not node.domain else None
        if index is not None and not index.ndim and not attribute(node, "axis", 0):
            found = _entry(node.inputs[0], int(index), finals)
            if found is not None:
                _replace(graph, node, found)
    for layer in layers:
        layer.finish()
    graph.sort()


def _entry(value: ir.Value | None, index: int, finals: dict[ir.Value, list[ir.Value]]) -> ir.Value | None:
    """Find the last state of a layer, (N, H), behind an index into axis 0 of the states of some layers."""
    if value is None:
        return None
    index %= shape(value)[0]
    if value in finals:
        return finals[value][index]
    node = value.producer()
    if node is None or node.op_type != "Concat" or node.domain or attribute(node, "axis"):
        return None
    for part in node.inputs:
        size = shape(part)[0]
        if index < size:
            return _entry(part, index, finals)
        index -= size
    return None


def _replace(graph: ir.Graph, node: ir.Node, new: ir.Value) -> None:
    old = node.outputs[0]
    if old.is_graph_output():
        new = insert(graph, node, "Identity", [new], name=f"{node.name}.output").outputs[0]
    replace(old, new)
    remove_unread_before(graph, node)


class _Layer:
    """One layer of ONNX."""

    def __init__(self, graph: ir.Graph, node: ir.Node) -> None:
        self.graph, self.node = graph, node
        self.layout = int(attribute(node, "layout", 0))
        self.reversed = directions(node)
        self.size = int(shape(node.inputs[2])[2])
        self.given = False  # whether the initial states are inputs

    def split(self) -> None:
        """Insert the operators of each direction, and let them stand for what is read of the layer's first output."""
        count = len(self.reversed)
        data = self._data()
        self.loops = [self._loop(data, index) for index in range(count)]
        every = [loop.outputs[0] for loop in self.loops]
        if count > 1:
            both = insert(self.graph, self.node, "Concat", every, {"axis": 2}, name=f"{self.node.name}.both")
            every = [both.outputs[0]]
        self.every = every[0]
        if self.node.outputs[0].name:
            self._follow(self.node.outputs[0], ["N", "T", "D", "H"] if self.layout else ["T", "D", "N", "H"])

    def _data(self) -> ir.Value:
        """Return the input with the batch in axis 0."""
        value = self.node.inputs[0]
        assert value is not None
        if self.layout:
            return value
        producer = value.producer()
        if producer is not None and producer.op_type == "Transpose" and attribute(producer, "perm") == _SWAP:
            source = producer.inputs[0]
            assert source is not None
            return source
        return self._insert("Transpose", [value], "data", perm=_SWAP)

    def _insert(self, op_type: str, inputs: list[ir.Value | None], name: str, **attributes: object) -> ir.Value:
        made = insert(self.graph, self.node, op_type, inputs, attributes, name=f"{self.node.name}.{name}")  # type: ignore[arg-type]
        return made.outputs[0]

    def _ints(self, name: str, *values: int) -> ir.Value:
        return add_constant(self.graph, f"{self.node.name}.{name}", np.array(values, np.int64))

    def _loop(self, data: ir.Value, index: int) -> ir.Node:
        """Insert the product with the data and the loop of one direction."""
        node, graph = self.node, self.graph
        name = str(node.name) + ("" if len(self.reversed) == 1 else ".reverse" if self.reversed[index] else ".forward")
        weights = [constant(node.inputs[position]) for position in (1, 2)]
        held = [
            add_constant(
                graph, f"{name}.{kind}", np.ascontiguousarray(array[index].T if kind == "input" else array[index])
            )
            for kind, array in zip(("input", "recurrent"), weights, strict=True)
            if array is not None
        ]
        product = insert(graph, node, "MatMul", [data, held[0]], name=f"{name}.product").outputs[0]
        bias = add_constant(graph, f"{name}.bias", split_bias(node, index))
        attributes: dict[str, int | float | str] = {"reverse": int(self.reversed[index])}
        clip = attribute(node, "clip")
        if clip is not None:
            attributes["clip"] = float(clip)
        if node.op_type == "GRU":
            attributes["linear_before_reset"] = int(attribute(node, "linear_before_reset", 0))
        if node.op_type == "RNN":
            attributes["activation"] = activation(node)
        inputs = [product, held[1], bias, *(self._initial(name, index, k) for k in range(STATES[node.op_type]))]
        while inputs[-1] is None:
            inputs.pop()
        outputs = 1 if node.op_type == "RNN" else 2
        loop = insert_in_domain(
            graph, node, DOMAIN, node.op_type, inputs, attributes, name=f"{name}.loop", outputs=outputs
        )
        for state in loop.outputs[1:]:
            rename(state, new_value_name(graph, f"{name}.state"))
        return loop

    def _initial(self, name: str, index: int, which: int) -> ir.Value | None:
        """Return an initial state of one direction: (N, H) computed, (H,) constant, or None for zeros."""
        value = input_value(self.node, 5 + which)
        if value is None:
            return None
        rows = initial_rows(value, self.layout)
        if rows is not None:
            return add_constant(self.graph, f"{name}.initial{which}", rows[index]) if rows[index].any() else None
        self.given = True
        at = add_constant(self.graph, f"{name}.direction", np.array(index, np.int64))
        return self._insert("Gather", [value, at], f"initial{which}", axis=1 if self.layout else 0)

    def _follow(self, value: ir.Value, axes: list[str]) -> None:
        """Replace what Transposes and Reshapes make of the first output, wherever that is it with the batch in axis 0.

        Args:
            value: the first output with its axes in another order, or with the directions behind each other.
            axes: its axes: time, directions, batch, hidden state.
        """
        for node in consumers(value):
            after = self._axes_after(node, value, axes)
            if after is None:
                continue
            result = node.outputs[0]
            if after == ["N", "T", "H"]:
                _replace(self.graph, node, self.every)
                continue
            self._follow(result, after)
            if after == ["T", "N", "H"] and (result.uses() or result.is_graph_output()):
                _replace(self.graph, node, self._insert("Transpose", [self.every], "steps_first", perm=_SWAP))

    def _axes_after(self, node: ir.Node, value: ir.Value, axes: list[str]) -> list[str] | None:
        """Find the axes of what a node makes of a value; None where it does anything else than to move axes."""
        if node.domain or node.inputs[0] is not value:
            return None
        if node.op_type == "Transpose":
            return [axes[axis] for axis in attribute(node, "perm", tuple(reversed(range(len(axes)))))]
        if not facts(node.op_type).reshapes or "D" not in axes:
            return None
        sizes, at = list(shape(value)), axes.index("D")
        if sizes[at] == 1:
            left = [*sizes[:at], *sizes[at + 1 :]]
        elif axes[at + 1 :] == ["H"]:
            left = [*sizes[:at], sizes[at] * sizes[at + 1]]
        else:
            return None
        return [axis for axis in axes if axis != "D"] if list(shape(node.outputs[0])) == left else None

    def finals(self) -> dict[ir.Value, list[ir.Value]]:
        """Return the last states of each direction, (N, H), by the layer's output that holds them, (D, N, H)."""
        self._last: dict[int, list[ir.Value]] = {}
        found = {}
        for index, value in enumerate(self.node.outputs):
            if index and value.name and (value.uses() or value.is_graph_output()):
                # A state that goes on to the next call keeps all its bits.
                precise = index == 2 or (self.node.op_type == "GRU" and self.given)
                self._last[index] = [self._last_of(loop, int(precise), k) for k, loop in enumerate(self.loops)]
                if not self.layout:
                    found[value] = self._last[index]
        return found

    def _last_of(self, loop: ir.Node, output: int, index: int) -> ir.Value:
        value = loop.outputs[output]
        at = 0 if self.reversed[index] else shape(value)[1] - 1
        held = add_constant(self.graph, f"{loop.name}.last", np.array(at, np.int64))
        return self._insert("Gather", [value, held], "last", axis=1)

    def finish(self) -> None:
        """Compute the outputs that are still read in ONNX's form, and remove the layer."""
        for index, value in enumerate(self.node.outputs):
            if value.name and (value.uses() or value.is_graph_output()):
                replace(value, self._sequence() if index == 0 else self._stacked(self._last[index]))
        remove_unread_before(self.graph, self.node)
        if len(self.loops) == 1:
            rename(self.loops[0], str(self.node.name))

    def _sequence(self) -> ir.Value:
        """Compute the first output: (N, steps, D, H), or (steps, D, N, H)."""
        steps = shape(self.every)[1]
        to = self._ints("shape", 0, steps, len(self.reversed), self.size)
        apart = self._insert("Reshape", [self.every, to], "directions")
        return apart if self.layout else self._insert("Transpose", [apart], "steps_first", perm=(1, 2, 0, 3))

    def _stacked(self, states: list[ir.Value]) -> ir.Value:
        """Compute an output of last states: (N, D, H), or (D, N, H)."""
        axis = 1 if self.layout else 0
        parts: list[ir.Value | None] = [
            self._insert("Unsqueeze", [state, self._ints("axis", axis)], "stacked") for state in states
        ]
        only = parts[0]
        assert only is not None
        return only if len(parts) == 1 else self._insert("Concat", parts, "last_states", axis=axis)
