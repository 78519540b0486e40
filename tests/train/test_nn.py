"""Networks of quantized layers train, and freeze to the numbers that they compute."""

from __future__ import annotations

import copy
import subprocess
import sys

import numpy as np
import pytest
import torch
from intaglio_tests.nn_nets import Residual, assert_freezes_to_itself, batch, train

import intaglio as ig
from intaglio.train import nn
from intaglio.train.estimators.estimator_registry import ESTIMATORS
from intaglio.train.quantizers.quantizer_registry import METHODS
from intaglio.train.reestimate import reestimate_batch_norm

Sequential = torch.nn.Sequential


@pytest.mark.parametrize(
    ("weight", "value"), [("w8", "a8"), ("w4a4", "w4a4"), ("w2", "a2"), ("ternary", "uint8"), ("binary", "uint8")]
)
def test_a_network_trains_and_freezes_to_itself(weight: str, value: str) -> None:
    torch.manual_seed(2)
    net, (x, y) = Residual(weight, value), batch()
    net(x)
    before = {name: p.detach().clone() for name, p in net.named_parameters() if name.endswith("quantizer.scale")}
    losses = train(net, x, y, 40)
    assert losses[-1] < 0.8 * losses[0]
    still = [name for name, p in net.named_parameters() if name in before and torch.equal(p, before[name])]
    assert not still, "every learned range moves"
    assert_freezes_to_itself(net, x)


@pytest.mark.parametrize("method", METHODS)
def test_every_method_finds_its_grids(method: str) -> None:
    torch.manual_seed(2)
    net, (x, y) = Residual("ternary" if method in ("twn", "ttq") else "w4", "a4", method), batch()
    losses = train(net, x, y, 15)
    assert losses[-1] < losses[0]
    assert_freezes_to_itself(net, x)


def test_a_binary_network_of_signs_trains_and_freezes_to_itself() -> None:
    """As in XNOR-Net: batch norm, sign, binary convolution; sums of signs are asked for theirs without rounding."""
    torch.manual_seed(2)
    net = Sequential(
        nn.Input("uint8"),
        nn.ConvBn2d(3, 16, 3, output=None),
        nn.Sign(),
        nn.ConvBn2d(16, 16, 3, weight="binary", output=None, method="xnor"),
        nn.Sign(nn.piecewise_polynomial),
        nn.ConvBn2d(16, 16, 3, weight="binary", output="int8"),
        nn.Sign(),
        torch.nn.Flatten(),
        nn.Linear(64, 4, output="int16"),
    )
    x, y = batch()
    losses = train(net, x, y, 40)
    assert losses[-1] < 0.5 * losses[0]
    assert_freezes_to_itself(net, x)
    plan = ig.freeze(net, x[:1]).plan
    assert sum(value.format is not None and value.format.type.bipolar for value in plan.values.values()) >= 5


@pytest.mark.parametrize(
    "layers",
    [
        (nn.Sigmoid(), nn.Conv2d(3, 4, 3, output="int8"), nn.Tanh("int8"), nn.AvgPool2d(2, output="int8")),
        (nn.HardSwish("int8"), nn.Conv2d(3, 4, 3, output="int8"), nn.GELU("int8"), nn.MaxPool2d(2)),
        (nn.SiLU("int8"), nn.Conv2d(3, 4, 3, output="int8"), nn.HardSigmoid(), nn.GlobalMaxPool()),
        (nn.LeakyReLU("int8"), nn.Conv2d(3, 4, 3, output="int8"), nn.ReLU6(), nn.Requantize("int4")),
        (nn.Hardtanh(), nn.Conv2d(3, 4, 3, output=None), nn.ReLU("uint4"), torch.nn.Dropout(0.2)),
        (nn.Conv2d(3, 4, 3, weight="int8 power of two", output="int8 power of two"), nn.ReLU(), nn.GlobalAvgPool()),
    ],
    ids=lambda layers: "-".join(type(layer).__name__ for layer in layers),
)
def test_layers_freeze_to_themselves(layers: tuple[torch.nn.Module, ...]) -> None:
    torch.manual_seed(2)
    net, (x, _) = Sequential(nn.Input("int8"), *copy.deepcopy(layers), torch.nn.Flatten()), batch(8)
    size = net(x).shape[1]
    net.append(nn.Linear(size, 4, output="int16"))
    losses = train(net, x, torch.arange(8) % 4, 20)
    assert min(losses[-5:]) < losses[0]
    assert_freezes_to_itself(net, x)


