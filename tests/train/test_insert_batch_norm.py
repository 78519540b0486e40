"""Batch norms inserted for training change nothing at first, and are folded at the end."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from intaglio_tests.loop_net import CLASSES, arrays, dataset_for
from intaglio_tests.onnx_net import Net

import intaglio as ig
from intaglio.cli import main
from intaglio.data import Dataset
from intaglio.errors import UsageError
from intaglio.evaluation.model_stages import data_for
from intaglio.frontends import prepare
from intaglio.frontends.torch import load_torch
from intaglio.graph import Graph
from intaglio.train.insert_batch_norm import insert_batch_norm, misses_batch_norm
from intaglio.train.prepare import prepare_qat
from intaglio.train.teacher import FloatModule
from intaglio.workflow.train import Beginning


class Folded(torch.nn.Module):
    """Convolutions with biases only, one of them depthwise, a residual sum and scores."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = torch.nn.Conv2d(3, 8, 3, padding=1, bias=False)
        self.depthwise = torch.nn.Conv2d(8, 8, 3, padding=1, groups=8)
        self.hidden, self.fc = torch.nn.Linear(8, 12), torch.nn.Linear(12, CLASSES)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.stem(x))
        x = x + torch.relu(self.depthwise(x))
        return torch.softmax(self.fc(torch.relu(self.hidden(x.mean((2, 3))))), 1)


@pytest.fixture(scope="module")
def graph() -> Graph:
    torch.manual_seed(2)
    return prepare(load_torch(Folded().eval(), (torch.zeros(1, 3, 8, 8),)))


def test_an_inserted_batch_norm_changes_nothing_at_first(graph: Graph) -> None:
    data = dataset_for(graph)
    before = [str(node.name) for node in graph.nodes]
    revived = insert_batch_norm(graph, data)
    assert [str(node.name) for node in graph.nodes] == before
    kinds = [node.op_type for node in revived.nodes]
    assert kinds.count("BatchNormalization") == 3  # not behind the scores
    x = torch.as_tensor(arrays()[0])
    torch.testing.assert_close(FloatModule(prepare(revived))(x), FloatModule(graph)(x), rtol=1e-4, atol=1e-6)
    names = {str(v.name) for node in graph.nodes for v in node.outputs}
    assert names <= {str(v.name) for node in revived.nodes for v in node.outputs}


def test_inserted_statistics_are_those_of_the_data(graph: Graph) -> None:
    """A revived norm, normalizing with those of the same data as one batch, is what it is with running ones."""
    data = dataset_for(graph)
    qat = prepare_qat(insert_batch_norm(graph, data), target="w4a8")
    assert len(qat.norms) == 3
    for _, norm in sorted(qat.norms.items()):
        gamma, variance = qat.get_parameter(norm.gamma), qat.get_buffer(norm.variance)
        torch.testing.assert_close(gamma.detach(), (variance + norm.epsilon).sqrt())
        torch.testing.assert_close(qat.get_parameter(norm.beta).detach(), qat.get_buffer(norm.mean))
    values = FloatModule(graph)
    seen: dict[str, torch.Tensor] = {}
    values.observe = seen.__setitem__
    values(torch.as_tensor(arrays()[0]))
    for name, norm in qat.norms.items():
        y = seen[name].movedim(1, 0).flatten(1)
        torch.testing.assert_close(qat.get_buffer(norm.mean), y.mean(1), rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(qat.get_buffer(norm.variance), y.var(1, correction=0), rtol=1e-4, atol=1e-6)


def test_the_frozen_network_has_no_batch_norm_and_is_the_trained_one(graph: Graph) -> None:
    data = dataset_for(graph)
    assert misses_batch_norm(prepare_qat(graph, target="w2a8"))
    assert not misses_batch_norm(prepare_qat(graph, target="cpu-int8"))
    qat = prepare_qat(insert_batch_norm(graph, data), target="w2a8")
    assert not misses_batch_norm(qat)
    x, y = (torch.as_tensor(a) for a in arrays(64))
    optimizer = torch.optim.SGD(qat.parameters(), lr=0.05, momentum=0.9)
    losses = []
    for _ in range(20):
        optimizer.zero_grad()
        loss = torch.nn.functional.nll_loss((qat(x) + 1e-6).log(), y)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]
    q = ig.freeze(qat.eval())
    assert "BatchNormalization" not in {node.op_type for node in q.graph.nodes}
    with torch.no_grad():
        want = qat(x).numpy()
    got = q.lower().run(x.numpy())
    assert np.abs(got - want).max() < 2.5 / 256
    assert (got.argmax(1) == want.argmax(1)).mean() > 0.95


