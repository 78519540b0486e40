"""Constants folded at load time: the arithmetic on shapes that exporters write, and weights that are still to be made.

The general work is done by `onnxscript.optimizer`. It is given no shapes to infer: what a file says is inferred here,
node by node, so that a size below 1 is refused before ONNX's C++ inference meets it, which may abort the process.
"""

from __future__ import annotations

import contextlib
import logging
import math

import numpy as np
import onnx_ir as ir
from onnxscript import optimizer

from intaglio.errors import ModelError
from intaglio.frontends.quantized import infer_foreign, is_quantized
from intaglio.graph import NORMAL_OPSET
from intaglio.graph.access import Array, attribute, constant
from intaglio.graph.edit import set_constant, tensor
from intaglio.graph.infer import infer_node, refuse_empty
from intaglio.graph.passes.fold_constants import evaluate

# Nothing that a file asks to be computed beforehand may grow beyond this: 2**28 float32 are 1 GiB.
_LARGEST_CONSTANT = 2**28
_NO_LIMIT = 2**62
# Arithmetic on shapes is folded on the way. What is larger is a weight, which the library folds without copies.
_SMALL_BYTES = 2**16
_MOST_ROUNDS = 64
_SUBGRAPHS = (ir.AttributeType.GRAPH, ir.AttributeType.GRAPHS)


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


def fold(model: ir.Model) -> None:
    """Compute what depends on constants and static shapes only, in place. Quantized constants are left as they are.

    Raises:
        ModelError: a tensor without elements, as a network has it that is given too small an input.
    """
    logger = logging.getLogger("onnxscript.optimizer._constant_folding")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        for _ in range(_MOST_ROUNDS):
            walked = _walk(model.graph)
            result = optimizer.fold_constants(
                model,
                onnx_shape_inference=False,
                input_size_limit=_NO_LIMIT,
                output_size_limit=_LARGEST_CONSTANT,
                should_fold=_should_fold,
            )
            if not walked and not result.modified:
                break
    finally:
        logger.setLevel(level)


def _walk(graph: ir.Graph) -> bool:
    """Infer shapes in order and fold on the way what they make known; say whether anything was folded."""
    imports, changed = dict(graph.opset_imports), False
    for node in list(graph):
        arrays = _known_results(node, imports)
        if arrays is not None:
            _replace(graph, node, arrays)
            changed = True
        elif all(value is None or value.type is not None for value in node.inputs):
            with contextlib.suppress(ModelError, AssertionError):  # told later, if it is still so then
                if not infer_foreign(node, imports):
                    infer_node(node, imports)
            refuse_empty(node)
    return changed


def _known_results(node: ir.Node, imports: dict[str, int]) -> list[Array] | None:
    """What a node computes, if its inputs say so already."""
    given = [value for value in node.inputs if value is not None]
    if node.domain or not given or any(output.is_graph_output() for output in node.outputs):
        return None
    if node.op_type in ("Shape", "Size") and given[0].shape is not None and given[0].shape.is_static():
        sizes = given[0].shape.numpy()
        if node.op_type == "Size":
            return [np.array(math.prod(sizes), dtype=np.int64)]
        return [np.array(sizes[attribute(node, "start", 0) : attribute(node, "end")], dtype=np.int64)]
    arrays = [constant(value) for value in given]
    if any(array is None for array in arrays) or not _should_fold(node):
        return None
    several = len(node.outputs) > 1 or is_quantized(node)  # the library leaves these
    if not several and sum(array.nbytes for array in arrays if array is not None) > _SMALL_BYTES:
        return None
    if any(found.type in _SUBGRAPHS for found in node.attributes.values()):
        return None
    # The newest QuantizeLinear and DequantizeLinear say the same for more types.
    version = NORMAL_OPSET if is_quantized(node) else imports[""]
    return evaluate(node, {**imports, "": version})


def _replace(graph: ir.Graph, node: ir.Node, arrays: list[Array]) -> None:
    for output, array in zip(node.outputs, arrays, strict=True):
        name = str(output.name)
        output.name = f"{name}__computed"
        content = tensor(array, name)
        value = ir.Value(name=name, shape=ir.Shape(array.shape), type=ir.TensorType(content.dtype), const_value=content)
        if output.uses():
            graph.register_initializer(value)
            output.replace_all_uses_with(value)
    graph.remove(node, safe=True)


def _should_fold(node: ir.Node) -> bool | None:
    if is_quantized(node):
        # A quantized constant is what a plan is read from. A bound or a padding behind one is a plain number.
        bound = all(use.node.op_type in {"Pad", "Clip"} for output in node.outputs for use in output.uses())
        return node.op_type == "QuantizeLinear" or (node.op_type == "DequantizeLinear" and bound)
    if node.op_type in {"ConstantOfShape", "Expand", "Tile", "Range"}:
        return _size_of_result(node) <= _LARGEST_CONSTANT
    return True


def _size_of_result(node: ir.Node) -> float:
    """How many numbers a node that makes much out of little would write."""
    arrays = [constant(value) for value in node.inputs]
    first, second = (*arrays, None, None)[:2]
    assert first is not None
    if node.op_type == "ConstantOfShape":
        return math.prod(int(size) for size in first.ravel())
    if second is None:
        return math.inf
    if node.op_type == "Range":
        step = arrays[2]
        return math.inf if step is None or step == 0 else abs((float(second) - float(first)) / float(step))
    return float(first.size) * math.prod(max(1, int(size)) for size in second.ravel())
