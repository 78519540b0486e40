"""GPTQ: round weights one input after another, and compensate each error with the weights not yet rounded.

    H = X^T X + d I,   U = upper Cholesky factor of H**-1
    for k = 1 ... K:   e = (w_k - round(w_k)) / U_kk,   w_j -= e U_kj  for j > k

minimises || X W - X W~ ||**2 greedily with the scales of the Plan. X are the layer's inputs in the quantized network,
whose earlier layers are already rounded. H is summed over batches, so X is not kept. The inputs with the largest H_kk
come first, in lazy blocks of columns. Each group of a grouped convolution is a problem of its own.

If the layer has a bias, the bias is shifted so that channel means equal those of the float network. Then only the
variance has to be minimised, and H is that of X minus its mean.

Source: Frantar et al. 2023, arXiv:2210.17323, algorithm 1; order of columns as in the authors' later "act-order";
the shift of the mean is ours.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from intaglio.errors import UsageError
from intaglio.evaluation.held_back import Samples
from intaglio.graph import Graph
from intaglio.plan import Plan
from intaglio.recover.biases import CHANNEL_AXIS
from intaglio.recover.im2col import outputs, positions, rows, samples_in, weight_index
from intaglio.recover.recovery import Recovery
from intaglio.recover.sequential_reconstruction import BlockStage, reconstruct_sequentially
from intaglio.recover.weight_codes import LearnedCodes

VERSION = 1
_FLOATS = 1 << 22  # most input numbers in memory at a time


@dataclass(frozen=True)
class GptqSettings:
    """Settings of GPTQ.

    Args:
        damping: d, as a fraction of the mean of H's diagonal.
        columns: columns in a lazy block.
        positions: random output positions, of all samples, that H is summed over; all positions if there are fewer.
        seed: seed of the positions.
    Raises:
        UsageError: a setting is not positive.
    """

    damping: float = 0.01
    columns: int = 128
    positions: int = 1 << 17
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.damping > 0 or self.columns < 1 or self.positions < 1:
            raise UsageError(
                "GPTQ: expected a damping above 0 and at least 1 column and 1 position, got "
                f"{self.damping:g}, {self.columns} and {self.positions}"
            )


def gptq(
    graph: Graph,
    plan: Plan,
    samples: Samples,
    held_back: Samples,
    *,
    reference: Graph | None = None,
    settings: GptqSettings | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
) -> Recovery:
    """Round every constant weight of a Conv, ConvTranspose, Gemm or MatMul.

    Args:
        graph, plan, samples, held_back, reference, checkpoint: see `adaround`.
        settings: see `GptqSettings`.
    Returns, Raises:
        As `adaround`.
    """
    settings = settings or GptqSettings()
    return reconstruct_sequentially(
        "GPTQ",
        f"{100 * settings.damping:g} % damping",
        partial(_learned, settings),
        graph,
        plan,
        samples,
        held_back,
        reference=reference,
        settings=settings,
        checkpoint=checkpoint,
        version=VERSION,
    )


def _learned(settings: GptqSettings, stage: BlockStage, names: Sequence[str]) -> dict[str, LearnedCodes]:
    """Find the codes and the bias shift of one layer, with earlier layers already rounded."""
    (name,) = names
    network = stage.network
    node, index = network.layers[name], weight_index(network.layers[name])
    steps, scale, low, high = (x.double() for x in network.grid(name, index))
    moments = _moments(settings, stage, name, index)
    moves = node.op_type in CHANNEL_AXIS
    hessian = moments.covariance() if moves else moments.square / moments.count
    codes = round_columns(steps, scale, low, high, hessian, settings)
    bias = network.bias(name, index).double()
    shift = moments.result[:, None] - bias - torch.bmm(moments.mean[:, None], codes * scale)
    shift = network.fitting(name, shift, bias, scale)
    return {name: LearnedCodes(network.codes(name, codes, index), shift.reshape(-1).cpu().numpy())}


@dataclass(frozen=True)
class _Moments:
    """Moments of a layer: X^T X of its inputs X, (G, K, K); means of inputs (G, K) and of float outputs (G, O / G)."""

    square: Tensor
    mean: Tensor
    result: Tensor
    count: int

    def covariance(self) -> Tensor:
        return self.square / self.count - self.mean[:, :, None] * self.mean[:, None]


def _moments(settings: GptqSettings, stage: BlockStage, name: str, index: Tensor) -> _Moments:
    node = stage.network.layers[name]
    groups, inner, outer = index.shape
    count = positions(node)
    each = max(1, min(count, settings.positions // max(stage.given.count, 1)))
    generator = torch.Generator().manual_seed(zlib.crc32(name.encode(), settings.seed))
    square = torch.zeros((groups, inner, inner), dtype=torch.float64, device=stage.real.device)
    mean, result = square.new_zeros((groups, inner)), square.new_zeros((groups, outer))
    seen = 0
    for fed, made in stage.seen(name):
        order = torch.rand((samples_in(node, fed), count), generator=generator).argsort(dim=1)[:, :each]
        for pick in order.to(fed.device).split(max(1, _FLOATS // (groups * inner * len(order))), dim=1):
            x = rows(node, fed, pick)
            square += torch.bmm(x.transpose(1, 2), x)
            mean += x.sum(dim=1, dtype=torch.float64)
            result += outputs(node, made, pick).sum(dim=1, dtype=torch.float64)
            seen += x.shape[1]
    return _Moments(square, mean / seen, result / seen, seen)


def round_columns(
    steps: Tensor, scale: Tensor, low: Tensor, high: Tensor, hessian: Tensor, settings: GptqSettings
) -> Tensor:
    """Round the weights of a layer.

    Args:
        steps, scale, low, high: real weights in steps (W / s), their scale, lowest and highest step; (G, K, O) float64.
        hessian: X^T X divided by the number of positions, (G, K, K) float64.
        settings: see `GptqSettings`.
    Returns:
        Codes minus zero point, (G, K, O); rounded to nearest in output channels where that has less error.
    """
    nearest = steps.round().clamp(low, high)
    inputs = hessian.shape[-1]
    diagonal = hessian.diagonal(dim1=1, dim2=2)
    if not (hessian.isfinite().all() and diagonal.amax() > 0):
        return nearest
    damping = settings.damping * diagonal.mean(dim=1, keepdim=True)
    damping = damping.clamp_min(1e-12 * float(diagonal.amax()))
    order = diagonal.argsort(dim=1, descending=True)  # (G, K)
    by_column = order[:, :, None].expand_as(steps)
    sorted_hessian = hessian.gather(1, order[:, :, None].expand_as(hessian)).gather(
        2, order[:, None].expand_as(hessian)
    )
    sorted_hessian = sorted_hessian + torch.diag_embed(damping.expand(-1, inputs))
    factor = _factor_of_inverse(sorted_hessian)
    weight, scales, lows, highs = ((x.gather(1, by_column)) for x in (steps * scale, scale, low, high))
    found = torch.empty_like(weight)
    for start in range(0, inputs, settings.columns):
        stop = min(start + settings.columns, inputs)
        errors = torch.zeros_like(weight[:, start:stop])
        for k in range(start, stop):
            found[:, k] = (weight[:, k] / scales[:, k]).round().clamp(lows[:, k], highs[:, k])
            error = (weight[:, k] - found[:, k] * scales[:, k]) / factor[:, k, k, None]
            weight[:, k:stop] -= factor[:, k, k:stop, None] * error[:, None]
            errors[:, k - start] = error
        weight[:, stop:] -= torch.bmm(factor[:, start:stop, stop:].transpose(1, 2), errors)
    codes = torch.empty_like(found).scatter_(1, by_column, found)
    better = output_error((codes - steps) * scale, hessian) < output_error((nearest - steps) * scale, hessian)
    return torch.where(better[:, None], codes, nearest)


def output_error(difference: Tensor, hessian: Tensor) -> Tensor:
    """Return || X dW ||**2 of each output channel, (G, O); dW: (G, K, O), hessian: (G, K, K)."""
    return (difference * torch.bmm(hessian, difference)).sum(dim=1)


def _factor_of_inverse(hessian: Tensor) -> Tensor:
    """Return upper triangular U with U^T U = H**-1; damping is increased if H is not numerically positive definite."""
    identity = torch.eye(hessian.shape[-1], dtype=hessian.dtype, device=hessian.device)
    extra = hessian.diagonal(dim1=1, dim2=2).mean(dim=1)[:, None, None] * identity
    for times in (0.0, 1e-6, 1e-3, 1.0):
        lower, failed = torch.linalg.cholesky_ex(hessian + times * extra)
        if not failed.any():
            upper, failed = torch.linalg.cholesky_ex(torch.cholesky_inverse(lower), upper=True)
            if not failed.any():
                return torch.as_tensor(upper)
    return identity.expand_as(hessian)  # has the effect of rounding to nearest
