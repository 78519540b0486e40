"""Make a torch module or Keras model with its weights from `package.module:factory`, as a command line names it."""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import TYPE_CHECKING, Any

from intaglio.errors import ModelError, UsageError
from intaglio.files.import_name import import_name
from intaglio.frontends.keras import import_keras, is_keras

if TYPE_CHECKING:
    from torch.nn import Module


def load_module(specification: str, weights: str | os.PathLike[str] | None = None) -> Module:
    """Call a factory for a module and load its weights from a file.

    This imports and runs the named Python code; the weights file is data only and is loaded with
    `weights_only=True`.

    Args:
        specification: "package.module:factory", importable from the current directory or the Python path. The
            factory is a function or class that is called without arguments, or a module itself. Keras is imported on
            its PyTorch backend, unless the environment names another.
        weights: a state dict as `torch.save` writes it, also one inside a checkpoint under "state_dict" or "model";
            for a Keras model a .weights.h5 file.
    Raises:
        UsageError: the module or factory cannot be imported or called.
        ModelError: the weights cannot be read or do not fit.
    """
    import torch

    os.environ.setdefault("KERAS_BACKEND", "torch")  # for code that imports Keras, whose default is TensorFlow
    found = import_name(specification, "factory")
    if not isinstance(found, torch.nn.Module) and not is_keras(found):
        if not callable(found):
            raise UsageError(f"{specification}: expected a function that makes a torch module, got {found!r}")
        try:
            found = found()
        except Exception as error:
            raise ModelError(f"{specification}: expected a call without arguments to work, got: {error!r}") from error
    if is_keras(found):
        import_keras(specification)  # refuses another backend
    if not isinstance(found, torch.nn.Module):
        raise UsageError(f"{specification}: expected a torch.nn.Module, got {type(found).__name__}")
    if weights is not None and is_keras(found):
        _load_keras_weights(found, Path(weights))
    elif weights is not None:
        _load_weights(found, Path(weights))
    return found


def _load_keras_weights(model: Any, path: Path) -> None:
    if not path.is_file():
        raise ModelError(f"{path}: expected a file with weights, got nothing there; check the path")
    try:
        model.load_weights(path)
    except Exception as error:
        text = " ".join(str(error).split())[:400]
        raise ModelError(
            f"{path}: expected the weights of {type(model).__name__} as model.save_weights('model.weights.h5') writes "
            f"them, got: {text}"
        ) from error


def _load_weights(module: Module, path: Path) -> None:
    import torch

    if not path.is_file():
        raise ModelError(f"{path}: expected a file with weights, got nothing there; check the path")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise ModelError(
            f"{path}: expected tensors only, got a file that would run code when loaded; "
            "save it again with torch.save(module.state_dict(), path)"
        ) from error
    except Exception as error:
        text = " ".join(str(error).split())[:200]
        raise ModelError(f"{path}: expected a file that torch.save wrote, got: {text}") from error
    for key in ("state_dict", "model_state_dict", "model"):
        if isinstance(state, dict) and isinstance(state.get(key), dict):
            state = state[key]
    if not isinstance(state, dict):
        raise ModelError(f"{path}: expected a state dict, got {type(state).__name__}")
    if state and all(str(name).startswith("module.") for name in state):
        state = {str(name).removeprefix("module."): value for name, value in state.items()}
    try:
        module.load_state_dict(state)
    except Exception as error:
        text = " ".join(str(error).split())[:400]
        raise ModelError(f"{path}: expected the weights of {type(module).__name__}, got: {text}") from error
