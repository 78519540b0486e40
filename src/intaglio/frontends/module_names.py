"""Name nodes and values after the modules of the PyTorch network that they come from.

torch's exporter calls nodes `node_conv2d_1` and values `conv2d_1`, but notes in each node the modules around it and the
function that it was called for:

    pkg.torch.onnx.name_scopes      ['', 'features', 'features.1', 'features.1.conv', 'conv2d_1']
    pkg.torch.onnx.class_hierarchy  ['Net', 'Sequential', 'Block', 'Conv2d', 'aten.conv2d.default']

The call of a function gets the name

    features.1.conv     if the innermost module calls no other function and no other module;
    attn.out_proj       if it multiplies by the weight of another module, or by a weight of that name;
    features.1.add      otherwise: the innermost module and the function.

A second call of the same name appends `__2`. If a call was exported as several nodes, its product, the node that is
called as the function, or otherwise its last node, has this name, and the others append their operator:
`head.transpose`. A value has the name of its node.
Where torch has folded batch normalization into a convolution, the node is called after the convolution, and the value
after the normalization, as it holds its result. So it is too where `graph.passes` folds it.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable
from dataclasses import dataclass, field

import onnx_ir as ir

from intaglio.graph.access import input_value
from intaglio.graph.operators import facts
from intaglio.graph.unique_names import unique_name, value_names

_SCOPES = "pkg.torch.onnx.name_scopes"
_CLASSES = "pkg.torch.onnx.class_hierarchy"
_OVERLOAD = re.compile(r"\w+\.(\w+)\.\w+")  # aten.conv2d.default
_LONGEST = 10_000


@dataclass
class _Call:
    """The nodes of one call of a function.

    Args:
        module: path of the innermost module; empty for the network itself.
        function: name of the function.
        nodes: in the graph's order.
    """

    module: str
    function: str
    nodes: list[ir.Node] = field(default_factory=list)

    @property
    def main(self) -> ir.Node:
        """The product with a weight, the last operator that is called as the function, or otherwise the last node."""
        products = [node for node in self.nodes if _weight(node)]
        called = self.function.replace("_", "")
        alike = [node for node in self.nodes if node.op_type.lower() == called]
        return (products[:1] or alike[-1:] or self.nodes[-1:])[0]


def name_by_modules(graph: ir.Graph, *, outputs: bool = False) -> None:
    """Rename nodes, and the values that they compute, in place; nodes without torch's notes keep their names.

    The exporter's notes are taken off: a file that is written afterwards is read with the names that it has, and it
    does not tell where the source code lies (`pkg.torch.onnx.stack_trace`).

    Args:
        graph: of a model that torch's exporter made.
        outputs: whether to rename the network's outputs too, which a file promises to its readers.
    """
    calls = _calls(graph)
    named = {node for call in calls for node in call.nodes}
    fixed = {v for v in (*graph.inputs, *graph.initializers.values()) if v is not None}
    if not outputs:
        fixed.update(value for value in graph.outputs)
    old = {output for node in named for output in node.outputs if output not in fixed}
    taken = value_names(graph) - {str(value.name) for value in old}
    taken.update(str(node.name) for node in graph if node not in named)
    single = _modules_of_one_function(calls)
    for call in calls:
        wanted = _name(call, call.module in single)
        own = {str(output.name) for output in call.main.outputs if output not in old}
        base = wanted if wanted in own else unique_name(wanted, taken)
        taken.add(base)
        for node in call.nodes:
            name = base if node is call.main else unique_name(f"{base}.{node.op_type.lower()}", taken)
            taken.add(name)
            node.name = name
            if node is call.main and (layer := _folded_into(call)):
                node.name = unique_name(layer, taken)
                taken.add(node.name)
            for index, output in enumerate(node.outputs):
                if output in old and output.name:
                    output.name = name if index == 0 else unique_name(name, taken)
                    taken.add(output.name)
    forget_notes(graph)


def forget_notes(graph: ir.Graph) -> None:
    """Take the exporter's notes off all nodes, in place."""
    for node in graph:
        for key in [key for key in node.metadata_props if key.startswith("pkg.torch.")]:
            del node.metadata_props[key]


def call_notes(node: ir.Node) -> tuple[str, str, str] | None:
    """Read the exporter's note of a node: path of the innermost module, name of the call, name of the function."""
    scopes = _texts(node.metadata_props.get(_SCOPES))
    if len(scopes) < 2:
        return None
    module, called = scopes[-2:]
    classes = _texts(node.metadata_props.get(_CLASSES))
    overload = _OVERLOAD.fullmatch(classes[-1]) if classes else None
    function = overload[1] if overload else re.sub(r"_\d+$", "", called)
    return module, called, function.strip("_") or called


def _calls(graph: ir.Graph) -> list[_Call]:
    """Group the nodes that have notes by call, in the graph's order."""
    calls: dict[tuple[str, str], _Call] = {}
    for node in graph:
        notes = call_notes(node)
        if notes is not None:
            module, called, function = notes
            calls.setdefault((module, called), _Call(module, function)).nodes.append(node)
    return list(calls.values())


def _texts(note: str | None) -> list[str]:
    """Read a list of texts; anything else, which torch's exporter does not write, gives none."""
    if note is None or len(note) > _LONGEST:
        return []
    try:
        found = ast.literal_eval(note)
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        return []
    return found if isinstance(found, list) and all(isinstance(text, str) for text in found) else []


def _modules_of_one_function(calls: Iterable[_Call]) -> set[str]:
    """Collect the modules that call one function, once or more often, and no other module."""
    functions: dict[str, set[str]] = {}
    containers = {""}
    for call in calls:
        functions.setdefault(call.module, set()).add(call.function)
        parts = call.module.split(".")
        containers.update(".".join(parts[:count]) for count in range(1, len(parts)))
    return {module for module, found in functions.items() if len(found) == 1 and module not in containers}


def _name(call: _Call, alone: bool) -> str:
    if alone:
        return call.module
    prefix = f"{call.module}." if call.module else ""
    weight = _weight(call.main)
    stem = re.sub(r"[._]weight$", "", weight)
    return stem if stem != weight and stem.startswith(prefix) else f"{prefix}{call.function}"


def _folded_into(call: _Call) -> str:
    """Find the layer that computes a batch normalization which torch has folded; empty for other calls."""
    weight = _weight(call.main) if "batch_norm" in call.function else ""
    return weight.removesuffix(".weight") if weight.endswith(".weight") else ""


def _weight(node: ir.Node) -> str:
    """Find the name of the parameter that a product multiplies by, transposed or not; empty if there is none."""
    if node.domain or not facts(node.op_type).product:
        return ""
    for index in (1, 0):
        value = input_value(node, index)
        producer = value.producer() if value is not None else None
        if producer is not None and producer.op_type == "Transpose":
            value = producer.inputs[0]
        if value is not None and value.is_initializer():
            return str(value.name)
    return ""
