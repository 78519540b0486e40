"""torch.compile takes a network in training as it is: one graph, made once, that computes the same."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from intaglio_tests.loop_net import dataset, raw_graph
from torch._dynamo.testing import CompileCounter

import intaglio as ig
from intaglio.data import Dataset
from intaglio.errors import UsageError
from intaglio.frontends import prepare
from intaglio.train.loop import RunOptions, TrainResult, TrainSettings, train
from intaglio.train.module import QuantizedModule
from intaglio.train.prepare import prepare_qat
from intaglio.train.teacher import FloatModule

pytestmark = pytest.mark.filterwarnings("ignore:::torch", "ignore:The .grad attribute")  # the compiler warns of itself

SETTINGS = TrainSettings(epochs=1, batch=32, lr=0.02, seed=7, compile=True, freeze_batch_norm=0.5, distill_features=1.0)


class Stopped(Exception):  # noqa: N818  it is no error
    """A training that is interrupted."""


def batch(data: Dataset) -> tuple[torch.Tensor, torch.Tensor]:
    x, y = next(data.batches(32))
    assert y is not None
    return torch.as_tensor(x), torch.as_tensor(y).long()


def calibrated(target: str = "w4a8", **more: str) -> QuantizedModule:
    plan = ig.quantize(prepare(raw_graph()), dataset(), target, calibrator=None, equalize=False).plan
    return prepare_qat(raw_graph(), target=target, plan=plan, **more)  # type: ignore[arg-type]


def losses(called: Callable[[torch.Tensor], torch.Tensor], qat: QuantizedModule) -> list[float]:
    """Of three steps; behind the second one the state goes through a dict, as when a training goes on."""
    x, y = batch(dataset())
    optimizer = torch.optim.SGD(qat.parameters(), lr=0.01)
    found = []
    for step in range(3):
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(called(x), y)
        loss.backward()
        optimizer.step()
        if step == 1:
            qat.load_state_dict(copy.deepcopy(qat.state_dict()))
        found.append(loss.item())
    return found


def test_a_calibrated_network_is_compiled_once() -> None:
    qat = calibrated()
    twin, counter = copy.deepcopy(qat), CompileCounter()
    compiled = torch.compile(twin, backend=counter, fullgraph=True, dynamic=False)
    assert losses(compiled, twin) == pytest.approx(losses(qat, qat), rel=1e-3)
    assert counter.frame_count == 1


@pytest.mark.slow
@pytest.mark.parametrize("method", ["lsq", "tqt", "pact"])
@pytest.mark.parametrize("estimator", ["clipped", "stochastic"])
def test_a_compiled_module_computes_the_same(method: str, estimator: str) -> None:
    qat = prepare_qat(raw_graph(), target="w4a8", method=method, estimator=estimator, seed=1)
    x, y = batch(dataset())
    qat(x)
    twin = copy.deepcopy(qat)
    # Once its grids have begun a network is one graph; draws are left to Python.
    compiled = torch.compile(twin, backend="aot_eager", fullgraph=estimator == "clipped")
    for module in (qat, compiled):
        torch.nn.functional.cross_entropy(module(x), y).backward()
    for (name, ours), (_, theirs) in zip(qat.named_parameters(), twin.named_parameters(), strict=True):
        if ours.grad is not None:
            assert theirs.grad is not None
            # Sums over 16-bit codes cancel: float32 keeps two digits of a scale's gradient.
            near = 0.05 if name.startswith("quantizers.") else 1e-4
            torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-2, atol=near, msg=name)


@pytest.mark.slow
def test_compiled_steps_learn_and_go_on_after_an_interruption(tmp_path) -> None:
    module = prepare_qat(raw_graph(), target="w4a8")
    teacher = FloatModule(module.graph)

    def trained(settings: TrainSettings, run_options: RunOptions) -> tuple[QuantizedModule, TrainResult]:
        begun = copy.deepcopy(module)
        return begun, train(begun, dataset(), settings, teacher=teacher, run_options=run_options)

    def stop(line: str) -> None:
        if line.startswith("step 6 "):
            raise Stopped

    want, plain = (trained(s, RunOptions(device="cpu")) for s in (SETTINGS, replace(SETTINGS, compile=False)))
    assert want[1].curve[-1].loss == pytest.approx(plain[1].curve[-1].loss, rel=0.02)
    path = tmp_path / "checkpoint.pt"
    with pytest.raises(Stopped):
        trained(SETTINGS, RunOptions(path, steps=1, lines=1, tell=stop, device="cpu"))
    again, _ = trained(SETTINGS, RunOptions(path, resume=True, device="cpu"))
    theirs = again.state_dict()
    assert all(torch.equal(x, theirs[name]) for name, x in want[0].state_dict().items())


def test_gradual_quantization_is_not_compiled() -> None:
    with pytest.raises(UsageError, match="compile: expected no gradual quantization"):
        TrainSettings(compile=True, gradual="noise")
