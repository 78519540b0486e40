"""Open shapes to static ones: inputs fixed, constants folded, every shape inferred, the batch brought to 1."""

from __future__ import annotations

import contextlib
import logging
import math
from collections.abc import Mapping

import onnx_ir as ir
from onnxscript import optimizer

from intaglio.errors import ModelError
from intaglio.frontends.quantized import infer_foreign, is_quantized
from intaglio.graph.access import attribute, constant, where
from intaglio.graph.edit import set_constant, tensor
from intaglio.graph.infer import infer_node
from intaglio.graph.passes.fold_constants import evaluate

Shapes = Mapping[str, tuple[int | None, ...]]

# Nothing that a file asks to be computed beforehand may grow beyond this: 2**28 float32 are 1 GiB.
_LARGEST_CONSTANT = 2**28
_NO_LIMIT = 2**62


def open_batch(model: ir.Model, shapes: Shapes) -> bool:
    """Whether the size of axis 0 of some input is left open by the model and by the user."""
    return any(
        value.shape is not None
        and value.shape.rank() > 0
        and not isinstance(value.shape[0], int)
        and _asked(shapes, value)[0] is None
        for value in model.graph.inputs
    )


def _asked(shapes: Shapes, value: ir.Value) -> tuple[int | None, ...]:
    assert value.shape is not None
    asked = shapes.get(str(value.name), (None,) * value.shape.rank())
    if len(asked) != value.shape.rank():
        raise ModelError(
            f"input '{value.name}': expected a shape with {value.shape.rank()} sizes, as in {_text(value.shape)}, "
            f"got {tuple(asked)}"
        )
    return tuple(asked)


def _text(shape: ir.Shape) -> str:
    return "(" + ", ".join(str(d) if isinstance(d, int) else str(getattr(d, "value", None) or "?") for d in shape) + ")"


def fix_inputs(model: ir.Model, shapes: Shapes, batch: int) -> None:
    """Give every input a static shape.

    Args:
        model: changed in place.
        shapes: sizes that the user gave, by input name; None leaves a size as the model has it.
        batch: the size of axis 0 where nobody gave one.
    Raises:
        ModelError: an open size that nobody gave, a size that contradicts the model, or an unknown input name.
    """
    inputs = {str(value.name): value for value in model.graph.inputs}
    unknown = sorted(set(shapes) - set(inputs))
    if unknown:
        raise ModelError(f"shape of '{unknown[0]}': expected one of the inputs {sorted(inputs)}, got no such name")
    known: dict[str, int] = {}
    for value in inputs.values():
        if value.shape is None and str(value.name) in shapes:
            value.shape = ir.Shape([None] * len(shapes[str(value.name)]))
        if value.shape is None:
            raise ModelError(
                f"input '{value.name}': expected a shape, got none in the model; give it, for instance with "
                f"--shape {value.name}=1,3,224,224 or shapes={{'{value.name}': (1, 3, 224, 224)}}"
            )
        for axis, (size, given) in enumerate(zip(value.shape.dims, _asked(shapes, value), strict=True)):
            if given is not None and isinstance(size, int) and size != given:
                raise ModelError(
                    f"input '{value.name}': expected size {size} in axis {axis}, as the model fixes it, got {given}"
                )
            if given is not None and given < 1:
                raise ModelError(f"input '{value.name}': expected positive sizes, got {given} in axis {axis}")
            name = None if isinstance(size, int) else size.value
            if given is not None and name:
                known[name] = given
    for value in inputs.values():
        assert value.shape is not None
        sizes = [
            _size(size, given, known, batch if axis == 0 else None)
            for axis, (size, given) in enumerate(zip(value.shape.dims, _asked(shapes, value), strict=True))
        ]
        if any(size is None for size in sizes):
            example = ",".join("?" if size is None else str(size) for size in sizes)
            raise ModelError(
                f"input '{value.name}': expected static sizes beyond the batch, got {_text(value.shape)}; fix them "
                f"with --shape {value.name}={example} or shapes={{'{value.name}': (...)}}, a number for each '?'"
            )
        value.shape = ir.Shape([int(size) for size in sizes if size is not None])


def _size(size: int | ir.SymbolicDim, given: int | None, known: Mapping[str, int], batch: int | None) -> int | None:
    if isinstance(size, int):
        return size if size > 0 else given or batch
    if given is not None:
        return given
    return known.get(size.value or "", batch)


