"""Name nodes and values after the layers of the Keras network that they come from.

While torch.export runs a network, each layer marks what it computes with its path, such as `block.conv2d`; a layer's
second call appends `__2`. Afterwards

    conv2d           is the node of the layer's product, or otherwise its last node that computes something
    conv2d.relu      are its other nodes, called after the function
    conv2d.kernel    are its weights, where the node that reads them finds them: already in ONNX's layout

A value has the name of its node. Inputs and outputs have the names that Keras gives them.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from types import ModuleType
from typing import Any

import onnx_ir as ir
import torch
from torch.fx import traceback
from torch.nn import functional

from intaglio.frontends.module_names import call_notes, forget_notes
from intaglio.frontends.tidy import remove_identities
from intaglio.graph.access import input_value, single_consumer
from intaglio.graph.operators import facts
from intaglio.graph.unique_names import unique_name

_KEY = "intaglio.layer"


@contextlib.contextmanager
def layers_marked(model: Any, keras: ModuleType) -> Iterator[None]:
    """Let each layer of a Keras model mark the operations that it adds to the program of torch.export.

    A batch normalization becomes the one operation that PyTorch has for it, so that its statistics serve to
    calibrate without data; Keras writes it as subtraction, product and sum.
    """
    path: list[str] = []
    calls: Counter[str] = Counter()
    marked = list(dict.fromkeys(_operations(model)))

    def marking(operation: Any) -> Any:
        call, name = operation.call, str(operation.name)
        norm = keras.layers.BatchNormalization
        if isinstance(operation, norm) and type(operation).call is norm.call and operation.compute_dtype == "float32":
            call = partial(_batch_norm, operation)

        def marked_call(*args: Any, **kwargs: Any) -> Any:
            path.append(name)
            whole = ".".join(path)
            calls[whole] += 1
            if calls[whole] > 1:
                path[-1] = f"{name}__{calls[whole]}"
            try:
                with traceback.annotate({_KEY: ".".join(path)}):
                    return call(*args, **kwargs)
            finally:
                path.pop()

        return marked_call

    for operation in marked:
        object.__setattr__(operation, "call", marking(operation))  # not tracked as an attribute of the layer
    try:
        with traceback.preserve_node_meta():
            yield
    finally:
        for operation in marked:
            object.__delattr__(operation, "call")


def _batch_norm(layer: Any, x: torch.Tensor, training: Any = None, mask: Any = None) -> torch.Tensor:
    """Compute what Keras' BatchNormalization does at inference."""
    gamma, beta = (None if variable is None else variable.value for variable in (layer.gamma, layer.beta))
    mean, variance = layer.moving_mean.value, layer.moving_variance.value
    first = x.movedim(layer.axis, 1)
    return functional.batch_norm(first, mean, variance, gamma, beta, eps=layer.epsilon).movedim(1, layer.axis)


def _operations(model: Any) -> Iterator[Any]:
    """Walk over the layers and operations inside a model or layer."""
    stack = list(_parts(model))
    seen = {id(model)}
    while stack:
        part = stack.pop()
        if id(part) not in seen:
            seen.add(id(part))
            yield part
            stack += _parts(part)


def _parts(layer: Any) -> Iterable[Any]:
    layers = layer._flatten_layers(include_self=False, recursive=False) if hasattr(layer, "_flatten_layers") else ()
    return [*getattr(layer, "operations", ()), *layers]


def variable_names(model: Any) -> list[tuple[Any, str]]:
    """List the variables of a model, each with the path of the layer that it belongs to: `block.conv2d.kernel`."""
    found: dict[int, tuple[Any, str]] = {}
    level = [(model, "")]
    seen: set[int] = set()
    while level:
        for layer, prefix in level:
            for variable in getattr(layer, "variables", ()):
                found[id(variable)] = variable, f"{prefix}{variable.name}"  # a deeper layer comes later
        seen.update(id(layer) for layer, _ in level)
        level = [
            (part, f"{prefix}{part.name}.") for layer, prefix in level for part in _parts(layer) if id(part) not in seen
        ]
    return list(found.values())


def note_layers(program: torch.export.ExportedProgram) -> None:
    """Write the marks where torch's ONNX exporter looks for the modules around an operation."""
    for node in program.graph.nodes:
        layer = node.meta.get("custom", {}).get(_KEY)
        if layer is not None:
            node.meta["nn_module_stack"] = {"": ("", "Model"), layer: (layer, "Layer")}


