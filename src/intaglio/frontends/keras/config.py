"""Check Keras' description of a network before it is made: no code, known layers; translate what Keras 2 wrote."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from copy import deepcopy
from pathlib import Path
from types import ModuleType
from typing import Any

from intaglio.errors import ModelError
from intaglio.frontends.keras.archive import Config

_CODE = {
    "Lambda": "a function stored as code",
    "__lambda__": "a function stored as code",
    "TFSMLayer": "a TensorFlow program",
    "TorchModuleWrapper": "a pickled PyTorch module",
}
"""Classes whose description holds code, which is never run."""

_TENSORFLOW_CALLS = {"TFOpLambda", "SlicingOpLambda", "TensorFlowOpLayer", "ClassMethod", "InstanceMethod"}
"""What Keras 2 writes for TensorFlow functions that are called between layers."""

_TRANSPOSED = ("Conv1DTranspose", "Conv2DTranspose", "Conv3DTranspose")
_RECURRENT = ("LSTM", "GRU", "SimpleRNN", "RNN", "ConvLSTM1D", "ConvLSTM2D", "ConvLSTM3D")
_DROPPED: Mapping[tuple[str, ...], Mapping[str, Any]] = {
    ("DepthwiseConv1D", "DepthwiseConv2D", *_TRANSPOSED): {"groups": 1},
    _RECURRENT: {"time_major": False},
    ("BatchNormalization",): {"virtual_batch_size": None, "fused": None},
}
"""Settings that Keras 3 has dropped, and the one value of each that means what Keras 3 does."""


def check_config(path: Path, config: Config, keras: ModuleType, custom_objects: Mapping[str, Any]) -> None:
    """Refuse code, and layers that are neither Keras' own nor given.

    Args:
        path: of the file, for error messages.
        config: the network's description.
        keras: Keras 3.
        custom_objects: classes and functions by name.
    Raises:
        ModelError: names the layer.
    """
    for item, is_layer in _objects(config):
        name = item["class_name"]
        if name in _CODE:
            raise ModelError(
                f"{path}: {_where(item)} expected layers that Keras defines, got {_CODE[name]}, which is not run; "
                "write it with Keras' layers or keras.ops, or call intaglio.load(model) with the model that your code "
                "makes"
            )
        if name in _TENSORFLOW_CALLS:
            function = _inner(item).get("function") or _inner(item).get("name")
            raise ModelError(
                f"{path}: {_where(item)} expected layers that Keras 3 defines, got a call of TensorFlow's "
                f"{function!r}, as Keras 2 stores it; write it with a layer of Keras or keras.ops, or export the "
                "network to ONNX"
            )
        if is_layer and not _is_known(item, keras, custom_objects):
            raise ModelError(
                f"{path}: {_where(item)} expected a layer that Keras defines, got a custom one; give its class with "
                f"intaglio.load(path, custom_objects={{{_short(item)!r}: {_short(item)}}}), or on the command line "
                "give package.module:factory, a function that returns the model"
            )


def translated(path: Path, config: Config) -> Config:
    """Translate the description in a legacy file, without the settings that Keras 3 has dropped.

    Raises:
        ModelError: a dropped setting has a value that Keras 3 has no equivalent for.
    """
    config = deepcopy(config)
    for item, _ in _objects(config):
        for classes, settings in _DROPPED.items():
            for key, neutral in settings.items() if item["class_name"] in classes else ():
                inner = _inner(item)
                value = inner.pop(key, neutral)
                if value != neutral:
                    raise ModelError(
                        f"{path}: {_where(item)} expected {key}={neutral}, as Keras 3 has no other, got {value!r}; "
                        "export the network to ONNX with the Keras that made it"
                    )
    return config


def _objects(value: Any, inside: str = "layers") -> Iterator[tuple[Config, bool]]:
    """Walk over all described objects; beside each, whether it is a layer or model for certain."""
    stack: list[tuple[Any, str]] = [(value, inside)]
    while stack:
        current, key = stack.pop()
        if isinstance(current, dict):
            if isinstance(current.get("class_name"), str):
                yield current, key in ("layers", "layer")
            stack += [(inner, str(name)) for name, inner in current.items()]
        elif isinstance(current, list):
            stack += [(inner, key) for inner in current]


def _is_known(item: Config, keras: ModuleType, custom_objects: Mapping[str, Any]) -> bool:
    name, registered = item["class_name"], item.get("registered_name")
    if any(key in custom_objects for key in (name, registered)):
        return True
    if keras.saving.get_registered_object(registered or name) is not None:
        return True
    module = item.get("module")
    if module is not None:
        return str(module).split(".")[0] == "keras"
    if "module" in item or (registered or name) != name:
        return False
    return name in ("Functional", "Model", "Sequential") or hasattr(keras.layers, name)


def _where(item: Config) -> str:
    name = _inner(item).get("name") or item.get("name")
    return f"[{_short(item)} '{name}']" if isinstance(name, str) else f"[{_short(item)}]"


def _short(item: Config) -> str:
    return str(item["class_name"])


def _inner(item: Config) -> Config:
    inner = item.get("config")
    return inner if isinstance(inner, dict) else {}
