"""Fold constants at load time: the arithmetic on shapes that exporters write, and weights computed from constants.

Nodes on constants are computed by ONNX's reference implementation (`graph.compute`), one after the other, together
with the shapes that follow; sequences of tensors are resolved and control flow is written out on the way. Shapes are
inferred here, node by node, so that a size below 1 is refused before it reaches ONNX's C++ inference, which may abort
the process.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import onnx_ir as ir
from onnx_ir.passes import common

from intaglio.errors import IntaglioError, ModelError
from intaglio.frontends.cut_tail import cut_tail
from intaglio.frontends.quantized.quantized_operators import infer_foreign, is_quantized
from intaglio.frontends.read import one_node_error
from intaglio.frontends.sequences import Sequences
from intaglio.frontends.static import has_subgraphs
from intaglio.frontends.unroll import Unroller
from intaglio.frontends.written_steps import give_results_nodes
from intaglio.graph import NORMAL_OPSET
from intaglio.graph.access import Array, attribute, constant, input_value, shape, where
from intaglio.graph.compute import compute_node
from intaglio.graph.edit import add_constant, insert, remove_unread, set_attribute, set_constant, tensor
from intaglio.graph.infer import infer_node, refuse_empty
from intaglio.graph.tail import Tail
from intaglio.graph.unique_names import names_kept

# Most elements of a folded result: 2**28 float32 are 1 GiB.
_LARGEST_CONSTANT = 2**28
_MOST_ROUNDS = 64


def turn_weights(graph: ir.Graph) -> None:
    """Transpose weights where they lie, so that they keep their names: folding would call them after the node."""
    for node in list(graph):
        value = node.inputs[0] if node.inputs else None
        array = constant(value)
        if node.op_type != "Transpose" or node.domain or value is None or array is None or len(value.uses()) != 1:
            continue
        if not value.is_initializer() or node.outputs[0].is_graph_output():
            continue
        set_constant(value, array.transpose(attribute(node, "perm")))
        node.outputs[0].replace_all_uses_with(value)
        graph.remove(node, safe=True)


def fold(model: ir.Model) -> Tail | None:
    """Compute what depends on constants and static shapes only, in place. Quantized constants are left as they are.

    Returns:
        The post-processing, which is cut off, as its shapes may depend on data; None where there is none.
    Raises:
        ModelError: a needed node can be neither computed nor inferred, with the reason; or a tensor has no elements,
            as when the input is too small.
    """
    graph, walk = model.graph, _Walk(model.graph)
    give_results_nodes(graph)
    for _ in range(_MOST_ROUNDS):
        lift_constants(model)
        if not walk.run():
            break
    remove_unread(graph)
    tail = cut_tail(model)
    if tail is not None:
        remove_unread(graph)
    for node in graph:
        if node in walk.problems:
            raise walk.problems[node]
    return tail


def lift_constants(model: ir.Model) -> None:
    """Turn Constant nodes into initializers, in subgraphs too; `fold` gives the reason for one that stays."""
    common.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0)(model)


class _Walk:
    """One walk after the other along a graph, in order.

    Attributes:
        graph: changed in place.
        problems: why a node could be neither computed nor inferred in the last walk. It may still be unused, in a
            branch that is not taken, or depend on nodes that are not folded yet.
    """

    def __init__(self, graph: ir.Graph) -> None:
        self.graph = graph
        self.problems: dict[ir.Node, IntaglioError] = {}
        self._sequences = Sequences(graph)
        self._unroller = Unroller(graph, self._walk)

    def run(self) -> bool:
        """Infer shapes and compute on the way what they make known; say whether any node was replaced."""
        self.problems.clear()
        with names_kept(self.graph):
            return self._walk(list(self.graph))

    def _walk(self, nodes: Sequence[ir.Node]) -> bool:
        imports, changed = dict(self.graph.opset_imports), False
        for node in nodes:
            try:
                with one_node_error(node):
                    changed |= self._visit(node, imports)
            except IntaglioError as error:
                self.problems[node] = error
                continue
            if node.graph is self.graph:
                refuse_empty(node)
        return changed

    def _visit(self, node: ir.Node, imports: dict[str, int]) -> bool:
        """Infer or compute a node; say whether it was replaced."""
        if has_subgraphs(node):
            self._unroller.expand(node)
            return True
        _compress(self.graph, node)
        _cast_like(node)
        if self._sequences.resolve(node):
            return True
        results = self._results(node, imports)
        if results is None:
            return False
        self._settle(node, results)
        return True

    def _results(self, node: ir.Node, imports: dict[str, int]) -> list[Array] | None:
        """Compute a node whose inputs are known; otherwise infer the types of its outputs."""
        given = [value for value in node.inputs if value is not None]
        if node.op_type in ("Shape", "Size") and not node.domain and given and given[0].shape is not None:
            sizes = given[0].shape
            if sizes.is_static():
                part = sizes.numpy()[attribute(node, "start", 0) : attribute(node, "end")]
                return [np.array(math.prod(sizes.numpy()) if node.op_type == "Size" else part, dtype=np.int64)]
        if any(value.type is None for value in given):
            return None  # depends on a node that could not be computed
        arguments = [constant(value) for value in node.inputs]
        known = all(a is not None or v is None for a, v in zip(arguments, node.inputs, strict=True))
        known = known and not node.domain and _should_fold(node)
        try:
            if not infer_foreign(node, imports):
                infer_node(node, imports)
        except ModelError:
            # Inference is stricter than runtimes (Range of tensors with one axis): what can be computed is accepted.
            if not known:
                raise
        if not known:
            return None
        _refuse_large(node)
        # The newest QuantizeLinear and DequantizeLinear mean the same and allow more types.
        version = NORMAL_OPSET if is_quantized(node) else imports[""]
        return compute_node(node, arguments, {**imports, "": version})

    def _settle(self, node: ir.Node, results: list[Array]) -> None:
        """Put results in the place of a node."""
        for output, array in zip(node.outputs, results, strict=True):
            if output.is_graph_output():
                raise ModelError(f"output '{output.name}': expected it to depend on an input, got a constant")
            name = str(output.name)
            output.name = f"{name}__computed"
            content = tensor(array, name)
            known = ir.Shape(array.shape)
            value = ir.Value(name=name, shape=known, type=ir.TensorType(content.dtype), const_value=content)
            if output.uses():
                self.graph.register_initializer(value)
                output.replace_all_uses_with(value)
        self.graph.remove(node, safe=True)


def _compress(graph: ir.Graph, node: ir.Node) -> None:
    """Rewrite Compress with a constant condition -> Gather, whose result has a known shape."""
    condition = constant(input_value(node, 1))
    source = input_value(node, 0)
    if node.op_type != "Compress" or node.domain or condition is None or source is None or source.shape is None:
        return
    if "axis" not in node.attributes:
        flat = add_constant(graph, f"{node.name}.shape", np.array([-1], np.int64))
        source = insert(graph, node, "Reshape", [source, flat], name=f"{node.name}.flat").outputs[0]
        node.replace_input_with(0, source)
    node.op_type = "Gather"
    node.replace_input_with(1, add_constant(graph, f"{node.name}.kept", np.flatnonzero(condition).astype(np.int64)))
    set_attribute(node, "axis", int(attribute(node, "axis", 0)))


def _cast_like(node: ir.Node) -> None:
    """Rewrite CastLike -> Cast: of the second input only the type matters, which may be computed."""
    like = input_value(node, 1)
    if node.op_type == "CastLike" and not node.domain and like is not None and like.dtype is not None:
        node.op_type = "Cast"
        node.resize_inputs(1)
        set_attribute(node, "to", int(like.dtype))


def _should_fold(node: ir.Node) -> bool:
    if not is_quantized(node):
        return True
    # Quantized constants stay, as a Plan is read from them; but a bound or padding computed from one is a plain number.
    bound = all(use.node.op_type in {"Pad", "Clip"} for output in node.outputs for use in output.uses())
    return node.op_type == "QuantizeLinear" or (node.op_type == "DequantizeLinear" and bound)


def _refuse_large(node: ir.Node) -> None:
    """Refuse to compute a result far larger than the file.

    Raises:
        ModelError: naming the node and the number of elements.
    """
    size = _size_of_result(node)
    if size > _LARGEST_CONSTANT:
        raise ModelError(
            f"{where(node)} expected a constant of at most {_LARGEST_CONSTANT:,} numbers, got one of {size:,.0f}; "
            "compute it from an input, or let it be smaller"
        )


def _size_of_result(node: ir.Node) -> float:
    """Estimate how many numbers a node on constants would write, as far as that is known beforehand."""
    arrays = [constant(value) for value in node.inputs]
    first, second = (*arrays, None, None)[:2]
    if node.op_type == "ConstantOfShape" and first is not None:
        return math.prod(int(size) for size in first.ravel())
    if node.op_type == "Range" and all(array is not None and array.size == 1 for array in arrays):
        start, limit, step = (float(array.item()) for array in arrays if array is not None)
        return math.inf if step == 0 else abs((limit - start) / step)
    if node.op_type in ("Expand", "Tile") and first is not None and second is not None:
        return float(first.size) * math.prod(max(1, int(size)) for size in second.ravel())
    known = [output for output in node.outputs if output.shape is not None and output.shape.is_static()]
    return sum(math.prod(shape(output)) for output in known)
