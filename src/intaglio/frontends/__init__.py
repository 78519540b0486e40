"""Load foreign models as Graphs."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeGuard

import onnx_ir as ir
from onnx import ModelProto

from intaglio.errors import UsageError
from intaglio.frontends.bind import Constants
from intaglio.frontends.keras import SUFFIXES as KERAS_SUFFIXES
from intaglio.frontends.keras import is_keras, load_keras
from intaglio.frontends.onnx import load_onnx
from intaglio.graph.graph import Graph
from intaglio.graph.passes import prepare

if TYPE_CHECKING:
    from torch.export import ExportedProgram
    from torch.nn import Module

_MODULE = (
    "in Python give a torch.nn.Module with example_inputs, on the command line package.module:factory, with "
    "--weights for a file of its state dict"
)
_INSTEAD = {
    ".intaglio": "it is a program already: `intaglio run`, `evaluate`, `inspect`, `bench` and `compile` take it, in "
    "Python intaglio.load_program(path)",
    **dict.fromkeys((".pt", ".pth", ".py"), _MODULE),
}
"""What to do with files that cannot be read, by suffix."""

Model = str | os.PathLike[str] | ModelProto | ir.Model


def load(
    model: Model | Graph | Module | ExportedProgram,
    example_inputs: Any = None,
    shapes: Mapping[str, tuple[int | None, ...]] | None = None,
    constants: Constants | None = None,
    custom_objects: Mapping[str, Any] | None = None,
) -> Graph:
    """Load a trained network as a prepared Graph.

    Args:
        model: path of an .onnx, .tflite, .keras or .h5 file, `onnx.ModelProto`, `onnx_ir.Model`,
            `torch.nn.Module`, what `torch.export.export` makes of one in eval mode, a Keras model on the PyTorch
            backend, or a Graph.
        example_inputs: for a module: a tensor or a tuple of tensors that it can be called with; for a Keras model that
            does not know its inputs' shapes.
        shapes: for ONNX and Keras: sizes by input name for what the model leaves open, such as
            {"input": (None, 3, 224, 224)}.
        constants: for ONNX: inputs that are the same for every sample, by name, such as {"sr": 16000}: numbers or
            arrays of the input's shape; one number fills a static shape. Branches and sizes that follow from them are
            folded.
        custom_objects: for .keras and .h5 files: classes and functions by name that are not Keras' own.
    Returns:
        The Graph after all passes of `graph.passes`.
    Raises:
        ModelError: the model cannot be read or understood.
        UsageError: something else than a model was given, or arguments that say nothing about this kind of model.
    """
    return prepare(load_unprepared(model, example_inputs, shapes, constants, custom_objects))


def load_unprepared(
    model: Model | Graph | Module | ExportedProgram,
    example_inputs: Any = None,
    shapes: Mapping[str, tuple[int | None, ...]] | None = None,
    constants: Constants | None = None,
    custom_objects: Mapping[str, Any] | None = None,
) -> Graph:
    """Load a network as its front end reads it, without graph passes; arguments as in `load`."""
    if isinstance(model, type):
        raise _no_model(f"the class {model.__name__}; give an object of it: {model.__name__}()")
    if isinstance(model, Mapping):
        raise _no_model(f"{type(model).__name__}; load a state dict into its module first: module.load_state_dict(...)")
    if isinstance(model, str | os.PathLike):
        check_suffix(model)
    if is_keras(model) or is_keras_file(model):
        _refuse(model, "an ONNX model", constants=constants)
        if not is_keras_file(model):
            _refuse(model, "a .keras or .h5 file", custom_objects=custom_objects)
        source = model if isinstance(model, str | os.PathLike) else type(model).__name__
        return named(load_keras(model, example_inputs, shapes, custom_objects), source)
    _refuse(model, "a .keras or .h5 file", custom_objects=custom_objects)
    if isinstance(model, Graph) or _is_module(model) or _is_exported(model):
        _refuse(model, "an ONNX model", shapes=shapes, constants=constants)
    if not _is_module(model):
        _refuse(model, "a torch.nn.Module", example_inputs=example_inputs)
    if isinstance(model, Graph):
        return model
    if isinstance(model, str | os.PathLike):
        return named(load_onnx(model, shapes, constants=constants), model)
    if isinstance(model, (ModelProto, ir.Model)):
        return load_onnx(model, shapes, constants=constants)
    if _is_module(model):
        from intaglio.frontends.torch import load_torch

        if example_inputs is None:
            raise UsageError(
                f"{type(model).__name__}: expected example_inputs beside a torch.nn.Module, got none; "
                "call load(module, torch.randn(1, 3, 224, 224))"
            )
        return named(load_torch(model, example_inputs), type(model).__name__)
    if _is_exported(model):
        from intaglio.frontends.torch import load_exported

        return load_exported(model)
    raise _no_model(type(model).__name__)


def _no_model(got: str) -> UsageError:
    return UsageError(
        "load: expected a path, an ONNX model, a torch.nn.Module, a torch.export.ExportedProgram, a Keras model or a "
        "Graph, got " + got
    )


def named(graph: Graph, source: str | os.PathLike[str]) -> Graph:
    """Name a network after its file or class: exporters call all of them alike (`main_graph`)."""
    graph.model.graph.name = os.path.basename(os.fspath(source))
    return graph


def _refuse(model: object, meant: str, **arguments: object) -> None:
    """Refuse arguments that this kind of model has no use for."""
    for name, given in arguments.items():
        if given is not None:
            raise UsageError(
                f"load: expected {name} only beside {meant}, got it beside "
                f"{os.fspath(model) if isinstance(model, str | os.PathLike) else 'a ' + type(model).__name__}; "
                "leave it out, or make the model with these sizes and constants"
            )


def is_keras_file(model: object) -> bool:
    """Tell whether it is the path of a file that Keras writes, by its name."""
    return isinstance(model, str | os.PathLike) and os.fspath(model).lower().endswith(KERAS_SUFFIXES)


def check_suffix(path: str | os.PathLike[str]) -> None:
    """Refuse files of other tools by their names, with what to do instead.

    Raises:
        UsageError: it is no .onnx, .tflite, .keras or .h5 file by its name.
    """
    name = os.fspath(path)
    if re.fullmatch(r"[^\W\d][\w.]*:[^\W\d][\w.]*", name) and not os.path.exists(name):
        package, _, factory = name.partition(":")
        raise UsageError(
            f"{name}: expected an .onnx or .tflite file or a torch.nn.Module, got the name of a factory, which "
            f"commands take; in Python call it: from {package} import {factory}, then give {factory}()"
        )
    suffix = os.path.splitext(name)[1].lower()
    if suffix in _INSTEAD:
        raise UsageError(
            f"{os.fspath(path)}: expected an .onnx, .tflite, .keras or .h5 file, got {suffix}; {_INSTEAD[suffix]}"
        )


def _is_module(model: object) -> TypeGuard[Module]:
    """Tell whether it is a torch.nn.Module, without loading torch: it is loaded where one exists."""
    return any(kind.__module__ == "torch.nn.modules.module" for kind in type(model).__mro__)


def _is_exported(model: object) -> TypeGuard[ExportedProgram]:
    """Whether it is what `torch.export.export` returns."""
    return any(kind.__module__ == "torch.export.exported_program" for kind in type(model).__mro__)


__all__ = [
    "Model",
    "check_suffix",
    "is_keras",
    "is_keras_file",
    "load",
    "load_onnx",
    "load_unprepared",
    "named",
    "prepare",
]
