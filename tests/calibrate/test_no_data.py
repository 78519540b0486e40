"""Calibration without data: every calibrator works, bad input is told, and real networks keep their accuracy."""

from __future__ import annotations

import functools

import numpy as np
import pytest
import torch
from torch import nn

import intaglio as ig
from intaglio.calibrate import CALIBRATORS
from intaglio.calibrate.data_free.clipped_gaussian import ClippedGaussian
from intaglio.calibrate.data_free.expected_statistics import TOTAL, expected_record
from intaglio.calibrate.data_free.noise import Noise
from intaglio.calibrate.data_free.prediction import predict
from intaglio.calibrate.no_data import calibrate_without_data
from intaglio.calibrate.statistics.histogram import SIDE
from intaglio.calibrate.statistics.record import Needs, Record
from intaglio.errors import CalibrationError
from intaglio.evaluation.model_stages import score
from intaglio.plan import place
from intaglio.simulate import Simulator
from intaglio.targets import load_target


@functools.cache
def plain() -> ig.Graph:
    torch.manual_seed(0)
    layers = [nn.Conv2d(3, 6, 3, padding=1), nn.ReLU(), nn.Conv2d(6, 4, 3), nn.ReLU6(), nn.Flatten(), nn.Linear(144, 5)]
    return ig.load(nn.Sequential(*layers).eval(), torch.zeros(1, 3, 8, 8))


@functools.cache
def trained(mean: float = 0.3, std: float = 0.8) -> tuple[ig.Graph, np.ndarray]:
    """A network whose batch norms saw noise of that mean and spread, and such noise."""
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(3, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU6(),
        nn.Conv2d(16, 16, 3, groups=16, padding=1), nn.BatchNorm2d(16), nn.ReLU6(), nn.Conv2d(16, 8, 1),
        nn.BatchNorm2d(8), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 5),
    )  # fmt: skip
    size = (1, 3, 12, 12)
    wide = torch.tensor(np.inf, dtype=torch.float64)
    noise = Noise(
        {"x": ClippedGaussian(torch.full(size, mean).double(), torch.full(size, std).double(), -wide, wide)}, 256
    )
    x = np.concatenate([batch["x"] for batch, _ in noise.batches(64)])
    with torch.no_grad():
        for layer in net:
            if isinstance(layer, nn.BatchNorm2d):
                layer.weight.uniform_(0.5, 1.5)
                layer.bias.uniform_(-0.5, 1.5)
                layer.momentum = None
        net.train()
        net(torch.as_tensor(x))
    return ig.load(net.eval(), torch.zeros(size)), x


def with_batch_norm() -> tuple[ig.Graph, np.ndarray]:
    graph, x = trained()
    return graph.copy(), x


@pytest.mark.parametrize("name", [*CALIBRATORS, "auto", None])
@pytest.mark.parametrize("target", ["cpu-int8", "power2-int8"])
def test_every_calibrator_works(name, target):
    graph, x = with_batch_norm()
    x = x[:64]
    found = calibrate_without_data(graph, place(graph, load_target(target)), calibrator=name)
    want = Simulator(graph).run(x)[0]
    got = ig.Quantized(graph, found.plan).lower().run(x)
    assert np.square(got - want).sum() < 0.3 * np.square(want - want.mean(0)).sum()
    assert "calibrated without data" in str(found.steps[0])
    assert found.statistics.samples == 0


def test_the_input_is_known_from_the_first_batch_norm():
    graph, x = with_batch_norm()
    found = predict(graph)
    (given,) = found.inputs.values()
    assert float(given.mean.mean()) == pytest.approx(x.mean(), abs=0.1)
    assert float(given.std.mean()) == pytest.approx(x.std(), rel=0.2)
    assert "first batch norms" in found.text


