"""GPTQ: weights rounded one input after another, each error made good by the weights that are not rounded yet.

    H = X^T X + d I,   U = upper Cholesky factor of H**-1
    for k = 1 ... K:   e = (w_k - round(w_k)) / U_kk,   w_j -= e U_kj  for j > k

minimises || X W - X W~ ||**2 greedily on the grid that the Plan gives; X are the inputs that the quantized network
feeds the layer, with the layers before already rounded this way. H is summed over batches, so nothing of X is kept. The
inputs with the largest H_kk come first, in lazy blocks of columns. A grouped convolution is as many problems as it has
groups.

Where the layer has a bias, the bias moves by what keeps the mean of its channels that of the float network, so only the
variance is left to minimise: H is then taken of X minus its mean.

Source: Frantar et al. 2023, arXiv:2210.17323, algorithm 1; order of columns as in the authors' later "act-order"; the
mean (ours).
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
from intaglio.recover.sequential_reconstruction import Stage, reconstruct_sequentially
from intaglio.recover.weight_codes import Learned

VERSION = 1
_FLOATS = 1 << 22  # of inputs at a time


@dataclass(frozen=True)
class GptqSettings:
    """How GPTQ rounds.

    Args:
        damping: d, as a share of the mean of H's diagonal.
        columns: in a lazy block.
        positions: output positions of all samples that H is summed over, at random; all where there are fewer.
        seed: of positions.
    Raises:
        UsageError: no damping, no columns or no positions.
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


def _learned(settings: GptqSettings, stage: Stage, names: Sequence[str]) -> dict[str, Learned]:
    """Codes of one layer, and what its bias moves by; the layers before are as they became."""
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
    return {name: Learned(network.codes(name, codes, index), shift.reshape(-1).cpu().numpy())}


@dataclass(frozen=True)
class _Moments:
    """Of a layer's inputs X and of its wanted results: X^T X (G, K, K), and means (G, K) and (G, O / G)."""

    square: Tensor
    mean: Tensor
    result: Tensor
    count: int

    def covariance(self) -> Tensor:
        return self.square / self.count - self.mean[:, :, None] * self.mean[:, None]


def _moments(settings: GptqSettings, stage: Stage, name: str, index: Tensor) -> _Moments:
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
        steps, scale, low, high: real weights in steps, their scale, and the steps that there are; (G, K, O) float64.
        hessian: X^T X over a number of positions, (G, K, K) float64.
        settings: see `GptqSettings`.
    Returns:
        Codes minus zero point, (G, K, O); in each output channel those of rounding to nearest where they are better.
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
    """|| X dW ||**2 of each output channel, (G, O); dW: (G, K, O), hessian: (G, K, K)."""
    return (difference * torch.bmm(hessian, difference)).sum(dim=1)


def _factor_of_inverse(hessian: Tensor) -> Tensor:
    """U with U^T U = H**-1, upper triangular; the damping grows where H is not positive to rounding."""
    identity = torch.eye(hessian.shape[-1], dtype=hessian.dtype, device=hessian.device)
    extra = hessian.diagonal(dim1=1, dim2=2).mean(dim=1)[:, None, None] * identity
    for times in (0.0, 1e-6, 1e-3, 1.0):
        lower, failed = torch.linalg.cholesky_ex(hessian + times * extra)
        if not failed.any():
            upper, failed = torch.linalg.cholesky_ex(torch.cholesky_inverse(lower), upper=True)
            if not failed.any():
                return torch.as_tensor(upper)
    return identity.expand_as(hessian)  # rounding to nearest