def test_sequences_and_several_operands_freeze_to_themselves() -> None:
    class Net(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.left, self.right = nn.Input("int8"), nn.Input("uint8")
            self.conv, self.pool = nn.ConvBn1d(6, 8, 3, padding=1, activation="relu6"), nn.MaxPool1d(2)
            self.dense = nn.Linear(8, 6, activation="hardtanh", output="int8")
            self.one = nn.Conv1d(6, 6, 1, output="int8")
            self.mul, self.sub, self.join = nn.Mul("int8"), nn.Sub("int8"), nn.Concat(1, "int8")
            self.final = nn.Linear(12, 4, bias=False, output="int16")

        def forward(self, x: torch.Tensor, gate: torch.Tensor) -> torch.Tensor:
            a = self.dense(self.pool(self.conv(self.left(x))).transpose(1, 2)).transpose(1, 2)
            b = self.one(a)
            gated, rest = self.mul(a, self.right(gate)), self.sub(a, b)
            return self.final(self.join(gated, rest).amax(2))

    torch.manual_seed(2)
    net, x, gate = Net(), torch.randn(16, 6, 12), torch.rand(16, 6, 1)
    optimizer = torch.optim.Adam(net.parameters(), lr=0.003)
    for _ in range(10):
        optimizer.zero_grad()
        net(x, gate).square().mean().backward()
        optimizer.step()
    assert_freezes_to_itself(net, x, gate)


def test_parameters_of_the_same_float_network_load() -> None:
    twin = Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(144, 4))
    net = Sequential(nn.Conv2d(3, 4, 3, output=None), nn.ReLU("uint8"), torch.nn.Flatten(), nn.Linear(144, 4))
    missing = net.load_state_dict(twin.state_dict(), strict=False)
    assert not missing.unexpected_keys
    assert all("quantizer" in key for key in missing.missing_keys)
    x, _ = batch(8)
    whole = Sequential(nn.Input("uint8"), *net)
    with torch.no_grad():
        whole(x)
        assert (whole.eval()(x) - twin(x)).abs().max() < 0.1 * twin(x).abs().max()


def test_state_goes_to_a_file_and_back() -> None:
    torch.manual_seed(2)
    net, (x, y) = Residual(), batch()
    train(net, x, y, 3)
    again = Residual()
    again.load_state_dict(net.state_dict())
    with torch.no_grad():
        assert torch.equal(torch.as_tensor(again.eval()(x)), torch.as_tensor(net.eval()(x)))
    assert ig.freeze(again, x[:1]).plan.to_json() == ig.freeze(net, x[:1]).plan.to_json()


def test_batch_norm_trains_until_it_is_frozen() -> None:
    torch.manual_seed(2)
    net, (x, y) = Residual(), batch()
    train(net, x, y, 2)
    nn.freeze_batch_norm(net)
    before = net.conv.bn.running_mean.clone()
    net.train()(x)
    assert torch.equal(net.conv.bn.running_mean, before)
    with torch.no_grad():
        assert torch.equal(torch.as_tensor(net.train()(x)), torch.as_tensor(net.eval()(x)))


def test_ranges_are_observed_until_they_are_frozen() -> None:
    torch.manual_seed(2)
    net, (x, y) = Residual(method="range"), batch()
    train(net, x, y, 2)
    nn.freeze_ranges(net)
    before = net.conv.output_quantizer.high.clone()
    net.train()(3 * x)
    assert torch.equal(net.conv.output_quantizer.high, before)