def test_an_expected_record_is_that_of_draws(rng):
    size = (1, 6, 5, 5)
    mean, std = (torch.as_tensor(rng.uniform(a, b, (1, 6, 1, 1))).expand(size) for a, b in ((-2, 4), (0.1, 2)))
    x = ClippedGaussian(mean, std, mean.new_tensor(-1.0), mean.new_tensor(3.0))
    record = expected_record(x)
    drawn = np.clip(rng.normal(size=(4000, *size[1:])) * std.numpy() + mean.numpy(), -1, 3).astype(np.float32)
    counted = Record.empty(Needs.HISTOGRAM)
    counted.add(torch.as_tensor(drawn), 0, len(drawn))
    assert (record.low, record.high) == (-1.0, 3.0)
    assert record.histogram.exponent == counted.histogram.exponent
    share = np.cumsum(record.histogram.counts) / TOTAL
    want = np.cumsum(counted.histogram.counts) / counted.histogram.total
    assert np.abs(share - want).max() < 0.01
    assert record.histogram.counts.sum() == pytest.approx(TOTAL, rel=1e-6)
    # the atoms at the bounds are in the bins that counting puts them in
    for at in np.trunc(np.array([-1.0, 3.0]) / record.histogram.width).astype(int) + SIDE - 1:
        assert record.histogram.counts[at] / TOTAL == pytest.approx(
            counted.histogram.counts[at] / counted.histogram.total, abs=0.01
        )
    low, high = record.moving.range
    assert -1.0 <= low < high <= 3.0


def test_a_value_that_never_varies_is_represented_exactly():
    constant = torch.full((1, 2, 3, 3), 0.7).double()
    record = expected_record(ClippedGaussian.uncut(constant, 0 * constant))
    assert record.low == record.high == np.float32(0.7)
    zero = expected_record(ClippedGaussian.uncut(0 * constant, 0 * constant))
    assert (zero.low, zero.high, zero.count) == (0, 0, TOTAL)


def test_a_channel_of_zero_spread_is_no_obstacle():
    graph, x = with_batch_norm()
    for name, moments in graph.moments.items():
        std = moments.std.copy()
        std[0] = 0.0
        graph.moments[name] = type(moments)(moments.mean, std)
    found = calibrate_without_data(graph, place(graph, load_target("int8-per-tensor")))
    assert np.isfinite(ig.Quantized(graph, found.plan).lower().run(x[:4])).all()


def test_without_batch_norm_a_range_is_asked_for():
    graph = plain()
    text = r"expected a range of the input, as no batch norm tells of it; state one: input_range=\(low, high\)"
    with pytest.raises(CalibrationError, match=f"input '{graph.inputs[0].name}': {text}"):
        predict(graph)


@pytest.mark.parametrize("given", [(1.0, 1.0), (2.0, -1.0), (float("nan"), 1.0), (0.0, float("inf")), (1.0,), "ab"])
def test_a_range_that_is_none_is_told(given):
    with pytest.raises(
        CalibrationError, match=r"input range of .*: expected two finite numbers, the lower one first, got"
    ):
        predict(plain(), given)


def test_without_batch_norm_a_stated_range_and_the_weights_do(rng):
    graph = plain()
    x = rng.uniform(-1, 1, (64, 3, 8, 8)).astype(np.float32)
    found = calibrate_without_data(graph, place(graph, load_target("cpu-int8")), input_range=(-1.0, 1.0))
    want = Simulator(graph).run(x)[0]
    got = ig.Quantized(graph, found.plan).lower().run(x)
    assert np.square(got - want).sum() < 0.1 * np.square(want - want.mean(0)).sum()
    assert "as stated" in str(found.steps[0])
    name = str(graph.inputs[0].name)
    by_name = calibrate_without_data(graph, place(graph, load_target("cpu-int8")), input_range={name: (-1.0, 1.0)})
    assert by_name.plan.to_json() == found.plan.to_json()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "data", "target", "least"),
    [
        # float on these 1,000: 84.4 and 87.8
        ("cifar10/mobilenetv2.onnx", "cifar10/test.toml", "cpu-int8", 83.5),
        ("cifar10/resnet20_bn.onnx", "cifar10/test-resnet20.toml", "cpu-int8", 87.0),
    ],
)
def test_real_networks_keep_their_accuracy(model, data, target, least, shared_data):
    graph = ig.load(shared_data / model)
    found = calibrate_without_data(graph, place(graph, load_target(target)))
    program = ig.Quantized(graph, found.plan).lower()
    assert score(program, shared_data / data, engine="native", limit=1000).value >= least
