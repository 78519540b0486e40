"""Import Keras 3 on its PyTorch backend, only when a Keras model has to be loaded."""

from __future__ import annotations

import os
from importlib import import_module
from types import ModuleType

from intaglio.errors import UsageError

_BACKEND = "KERAS_BACKEND"


def import_keras(wanted_by: str) -> ModuleType:
    """Import Keras 3 on PyTorch.

    Keras reads its backend once, from the environment, when it is imported; the variable is put back afterwards.

    Args:
        wanted_by: what needs Keras, for error messages.
    Raises:
        UsageError: Keras or h5py is not installed, is older than Keras 3, or runs on another backend already.
    """
    before = os.environ.get(_BACKEND)
    os.environ[_BACKEND] = "torch"
    try:
        import h5py  # noqa: F401  Keras imports it where it is used, and says less where it is absent

        keras = import_module("keras")
    except ImportError as error:
        raise UsageError(
            f"{wanted_by}: expected Keras 3 and h5py to be installed, got: {error}; run pip install 'intaglio[keras]' "
            "(TensorFlow is not needed), or export the network to ONNX"
        ) from error
    finally:
        if before is None:
            del os.environ[_BACKEND]
        else:
            os.environ[_BACKEND] = before
    check_backend(keras, wanted_by)
    return keras


def check_backend(keras: ModuleType, wanted_by: str) -> None:
    """Refuse a Keras that was imported on another backend.

    Raises:
        UsageError: it is Keras 2, or does not run on PyTorch.
    """
    if int(keras.__version__.split(".")[0]) < 3:
        raise UsageError(
            f"{wanted_by}: expected Keras 3, got Keras {keras.__version__}; save the model as .h5, then load the file "
            "where Keras 3 is installed"
        )
    backend = keras.backend.backend()
    if backend != "torch":
        raise UsageError(
            f"{wanted_by}: expected Keras on the backend torch, got {backend}, with which it was imported in this "
            "process; set the environment variable KERAS_BACKEND=torch before the first import of keras, or save the "
            "model with model.save('model.keras') and load the file in another process"
        )


def is_keras(model: object) -> bool:
    """Tell whether an object is a layer or model of Keras, of any version and backend, without importing Keras."""
    return any(
        kind.__module__.split(".")[0] in ("keras", "tf_keras") and kind.__name__ == "Layer"
        for kind in type(model).__mro__
    )
