"""Layers that loop over time: the form that a Graph has of ONNX's LSTM, GRU and RNN, and which of them have it.

A Graph has one operator of the domain `intaglio` for each direction of a layer, under ONNX's name of the layer. The
product of the data and the input weights, which needs no loop, is a MatMul in front of it.

    states, (cells) = LSTM(x, R, B, initial_h, initial_c)
    states, (precise) = GRU(x, R, B, initial)
    states = RNN(x, R, B, initial)

    x          (N, steps, K)      the product with the data; K: H for each gate, in ONNX's order of gates
    R          (K, H)             recurrent weights, constant
    B          (K,)               biases, those of both products together, constant; with `linear_before_reset`
                                  (K + H,): those of the recurrent product of the last gate stand behind the others
    initial    (N, H) computed, or (H,) constant, or left out: zeros
    states     (N, steps, H)      hidden states; cells, precise: cell states, and the hidden states again, in which an
                                  integer program keeps more bits

Attributes: `reverse`, `clip`, `linear_before_reset` (GRU), `activation` (RNN).
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from intaglio.graph.access import Array, attribute, constant, input_value, shape

DOMAIN, DOMAIN_VERSION = "intaglio", 1
GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}
STATES = {"LSTM": 2, "GRU": 1, "RNN": 1}
"""How many initial states a layer has."""
_ACTIVATIONS = {"LSTM": ("sigmoid", "tanh", "tanh"), "GRU": ("sigmoid", "tanh"), "RNN": ("tanh",)}
_PEEPHOLES = 7


def is_loop(node: ir.Node) -> bool:
    """Tell whether a node is one of this domain."""
    return node.domain == DOMAIN and node.op_type in GATES


def infer_loop(node: ir.Node) -> None:
    """Set type and shape of the outputs of a node of this domain."""
    n, steps, _ = shape(node.inputs[0])
    for output in node.outputs:
        output.type = ir.TensorType(ir.DataType.FLOAT)
        output.shape = ir.Shape([n, steps, shape(node.inputs[1])[1]])


def directions(node: ir.Node) -> tuple[bool, ...]:
    """List the directions of ONNX's layer: whether each is reversed."""
    name = attribute(node, "direction", "forward")
    return {"forward": (False,), "reverse": (True,), "bidirectional": (False, True)}[name]


def activation(node: ir.Node) -> str:
    """Find the function of ONNX's RNN: Tanh or Relu."""
    return str((*attribute(node, "activations", ()), "Tanh")[0]).capitalize()


def initial_rows(value: ir.Value, layout: int) -> Array | None:
    """Find the initial state of each direction, (D, H), of a constant that is the same for all samples."""
    array = constant(value)
    if array is None:
        return None
    samples = array if layout else array.swapaxes(0, 1)  # (N, D, H)
    return samples[0] if bool((samples == samples[:1]).all()) else None


def refusal(node: ir.Node) -> str | None:
    """Say why ONNX's layer has no such form, and what to do; None where it has."""
    op_type, layout = node.op_type, attribute(node, "layout", 0)
    for index, name in ((1, "W"), (2, "R"), (3, "B")):
        value = input_value(node, index)
        if value is not None and constant(value) is None:
            return f"expected constant weights, got '{name}' computed at run time; export the model with fixed weights"
    if input_value(node, _PEEPHOLES) is not None and op_type == "LSTM":
        return "peepholes (input P) are not supported: train the layer without them"
    lengths = input_value(node, 4)
    if lengths is not None:
        known, steps = constant(lengths), shape(node.inputs[0])[1 if layout else 0]
        if known is None or bool((known != steps).any()):
            return (
                f"expected sequence_lens that are constant and {steps}, the length of the input, got "
                f"{'computed ones' if known is None else known.tolist()}; export the model for whole sequences"
            )
    if attribute(node, "input_forget", 0):
        return "input_forget (coupled gates) is not supported: train the layer without it"
    count = len(directions(node))
    given = [str(name).lower() for name in attribute(node, "activations", ())]
    allowed = [[*_ACTIVATIONS[op_type]] * count]
    if op_type == "RNN":
        allowed.append(["relu"] * count)
    if given and given not in allowed:
        words = " or ".join(", ".join(names).title() for names in allowed)
        return f"expected the activations {words}, got {', '.join(given).title()}"
    states = [input_value(node, index) for index in range(5, 5 + STATES[op_type])]
    for value in states:
        if value is not None and constant(value) is not None and initial_rows(value, layout) is None:
            return f"the initial state '{value.name}' differs between samples: make it an input, or the same for all"
    computed = {value is not None and constant(value) is None for value in states}
    if len(computed) > 1:
        return "one initial state is an input and the other is not: make both inputs, or both constants"
    return None


def split_bias(node: ir.Node, direction: int) -> Array:
    """Sum both products' biases of a direction; those of GRU's last gate apart where it is reset after the product."""
    size, gates = shape(node.inputs[2])[2], GATES[node.op_type]
    array = constant(input_value(node, 3))
    if array is None:
        array = np.zeros((direction + 1, 2 * gates * size), np.float32)
    inner, recurrent = np.split(np.asarray(array[direction], np.float32), 2)
    if node.op_type == "GRU" and attribute(node, "linear_before_reset", 0):
        last = 2 * size
        return np.concatenate([inner[:last] + recurrent[:last], inner[last:], recurrent[last:]])
    return np.asarray(inner + recurrent)
