"""Learned rounding: better than the nearest codes, exact in the Program, resumable, measured."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from torch import nn

import intaglio as ig
from intaglio.calibrate import calibrate
from intaglio.data import open_data
from intaglio.errors import UsageError
from intaglio.evaluation.held_back import ArraySamples
from intaglio.graph.access import constant
from intaglio.number import IntType, QuantParams, Scheme
from intaglio.ops import Role, float_operator
from intaglio.plan import place
from intaglio.recover.adaround import adaround
from intaglio.recover.equalization import carry_caps_per_channel
from intaglio.recover.im2col import LAYERS, outputs, positions, rows, weight_index
from intaglio.recover.rounding import (
    Problem,
    Settings,
    annealed,
    inverse,
    learn,
    rectified_sigmoid,
    undecided,
)
from intaglio.recover.weight_codes import Rounded
from intaglio.simulate import Simulator
from intaglio.targets import Target, load_target

torch.set_num_threads(1)
FAST = Settings(iterations=150, rate=5e-2, batch=64)


@pytest.fixture(scope="module")
def graph() -> ig.Graph:
    torch.manual_seed(0)
    layers = [nn.Conv2d(3, 8, 3, stride=2, padding=1), nn.ReLU6(), nn.Conv2d(8, 8, 3, groups=8, padding=1), nn.ReLU()]
    layers += [
        nn.ConvTranspose2d(8, 4, 2, stride=2),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(2),
        nn.Flatten(),
        nn.Linear(16, 5),
    ]
    for layer in layers:
        if isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)):
            nn.init.kaiming_normal_(layer.weight)  # what goes in comes out: the outputs depend on the sample
    return ig.load(nn.Sequential(*layers).eval(), (torch.zeros(1, 3, 9, 9),))


def target(weights: dict, rule: str = "half_up", activations: str = "asymmetric", per: str = "channel") -> Target:
    return Target.model_validate(
        {
            "version": 1,
            "name": "test",
            "rule": rule,
            "activations": [{"type": "uint8" if activations == "asymmetric" else "int8", "scheme": activations}],
            "weights": [{"per": per, **weights}],
        }
    )


W4 = target({"type": "int4n", "scheme": "symmetric"})
TARGETS = {
    "w4 per channel": W4,
    "w4 per tensor": target({"type": "int4n", "scheme": "symmetric"}, per="tensor"),
    "w4 power of two": target({"type": "int4n", "scheme": "power_of_two"}, "shift", "power_of_two", "tensor"),
    "w4 with zero points": target({"type": "uint4", "scheme": "asymmetric"}, per="tensor"),
    "w2": target({"type": "int2", "scheme": "symmetric"}),
    "w8": load_target("cpu-int8"),
}


def calibrated(graph: ig.Graph, x: np.ndarray, described: Target = W4):
    return calibrate(graph, place(graph, described), open_data(x), calibrator="max").plan


@pytest.fixture
def x(rng):
    mixed = rng.normal(size=(96, 3, 9, 9)) @ rng.normal(size=(9, 9)) / 3 + 0.5
    return mixed.astype(np.float32)


def split(x: np.ndarray) -> tuple[ArraySamples, ArraySamples]:
    return ArraySamples([x[:64]], 16), ArraySamples([x[64:]], 16)


# One layer as a matrix product

MODULES = {
    "strides, groups, dilation": (nn.Conv2d(4, 6, (3, 2), (2, 1), (1, 2), (1, 2), groups=2), (4, 9, 8)),
    "depthwise": (nn.Conv2d(4, 4, 3, padding=1, groups=4), (4, 7, 7)),
    "sequence": (nn.Conv1d(3, 5, 3, stride=2, bias=False), (3, 11)),
    "transposed": (nn.ConvTranspose2d(4, 6, 3, stride=2, padding=1, output_padding=1, dilation=2), (4, 5, 4)),
    "transposed, groups": (nn.ConvTranspose2d(4, 6, (2, 3), stride=(3, 1), padding=(0, 1), groups=2), (4, 3, 5)),
    "dense": (nn.Linear(7, 3), (7,)),
    "dense on sequences": (nn.Linear(7, 3, bias=False), (5, 7)),
}


class SideBySide(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList(net for net, _ in MODULES.values())

    def forward(self, a, b, c, d, e, f, g):
        return tuple(layer(x) for layer, x in zip(self.layers, (a, b, c, d, e, f, g), strict=True))


@pytest.fixture(scope="module")
def layers():
    graph = ig.load(SideBySide().eval(), tuple(torch.zeros(1, *size) for _, size in MODULES.values()))
    nodes = [node for node in graph.nodes if node.op_type in LAYERS]
    return dict(zip(MODULES, nodes, strict=True))


@pytest.mark.parametrize("name", MODULES)
def test_a_layer_is_a_matrix_product_at_every_position(name, layers, rng):
    node, size = layers[name], MODULES[name][1]
    x = torch.as_tensor(rng.normal(size=(3, *size)), dtype=torch.float32)
    weight = torch.as_tensor(constant(node.inputs[1]).copy())
    y = float_operator(node).real(node, x, weight)
    if node.op_type == "MatMul":
        assert y.ndim == 3
    pick = torch.stack([torch.randperm(positions(node)) for _ in x])
    got = torch.bmm(rows(node, x, pick), weight.reshape(-1)[weight_index(node)])
    torch.testing.assert_close(got, outputs(node, y, pick), atol=1e-5, rtol=1e-5)
    assert sorted(weight_index(node).reshape(-1).tolist()) == list(range(weight.numel()))


# The rounding of one layer


def test_gradient_of_the_rectified_sigmoid():
    v = torch.linspace(-5, 5, 201, dtype=torch.float64, requires_grad=True)
    cost = rectified_sigmoid(v).sum() + undecided(rectified_sigmoid(v), 3.0).sum()
    (gradient,) = torch.autograd.grad(cost, v)
    step = 1e-6

    def value(at):
        h = rectified_sigmoid(at)
        return h + undecided(h, 3.0)

    numeric = (value(v.detach() + step) - value(v.detach() - step)) / (2 * step)
    torch.testing.assert_close(gradient, numeric, atol=1e-6, rtol=1e-5)
    assert gradient[0] == 0  # both ends are reached
    ends = rectified_sigmoid(v.detach())
    assert (float(ends[0]), float(ends[-1])) == (0.0, 1.0)
    h = torch.linspace(0, 1, 11, dtype=torch.float64)
    torch.testing.assert_close(rectified_sigmoid(inverse(h)), h)


def test_the_exponent_falls_from_first_to_last():
    settings = Settings(iterations=100, warm=0.2, beta=(20.0, 2.0))
    betas = [annealed(step, settings) for step in range(100)]
    assert betas[:20] == [None] * 20
    assert betas[20] == 20.0
    assert betas[20:] == sorted(betas[20:], reverse=True)
    assert betas[-1] == pytest.approx(2.0, abs=0.02)


def problem_of(rng, clamp=None) -> Problem:
    """Correlated inputs, where rounding to nearest is far from best; int4."""
    x = torch.as_tensor(rng.normal(size=(1, 800, 24)) @ rng.normal(size=(24, 24)) + 0.5, dtype=torch.float32)
    w = torch.as_tensor(rng.normal(size=(1, 24, 6)), dtype=torch.float32)
    scale = (w.abs().amax(1, keepdim=True) / 7).expand_as(w).contiguous()
    full = torch.full_like(w, 7.0)
    y = torch.bmm(x, w)
    return Problem(x, y, torch.zeros(1, 1, 6), w / scale, scale, -full, full, clamp)


@pytest.mark.parametrize("clamp", [None, (torch.zeros(1, 1, 1), torch.full((1, 1, 1), 6.0))])
def test_learned_rounding_beats_the_nearest(rng, clamp):
    problem = problem_of(rng, clamp)
    steps = learn(problem, Settings(iterations=600, batch=256), torch.Generator().manual_seed(0))
    assert torch.equal(steps, steps.round())
    assert float((steps - problem.steps).abs().max()) <= 1.0  # floor or ceil
    assert float(steps.abs().max()) <= 7
    assert float(problem.error(steps)) < 0.75 * float(problem.error(problem.nearest()))


def test_weights_on_the_grid_stay(rng):
    problem = problem_of(rng)
    on_grid = Problem(problem.x, problem.y, problem.bias, problem.nearest(), problem.scale, problem.low, problem.high)
    assert torch.equal(learn(on_grid, FAST, torch.Generator()), problem.nearest())


# Whole networks


@pytest.mark.parametrize("name", TARGETS)
def test_the_program_holds_the_learned_codes(name, graph, x, tmp_path):
    plan = calibrated(graph, x, TARGETS[name])
    kept = {v.name: constant(v).copy() for v in graph.initializers}
    checkpoint = tmp_path / "codes.npz"
    result = adaround(graph, plan, *split(x), settings=FAST, checkpoint=checkpoint)
    for value in graph.initializers:  # the given network stays as it is
        np.testing.assert_array_equal(constant(value), kept[value.name])
    if name != "w8":
        assert result.gain > 0, result.steps
        assert "kept" in str(result.steps[0])
    if result.graph is graph:
        return
    layers = [n for n in result.graph.nodes if n.op_type in LAYERS]
    with np.load(checkpoint) as file:
        names = json.loads(file["header"].tobytes())["names"]
        codes = [file[f"array{names.index(n.name)}"] for n in layers]
    program = ig.Quantized(result.graph, result.plan).lower()
    held = [node.operator.weight for node in program.nodes if hasattr(node.operator, "weight")]
    for node, want, integers in zip(layers, codes, held, strict=True):
        params = result.plan.params(node.inputs[1].name)
        real = constant(node.inputs[1])
        np.testing.assert_array_equal(params.quantize(real), want)
        np.testing.assert_array_equal(params.dequantize(want), real)
        np.testing.assert_array_equal(np.sort(integers, axis=None), np.sort(want, axis=None))
        before = params.quantize(kept[node.inputs[1].name]).astype(int)
        assert np.abs(want.astype(int) - before).max() <= 1
    y = Simulator(result.graph, result.plan).run(x)[0]
    assert np.abs(program.run(x) - y).max() <= 2.5 * float(result.plan.params(graph.outputs[0].name).scale)


@pytest.mark.parametrize(("kind", "scheme"), [("int4n", 0), ("uint4", 7), ("int2", 0), ("int16", 0), ("uint8", 255)])
def test_every_code_survives_the_way_through_real_numbers(kind, scheme, rng):
    type = IntType.parse(kind)
    codes = np.arange(type.qmin, type.qmax + 1).astype(type.dtype)
    for scale in (*rng.uniform(1e-6, 1e3, 40).astype(np.float32), np.float32(2.0**-20), np.finfo(np.float32).tiny):
        params = QuantParams(type, np.float32(scale), np.int32(scheme))
        np.testing.assert_array_equal(params.quantize(params.dequantize(codes)), codes)


def test_a_checkpoint_of_other_settings_is_refused(graph, x, tmp_path):
    plan = calibrated(graph, x)
    path = tmp_path / "codes.npz"
    quick = Settings(iterations=2)
    adaround(graph, plan, *split(x), settings=quick, checkpoint=path)
    with pytest.raises(UsageError, match=r"other settings: iterations was 2, now 3; seed was 0, now 1\. Use the"):
        adaround(graph, plan, *split(x), settings=Settings(iterations=3, seed=1), checkpoint=path)
    with pytest.raises(UsageError, match="other settings: samples was"):
        adaround(graph, plan, *split(-x), settings=quick, checkpoint=path)
    path.write_bytes(b"no checkpoint")
    with pytest.raises(UsageError, match="expected a checkpoint of learned rounding, got something else"):
        adaround(graph, plan, *split(x), settings=quick, checkpoint=path)
    with pytest.raises(UsageError, match="at least 1 iteration"):
        Settings(iterations=0)


def test_bounds_behind_a_layer_include_those_per_channel(graph, x):
    """ReLU6 with one cap per channel, as equalization leaves it: what is beyond a cap does not count."""
    made = graph.copy()
    clip = next(node for node in made.nodes if node.op_type == "Clip")
    caps = np.linspace(0.5, 4, 8)
    carry_caps_per_channel(made.model.graph, clip, caps, 1)
    made.model.graph.sort()
    network = Rounded(made, calibrated(made, x), made)
    first, second, *_ = network.layers
    low, high = network.clamp(first)
    np.testing.assert_allclose(low, np.zeros((1, 1, 1)))
    np.testing.assert_allclose(high, caps.reshape(1, 1, 8), rtol=1e-6)
    low, high = network.clamp(second)  # depthwise, ReLU: a group for each channel
    assert (float(low), float(high)) == (0.0, np.inf)
    assert network.clamp([*network.layers][-1]) is None
    result = adaround(made, calibrated(made, x), *split(x), settings=FAST)
    assert result.gain > 0


def test_one_image_is_enough_to_run(graph, x):
    q = ig.quantize(graph, x[:1], target="w4a8", calibrator="max", rounding="adaround", iterations=20)
    assert np.isfinite(q.lower().run(x)).all()


def test_quantize_learns_rounding_and_corrects_biases_afterwards(graph, x):
    q = ig.quantize(graph, x, target=W4, calibrator="max", rounding="adaround", iterations=150)
    words = [line.split(" of ")[0] for line in q.history]
    assert 0 < words.index("AdaRound") < words.index("bias correction")
    plain = ig.quantize(graph, x, target=W4, calibrator="max", bias_correction=False)

    def error(quantized):
        return np.square(quantized.simulate(x) - Simulator(graph).run(x)[0]).sum()

    assert error(q) < error(plain)


def test_weights_of_the_target_w4a8(graph, x):
    plan = place(graph, load_target("w4a8"))
    bits = [plan[n.inputs[1].name].format.type.bits for n in graph.nodes if n.op_type in LAYERS]
    assert bits == [8, 4, 4, 8]
    plan = place(graph, load_target("w4a8"), layers={"last": "w4"})
    bits = [plan[n.inputs[1].name].format.type.bits for n in graph.nodes if n.op_type in LAYERS]
    assert bits == [8, 4, 4, 4]
    assert {v.format.scheme for v in plan.values.values() if v.role is Role.WEIGHT} == {Scheme.SYMMETRIC}
