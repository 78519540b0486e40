"""Load Keras models, from .keras and .h5 files and from memory, on Keras' PyTorch backend."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from intaglio.frontends.keras.keras_backend import import_keras, is_keras

if TYPE_CHECKING:
    from intaglio.graph.graph import Graph

SUFFIXES = (".keras", ".h5", ".hdf5")
"""Of the files that Keras writes."""


def load_keras(
    model: Any,
    example_inputs: Any = None,
    shapes: Mapping[str, tuple[int | None, ...]] | None = None,
    custom_objects: Mapping[str, Any] | None = None,
) -> Graph:
    """Load a Keras model or file as a Graph; see `load_network` and `read_model`.

    Args:
        model: path of a .keras or .h5 file, or a Keras model on the PyTorch backend.
        example_inputs: for a model that does not know its inputs' shapes.
        shapes: sizes by input name for what the model leaves open beyond the batch.
        custom_objects: classes and functions by name that a file needs beside Keras' own.
    Raises:
        ModelError, UsageError: it cannot be read, or Keras is missing or runs on another backend.
    """
    is_file = isinstance(model, (str, os.PathLike))
    keras = import_keras(os.fspath(model) if is_file else type(model).__name__)
    from intaglio.frontends.keras.model_file import read_model
    from intaglio.frontends.keras.network import load_network

    network = read_model(Path(model), keras, custom_objects) if is_file else model
    return load_network(network, keras, example_inputs, shapes)


__all__ = ["SUFFIXES", "import_keras", "is_keras", "load_keras"]