def test_batch_norm_is_reestimated() -> None:
    torch.manual_seed(2)
    net, (x, y) = Residual(), batch()
    train(net, x, y, 3)
    nn.freeze_batch_norm(net)
    ranges = net.conv.output_quantizer.scale.detach().clone()
    assert reestimate_batch_norm(net, [(x, y)]) == 2
    data = net.input.eval()(x).as_subclass(torch.Tensor)
    factor = (net.stem.bn.weight / torch.sqrt(net.stem.bn.running_var + net.stem.bn.eps)).detach()
    weight = net.stem.weight_quantizer.eval()(net.stem.conv.weight * factor.reshape(-1, 1, 1, 1))
    seen = torch.nn.functional.conv2d(data, weight / factor.reshape(-1, 1, 1, 1), padding=1).movedim(1, 0).flatten(1)
    torch.testing.assert_close(net.stem.bn.running_mean, seen.mean(1).detach(), atol=0.05, rtol=0)
    assert torch.equal(net.conv.output_quantizer.scale, ranges)


def test_the_given_network_is_not_modified() -> None:
    torch.manual_seed(2)
    net, (x, y) = Residual(method="range"), batch()
    train(net, x, y, 2)
    before = copy.deepcopy(net.state_dict())
    ig.freeze(net, x[:1])
    assert net.training
    assert all(torch.equal(now, before[name]) for name, now in net.state_dict().items())


def test_a_sign_has_the_gradient_of_its_polynomial() -> None:
    """Liu et al. 2018, eq. (8): 2 + 2x below 0, 2 - 2x above, 0 outside [-1, 1)."""
    x = torch.tensor([-2.0, -0.75, -0.25, 0.0, 0.5, 1.5], requires_grad=True)
    sign = nn.Sign(nn.piecewise_polynomial)
    y = sign.output_quantizer(x)
    assert y.tolist() == [-1, -1, -1, 1, 1, 1]
    y.sum().backward()
    assert x.grad is not None
    np.testing.assert_allclose(x.grad, [0, 0.5, 1.5, 2, 1, 0])


def test_compiled_code_computes_the_same() -> None:
    """As one graph; what layers read is known from the call before."""
    torch.manual_seed(2)
    net, (x, y) = Residual("w4", "a4"), batch()
    train(net, x, y, 2)
    compiled = torch.compile(net.eval(), backend="aot_eager", fullgraph=True)
    with torch.no_grad():
        assert torch.equal(compiled(x), torch.as_tensor(net(x)))
    net.zero_grad()
    torch.nn.functional.cross_entropy(compiled(x), y).backward()
    found = {name: p.grad.clone() for name, p in net.named_parameters() if p.grad is not None}
    net.zero_grad()
    torch.nn.functional.cross_entropy(net(x), y).backward()
    assert found
    for name, p in net.named_parameters():
        if p.grad is not None:
            torch.testing.assert_close(found[name], p.grad, rtol=1e-3, atol=1e-5)


def test_quantized_layers_train_under_autocast() -> None:
    torch.manual_seed(2)
    net, (x, y) = Residual("w4", "a4"), batch()
    with torch.autocast("cpu", torch.bfloat16):
        loss = torch.nn.functional.cross_entropy(net(x), y)
    loss.backward()
    assert all(p.grad is None or bool(p.grad.isfinite().all()) for p in net.parameters())
    assert net.conv.conv.weight.grad is not None


@pytest.mark.parametrize("estimator", sorted({*ESTIMATORS} - {"proxquant"}))
def test_every_estimator_rounds_to_nearest_in_evaluation(estimator: str) -> None:
    torch.manual_seed(2)
    net = Sequential(
        nn.Input("int8"),
        nn.Linear(12, 16, weight="w4", activation="relu", output="a4", estimator=estimator),
        nn.Linear(16, 4, weight="w4", output="int16", estimator=estimator),
    )
    x, y = torch.randn(32, 12), torch.arange(32) % 4
    losses = train(net, x, y, 40)
    assert min(losses[-5:]) < losses[0]
    assert_freezes_to_itself(net, x)


def test_the_layers_are_found_under_the_package() -> None:
    code = "import intaglio as ig; print(ig.train.nn.Conv2d.__name__, ig.prepare_qat.__name__)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["Conv2d", "prepare_qat"]
