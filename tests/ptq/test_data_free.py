"""The chain without data: from a float network to integers, with nothing but its weights and its batch norms."""

from __future__ import annotations

import functools

import numpy as np
import pytest
import torch
from torch import nn

import intaglio as ig
from intaglio.calibrate.data_free.clipped_gaussian import ClippedGaussian
from intaglio.calibrate.data_free.noise import Noise
from intaglio.calibrate.data_free.prediction import predict
from intaglio.errors import CalibrationError
from intaglio.evaluation.model_stages import score
from intaglio.graph.edit import set_constant
from intaglio.plan import place
from intaglio.ptq.data_free import quantize_without_data
from intaglio.recover import equalize, free_constant_channels
from intaglio.simulate import Simulator
from intaglio.targets import load_target


@functools.cache
def trained(spread: float) -> tuple[ig.Graph, np.ndarray]:
    """Batch norms that saw noise; the scales of the hidden channels spread over so many decades."""
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(3, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU(),
        nn.Conv2d(16, 16, 3, groups=16, padding=1), nn.BatchNorm2d(16), nn.ReLU(), nn.Conv2d(16, 8, 1), nn.ReLU(),
        nn.Flatten(), nn.Linear(8 * 64, 5),
    )  # fmt: skip
    wide = torch.tensor(np.inf, dtype=torch.float64)
    given = ClippedGaussian(torch.full((1, 3, 8, 8), 0.2).double(), torch.ones(1, 3, 8, 8).double(), -wide, wide)
    x = np.concatenate([batch["x"] for batch, _ in Noise({"x": given}, 128).batches(64)])
    factors = 10.0 ** torch.linspace(-spread / 2, spread / 2, 16)
    with torch.no_grad():
        for layer in net:
            if isinstance(layer, nn.BatchNorm2d):
                layer.momentum = None
                layer.weight.copy_(factors)
                layer.bias.copy_(0.5 * factors)
        net[6].weight.data /= factors.reshape(1, -1, 1, 1)
        net.train()
        net(torch.as_tensor(x))
    return ig.load(net.eval(), torch.zeros(1, 3, 8, 8)), x


def sqnr(graph: ig.Graph, made: ig.Graph, plan: ig.Quantized | object, x: np.ndarray) -> float:
    want = Simulator(graph).run(x)[0]
    got = ig.Quantized(made, plan).lower().run(x)  # type: ignore[arg-type]
    return float(10 * np.log10(np.square(want - want.mean(0)).sum() / np.square(want - got).sum()))


def test_equalization_is_found_and_taken_without_data():
    graph, x = trained(3.0)
    target = load_target("int8-per-tensor")
    plain = quantize_without_data(graph, lambda g: place(g, target), equalize=False, bias_correction=False)
    found = quantize_without_data(graph, lambda g: place(g, target))
    before, after = sqnr(graph, plain.graph, plain.plan, x), sqnr(graph, found.graph, found.plan, x)
    assert after > before + 6, (before, after)
    text = "\n".join(map(str, found.steps))
    assert "equalization" in text
    assert "inputs of noise" in text
    assert "calibrated without data" in text
    assert found.statistics.samples == 0


@pytest.mark.parametrize(("equalize_too", "correct"), [(True, False), (False, True)])
def test_each_part_can_be_left_out(equalize_too, correct):
    graph, _ = trained(3.0)
    found = quantize_without_data(
        graph,
        lambda g: place(g, load_target("int8-per-tensor")),
        equalize=equalize_too,
        bias_correction=correct,
    )
    text = "\n".join(map(str, found.steps))
    assert ("equalization" in text) == equalize_too
    assert ("bias correction" in text) == correct


def test_candidates_without_gain_are_not_taken():
    graph, x = trained(0.0)
    found = quantize_without_data(graph, lambda g: place(g, load_target("int16x8")))
    assert sqnr(graph, found.graph, found.plan, x) > 25
    decided = [s for s in found.steps if "inputs of noise" in str(s)]
    assert all(s.kept == (s.after >= s.before + 0.5) for s in decided)


def test_auto_compares_two_calibrators_on_noise():
    graph, x = trained(0.0)
    found = quantize_without_data(graph, lambda g: place(g, load_target("cpu-int8")), calibrator="auto")
    (step,) = (s for s in found.steps if "ranges by mse" in str(s))
    assert step.samples == 32
    assert step.kept == (step.after >= step.before + 0.5)
    assert sqnr(graph, found.graph, found.plan, x) > 15


def test_no_data_without_batch_norm_and_range_is_refused():
    torch.manual_seed(0)
    graph = ig.load(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()).eval(), torch.zeros(1, 3, 8, 8))
    with pytest.raises(CalibrationError, match="state one"):
        quantize_without_data(graph, lambda g: place(g, load_target("cpu-int8")))
    found = quantize_without_data(graph, lambda g: place(g, load_target("cpu-int8")), input_range=(0.0, 1.0))
    assert found.plan.params(str(graph.outputs[0].name)) is not None


def test_expected_activations_bound_the_factors_as_samples_do():
    graph, _ = trained(3.0)
    with_moments, without = equalize(graph, predicted=predict(graph).values), equalize(graph)
    assert with_moments.changed
    assert without.changed
    weights = [
        {str(n.name): n.inputs[1].const_value.numpy() for n in made.graph.nodes if n.op_type == "Conv"}
        for made in (with_moments, without)
    ]
    assert any(not np.allclose(weights[0][name], weights[1][name]) for name in weights[0])


def test_channels_that_never_varied_in_training_are_cut():
    graph = trained(0.0)[0].copy()
    node = graph.nodes[0]
    name = str(node.outputs[0].name)
    moments = graph.moments[name]
    std = moments.std.copy()
    std[3] = 0.0
    graph.moments[name] = type(moments)(moments.mean, std)
    weight = node.inputs[1].const_value.numpy().copy()
    weight[3] *= 50
    set_constant(node.inputs[1], weight)
    freed = free_constant_channels(graph)
    assert freed.channels == 1
    assert "1 never varied according to batch norm" in str(freed.steps[0])
    made = freed.graph.nodes[0]
    assert not made.inputs[1].const_value.numpy()[3].any()
    assert made.inputs[2].const_value.numpy()[3] == pytest.approx(max(moments.mean[3], 0.0))


@pytest.mark.slow
def test_rescaled_channels_are_no_obstacle_without_data(shared_data):
    graph = ig.load(shared_data / "cifar10/mobilenetv2_rescaled.onnx")
    found = quantize_without_data(graph, lambda g: place(g, load_target("int8-per-tensor")))
    program = ig.Quantized(found.graph, found.plan).lower()
    # float 84.4 on these 1,000; without equalization near 10
    assert score(program, shared_data / "cifar10/test.toml", engine="native", limit=1000).value >= 83.0
