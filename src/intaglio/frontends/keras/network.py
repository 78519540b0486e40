"""A Keras model as a Graph: torch.export runs it once with an open batch, torch's ONNX exporter translates it.

Images stay channels last at the ends, as in Keras; inside, the graph passes take out the Transposes that Keras' PyTorch
backend puts around every layer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import onnx_ir as ir
import torch

from intaglio.errors import ModelError, UsageError
from intaglio.frontends.keras.layer_names import layers_marked, name_by_layers, note_layers, variable_names
from intaglio.frontends.onnx import load_onnx
from intaglio.frontends.torch import drop_invented_biases, inference, one_line, quiet
from intaglio.graph.batch import fix_batch
from intaglio.graph.graph import Graph

Shapes = Mapping[str, tuple[int | None, ...]]


@dataclass(frozen=True)
class Signature:
    """What a model is called with.

    Args:
        names, shapes, types: of the inputs, in Keras' order of a flattened structure; None is an open size.
        structure: nested like the argument of the model, with anything as its leaves.
    """

    names: tuple[str, ...]
    shapes: tuple[tuple[int | None, ...], ...]
    types: tuple[str, ...]
    structure: Any


class _Flat(torch.nn.Module):
    """A Keras model that is called with its inputs one by one and returns its outputs one by one."""

    def __init__(self, model: Any, keras: ModuleType, structure: Any) -> None:
        super().__init__()
        self.model, self.keras, self._structure = model, keras, structure

    def forward(self, *inputs: torch.Tensor) -> tuple[torch.Tensor, ...]:
        packed = self.keras.tree.pack_sequence_as(self._structure, list(inputs))
        return tuple(self.keras.tree.flatten(self.model(packed, training=False)))


def load_network(model: Any, keras: ModuleType, example_inputs: Any = None, shapes: Shapes | None = None) -> Graph:
    """Load a Keras model as a Graph; nodes have the names of its layers.

    Args:
        model: a `keras.Model` or layer on the PyTorch backend.
        keras: Keras 3.
        example_inputs: what it can be called with; needed only where the model does not know its inputs' shapes.
        shapes: sizes by input name for what the model leaves open beyond the batch, such as {"image": (None, 224, 224,
            3)}.
    Returns:
        The Graph, before any pass of `graph.passes`, with an open batch where Keras leaves it open.
    Raises:
        ModelError: sizes are missing or contradict the model, or torch.export cannot follow it.
        UsageError: the model has not been built and there are no example inputs.
    """
    signature = _signature(model, keras, example_inputs)
    sizes = _static(signature, dict(shapes or {}))
    opened = all(shape[:1] == (None,) for shape in sizes)
    device = next((variable.value.device for variable in model.variables), torch.device("cpu"))
    flat = _Flat(model, keras, signature.structure)
    with keras.device(str(device)), inference(flat), quiet():
        if not model.built:
            _call_once(flat, signature, sizes)  # makes the variables, which cannot be made within torch.export
        try:
            return _exported(flat, signature, sizes, device, open_batch=opened)
        except ModelError as error:
            if not opened:
                raise
            graph = _exported(flat, signature, [(1, *shape[1:]) for shape in sizes], device, open_batch=False)
            why = f"with an open batch it cannot be loaded ({error})"
            fix_batch(graph.model.graph, why)
            graph.history.insert(0, f"the batch is fixed to 1: {why}")
            return graph


def _exported(
    flat: _Flat,
    signature: Signature,
    sizes: Sequence[tuple[int | None, ...]],
    device: torch.device,
    *,
    open_batch: bool,
) -> Graph:
    name = type(flat.model).__name__
    inputs = _zeros(signature, sizes, device)
    batch = torch.export.Dim("batch", min=1)
    dynamic = (tuple({0: batch} for _ in inputs),) if open_batch else None
    try:
        with layers_marked(flat.model, flat.keras):
            program = torch.export.export(flat, inputs, dynamic_shapes=dynamic, strict=False)
        note_layers(program)
        _remove_no_ops(program)
        variables = _variables(flat.model, program)
        # Without its optimizer, which would fold batch norms and rename constants: graph.passes does that.
        exported = torch.onnx.export(program, (), dynamo=True, optimize=False, verbose=False)
    except Exception as error:
        raise ModelError(
            f"{name}: expected a Keras model that torch.onnx.export can translate, got: {one_line(error)}; rewrite "
            "what it names, or export the model to ONNX yourself"
        ) from error
    assert exported is not None
    ir_model: ir.Model = exported.model
    drop_invented_biases(ir_model, set(variables))
    name_by_layers(ir_model.graph, signature.names, _output_names(flat.model, len(ir_model.graph.outputs)), variables)
    return load_onnx(ir_model)


def _zeros(
    signature: Signature, sizes: Sequence[tuple[int | None, ...]], device: torch.device
) -> tuple[torch.Tensor, ...]:
    return tuple(
        torch.zeros([2 if size is None else size for size in shape], dtype=getattr(torch, kind), device=device)
        for shape, kind in zip(sizes, signature.types, strict=True)
    )


def _call_once(flat: _Flat, signature: Signature, sizes: Sequence[tuple[int | None, ...]]) -> None:
    try:
        flat(*_zeros(signature, sizes, torch.device("cpu")))
    except Exception as error:
        raise ModelError(
            f"{type(flat.model).__name__}: expected example inputs that the model can be called with, got sizes "
            f"{[tuple(shape) for shape in sizes]}: {one_line(error)}"
        ) from error


def _remove_no_ops(program: torch.export.ExportedProgram) -> None:
    """Take out Keras' casts to the type that a tensor has, and torch's checks of types: most of its operations."""
    graph = program.graph_module.graph
    for node in list(graph.nodes):
        name = str(node.target)
        if name == "aten._assert_tensor_metadata.default":
            graph.erase_node(node)
        elif name in ("aten.to.dtype", "aten.to.dtype_layout"):
            (source,) = node.all_input_nodes
            if source.meta["val"].dtype == node.meta["val"].dtype:
                node.replace_all_uses_with(source)
                graph.erase_node(node)
    program.graph_module.recompile()


def _variables(model: Any, program: torch.export.ExportedProgram) -> dict[str, str]:
    """Find the variables of a model among the tensors of its program: the variable's name by torch's name."""
    paths = {variable.value.data_ptr(): name for variable, name in variable_names(model)}
    tensors = {**program.state_dict, **program.constants}
    return {
        name: paths[tensor.data_ptr()]
        for name, tensor in tensors.items()
        if isinstance(tensor, torch.Tensor) and tensor.data_ptr() in paths
    }


def _output_names(model: Any, count: int) -> list[str] | None:
    names = getattr(model, "output_names", None)
    return [str(name) for name in names] if isinstance(names, (list, tuple)) and len(names) == count else None


def _signature(model: Any, keras: ModuleType, example_inputs: Any) -> Signature:
    inputs = getattr(model, "inputs", None)
    if inputs and example_inputs is None:
        return Signature(
            tuple(str(value.name) for value in inputs),
            tuple(tuple(value.shape) for value in inputs),
            tuple(str(value.dtype) for value in inputs),
            _structure(model),
        )
    if example_inputs is not None:
        return _signature_of_examples(model, keras, example_inputs)
    built = (model.get_build_config() or {}).get("input_shape") if model.built else None
    if not built:
        raise UsageError(
            f"{type(model).__name__}: expected a model that knows its inputs' shapes, got one that was not built, or "
            "whose inputs have names of their own; build it with model.build((None, 224, 224, 3)), or give "
            "example_inputs"
        )
    structure = _shape_leaves(built)
    shapes = [leaf.sizes for leaf in keras.tree.flatten(structure)]
    return Signature(_numbered(len(shapes)), tuple(shapes), ("float32",) * len(shapes), structure)


def _structure(model: Any) -> Any:
    """Return the inputs of a built model, nested as its call takes them; a Sequential takes one."""
    return model.input if hasattr(model, "input") else model.inputs[0]


@dataclass(frozen=True)
class _Leaf:
    sizes: tuple[int | None, ...]


def _shape_leaves(built: Any) -> Any:
    """Turn shapes, which are sequences too, into leaves of the structure around them."""
    if isinstance(built, dict):
        return {key: _shape_leaves(value) for key, value in built.items()}
    if all(size is None or isinstance(size, int) for size in built):
        return _Leaf(tuple(built))
    return [_shape_leaves(value) for value in built]


def _signature_of_examples(model: Any, keras: ModuleType, example_inputs: Any) -> Signature:
    if isinstance(example_inputs, (tuple, list)) and len(example_inputs) == 1:
        (example_inputs,) = example_inputs
    flat = [torch.as_tensor(value) for value in keras.tree.flatten(example_inputs)]
    inputs = getattr(model, "inputs", None) or ()
    known = len(inputs) == len(flat)
    return Signature(
        tuple(str(value.name) for value in inputs) if known else _numbered(len(flat)),
        tuple((None, *value.shape[1:]) for value in flat),
        tuple(str(value.dtype).removeprefix("torch.") for value in flat),
        _structure(model) if known else example_inputs,
    )


def _numbered(count: int) -> tuple[str, ...]:
    return ("input",) if count == 1 else tuple(f"input_{index}" for index in range(count))


def _static(signature: Signature, shapes: dict[str, tuple[int | None, ...]]) -> list[tuple[int | None, ...]]:
    """Fill the open sizes beyond the batch from what the user gives."""
    unknown = sorted(set(shapes) - set(signature.names))
    if unknown:
        raise ModelError(
            f"shape of '{unknown[0]}': expected one of the inputs {sorted(signature.names)}, got no such name"
        )
    result = []
    for name, shape in zip(signature.names, signature.shapes, strict=True):
        given = shapes.get(name, (None,) * len(shape))
        text = "(" + ", ".join("?" if size is None else str(size) for size in shape) + ")"
        if len(given) != len(shape):
            raise ModelError(f"input '{name}': expected a shape with {len(shape)} sizes, as in {text}, got {given}")
        sizes = []
        for axis, (size, asked) in enumerate(zip(shape, given, strict=True)):
            if asked is not None and (asked < 1 or size not in (None, asked)):
                what = "positive sizes" if asked < 1 else f"size {size} in axis {axis}, as the model fixes it"
                raise ModelError(f"input '{name}': expected {what}, got {asked}")
            sizes.append(asked if size is None else size)
        if None in sizes[1:]:
            example = ",".join(["1", *("?" if size is None else str(size) for size in sizes[1:])])
            raise ModelError(
                f"input '{name}': expected static sizes beyond the batch, got {text}; fix them with --shape "
                f"{name}={example} or shapes={{'{name}': (...)}}, a number for each '?'"
            )
        result.append(tuple(sizes))
    return result
