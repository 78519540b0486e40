"""The script that trained the sample networks still trains them, and the same every time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from types import ModuleType

import onnx
import pytest
import torch

from intaglio.zoo.sample_networks import FILES, SAMPLES

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


@pytest.fixture(scope="module")
def recipes() -> Iterator[ModuleType]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(EXAMPLES)
        yield import_module("train_samples")


def test_every_sample_has_a_recipe(recipes: ModuleType) -> None:
    assert set(recipes.RECIPES) == set(SAMPLES)


def test_training_reaches_97_percent_and_repeats(recipes: ModuleType) -> None:
    torch.manual_seed(123)
    before = torch.get_rng_state()
    recipe = replace(recipes.RECIPES["digits"], epochs=6)
    first, accuracy = recipes.train(recipe)
    second, again = recipes.train(recipe)
    assert accuracy >= 97
    assert again == accuracy
    assert not first.training
    for a, b in zip(first.state_dict().values(), second.state_dict().values(), strict=True):
        assert torch.equal(a, b)
    assert torch.equal(torch.get_rng_state(), before)  # the caller's random numbers are left alone


@pytest.mark.parametrize("name", sorted(SAMPLES))
def test_the_stored_network_has_the_layers_of_its_recipe(name: str, recipes: ModuleType, tmp_path: Path) -> None:
    recipe = recipes.RECIPES[name]
    stored = onnx.load(FILES / f"{name}.onnx").graph
    shape = tuple(d.dim_value for d in stored.input[0].type.tensor_type.shape.dim)[1:]
    module = recipe.network().eval()
    for norm in (m for m in module.modules() if isinstance(m, torch.nn.BatchNorm2d)):
        torch.nn.init.uniform_(norm.state_dict()["running_mean"])  # otherwise the convolutions have no bias
    recipes.export(module, shape, tmp_path / "new.onnx")
    made = onnx.load(tmp_path / "new.onnx").graph
    weights = [{i.name: tuple(i.dims) for i in graph.initializer if i.data_type == 1} for graph in (stored, made)]
    assert weights[0] == weights[1]
