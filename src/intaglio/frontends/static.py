"""Make open shapes static: fix the inputs, infer every shape, bring the batch to 1."""

from __future__ import annotations

from collections.abc import Mapping

import onnx_ir as ir

from intaglio.errors import ModelError
from intaglio.frontends.quantized.quantized_operators import infer_foreign
from intaglio.graph.access import where
from intaglio.graph.infer import infer_node, refuse_empty

Shapes = Mapping[str, tuple[int | None, ...]]


def open_batch(model: ir.Model, shapes: Shapes) -> bool:
    """Tell whether the size of axis 0 of some input is left open by the model and by the user."""
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
            f"input '{value.name}': expected a shape with {value.shape.rank()} sizes, as in {shape_text(value.shape)}, "
            f"got {tuple(asked)}"
        )
    return tuple(asked)


def shape_text(shape: ir.Shape) -> str:
    """Write a shape for errors, with the names of open sizes: (1, 3, height, ?)."""
    return "(" + ", ".join(str(d) if isinstance(d, int) else str(getattr(d, "value", None) or "?") for d in shape) + ")"


def fix_inputs(model: ir.Model, shapes: Shapes, batch: int) -> None:
    """Give every input a static shape.

    Args:
        model: changed in place.
        shapes: sizes that the user gave, by input name; None leaves a size as the model has it.
        batch: the size of axis 0 where neither the model nor the user gives one.
    Raises:
        ModelError: an open size without a given one, a size that contradicts the model, or an unknown input name.
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
                raise ModelError(
                    f"input '{value.name}': expected positive sizes, got {given} in axis {axis}; give the size that "
                    "the network is to run with, for a sequence its number of steps"
                )
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
                f"input '{value.name}': expected static sizes beyond the batch, got {shape_text(value.shape)}; fix "
                f"them with --shape {value.name}={example} or shapes={{'{value.name}': (...)}}, a number for each '?'"
            )
        value.shape = ir.Shape([int(size) for size in sizes if size is not None])


def _size(size: int | ir.SymbolicDim, given: int | None, known: Mapping[str, int], batch: int | None) -> int | None:
    if isinstance(size, int):
        return size
    if given is not None:
        return given
    return known.get(size.value or "", batch)


def forget_shapes(graph: ir.Graph) -> None:
    """Drop the shapes of computed values: they are inferred anew from the inputs."""
    for node in graph:
        for output in node.outputs:
            output.shape = None
            output.type = None


def infer(model: ir.Model) -> None:
    """Infer every type and shape from the inputs, strictly.

    Raises:
        ModelError: a node whose inputs do not fit, or a shape that depends on data.
    """
    imports = dict(model.graph.opset_imports)
    for node in model.graph:
        if not infer_foreign(node, imports):
            infer_node(node, imports)
        refuse_empty(node)
        for output in node.outputs:
            if output.name and (output.shape is None or not output.shape.is_static()):
                raise ModelError(
                    f"{where(node)} expected a static shape of its output '{output.name}', got "
                    f"{output.shape and shape_text(output.shape)}: it depends on data or on an open size; "
                    "fix the input sizes with --shape, or export the model without data-dependent shapes"
                )


def has_subgraphs(node: ir.Node) -> bool:
    """Tell whether a node has subgraphs: If, Loop, Scan, SequenceMap."""
    return any(found.type in (ir.AttributeType.GRAPH, ir.AttributeType.GRAPHS) for found in node.attributes.values())


def bindable(graph: ir.Graph) -> str:
    """Say which inputs, single integers such as a mode or a sampling rate, may be bound to constants instead."""
    names = [str(v.name) for v in graph.inputs if v.dtype != ir.DataType.FLOAT and v.shape is not None and not v.shape]
    if not names:
        return ""
    return (
        f", or bind an input that is the same for every sample, with --constant {names[0]}=... or "
        f"constants={{'{names[0]}': ...}}"
    )


def set_batch(model: ir.Model, batch: int) -> None:
    """Change the number of samples of a graph that keeps its samples apart; shapes are inferred anew."""
    for value in model.graph.inputs:
        assert value.shape is not None
        value.shape = ir.Shape([batch, *value.shape.dims[1:]])
    forget_shapes(model.graph)
    infer(model)
