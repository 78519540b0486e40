"""Bind inputs to constants: a sampling rate, a mode or an initial state that is the same for every sample."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx_ir as ir

from intaglio.errors import ModelError, UnsupportedOperatorError
from intaglio.frontends.static import bindable, shape_text
from intaglio.graph.access import consumers, where
from intaglio.graph.edit import tensor

Constants = Mapping[str, Any]


def bind_inputs(model: ir.Model, constants: Constants) -> list[str]:
    """Turn inputs into initializers with the given values, in place.

    Where the constant sets a size that the model calls by a name, other inputs with that name get it too.

    Args:
        model: as read, before any folding.
        constants: by input name: a number or an array of the input's shape; one number fills an input of static shape.
    Returns:
        A sentence for each bound input.
    Raises:
        ModelError: no such input, or a value whose type or shape is not the input's.
    """
    graph = model.graph
    inputs = {str(value.name): value for value in graph.inputs}
    notes = []
    for name, given in constants.items():
        if name not in inputs:
            raise ModelError(f"constant '{name}': expected one of the inputs {sorted(inputs)}, got no such name")
        value = inputs[name]
        array = _shaped(value, _typed(value, given))
        _name_sizes(graph, value, array.shape)
        graph.inputs.remove(value)
        if name in graph.initializers:  # the default value that old models give their inputs
            graph.initializers.pop(name)
        value.const_value = tensor(array, name)
        value.shape = ir.Shape(array.shape)
        graph.register_initializer(value)
        text = str(array.item()) if array.size == 1 else f"{_filled(array)} of shape {array.shape}"
        notes.append(f"input '{name}' is bound to the constant {text}")
    if constants and not graph.inputs:
        raise ModelError(
            f"{graph.name}: expected an input to be left, got a constant for each of {sorted(inputs)}; "
            "bind only what is the same for every sample"
        )
    return notes


def check_single_integers(graph: ir.Graph) -> None:
    """Refuse a single integer, such as a sampling rate, that goes into an operator without integer form.

    Args:
        graph: in normal form.
    Raises:
        ModelError: naming the input, the operator that reads it, and how to bind it.
    """
    for value in graph.inputs:
        if value.dtype == ir.DataType.FLOAT or value.shape is None or value.shape.dims:
            continue
        for node in consumers(value):
            if not _has_integer_form(node):
                raise ModelError(
                    f"input '{value.name}': expected a number that selects rows of a table, got one of type "
                    f"{value.dtype} that {where(node)} reads: integers cannot compute with it; pass it as float, with "
                    f"an axis of samples{bindable(graph)}"
                )


def _has_integer_form(node: ir.Node) -> bool:
    from intaglio.ops import contract_of  # PyTorch is loaded only for networks that need the answer

    try:
        contract_of(node)
    except UnsupportedOperatorError:
        return False
    return True


def _filled(array: np.ndarray) -> str:
    first = array.ravel()[:1]
    return f"{first.item()}" if array.size and (array == first).all() else "array"


def _typed(value: ir.Value, given: Any) -> np.ndarray:
    """Convert the value to the input's own type; whole numbers must stay the same."""
    if not isinstance(value.type, ir.TensorType) or value.dtype is None:
        raise ModelError(f"constant '{value.name}': expected an input that is a tensor, got {value.type}")
    wanted = value.dtype
    try:
        array = np.asarray(given)
    except ValueError as error:  # rows of unequal lengths
        raise ModelError(f"constant '{value.name}': expected a number or an array, got {given!r}: {error}") from error
    if array.dtype.kind not in "fiub":
        raise ModelError(f"constant '{value.name}': expected a number or an array of numbers, got {given!r}")
    dtype = wanted.numpy()
    if wanted.is_floating_point():
        typed = array.astype(dtype)
        fits = bool(np.isfinite(typed.astype(np.float64)).all())
    else:
        with np.errstate(invalid="ignore"):
            typed = array.astype(dtype)
        fits = bool((typed == array).all())
    if not fits:
        bad = array if array.ndim == 0 else array.ravel()[:1]
        raise ModelError(
            f"constant '{value.name}': expected {'finite numbers' if wanted.is_floating_point() else 'numbers'} of the "
            f"input's type {wanted}, got {bad.item() if bad.size else given!r}"
        )
    return typed


def _shaped(value: ir.Value, array: np.ndarray) -> np.ndarray:
    """Bring the array to the input's shape; one number fills a static shape."""
    if value.shape is None:
        return array
    sizes = list(value.shape.dims)
    if array.ndim == 0 and sizes:
        if not all(isinstance(size, int) for size in sizes):
            raise ModelError(
                f"constant '{value.name}': expected an array of shape {shape_text(value.shape)}, got one number, "
                "which can fill static shapes only"
            )
        return np.full([int(size) for size in sizes if isinstance(size, int)], array)
    fits = array.ndim == len(sizes) and all(
        not isinstance(size, int) or size == got for size, got in zip(sizes, array.shape, strict=True)
    )
    if not fits or math.prod(array.shape) == 0:
        raise ModelError(f"constant '{value.name}': expected shape {shape_text(value.shape)}, got {array.shape}")
    return array


def _name_sizes(graph: ir.Graph, bound: ir.Value, got: tuple[int, ...]) -> None:
    """Set open sizes that share a name with a size of the bound input."""
    named = bound.shape.dims if bound.shape is not None else ()
    known = {
        size.value: number
        for size, number in zip(named, got, strict=bool(named))
        if isinstance(size, ir.SymbolicDim) and size.value
    }
    for other in graph.inputs:
        if other.shape is not None and other is not bound:
            other.shape = ir.Shape(
                [size if isinstance(size, int) else known.get(size.value or "", size) for size in other.shape.dims]
            )
