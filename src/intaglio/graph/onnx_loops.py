"""Write layers that loop over time (`graph.time_loops`) as ONNX's own, for files that other runtimes read.

The product with the data stands in front of a loop, so ONNX's layer gets an identity matrix as its input weights.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from intaglio.errors import ModelError
from intaglio.graph.access import attribute, constant, consumers, input_value, shape, where
from intaglio.graph.edit import add_constant, insert, remove, replace, set_constant
from intaglio.graph.time_loops import DOMAIN, STATES, is_loop

_SWAP = {"perm": (1, 0, 2)}


def write_loops_as_layers(model: ir.Model) -> None:
    """Replace every loop, in place.

    Raises:
        ModelError: cell states of other steps than the last are read, which ONNX's layer does not give.
    """
    for node in list(model.graph):
        if is_loop(node):
            _write(model.graph, node)
    model.graph.opset_imports.pop(DOMAIN, None)


def _write(graph: ir.Graph, node: ir.Node) -> None:
    name, (k, h) = str(node.name), shape(node.inputs[1])
    weight, bias = (constant(node.inputs[index]) for index in (1, 2))
    assert weight is not None and bias is not None
    data = insert(graph, node, "Transpose", [node.inputs[0]], _SWAP, name=f"{name}.steps_first").outputs[0]
    recurrent = np.zeros(k, np.float32)
    recurrent[k - (len(bias) - k) :] = bias[k:]
    inputs: list[ir.Value | None] = [
        data,
        add_constant(graph, f"{name}.identity", np.eye(k, dtype=np.float32)[None]),
        add_constant(graph, f"{name}.weight", weight[None]),
        add_constant(graph, f"{name}.biases", np.concatenate([bias[:k], recurrent])[None]),
        None,
        *(_initial(graph, node, data, index) for index in range(STATES[node.op_type])),
    ]
    while inputs[-1] is None:
        inputs.pop()
    attributes: dict[str, int | float | str | list[str]] = {"hidden_size": h}
    if attribute(node, "reverse", 0):
        attributes["direction"] = "reverse"
    if attribute(node, "clip") is not None:
        attributes["clip"] = float(attribute(node, "clip"))
    if node.op_type == "GRU":
        attributes["linear_before_reset"] = int(attribute(node, "linear_before_reset", 0))
    if node.op_type == "RNN":
        attributes["activations"] = [str(attribute(node, "activation"))]
    count = 3 if node.op_type == "LSTM" else 2
    layer = insert(graph, node, node.op_type, inputs, attributes, name=f"{name}.layer", outputs=count)  # type: ignore[arg-type]
    axis = add_constant(graph, f"{name}.axis", np.array([1], np.int64))
    apart = insert(graph, node, "Squeeze", [layer.outputs[0], axis], name=f"{name}.states").outputs[0]
    states = insert(graph, node, "Transpose", [apart], _SWAP, name=f"{name}.batch_first").outputs[0]
    for index, output in enumerate(node.outputs):
        if not (output.uses() or output.is_graph_output()):
            continue
        if index and node.op_type == "LSTM":
            _last_cells(graph, node, output, layer.outputs[2])
        else:
            replace(output, states)
    remove(graph, node)


def _initial(graph: ir.Graph, node: ir.Node, data: ir.Value, index: int) -> ir.Value | None:
    """Return an initial state as ONNX has it, (1, N, H)."""
    value, name = input_value(node, 3 + index), f"{node.name}.initial{index}"
    if value is None:
        return None
    row = constant(value)
    if row is None:
        axis = add_constant(graph, f"{name}.axis", np.array([0], np.int64))
        return insert(graph, node, "Unsqueeze", [value, axis], name=name).outputs[0]
    samples = insert(graph, node, "Shape", [data], {"start": 1, "end": 2}, name=f"{name}.samples").outputs[0]
    ends = [add_constant(graph, f"{name}.size", np.array([size], np.int64)) for size in (1, len(row))]
    sizes = insert(graph, node, "Concat", [ends[0], samples, ends[1]], {"axis": 0}, name=f"{name}.sizes").outputs[0]
    held = add_constant(graph, f"{name}.row", row)
    return insert(graph, node, "Expand", [held, sizes], name=name).outputs[0]


def _last_cells(graph: ir.Graph, node: ir.Node, cells: ir.Value, last: ir.Value) -> None:
    """Let what reads the cell state of the last step, (N, steps, H), read ONNX's output of it, (1, N, H)."""
    steps = shape(cells)[1]
    only = insert(graph, node, "Transpose", [last], _SWAP, name=f"{node.name}.last").outputs[0]
    if steps == 1:
        replace(cells, only)
        return
    at = 0 if attribute(node, "reverse", 0) else steps - 1
    for reader in consumers(cells):
        found = _one_step(reader)
        if found is None or found % steps != at:
            raise ModelError(
                f"{where(node)} expected readers of its last cell state only, got {where(reader)}; ONNX's LSTM has no "
                "others"
            )
        if reader.op_type == "Gather":
            reader.replace_input_with(1, add_constant(graph, f"{reader.name}.step", np.array(0, np.int64)))
        else:
            axes = [int(axis) for axis in _array(reader, 3)]
            for index, bound in ((1, 0), (2, 1)):
                value = reader.inputs[index]
                assert value is not None
                changed = _array(reader, index).copy()
                changed[axes.index(1)] = bound
                set_constant(value, changed)
        reader.replace_input_with(0, only)


def _array(node: ir.Node, index: int) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
    array = constant(input_value(node, index))
    assert array is not None
    return array


def _one_step(node: ir.Node) -> int | None:
    """Find the one position of axis 1 that a Gather or a Slice reads."""
    if node.op_type == "Gather" and attribute(node, "axis", 0) == 1:
        index = constant(node.inputs[1])
        return int(index) if index is not None and not index.ndim else None
    if node.op_type != "Slice" or any(constant(input_value(node, index)) is None for index in (1, 2, 3)):
        return None
    axes = [int(axis) for axis in _array(node, 3)]
    if 1 not in axes:
        return None
    start, stop = (int(_array(node, index)[axes.index(1)]) for index in (1, 2))
    return start if stop - start == 1 or (start == -1 and stop > 0) else None
