"""Small Keras networks with random weights, and Keras on its PyTorch backend for them."""

from __future__ import annotations

from importlib.util import find_spec
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from intaglio.frontends.keras import import_keras


def keras_or_skip() -> ModuleType:
    """Import Keras, or skip the test that needs it."""
    if find_spec("keras") is None or find_spec("h5py") is None:
        pytest.skip("needs Keras and h5py (extra `keras`)")
    return import_keras("tests")


def randomized(model: Any, seed: int = 0) -> Any:
    """Give every variable random numbers; those that are variances stay positive."""
    rng = np.random.default_rng(seed)
    for variable in model.variables:
        if str(variable.dtype).startswith("float"):
            spread = 1 / np.sqrt(max(1, np.prod(variable.shape[:-1])))
            positive = "variance" in variable.path or "gamma" in variable.path
            array = rng.uniform(0.5, 1.5, variable.shape) if positive else rng.normal(0, spread, variable.shape)
            variable.assign(array.astype(np.float32))
    return model


def called(model: Any, *inputs: NDArray[Any]) -> list[NDArray[Any]]:
    """What Keras computes, in its order of outputs."""
    keras = import_keras("tests")
    found = model(inputs[0] if len(inputs) == 1 else list(inputs), training=False)
    return [value.detach().cpu().numpy() for value in keras.tree.flatten(found)]


def small_sequential(keras: ModuleType) -> Any:
    """Conv, depthwise conv, batch norm, pooling, dense."""
    layers = keras.layers
    return randomized(
        keras.Sequential(
            [
                layers.Input((12, 10, 3), name="image"),
                layers.Conv2D(8, 3, strides=2, padding="same", activation="relu", name="stem"),
                layers.DepthwiseConv2D(3, padding="same", use_bias=False, name="depthwise"),
                layers.BatchNormalization(name="norm"),
                layers.ReLU(6.0, name="clamp"),
                layers.AveragePooling2D(2, name="pool"),
                layers.Flatten(name="flatten"),
                layers.Dense(5, activation="softmax", name="classes"),
            ],
            name="small",
        )
    )


def small_functional(keras: ModuleType) -> Any:
    """A residual block, a concatenation, and an image and classes as outputs."""
    layers = keras.layers
    image = layers.Input((8, 8, 4), name="image")
    x = layers.Conv2D(6, 3, padding="same", name="first")(image)
    y = layers.SeparableConv2D(6, 3, padding="same", activation="relu", name="separable")(x)
    x = layers.Add(name="residual")([x, y])
    x = layers.ZeroPadding2D(((0, 1), (0, 1)), name="pad")(x)
    x = layers.Conv2D(6, 3, strides=2, name="down")(x)
    up = layers.Conv2DTranspose(3, 2, strides=2, name="up")(x)
    up = layers.Concatenate(name="both")([up, image])
    mask = layers.Conv2D(2, 1, activation="sigmoid", name="mask")(up)
    classes = layers.Dense(3, name="classes")(layers.GlobalAveragePooling2D(name="mean")(x))
    return randomized(keras.Model(image, [mask, classes], name="two_heads"))
