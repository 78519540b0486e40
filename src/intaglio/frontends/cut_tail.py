"""Cut a network where its post-processing begins: what integers cannot compute, and behind which no layer follows."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

import onnx
import onnx_ir as ir

from intaglio.errors import UnsupportedOperatorError
from intaglio.graph.access import attribute, constant, consumers, where
from intaglio.graph.operators import facts
from intaglio.graph.tail import Tail, bodies, detached, disconnect, read_by

# Operators that select or sort by values, so that shapes or positions depend on data.
_SELECT = {"Compress", "MaxRoiPool", "NonMaxSuppression", "NonZero", "RoiAlign", "TopK", "Unique"}
# Comparisons of two computed values pick peaks or winners, if they come last, and a Cast to integers then makes labels;
# elsewhere they are operators like others.
_COMPARE = {"Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual"}
_RECURRENT = {"GRU", "LSTM", "RNN"}
# Products with smaller constants are no layers: changes of box coordinates, for instance.
_LAYER_WEIGHTS = 64


def cut_tail(model: ir.Model) -> Tail | None:
    """Move post-processing out of a model, in place; None where there is none.

    The tail begins at operators of `_SELECT` that have no integer form, and holds all that depends on them. It also
    takes over what computes the integers and truth values that it reads, so that it reads float values only.

    Args:
        model: folded, as far as possible; its values have types.
    Raises:
        UnsupportedOperatorError: a layer with weights depends on post-processing, or no layer comes before it.
    """
    graph = model.graph
    begins = [node for node in graph if _begins(node, graph) or _compares(node, graph) or _makes_integers(node)]
    if not begins:
        return None
    behind = _behind(graph, begins)
    layers = _layers(node for node in graph if node in behind)
    if layers:
        raise UnsupportedOperatorError(
            f"{where(begins[0])} expected post-processing, with no layers behind it, got {where(layers[0])}, which "
            "depends on it: integers cannot select or sort by values. Export the parts before and behind it as two "
            "networks"
        )
    moved = _before(graph, behind)
    nodes = [node for node in graph if node in moved]
    made = {output for node in nodes for output in node.outputs}
    read = dict.fromkeys(value for node in nodes for value in read_by(node))
    entries = [value for value in read if _is_entry(value, graph, made)]
    if not any(value.producer() is not None for value in entries):
        raise UnsupportedOperatorError(
            f"{where(begins[0])} expected layers before post-processing, got a network that begins with it: integers "
            "cannot select or sort by values. Run this network in float"
        )
    imports = [onnx.helper.make_opsetid(domain, version) for domain, version in graph.opset_imports.items()]
    proto = onnx.helper.make_model(
        detached(graph, nodes, entries, f"{graph.name}.tail"),
        opset_imports=imports,
        ir_version=onnx.helper.find_min_ir_version_for(imports, ignore_unknown=True),
    )
    names = tuple(where(node) for node in begins)
    _end_at(graph, entries, made)
    _remove(graph, nodes)
    return Tail(proto, names)


def may_have_tail(graph: ir.Graph) -> bool:
    """Tell whether a graph has operators with which a tail may begin."""
    return any(node.op_type in {*_SELECT, *_COMPARE, "Cast"} for node in graph)


def _is_integer(node: ir.Node) -> bool:
    from intaglio.ops import FLOAT_OPERATORS  # PyTorch is loaded only for networks that need the answer

    return node.op_type in FLOAT_OPERATORS


def _begins(node: ir.Node, graph: ir.Graph) -> bool:
    if node.domain or node.op_type not in _SELECT or _is_integer(node):
        return False
    return not (_takes_one(node) and _layers(_behind(graph, [node])))


def _takes_one(node: ir.Node) -> bool:
    """Tell whether a node is TopK of one element, a maximum and its index, which layers may depend on."""
    if node.op_type != "TopK":
        return False
    count = constant(node.inputs[1]) if len(node.inputs) > 1 else None
    return (attribute(node, "k", 0) if count is None else int(count.reshape(-1)[0])) == 1


def _compares(node: ir.Node, graph: ir.Graph) -> bool:
    """Tell whether a node compares two computed floats, with no layer behind it."""
    if node.domain or node.op_type not in _COMPARE or _is_integer(node):
        return False
    return _reads_floats(node) and not _layers(_behind(graph, [node]))


def _makes_integers(node: ir.Node) -> bool:
    """Tell whether a node converts floats to integers that are outputs, perhaps in another shape."""
    kind = node.outputs[0].dtype
    if node.domain or node.op_type != "Cast" or kind in (None, ir.DataType.FLOAT, ir.DataType.BOOL):
        return False
    results, seen = [node.outputs[0]], 0
    while seen < len(results):
        for use in results[seen].uses():
            if use.idx or not facts(use.node.op_type).moves:
                return False
            results += use.node.outputs
        seen += 1
    return _reads_floats(node)


def _reads_floats(node: ir.Node) -> bool:
    return all(v is not None and v.dtype == ir.DataType.FLOAT and constant(v) is None for v in node.inputs)


def _layers(nodes: Iterable[ir.Node]) -> list[ir.Node]:
    """List the layers with weights among nodes."""
    return [
        node
        for node in nodes
        if (facts(node.op_type).product or node.op_type in _RECURRENT)
        and sum(array.size for value in node.inputs if (array := constant(value)) is not None) > _LAYER_WEIGHTS
    ]


def _behind(graph: ir.Graph, begins: Collection[ir.Node]) -> set[ir.Node]:
    """Collect nodes and all that depends on them."""
    found, values = set(begins), {output for node in begins for output in node.outputs}
    for node in graph:
        if node in found or not values.isdisjoint(read_by(node)):
            found.add(node)
            values.update(node.outputs)
    return found


def _before(graph: ir.Graph, tail: set[ir.Node]) -> set[ir.Node]:
    """Add what the tail reads that is no float number, and what only the tail reads that need not be integers.

    The latter are operators without integer form, and those that only move numbers.
    """
    found = set(tail)
    owner = {inner: node for node in tail for body in bodies(node) for inner in body.all_nodes()}
    for node in reversed(list(graph)):
        readers = {owner.get(reader, reader) for output in node.outputs for reader in consumers(output)}
        if node in found or readers.isdisjoint(found):
            continue
        numbers = all(output.dtype in (None, ir.DataType.FLOAT) for output in node.outputs)
        alone = readers <= found and not any(output.is_graph_output() for output in node.outputs)
        if not numbers or (alone and not node.domain and (facts(node.op_type).moves or not _is_integer(node))):
            found.add(node)
    return found


def _is_entry(value: ir.Value, graph: ir.Graph, made: Collection[ir.Value]) -> bool:
    """Tell whether a value that the tail reads comes from the network before it."""
    producer = value.producer()
    outer = value in graph.inputs if producer is None else producer.graph is graph
    return outer and value not in made and not value.is_initializer()


def _end_at(graph: ir.Graph, entries: Collection[ir.Value], made: Collection[ir.Value]) -> None:
    """Make the values that the tail reads outputs of the network, in the place of those that the tail computes."""
    kept = [value for value in graph.outputs if value not in made]
    computed = [value for value in entries if value.producer() is not None and value not in kept]
    graph.outputs.clear()
    graph.outputs.extend([*kept, *computed])


def _remove(graph: ir.Graph, nodes: Sequence[ir.Node]) -> None:
    """Remove nodes that nobody reads any more, with the graphs inside them; others compute for the network too."""
    for node in reversed(nodes):
        if any(output.uses() or output.is_graph_output() for output in node.outputs):
            continue
        disconnect(node)
        graph.remove(node, safe=True)
    for value in list(graph.inputs):
        if not value.uses() and not value.is_graph_output():
            graph.inputs.remove(value)