def name_by_layers(
    graph: ir.Graph, inputs: Sequence[str], outputs: Sequence[str] | None, variables: dict[str, str]
) -> None:
    """Rename inputs, outputs, nodes, values and weights in place.

    Args:
        graph: as torch's exporter makes it from a program with noted layers.
        inputs, outputs: Keras' names, in the graph's order; None: outputs have those of their layers.
        variables: name of a weight by that of its initializer.
    """
    layers = _by_layer(graph)
    inside = {node for calls in layers.values() for node, _ in calls}
    nodes = {str(node.name) for node in graph if node not in inside}
    taken = {str(output.name) for node in graph if node not in inside for output in node.outputs}
    if outputs is None:
        layer_of = {value: layer for layer, calls in layers.items() for node, _ in calls for value in node.outputs}
        outputs = [layer_of.get(value, "output") for value in graph.outputs]
    for value, name in [*zip(graph.inputs, inputs, strict=True), *zip(graph.outputs, outputs, strict=True)]:
        value.name = unique_name(name, taken)
        taken.add(value.name)
    fixed = {*graph.inputs, *graph.outputs}
    for layer, calls in layers.items():
        main = _main([node for node, _ in calls])
        result = _result(main)
        ordered = sorted(calls, key=lambda call: call[0] not in (main, result))  # these have the first choice
        for node, function in ordered:
            node.name = unique_name(layer if node is main else f"{layer}.{function}", nodes)
            nodes.add(node.name)
            for output in node.outputs:
                if output not in fixed:
                    own = node is result and layer not in taken
                    output.name = unique_name(layer if own else f"{layer}.{function}", taken)
                    taken.add(output.name)
    remove_identities(graph)
    _name_weights(graph, variables, taken)
    forget_notes(graph)


def _by_layer(graph: ir.Graph) -> dict[str, list[tuple[ir.Node, str]]]:
    """Group the nodes by layer, each with the name of its function."""
    found: dict[str, list[tuple[ir.Node, str]]] = {}
    for node in graph:
        notes = call_notes(node)
        if notes is not None and notes[0]:
            found.setdefault(notes[0], []).append((node, notes[2]))
    return found


def _main(nodes: Sequence[ir.Node]) -> ir.Node:
    """Find the node that stands for a layer: its product, or otherwise the last that computes something."""
    products = [node for node in nodes if not node.domain and facts(node.op_type).product]
    computing = [node for node in nodes if not _moves(node) and node.outputs[0].dtype is ir.DataType.FLOAT]
    return (products[:1] or computing[-1:] or list(nodes[-1:]))[0]


def _result(main: ir.Node) -> ir.Node:
    """Find the node that adds the bias of a product; others are their own result."""
    node = main
    while facts(main.op_type).product and (reader := single_consumer(node.outputs[0])) is not None:
        node = reader
        if node.op_type == "Add":
            return node
        if not _moves(node):
            break
    return main


def _moves(node: ir.Node) -> bool:
    row = facts(node.op_type)
    return not node.domain and (row.moves or row.reshapes)


def _name_weights(graph: ir.Graph, variables: dict[str, str], taken: set[str]) -> None:
    """Give a variable's name to the form of it that its layer reads.

    Transposes of a weight are computed where it lies, so it keeps its name; what else rearranges it is folded into a
    constant with the name of the last value.
    """
    for value in list(graph.initializers.values()):
        wanted = variables.get(str(value.name))
        if wanted is None:
            continue
        name = unique_name(wanted, taken)
        taken.add(name)
        last, turned = value, True
        while (reader := _rearranges(last)) is not None:
            last, turned = reader.outputs[0], turned and reader.op_type == "Transpose"
        if turned:
            graph.initializers.pop(str(value.name))
            value.name = name
            graph.register_initializer(value)
        else:
            last.name = name


def _rearranges(value: ir.Value) -> ir.Node | None:
    """Find the only reader of a constant, if that does nothing but move its numbers."""
    node = single_consumer(value)
    alone = node is not None and _moves(node) and len(node.inputs) <= 2 and input_value(node, 0) is value
    return node if alone else None
