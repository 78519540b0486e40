"""Networks of many shapes train, every parameter of theirs learns, and they freeze to what was trained."""

from __future__ import annotations

import pytest
import torch
from intaglio_tests.follows import assert_follows, assert_freezes_to_itself, trace
from intaglio_tests.qat_nets import NETS, Attention, Preactivated

import intaglio as ig
from intaglio.errors import DataError
from intaglio.train.distill import capture
from intaglio.train.freeze import freeze_graph
from intaglio.train.loop import TrainSettings
from intaglio.train.loop.losses import Loss
from intaglio.train.reestimate import reestimate_batch_norm
from intaglio.train.teacher import FloatModule

GONE = {"attention.in_proj_bias", "prelu.weight"}  # what the exporter cuts or reshapes gets another name


def made(name: str) -> tuple[torch.nn.Module, torch.Tensor]:
    """A network whose batch norms have seen data, and a batch."""
    torch.manual_seed(3)
    make, shape = NETS[name]
    net, x = make(), torch.randn(12, *shape)
    with torch.no_grad():
        net.train()(x)
    return net.eval(), x


@pytest.mark.parametrize("name", NETS)
def test_every_parameter_learns_and_the_frozen_network_is_the_trained_one(name: str) -> None:
    net, x = made(name)
    with torch.no_grad():
        want = 1.1 * net(x) + 0.05
    qat = ig.prepare_qat(net, x[:1], target="w4a8")
    before = {key: p.detach().clone() for key, p in qat.named_parameters()}
    assert set(dict(net.named_parameters())) <= set(before) | GONE
    optimizer = torch.optim.Adam(qat.parameters(), lr=2e-3)
    losses = []
    for _ in range(8):
        optimizer.zero_grad()
        loss = (qat(x) - want).square().mean()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert min(losses[4:]) < losses[0]
    same = {key for key, p in qat.named_parameters() if p.requires_grad and torch.equal(p, before[key])}
    assert not {key for key in same if not key.startswith("quantizers.")}
    assert_freezes_to_itself(qat, x)


def test_a_batch_norm_without_a_product_trains() -> None:
    net, x = made("preactivated")
    qat = ig.prepare_qat(net, x[:1])
    mean = qat.get_buffer("before.running_mean").clone()
    qat(3 * x)
    assert not torch.equal(qat.get_buffer("before.running_mean"), mean)
    moved = qat.get_buffer("before.running_mean").clone()
    assert reestimate_batch_norm(qat, [x]) == 2
    assert not torch.equal(qat.get_buffer("before.running_mean"), moved)
    qat.freeze_batch_norm()
    still = qat.get_buffer("behind.running_var").clone()
    with torch.no_grad():
        assert torch.equal(qat.train()(x), qat.eval()(x))
    assert torch.equal(qat.get_buffer("behind.running_var"), still)
    with pytest.raises(DataError, match=r"\[BatchNormalization .* expected more than 1 value per channel"):
        alone = ig.prepare_qat(
            torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.ReLU(), torch.nn.BatchNorm1d(2)), x[:1, :, 0, 0]
        )
        alone(torch.randn(1, 3))


def test_a_network_of_single_samples_takes_batches() -> None:
    net, x = made("attention")
    qat = ig.prepare_qat(net, x[:1])
    assert not qat.graph.batched
    qat(x)
    qat.eval()
    with torch.no_grad():
        one_by_one = torch.cat([qat(x[i : i + 1]) for i in range(len(x))])
        torch.testing.assert_close(qat(x), one_by_one)
        torch.testing.assert_close(FloatModule(qat.graph)(x), net(x), atol=1e-5, rtol=0)
    with pytest.raises(DataError, match="batch: expected whole samples of shape .1, 6, 8., equally many"):
        qat(x[:0])


def test_features_of_single_samples_are_concatenated() -> None:
    net, x = made("attention")
    module = torch.nn.Sequential(net, torch.nn.Softmax(1)).eval()
    qat = ig.prepare_qat(module, x[:1])
    teacher = FloatModule(qat.graph)
    (logits,) = (str(node.inputs[0].name) for node in qat.graph.nodes if node.outputs[0] is qat.graph.outputs[0])
    with capture(teacher, [logits]) as features:
        for batch in (x, x[:3]):
            teacher(batch)
            torch.testing.assert_close(features[logits], net(batch), atol=1e-5, rtol=0)
    loss = Loss(TrainSettings(distill=0.5), qat, teacher)
    with loss.watching():
        loss(qat(x), torch.arange(len(x)) % 4, (x,)).backward()
    assert qat.get_parameter("0.fc.weight").grad is not None
    assert teacher.observe is None


def test_the_networks_match_their_descriptions() -> None:
    assert not ig.prepare_qat(Attention(), torch.zeros(1, 6, 8)).graph.batched
    operators = {node.op_type for node in ig.prepare_qat(Preactivated(), torch.zeros(1, 3, 8, 8)).graph.nodes}
    assert "BatchNormalization" in operators


def test_a_network_with_another_function_is_detected() -> None:
    net, x = made("no bias")
    qat = ig.prepare_qat(net, x[:1], target="w4a8")
    qat(x)
    qat.eval()
    values, (graph, plan) = trace(qat, x), freeze_graph(qat)
    assert_follows(graph, plan, values)
    name = str(graph.outputs[0].name)
    step = torch.as_tensor(plan.params(name).scale)
    values[name][3, 1] += step * (1 if values[name][3, 1] < 0 else -1)
    with pytest.raises(AssertionError, match=f"{name}: 1 of 48 are not the rounded result"):
        assert_follows(graph, plan, values)
