"""Keras models, in memory and in files, become Graphs that compute what Keras computes, in one layout."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from intaglio_tests.keras_nets import called, keras_or_skip, randomized, small_functional, small_sequential
from intaglio_tests.onnx_net import assert_same, count, run

from intaglio.api import freeze, prepare_qat
from intaglio.errors import ModelError, UsageError
from intaglio.frontends import load, load_unprepared
from intaglio.graph import Graph, shape

pytestmark = pytest.mark.filterwarnings(
    "ignore:__array__ implementation:DeprecationWarning"  # Keras 3.15 with NumPy 2.4, when it saves
)


@pytest.fixture(scope="module")
def keras() -> ModuleType:
    return keras_or_skip()


def assert_computes(graph: Graph, model: Any, rng: np.random.Generator, tolerance: float = 1e-5) -> None:
    """The Graph gives what the model gives, for two samples."""
    feeds = {str(v.name): rng.uniform(-1, 1, (2, *shape(v)[1:])).astype(np.float32) for v in graph.inputs}
    assert graph.batched
    assert_same(run(graph, feeds), called(model, *feeds.values()), tolerance)


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_file_of_a_sequential_model(keras: ModuleType, suffix: str, tmp_path: Path, rng: np.random.Generator) -> None:
    model = small_sequential(keras)
    model.save(tmp_path / f"net{suffix}")
    graph = load(tmp_path / f"net{suffix}")
    assert_computes(graph, model, rng)
    assert graph.model.graph.name == f"net{suffix}"
    names = {node.name: node.op_type for node in graph.nodes}
    assert names["stem"] == names["depthwise"] == "Conv"
    assert names["stem.relu"] == "Relu"
    assert names["clamp"] == "Clip"
    assert names["classes"] == "Gemm"
    assert [str(value.name) for value in (*graph.inputs, *graph.outputs)] == ["image", "classes"]
    assert {"stem.kernel", "depthwise.kernel", "norm"} <= set(graph.values())


def test_transposes_are_left_at_the_ends_only(keras: ModuleType, rng: np.random.Generator) -> None:
    model = small_functional(keras)
    graph = load(model)
    assert_computes(graph, model, rng)
    assert [shape(value) for value in graph.outputs] == [(1, 8, 8, 2), (1, 3)]  # channels last, as Keras has them
    assert [str(value.name) for value in graph.outputs] == ["mask", "classes"]
    for node in graph.nodes:
        if node.op_type == "Transpose":
            assert node.inputs[0] in graph.inputs or node.outputs[0] in graph.outputs
    weights = {
        "first.kernel",
        "separable.depthwise_kernel",
        "separable.pointwise_kernel",
        "up.kernel",
        "classes.kernel",
    }
    assert weights <= {str(value.name) for value in graph.initializers}


def test_nested_and_shared_layers_have_paths(keras: ModuleType, rng: np.random.Generator) -> None:
    layers = keras.layers
    block = keras.Sequential([layers.Input((6,)), layers.Dense(6, name="inner")], name="block")
    x = layers.Input((6,), name="x")
    shared = layers.Dense(6, activation="relu", name="shared")
    model = randomized(keras.Model(x, shared(block(shared(x)))))
    graph = load(model)
    assert_computes(graph, model, rng)
    names = [node.name for node in graph.nodes if node.op_type == "Gemm"]
    assert names == ["shared", "block.inner", "shared__2"]
    assert {"shared.kernel", "block.inner.kernel"} <= set(graph.values())


def test_several_inputs_keep_their_names(keras: ModuleType, rng: np.random.Generator) -> None:
    layers = keras.layers
    inputs = {"left": layers.Input((4,), name="left"), "right": layers.Input((3,), name="right")}
    model = keras.Model(inputs, layers.Dense(2, name="out")(layers.Concatenate()([inputs["left"], inputs["right"]])))
    graph = load(randomized(model))
    assert [str(value.name) for value in graph.inputs] == ["left", "right"]
    feeds = {"left": rng.normal(size=(2, 4)).astype(np.float32), "right": rng.normal(size=(2, 3)).astype(np.float32)}
    wanted = model({name: keras.ops.convert_to_tensor(array) for name, array in feeds.items()})
    assert_same(run(graph, feeds), [wanted.detach().numpy()], 1e-5)


def subclassed(keras: ModuleType) -> type[Any]:
    @keras.saving.register_keras_serializable("tests")
    class Small(keras.Model):  # type: ignore[misc, name-defined]
        def __init__(self, **options: Any) -> None:
            super().__init__(**options)
            self.stem = keras.layers.Conv2D(4, 3, name="stem")
            self.head = keras.layers.Dense(3, name="head")

        def build(self, shape: Any) -> None:
            self.stem.build(shape)
            self.head.build((None, 6 * 6 * 4))
            self.built = True

        def call(self, x: Any) -> Any:
            x = keras.ops.relu(self.stem(x))
            return self.head(keras.ops.reshape(x, (-1, 6 * 6 * 4)))

    return Small


def test_subclassed_model_from_its_file(keras: ModuleType, tmp_path: Path, rng: np.random.Generator) -> None:
    model = subclassed(keras)(name="small")
    model.build((None, 8, 8, 2))
    randomized(model)
    path = tmp_path / "net.keras"
    model.save(path)
    graph = load(path)
    assert_computes(graph, model, rng)
    assert count(graph) == {"Transpose": 1, "Conv": 1, "Relu": 1, "Reshape": 1, "Gemm": 1}
    assert {"stem", "head"} <= {node.name for node in graph.nodes}


def test_unbuilt_model_needs_example_inputs(keras: ModuleType) -> None:
    model = keras.Sequential([keras.layers.Dense(3)])
    with pytest.raises(UsageError, match=r"Sequential: expected a model that knows its inputs' shapes"):
        load(model)
    assert shape(load(model, np.zeros((1, 4), np.float32)).inputs[0]) == (1, 4)


def test_open_sizes_are_given_as_for_onnx(keras: ModuleType, rng: np.random.Generator) -> None:
    layers = keras.layers
    model = randomized(
        keras.Sequential([layers.Input((None, None, 3), name="image"), layers.Conv2D(2, 3, strides=2, padding="same")])
    )
    with pytest.raises(ModelError, match=r"input 'image': .* got \(\?, \?, \?, 3\); fix them with --shape image=1,\?"):
        load(model)
    with pytest.raises(ModelError, match=r"input 'image': expected size 3 in axis 3, as the model fixes it, got 4"):
        load(model, shapes={"image": (None, 9, 7, 4)})
    with pytest.raises(ModelError, match=r"shape of 'x': expected one of the inputs \['image'\]"):
        load(model, shapes={"x": (None, 9, 7, 3)})
    graph = load(model, shapes={"image": (None, 9, 7, 3)})
    assert shape(graph.inputs[0]) == (1, 9, 7, 3)
    assert_computes(graph, model, rng)


def test_model_is_left_as_it_was(keras: ModuleType, rng: np.random.Generator) -> None:
    model = small_sequential(keras)
    before = [vars(layer).keys() for layer in model.layers], model.training
    load(model)
    assert ([vars(layer).keys() for layer in model.layers], model.training) == before


def test_a_mixed_batch_is_named(keras: ModuleType) -> None:
    layers = keras.layers
    x = layers.Input((4,), name="x")
    y = layers.Dense(4)(x)
    graph = load(randomized(keras.Model(x, y - keras.ops.mean(y, axis=0, keepdims=True))))
    assert not graph.batched


def test_batch_norm_keeps_its_statistics(keras: ModuleType, rng: np.random.Generator) -> None:
    model = small_sequential(keras)
    assert count(load_unprepared(model))["BatchNormalization"] == 1
    assert "norm" in load(model).moments


def test_model_trains_with_quantization(keras: ModuleType, rng: np.random.Generator) -> None:
    trained = prepare_qat(small_sequential(keras), target="cpu-int8")
    x = torch.from_numpy(rng.uniform(-1, 1, (64, 12, 10, 3)).astype(np.float32))
    optimizer = torch.optim.SGD(trained.parameters(), 1e-3)
    for _ in range(2):
        trained(x).sum().backward()
        optimizer.step()
    program = freeze(trained).lower()
    assert program.run(x.numpy()).shape == (64, 5)
    assert [tensor.shape for name, tensor in program.tensors.items() if name in program.inputs] == [(1, 12, 10, 3)]


@pytest.mark.parametrize("axis", [-1, 1, 2])
def test_batch_norm_of_any_axis(keras: ModuleType, axis: int, rng: np.random.Generator) -> None:
    layers = keras.layers
    norm = layers.BatchNormalization(axis=axis, scale=axis != 1, center=axis != 2, name="norm")
    model = randomized(keras.Sequential([layers.Input((5, 4, 3)), norm]))
    assert_computes(load(model), model, rng)
