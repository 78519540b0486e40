"""Batch-norm statistics anew: the mean of those of the batches, and nothing else moves."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

import intaglio as ig
from intaglio.errors import DataError
from intaglio.train.reestimate import reestimate_batch_norm


def network() -> nn.Sequential:
    torch.manual_seed(5)
    return nn.Sequential(
        nn.Conv2d(2, 6, 3, bias=False), nn.BatchNorm2d(6), nn.ReLU(), nn.Conv2d(6, 6, 3), nn.BatchNorm2d(6), nn.ReLU()
    )


def batches() -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(6)
    return [2 * torch.randn((8, 2, 8, 8), generator=generator) + 1 for _ in range(3)]


def test_the_first_batch_norm_gets_the_mean_of_the_batch_statistics() -> None:
    net = network().eval()
    assert reestimate_batch_norm(net, [(x, None) for x in batches()]) == 2
    with torch.no_grad():
        seen = [net[0](x).movedim(1, 0).flatten(1) for x in batches()]
    torch.testing.assert_close(net[1].running_mean, torch.stack([y.mean(1) for y in seen]).mean(0))
    torch.testing.assert_close(net[1].running_var, torch.stack([y.var(1) for y in seen]).mean(0))
    assert not net.training and not net[1].training and net[1].momentum == 0.1


@pytest.mark.parametrize("method", ["lsq", "range"])
def test_reestimation_changes_statistics_only(method) -> None:
    qat = ig.prepare_qat(network(), torch.zeros(1, 2, 8, 8), method=method)
    for x in batches():
        qat(x)
    qat.freeze_batch_norm()
    before = copy.deepcopy(qat.state_dict())
    assert reestimate_batch_norm(qat, iter(batches())) == 2
    assert qat.training and qat.batch_norm_frozen
    # An observed range of a weight is that of the weight times gamma / sigma, with the sigma of now.
    scaled = ("quantizers.0/weight", "quantizers.3/weight")
    for name, now in qat.state_dict().items():
        if "running" in name:
            assert not torch.equal(now, before[name]), name
        elif not name.startswith(scaled):
            assert torch.equal(now, before[name]), name


def test_evaluation_after_reestimation_normalizes_the_given_data() -> None:
    """With the statistics of the data themselves, the first layer's output has mean beta and variance gamma^2."""
    net = network()[:2]
    qat = ig.prepare_qat(net, torch.zeros(1, 2, 8, 8), method="range")
    x = torch.cat(batches())
    qat(x)  # ranges
    for _ in range(2):  # the rounding of the weights follows the variance
        reestimate_batch_norm(qat, [x])
    with torch.no_grad():
        y = qat.eval()(x).movedim(1, 0).flatten(1)
    assert y.mean(1).abs().max() < 0.05
    assert (y.std(1) - 1).abs().max() < 0.05


def test_a_network_without_batch_norm_is_left_alone() -> None:
    assert reestimate_batch_norm(nn.Linear(2, 2), [torch.zeros(1, 2)]) == 0


def test_no_batches_are_refused() -> None:
    with pytest.raises(DataError, match="expected batches, got none"):
        reestimate_batch_norm(network(), [])
