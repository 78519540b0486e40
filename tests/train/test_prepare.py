"""A network in training has its original's parameters, computes what it freezes to, and learns."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from intaglio_tests.follows import assert_freezes_to_itself

import intaglio as ig
from intaglio.errors import DataError, UsageError
from intaglio.train.prepare import METHODS, prepare_qat

EIGHT_BITS = ("cpu-int8", "int8-per-tensor", "power2-int8", "uint8-asymmetric", "tflite-int8")
FEW_BITS = ("w4a8", "w4a4", "w2a8", "w2a2", "ternary", "binary", "xnor")
CASES = [
    *((target, method) for target in (*EIGHT_BITS, "w4a8") for method in ("range", "lsq", "tqt", "pact")),
    *((target, "lsq") for target in FEW_BITS[1:]),
    *((target, "tqt") for target in ("w4a4", "w2a2")),
    *((target, "pact") for target in ("w4a4", "w2a2")),
    *((target, "dorefa") for target in ("cpu-int8", "power2-int8", "w4a8", "w2a2", "ternary")),
    *((target, "twn") for target in ("w2a8", "ternary")),
    ("w4a8", "ttq"),
    *((target, method) for target in ("binary", "xnor") for method in ("xnor", "range")),
]


class Residual(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3, padding=1, bias=False), torch.nn.BatchNorm2d(8))
        self.depthwise = torch.nn.Conv2d(8, 8, 3, padding=1, groups=8)
        self.bn = torch.nn.BatchNorm2d(8)
        self.fc = torch.nn.Linear(8, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.nn.functional.relu6(self.stem(x))
        x = x + torch.relu(self.bn(self.depthwise(x)))
        return self.fc(x.mean((2, 3)))


@pytest.fixture
def net() -> Residual:
    torch.manual_seed(1)
    net = Residual()
    for norm in (net.stem[1], net.bn):
        norm.running_mean.normal_(0, 0.3)
        norm.running_var.uniform_(0.5, 2)
        norm.weight.data.uniform_(0.5, 1.5)
    return net.eval()


def batch(n: int = 16) -> tuple[torch.Tensor, torch.Tensor]:
    """Four classes that a linear function of the channel means tells apart."""
    generator = torch.Generator().manual_seed(4)
    y = torch.randint(0, 4, (n,), generator=generator)
    x = torch.randn((n, 3, 8, 8), generator=generator)
    x[torch.arange(n), y.clamp(max=2)] += 1.5
    return x, y


def test_parameters_keep_their_names(net) -> None:
    qat = prepare_qat(net, torch.zeros(1, 3, 8, 8))
    own = {name for name, _ in qat.named_parameters() if not name.startswith("quantizers.")}
    assert own == {name for name, _ in net.named_parameters()}
    missing = qat.load_state_dict(net.state_dict(), strict=False)
    assert not [key for key in missing.missing_keys if not key.startswith("quantizers.")]
    assert all("num_batches_tracked" in key for key in missing.unexpected_keys)


def test_every_method_has_a_case() -> None:
    assert {method for _, method in CASES} == set(METHODS)


@pytest.mark.parametrize(("target", "method"), CASES)
def test_evaluation_equals_the_frozen_network(net, target, method) -> None:
    qat = prepare_qat(net, torch.zeros(1, 3, 8, 8), target, method=method)
    x, y = batch()
    optimizer = torch.optim.SGD(qat.parameters(), lr=0.01)
    for _ in range(3):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(qat(x), y).backward()
        optimizer.step()
    assert_freezes_to_itself(qat, x)


@pytest.mark.parametrize("method", METHODS)
def test_training_lowers_the_loss_and_moves_ranges(net, method) -> None:
    target = {"twn": "ternary", "xnor": "binary"}.get(method, "w4a8")
    qat = prepare_qat(net, torch.zeros(1, 3, 8, 8), target, method=method)
    x, y = batch(64)
    optimizer = torch.optim.Adam(qat.parameters(), lr=0.01)
    losses = []
    for _ in range(30):
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(qat(x), y) + qat.penalty()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
        if len(losses) == 1:
            before = {name: q.scale_now().clone() for name, q in qat.quantizers.items()}
    assert losses[-1] < 0.7 * losses[0]
    still = {name for name, q in qat.quantizers.items() if bool((q.scale_now() == before[name]).all())}
    fixed = {name for name in still if method == "dorefa" and name not in dict(net.named_parameters())}
    assert still - fixed <= {"x"}, "the input is the same in every step, everything else moves"


def test_the_gradient_of_a_learned_step_is_that_of_the_paper(net) -> None:
    """Esser et al. 2020, eq. (3): round(v/s) - v/s inside, -Qn below, Qp above; times 1 / sqrt(N Qp)."""
    from intaglio.number import IntType, Scheme
    from intaglio.plan import Format
    from intaglio.train.quantizers.lsq import Lsq

    made = Lsq(Format(IntType(4), Scheme.SYMMETRIC), ())
    with torch.no_grad():
        made.scale.fill_(0.3)
        made.begun.fill_(True)
    v = torch.tensor([-5.0, -0.7, -0.1, 0.0, 0.22, 0.4, 1.9, 4.0])
    weight = torch.linspace(-1, 1, len(v))
    (made(v) * weight).sum().backward()
    ratio = v / 0.3
    want = torch.where(ratio <= -8, -8.0, torch.where(ratio >= 7, 7.0, ratio.round() - ratio))
    want = (want * weight).sum() / (len(v) * 7) ** 0.5
    torch.testing.assert_close(made.scale.grad, want)  # `first` is 1


def test_batch_norm_trains_and_can_be_frozen(net) -> None:
    qat = prepare_qat(net, torch.zeros(1, 3, 8, 8))
    x, _ = batch()
    before = qat.get_buffer("bn.running_mean").clone()
    qat(x)
    moved = qat.get_buffer("bn.running_mean").clone()
    assert not torch.equal(moved, before)
    qat.freeze_batch_norm()
    qat(x)
    assert torch.equal(qat.get_buffer("bn.running_mean"), moved)


def test_a_batch_of_one_is_refused_with_trainable_batch_norm() -> None:
    net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4, 3), torch.nn.BatchNorm1d(3)).eval()
    qat = prepare_qat(net, torch.zeros(2, 4))
    if not qat.norms:
        pytest.skip("batch norm behind a dense layer was folded for good")
    with pytest.raises(DataError, match="larger batches"):
        qat(torch.zeros(1, 4))


def test_training_begins_with_calibrated_grids(net) -> None:
    x, _ = batch(32)
    q = ig.quantize(ig.load(net, x[:1]), x.numpy(), equalize=False, bias_correction=False)
    qat = prepare_qat(net, x[:1], plan=q.plan).eval()
    with torch.no_grad():
        np.testing.assert_allclose(qat(x).numpy(), q.simulate(x.numpy()), atol=1e-3)


def test_the_plan_of_another_network_is_refused(net) -> None:
    """An equalized one is another: its values have other names and its weights other sizes."""
    x, _ = batch(32)
    other = ig.quantize(ig.load(torch.nn.Flatten(), x[:1]), x.numpy())
    with pytest.raises(UsageError, match=r"plan: expected parameters for every value .* equalize=False"):
        prepare_qat(net, x[:1], plan=other.plan)


def test_a_copy_trains_by_itself(net) -> None:
    qat = prepare_qat(net, torch.zeros(1, 3, 8, 8))
    x, y = batch()
    qat(x)
    twin = copy.deepcopy(qat)
    torch.nn.functional.cross_entropy(twin(x), y).backward()
    assert all(p.grad is None for p in qat.parameters())
    assert any(p.grad is not None for p in twin.parameters())


def test_invalid_arguments_are_refused(net) -> None:
    with pytest.raises(UsageError, match="method: expected one of"):
        prepare_qat(net, torch.zeros(1, 3, 8, 8), method="magic")
    with pytest.raises(UsageError, match="example_inputs"):
        prepare_qat(net)


def test_the_gradient_of_gamma_excludes_rounding_errors(net) -> None:
    """A channel that batch norm nearly silences has gradients of the usual size: rounding is before its factor."""
    with torch.no_grad():
        net.stem[1].weight[0] = 1e-7
    qat = prepare_qat(net, torch.zeros(1, 3, 8, 8), "w4a8")
    x, y = batch()
    for _ in range(2):
        qat.zero_grad()
        torch.nn.functional.cross_entropy(qat(x), y).backward()
    for name, parameter in qat.named_parameters():
        if parameter.grad is not None:
            assert float(parameter.grad.abs().max()) < 10, name


@pytest.mark.parametrize("target", ["binary", "xnor"])
def test_signs_learn_and_freeze_to_the_same_bits(target) -> None:
    torch.manual_seed(7)

    class Signs(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem, self.inner = torch.nn.Conv2d(3, 8, 3, padding=1), torch.nn.Conv2d(8, 8, 3, padding=1, bias=False)
            self.bn, self.middle, self.fc = torch.nn.BatchNorm2d(8), torch.nn.BatchNorm2d(8), torch.nn.Linear(8, 4)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = torch.sign(self.bn(self.stem(x)))
            return self.fc(torch.relu(self.middle(self.inner(x))).mean((2, 3)))

    qat = prepare_qat(Signs(), torch.zeros(1, 3, 8, 8), target)
    x, y = batch(64)
    optimizer = torch.optim.Adam(qat.parameters(), lr=0.01)
    losses = []
    for _ in range(30):
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(qat(x), y)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.8 * losses[0]
    assert float(qat.get_parameter("stem.weight").grad.abs().max()) > 0, "the gradient passes the sign"
    frozen = ig.freeze(qat.eval())
    with torch.no_grad():
        want = qat(x).numpy()
    np.testing.assert_allclose(frozen.simulate(x.numpy()), want, rtol=0, atol=1e-5)
    assert (frozen.lower().run(x.numpy()).argmax(1) == want.argmax(1)).mean() >= 0.98
