"""AdaRound: learn the rounding of weights layer by layer, to minimise the error of each layer's output.

    codes of layer l = argmin over codes in {floor(W / s), ceil(W / s)} of || f(y) - f(x W~ + b) ||**2

x is the layer's input in the quantized network, whose earlier layers are already rounded; y is the layer's output in
the float network. Layers are processed in the order of the Graph. `rounding` learns one layer. Memory: at most
`POSITIONS` output positions of all samples and `FLOATS` input numbers (64 MiB) for the layer, and the values in front
of the current block (see `sequential_reconstruction`).

Each layer's bias is shifted so that channel means equal those of the float network, once before its rounding is learned
(which corrects the shift by earlier layers) and once after.

Source: Nagel et al. 2020, arXiv:2004.10568, section 3 and equation (25) (asymmetric reconstruction).
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor

from intaglio.evaluation.held_back import Samples
from intaglio.graph import Graph
from intaglio.plan import Plan
from intaglio.recover.im2col import outputs, positions, rows, samples_in, weight_index
from intaglio.recover.recovery import Recovery
from intaglio.recover.rounding import Problem, Settings, learn
from intaglio.recover.sequential_reconstruction import BlockStage, reconstruct_sequentially
from intaglio.recover.weight_codes import LearnedCodes

VERSION = 2
FLOATS = 1 << 24
POSITIONS = 1 << 15


def adaround(
    graph: Graph,
    plan: Plan,
    samples: Samples,
    held_back: Samples,
    *,
    reference: Graph | None = None,
    settings: Settings | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
) -> Recovery:
    """Learn the rounding of every constant weight of a Conv, ConvTranspose, Gemm or MatMul.

    Args:
        graph: the prepared network; not modified.
        plan: calibrated Plan; weights of up to 16 bits, any granularity and zero point.
        samples: inputs to learn from, some hundreds; with very few the rounding overfits, which `held_back` reveals.
        held_back: other inputs, on which the outputs are compared with float before and after.
        reference: the float network with unrounded weights, if those of `graph` are already rounded.
        settings: learning settings.
        checkpoint: file written after each layer; with the same file and arguments an interrupted run resumes, and
            gives the same result as an uninterrupted one.
    Returns:
        The network with rounded weights; the given one if its outputs became worse. The Plan changes only in the
        parameters of biases, and in scales of channels whose codes are all zero.
    Raises:
        UsageError: the checkpoint has other settings, or cannot be read or written.
    """
    settings = settings or Settings()
    return reconstruct_sequentially(
        "AdaRound",
        f"{settings.iterations} steps each",
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


def _learned(settings: Settings, stage: BlockStage, names: Sequence[str]) -> dict[str, LearnedCodes]:
    """Learn the codes and the bias shift of one layer, with earlier layers already rounded."""
    (name,) = names
    network = stage.network
    generator = torch.Generator().manual_seed(zlib.crc32(name.encode(), settings.seed))
    index = weight_index(network.layers[name])
    steps, scale, low, high = network.grid(name, index)
    x, y = _seen(stage, name, index, generator)
    problem = Problem(x, y, network.bias(name, index), steps, scale, low, high, network.clamp(name))

    def shifted(found: Tensor) -> Tensor:
        shift = problem.centred(found).bias - problem.bias
        return network.fitting(name, shift, problem.bias, scale)

    begun = replace(problem, bias=problem.bias + shifted(problem.limit(steps)))
    found = learn(begun, settings, generator)
    shift = shifted(found)
    if not problem.error(found) > replace(problem, bias=problem.bias + shift).error(found):
        shift = torch.zeros_like(shift)
    return {name: LearnedCodes(network.codes(name, found, index), shift.reshape(-1).double().cpu().numpy())}


def _seen(stage: BlockStage, name: str, index: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Return a layer's inputs in the quantized network and its outputs in the float one, at random positions."""
    node = stage.network.layers[name]
    groups, inner, outer = index.shape
    count = positions(node)
    most = min(POSITIONS, FLOATS // max(groups * inner, groups * outer)) // max(stage.given.count, 1)
    each = max(1, min(count, most))
    x, y = [], []
    for fed, made in stage.seen(name):
        order = torch.rand((samples_in(node, fed), count), generator=generator).argsort(dim=1)
        pick = order[:, :each].to(fed.device)
        x.append(rows(node, fed, pick))
        y.append(outputs(node, made, pick))
    return torch.cat(x, dim=1).contiguous(), torch.cat(y, dim=1).contiguous()
