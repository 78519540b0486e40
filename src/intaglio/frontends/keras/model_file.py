"""Read a .keras or .h5 file as a Keras model; no code in the file is run and nothing is fetched."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from intaglio.errors import IntaglioError, ModelError
from intaglio.frontends.keras.archive import read_config, rewrite_legacy
from intaglio.frontends.keras.config import check_config, translated


def read_model(path: Path, keras: ModuleType, custom_objects: Mapping[str, Any] | None = None) -> Any:
    """Read a Keras model from its file, on the CPU and without its optimizer.

    Args:
        path: .keras, or .h5 as Keras 2 and 3 write it.
        keras: Keras 3 on PyTorch.
        custom_objects: classes and functions by name that are not Keras' own.
    Raises:
        ModelError: the file is damaged, holds code, layers that Keras does not know, or settings that Keras refuses.
    """
    path = path.absolute()  # Keras takes some relative names for addresses
    given = dict(custom_objects or {})
    config = read_config(path)
    check_config(path, config, keras, given)
    if path.suffix.lower() == ".keras":
        return _loaded(path, path, keras, given)
    new = translated(path, config)
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "model.h5"
        rewrite_legacy(path, new, source)
        return _loaded(path, source, keras, given)


def _loaded(path: Path, source: Path, keras: ModuleType, custom_objects: dict[str, Any]) -> Any:
    try:
        with keras.device("cpu"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return keras.saving.load_model(source, custom_objects=custom_objects, compile=False, safe_mode=True)
    except IntaglioError:
        raise
    except Exception as error:
        text = " ".join(str(error).split())
        text = text.split("Exception encountered: ")[-1] if "Exception encountered" in text else text
        raise ModelError(
            f"{path}: expected a model that Keras {keras.__version__} can read, got: {text[:400]}; load it with the "
            "Keras that wrote it and save it again, or export it to ONNX"
        ) from error