def forget_shapes(graph: ir.Graph) -> None:
    """Drop the shapes of computed values: they are inferred anew from the inputs."""
    for node in graph:
        for output in node.outputs:
            output.shape = None
            output.type = None


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
    """Compute what depends on constants and static shapes only, in place.

    The work is done by `onnxscript.optimizer`, whose size limits are lifted up to 1 GiB a constant: weights that
    are transposed, reshaped or padded in the file must become weights. Quantized constants are left as they are.
    """
    logger = logging.getLogger("onnxscript.optimizer._constant_folding")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        for _ in range(8):
            _infer_leniently(model)
            result = optimizer.fold_constants(
                model,
                onnx_shape_inference=True,
                input_size_limit=_NO_LIMIT,
                output_size_limit=_LARGEST_CONSTANT,
                should_fold=_should_fold,
            )
            several = _fold_several_outputs(model)
            if not result.modified and not several:
                break
    finally:
        logger.setLevel(level)


def _infer_leniently(model: ir.Model) -> None:
    """Tell the library the shapes behind operators outside ONNX, which it cannot infer itself."""
    if all(not node.domain for node in model.graph):
        return
    imports = dict(model.graph.opset_imports)
    for node in model.graph:
        if any(value is not None and value.type is None for value in node.inputs):
            continue
        with contextlib.suppress(ModelError, AssertionError):
            if not infer_foreign(node, imports):
                infer_node(node, imports)


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


def _fold_several_outputs(model: ir.Model) -> bool:
    """Fold the nodes that the library leaves because they have more than one output, such as Split."""
    graph, changed = model.graph, False
    for node in list(graph):
        arrays = [constant(value) for value in node.inputs]
        given = [array for array in arrays if array is not None]
        if len(node.outputs) < 2 or not given or len(given) != sum(v is not None for v in node.inputs):
            continue
        if is_quantized(node) or any(
            a.type in (ir.AttributeType.GRAPH, ir.AttributeType.GRAPHS) for a in node.attributes.values()
        ):
            continue
        results = evaluate(node, dict(graph.opset_imports))
        if results is None:
            continue
        for output, array in zip(node.outputs, results, strict=True):
            if not output.uses() or output.is_graph_output():
                continue
            content = tensor(array, output.name)
            value = ir.Value(
                name=f"{output.name}__folded",
                shape=ir.Shape(array.shape),
                type=ir.TensorType(content.dtype),
                const_value=content,
            )
            graph.register_initializer(value)
            output.replace_all_uses_with(value)
            changed = True
        if not any(output.uses() or output.is_graph_output() for output in node.outputs):
            graph.remove(node, safe=True)
    return changed


def infer(model: ir.Model) -> None:
    """Infer every type and shape from the inputs, strictly.

    Raises:
        ModelError: a node whose inputs do not fit, or a shape that depends on data.
    """
    refuse_control_flow(model.graph)
    imports = dict(model.graph.opset_imports)
    for node in model.graph:
        if not infer_foreign(node, imports):
            infer_node(node, imports)
        for output in node.outputs:
            if output.name and (output.shape is None or not output.shape.is_static()):
                raise ModelError(
                    f"{where(node)} expected a static shape of its output '{output.name}', got "
                    f"{output.shape and _text(output.shape)}: it depends on data or on an open size; "
                    "fix the input sizes with --shape, or export the model without data-dependent shapes"
                )


def refuse_control_flow(graph: ir.Graph) -> None:
    """Refuse If, Loop and Scan that folding could not remove."""
    for node in graph:
        if any(a.type in (ir.AttributeType.GRAPH, ir.AttributeType.GRAPHS) for a in node.attributes.values()):
            raise ModelError(
                f"{where(node)} expected a network without control flow, got a {node.op_type} that depends on data; "
                "export the model with fixed branches and unrolled loops"
            )


def set_batch(model: ir.Model, batch: int) -> None:
    """Another number of samples for a graph that keeps its samples apart; shapes are inferred anew."""
    for value in model.graph.inputs:
        assert value.shape is not None
        value.shape = ir.Shape([batch, *value.shape.dims[1:]])
    forget_shapes(model.graph)
    infer(model)
