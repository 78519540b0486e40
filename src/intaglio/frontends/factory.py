"""Make a torch module with its weights from `package.module:factory`, as a command line names it."""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import TYPE_CHECKING

from intaglio.errors import ModelError, UsageError
from intaglio.files.import_name import import_name

if TYPE_CHECKING:
    from torch.nn import Module


def load_module(specification: str, weights: str | os.PathLike[str] | None = None) -> Module:
    """Call a factory for a module and load its weights from a file.

    This imports and runs the named Python code; the weights file is data only and is loaded with
    `weights_only=True`.

    Args:
        specification: "package.module:factory", importable from the current directory or the Python path. The
            factory is a function or class that is called without arguments, or a module itself.
        weights: a state dict as `torch.save` writes it, also one inside a checkpoint under "state_dict" or "model".
    Raises:
        UsageError: the module or factory cannot be imported or called.
        ModelError: the weights cannot be read or do not fit.
    """
    import torch

    found = import_name(specification, "factory")
    if not isinstance(found, torch.nn.Module):
        if not callable(found):
            raise UsageError(f"{specification}: expected a function that makes a torch module, got {found!r}")
        try:
            found = found()
        except Exception as error:
            raise ModelError(f"{specification}: expected a call without arguments to work, got: {error!r}") from error
    if not isinstance(found, torch.nn.Module):
        raise UsageError(f"{specification}: expected a torch.nn.Module, got {type(found).__name__}")
    if weights is not None:
        _load_weights(found, Path(weights))
    return found


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
