"""Open a model of any form: a float network, one that is quantized, or a program."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from intaglio.codegen.native import NativeProgram
from intaglio.data import DataLike
from intaglio.program import Program, load_program

if TYPE_CHECKING:
    from torch import nn
    from torch.export import ExportedProgram

    from intaglio.frontends import Model
    from intaglio.graph import Graph
    from intaglio.quantized import Quantized

    AnyModel: TypeAlias = Model | Graph | Quantized | Program | NativeProgram | nn.Module | ExportedProgram
    Opened: TypeAlias = Graph | Quantized | Program | NativeProgram


def open_model(
    model: AnyModel,
    *,
    example_inputs: Any = None,
    shapes: Mapping[str, tuple[int | None, ...]] | None = None,
    constants: Mapping[str, Any] | None = None,
) -> Opened:
    """Open a model by its form: `.intaglio` is a program, a file with quantized operators a Quantized, others a Graph.

    Args:
        model: a path, what `intaglio.load` takes, or a result of `quantize`, `lower`, `compile` or `load`, which is
            returned as it is.
        example_inputs, shapes, constants: as for `intaglio.load`.
    Raises:
        ModelError, ProgramError, UsageError: the model cannot be read.
    """
    if isinstance(model, Program | NativeProgram):
        return model
    if isinstance(model, str | os.PathLike) and Path(model).suffix == ".intaglio":
        return load_program(model)
    from intaglio.api import load_quantized  # PyTorch and ONNX are loaded only for models that need them
    from intaglio.frontends import check_suffix, is_keras_file, load
    from intaglio.frontends.quantized.load import is_quantized_file
    from intaglio.frontends.read import OpenedFile
    from intaglio.module_inputs import refuse_in_training
    from intaglio.quantized import Quantized

    if isinstance(model, Quantized):
        return model
    refuse_in_training(model)
    if isinstance(model, str | os.PathLike) and not is_keras_file(model):
        check_suffix(model)
        model = OpenedFile(model)  # read once, for the question and for its loader
        if is_quantized_file(model):
            return load_quantized(model, shapes, constants)
    return load(model, example_inputs, shapes, constants)


def open_beside(
    model: AnyModel, data: DataLike, example_inputs: Any = None, *, labels: bool = False
) -> tuple[Opened, DataLike]:
    """Open a model beside data, whose first sample is the example input of a `torch.nn.Module`.

    Args:
        model, example_inputs: as for `open_model`.
        data: its data.
        labels: whether a pair of arrays is always inputs and labels.
    Returns:
        The model, and the data, to be read from their first sample.
    Raises:
        ModelError, ProgramError, UsageError: the model cannot be read, or the data do not say where a sample ends.
    """
    torch = sys.modules.get("torch")  # a module exists only where PyTorch is loaded
    if torch is not None and isinstance(model, torch.nn.Module) and example_inputs is None:
        from intaglio.module_inputs import first_sample, knows_its_inputs, refuse_in_training

        if knows_its_inputs(model):
            return open_model(model), data

        refuse_in_training(model)
        data, example_inputs = first_sample(model, data, labels=labels)
    return open_model(model, example_inputs=example_inputs), data


def open_program(path: str | os.PathLike[str], **options: Any) -> Program:
    """Open a program: `.intaglio`, or a quantized .onnx or .tflite file, lowered with its own scales and zero points.

    Args:
        path: the file.
        options: `shapes` and `constants` as for `open_model`.
    Raises:
        ProgramError, ModelError, LoweringError: it cannot be read, is not quantized, or cannot run on integers.
    """
    if Path(path).suffix.lower() in (".onnx", ".tflite") and Path(path).exists():
        from intaglio.frontends.quantized.load import is_quantized_file
        from intaglio.frontends.read import OpenedFile

        path = OpenedFile(path)
        if is_quantized_file(path):
            from intaglio.api import load_quantized

            return load_quantized(path, **options).lower()
    return load_program(path)
