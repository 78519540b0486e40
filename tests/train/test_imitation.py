"""Training without labels: the network imitates the float one, whatever its outputs are."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from intaglio_tests.loop_net import dataset, raw_graph
from intaglio_tests.qat_nets import Encoder

from intaglio.data import Dataset, match, open_data
from intaglio.errors import DataError, UsageError
from intaglio.train.loop import RunOptions, TrainResult, TrainSettings, train
from intaglio.train.module import QuantizedModule
from intaglio.train.prepare import prepare_qat
from intaglio.train.teacher import FloatModule

IMITATION = TrainSettings(epochs=4, batch=16, lr=0.02, seed=7, distill=1.0)


class TwoOutputs(Encoder):
    """Scores of pixels, and their mean."""

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        y = super().forward(x)
        return y, y.mean((2, 3))


def unlabelled(count: int, seed: int, *, labels: bool = False) -> Dataset:
    x = np.random.default_rng(seed).normal(size=(count, 3, 8, 8)).astype(np.float32)
    return match(open_data((x, np.arange(count) % 3) if labels else x), {"x": (1, 3, 8, 8)})


def imitated(net: type[Encoder], settings: TrainSettings) -> tuple[QuantizedModule, TrainResult]:
    torch.manual_seed(2)
    module = prepare_qat(net().eval(), torch.zeros(1, 3, 8, 8), target="w4a4")
    run_options = RunOptions(device="cpu")
    held = unlabelled(32, 6)
    teacher = FloatModule(module.graph)
    return module, train(module, unlabelled(128, 5), settings, held_back=held, teacher=teacher, run_options=run_options)


@pytest.mark.parametrize("net", [Encoder, TwoOutputs])
def test_outputs_of_any_shape_are_imitated(net: type[Encoder]) -> None:
    module, result = imitated(net, IMITATION)
    scores = [point.score for point in result.curve if point.score is not None]
    assert {point.metric for point in result.curve} == {"sqnr"}
    assert result.best.score == max(scores) > scores[0]
    assert "SQNR held back, dB" in result.sentence()
    x = torch.as_tensor(next(unlabelled(32, 6).batches(32))[0])
    with torch.no_grad():
        mine, theirs = module.eval()(x), FloatModule(module.graph)(x)
    pairs = zip(mine, theirs, strict=True) if net is TwoOutputs else [(mine, theirs)]
    ratios = [10 * torch.log10(t.var(correction=0) / (y - t).square().mean()).item() for y, t in pairs]
    assert np.mean(ratios) == pytest.approx(result.best.score, abs=0.01)


def test_labels_choose_the_best_weights_if_given() -> None:
    module = prepare_qat(raw_graph(), target="w4a8")
    teacher, held = FloatModule(module.graph), dataset(64, seed=5)
    result = train(module, dataset(), replace(IMITATION, epochs=1), held_back=held, teacher=teacher)
    assert result.best.metric == "top1"


def test_losses_that_cannot_be_learned_are_refused() -> None:
    module = prepare_qat(Encoder().eval(), torch.zeros(1, 3, 8, 8))
    teacher = FloatModule(module.graph)
    with pytest.raises(UsageError, match=r"imitate the float one instead \(--teacher float --distill 1\)"):
        train(module, unlabelled(32, 5, labels=True), replace(IMITATION, distill=0.5), teacher=teacher)
    with pytest.raises(UsageError, match="distill: expected a teacher"):
        train(module, unlabelled(32, 5), IMITATION)
    classes = prepare_qat(raw_graph())
    with pytest.raises(DataError, match="training needs labels, got none"):
        train(classes, unlabelled(32, 5), replace(IMITATION, distill=0.0))