def test_channels_may_lie_along_either_axis_of_a_dense_weight() -> None:
    """Exporters write x W with W (inputs, outputs), PyTorch W transposed."""
    rng = np.random.default_rng(3)
    net = Net()
    y = net.input("x", ("n", 6))
    for number, (size, turned) in enumerate([((6, 8), 0), ((5, 8), 1), ((5, 4), 0)]):
        w, b = rng.normal(size=size).astype(np.float32), rng.normal(size=size[1 - turned]).astype(np.float32)
        y = net.op("Gemm", y, w, b, transB=turned)
        y = net.op("Relu", y) if number < 2 else y
    net.output(y)
    graph = prepare(ig.load(net.model()))
    data = data_for(graph, rng.normal(size=(64, 6)).astype(np.float32))
    revived = insert_batch_norm(graph, data)
    qat = prepare_qat(revived, target="w4a8")
    assert sorted(norm.axis for norm in qat.norms.values()) == [0, 1]
    x = torch.as_tensor(next(data.batches(64))[0])
    torch.testing.assert_close(FloatModule(qat.graph)(x), FloatModule(graph)(x), rtol=1e-4, atol=1e-5)
    optimizer = torch.optim.SGD(qat.parameters(), lr=0.01)
    for _ in range(3):
        optimizer.zero_grad()
        qat(x).square().mean().backward()
        optimizer.step()
    q = ig.freeze(qat.eval())
    with torch.no_grad():
        want = qat(x).numpy()
    output = q.plan.params(str(q.graph.outputs[0].name))
    assert output is not None
    assert np.abs(q.lower().run(x.numpy()) - want).max() < 2.5 * output.scale


def test_networks_without_a_product_that_takes_batch_norm_stay() -> None:
    torch.manual_seed(0)
    alone = prepare(load_torch(torch.nn.Linear(4, 3), (torch.zeros(1, 4),)))
    assert insert_batch_norm(alone, dataset_of(alone)) is alone
    assert not misses_batch_norm(prepare_qat(alone, target="w2a8"))
    sequences = prepare(load_torch(torch.nn.MultiheadAttention(8, 2, batch_first=True), (torch.zeros(1, 6, 8),) * 3))
    assert not sequences.batched
    assert insert_batch_norm(sequences, None) is sequences  # type: ignore[arg-type]


def dataset_of(graph: Graph) -> Dataset:
    return data_for(graph, np.zeros((4, 4), np.float32))


def test_the_command_reports_its_result(graph: Graph, tmp_path) -> None:
    model, data, out = tmp_path / "net.onnx", tmp_path / "data.npz", tmp_path / "out"
    torch.manual_seed(2)
    torch.onnx.export(Folded().eval(), (torch.zeros(1, 3, 8, 8),), model, dynamo=True, input_names=["x"], verbose=False)
    x, y = arrays(160)
    np.savez(data, x=x, y=y)
    common = ["train", str(model), "--data", str(data), "--steps", "2", "--batch", "16", "--samples", "32"]
    common += ["--device", "cpu"]
    counts = {}
    for target, asked in (("w2a8", "auto"), ("w2a8", "as-is"), ("cpu-int8", "auto"), ("cpu-int8", "revive")):
        folder = out / f"{target}-{asked}"
        assert main([*common, "--target", target, "--batch-norm", asked, "-o", str(folder)]) == 0
        steps = json.loads((folder / "summary.json").read_text())["steps"]
        counts[target, asked] = [step["text"] for step in steps if step["algorithm"] == "batch norm"]
    said = ["3 new batch norms inserted for training"]
    assert counts == {
        ("w2a8", "auto"): said,
        ("w2a8", "as-is"): [],
        ("cpu-int8", "auto"): [],
        ("cpu-int8", "revive"): said,
    }
    with pytest.raises(UsageError, match="batch-norm: expected auto, revive, as-is, got 'live'"):
        Beginning(batch_norm="live")
