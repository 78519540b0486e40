"""Values between blocks: the same whether they lie in memory or in a file, and those of the whole network."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import intaglio as ig
from intaglio.evaluation.held_back import ArraySamples
from intaglio.recover import activation_cache
from intaglio.recover.activation_cache import ActivationCache, Rows
from intaglio.recover.blocks import blocks
from intaglio.recover.im2col import LAYERS
from intaglio.simulate import Simulator


class Mixed(nn.Module):
    """Joins the two rows of axis 0, so that samples are whole inputs."""

    def forward(self, x):
        return torch.softmax(x @ x.transpose(0, 1), dim=0)


@pytest.fixture(scope="module")
def graph():
    torch.manual_seed(0)
    layers = [m for _ in range(9) for m in (nn.Conv2d(3, 3, 3, padding=1), nn.ReLU())]
    return ig.load(nn.Sequential(*layers).eval(), (torch.zeros(1, 3, 6, 6),))


@pytest.mark.parametrize("in_memory", [True, False])
def test_rows_come_back_as_they_went(in_memory, rng):
    x = torch.as_tensor(rng.normal(size=(10, 3, 2)), dtype=torch.float32)
    rows = Rows(10, (3, 2), in_memory=in_memory)
    rows.write(0, x[:7])
    rows.write(7, x[7:])
    assert torch.equal(rows.read(range(10)), x)
    assert torch.equal(rows.read([9, 0, 4, 4]), x[[9, 0, 4, 4]])


@pytest.mark.parametrize("kept", [1 << 28, 0])
def test_block_by_block_is_the_whole_network(kept, graph, rng, monkeypatch):
    monkeypatch.setattr(activation_cache, "KEPT_BYTES", kept)
    x = rng.normal(size=(21, 3, 6, 6)).astype(np.float32)
    simulator = Simulator(graph)
    at = ActivationCache.at_inputs(simulator, ArraySamples([x], 8))
    assert at.count == 21
    parts = blocks(graph, [str(n.name) for n in graph.nodes if n.op_type in LAYERS])
    assert len(parts) == 3
    for part in parts[:-1]:
        at = at.run_nodes(simulator, part.start, part.stop, part.live_after)
        assert set(at.rows) == set(part.live_after)
    at = at.run_nodes(simulator, parts[-1].start, parts[-1].stop, simulator.output_names)
    (got,) = at.take(range(21), simulator.device)
    torch.testing.assert_close(got[simulator.output_names[0]], torch.as_tensor(simulator.run(x)[0]))


def test_samples_that_are_whole_inputs_stay_apart(rng):
    graph = ig.load(Mixed(), (torch.zeros(2, 3),))
    assert not graph.batched
    x = rng.normal(size=(5, 2, 3)).astype(np.float32)
    simulator = Simulator(graph)
    at = ActivationCache.at_inputs(simulator, ArraySamples([x]))
    assert at.count == 5
    at = at.run_nodes(simulator, 0, len(graph.nodes), simulator.output_names)
    name = simulator.output_names[0]
    got = torch.stack([values[name] for _, values in at.batches(simulator.device)])
    torch.testing.assert_close(got, torch.as_tensor(simulator.run(x)[0]))


def test_memory_is_bounded_and_the_rest_goes_to_files(graph, rng, monkeypatch):
    monkeypatch.setattr(activation_cache, "KEPT_BYTES", 20_000)
    simulator = Simulator(graph)
    for count in (40, 400):
        at = ActivationCache.at_inputs(simulator, ArraySamples([rng.normal(size=(count, 3, 6, 6)).astype(np.float32)]))
        held = sum(4 * rows.memory.numel() for rows in at.rows.values() if rows.memory is not None)
        assert held <= 20_000
