"""Modules that compute with the size of their batch have a fixed one; all others run on any batch."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from intaglio_tests.onnx_net import assert_same, run
from torch import Tensor, nn

from intaglio.frontends import load
from intaglio.frontends.torch import load_torch
from intaglio.graph import shape


class Function(nn.Module):
    """A module of one function."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


def _if_one(x: Tensor) -> Tensor:
    return -x if x.shape[0] == 1 else torch.relu(x)


def _if_many(x: Tensor) -> Tensor:
    return -x if len(x) > 40 else torch.relu(x)


def _constant(x: Tensor) -> Tensor:
    return x * torch.tensor(float(x.size(0)))


def _by_numel(x: Tensor) -> Tensor:
    return x.sum(dim=(1, 2)) / x.numel()


def _widens(x: Tensor) -> Tensor:
    return x.flatten(1).repeat(1, x.shape[0])


DEPENDENT = [_if_one, _if_many, _constant, _by_numel, _widens]
DEPENDENT_INLINE: dict[str, Callable[[Tensor], Tensor]] = {
    "over the batch": lambda x: x / x.shape[0],
    "full": lambda x: x + torch.full((1, 4), 1 / len(x)),
    "slice": lambda x: torch.relu(x[:, :, : x.shape[0]]),
}
CASES = {**{function.__name__[1:]: function for function in DEPENDENT}, **DEPENDENT_INLINE}


@pytest.mark.parametrize(
    ("function", "size"), [(function, 1 + 2 * (i % 2)) for i, function in enumerate(CASES.values())], ids=CASES
)
def test_what_depends_on_the_batch_fixes_it(function: Callable[[Tensor], Tensor], size: int) -> None:
    module, x = Function(function), torch.randn(size, 3, 4, generator=torch.Generator().manual_seed(0))
    graph = load(module, x)
    assert not graph.batched
    assert shape(graph.inputs[0]) == (size, 3, 4)
    assert graph.history[0].startswith(f"the batch is fixed to {size}, as in the example inputs: ")
    assert "depends on the size of the batch" in graph.history[0]
    assert_same(run(graph, {graph.inputs[0].name: x.numpy()}), [module(x).numpy()])
    assert not load(graph.proto()).batched


APART: dict[str, Callable[[Tensor], Tensor]] = {
    "view": lambda x: torch.relu(x).view(x.size(0), -1),
    "reshape and back": lambda x: torch.relu(x.reshape(len(x), 2, 6)).reshape(x.shape),
    "squeeze all": lambda x: x.mean(dim=(1, 2), keepdim=True).squeeze(),
}


@pytest.mark.parametrize("function", APART.values(), ids=APART)
def test_sizes_in_views_leave_the_batch_open(function: Callable[[Tensor], Tensor]) -> None:
    module = Function(function)
    graph = load_torch(module, torch.zeros(3, 3, 4))
    assert graph.batched, graph.history
    x = torch.randn(5, 3, 4, generator=torch.Generator().manual_seed(0))
    assert_same(run(graph, {graph.inputs[0].name: x.numpy()}), [module(x).numpy()])


def test_statistics_of_the_batch_mix_samples() -> None:
    norm = nn.BatchNorm1d(3, track_running_stats=False)  # it takes those of the batch in eval mode too
    for module in (norm, Function(lambda x: x - x.mean(0, keepdim=True)), Function(lambda x: x / x.sum())):
        x = torch.randn(4, 3, 5, generator=torch.Generator().manual_seed(0))
        graph = load(module, x)
        assert not graph.batched
        assert shape(graph.inputs[0]) == (4, 3, 5)
        assert "the batch is fixed to 4, as in the example inputs: " in graph.history[0]
        with torch.no_grad():
            wanted = module.eval()(x).numpy()
        assert_same(run(graph, {graph.inputs[0].name: x.numpy()}), [wanted])


def test_a_module_for_one_number_of_samples_says_so() -> None:
    def only(count: int) -> Callable[[Tensor], Tensor]:
        def function(x: Tensor) -> Tensor:
            if x.shape[0] != count:
                raise ValueError(f"made for {count}")
            return torch.relu(x)

        return function

    one = load(Function(only(1)), torch.zeros(1, 4))
    assert "loaded with 1 sample, as in the example inputs: with two samples it cannot be loaded" in one.history[0]
    assert "made for 1" in one.history[0]
    assert shape(one.inputs[0]) == (1, 4)
    three = load(Function(only(3)), torch.zeros(3, 4))
    assert not three.batched
    assert shape(three.inputs[0]) == (3, 4)
    assert "the batch is fixed to 3" in three.history[0]
    x = np.eye(3, 4, dtype=np.float32) - 0.5
    assert_same(run(three, {three.inputs[0].name: x}), [np.maximum(x, 0)])
    two = load(Function(only(2)), torch.zeros(2, 4))
    assert not two.batched
    assert "with 61 samples it cannot be exported" in two.history[0]
