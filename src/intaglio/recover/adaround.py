"""AdaRound: weights rounded so that layers' outputs stay, layer after layer; no labels.

    codes of layer l = argmin over codes in {floor(W / s), ceil(W / s)} of || f(y) - f(x W~ + b) ||**2

x comes from the quantized network with the layers before already rounded this way, y from the float network. Layers are
taken in the order of the Graph. How one layer is learned stands in `rounding`; at most `POSITIONS` output positions of
all samples, and at most `FLOATS` numbers of input, are held for it at a time (64 MiB), and nothing of other layers but
the values in front of the block at hand (see `sequential_reconstruction`).

Each layer's bias moves by what keeps the mean of its channels that of the float network, before the rounding is learned
(what the rounding before it has shifted) and after.

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
from intaglio.recover.sequential_reconstruction import Stage, reconstruct_sequentially
from intaglio.recover.weight_codes import Learned

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
        graph: in normal form; it is left as it is.
        plan: calibrated; any type of up to 16 bits, any granularity, any zero point.
        samples: inputs to learn from; some hundreds. With very few the rounding fits these only, which the held-back
            ones show.
        held_back: other inputs, on which the outputs are compared with float before and after.
        reference: the float network with its real weights, where those of `graph` are rounded already.
        settings: how to learn.
        checkpoint: a file that is written after each layer; started again with it and the same arguments, it goes on
            there and gives the same result as a run in one piece.
    Returns:
        The network with rounded weights, or the given one where its outputs became worse. The Plan is the given one but
        for the parameters of biases, and for scales of channels whose codes are all zero.
    Raises:
        UsageError: a checkpoint made under other settings, or one that cannot be read or written.
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


def _learned(settings: Settings, stage: Stage, names: Sequence[str]) -> dict[str, Learned]:
    """Codes of one layer, and what its bias moves by; the layers before are as they became."""
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
    return {name: Learned(network.codes(name, found, index), shift.reshape(-1).double().cpu().numpy())}


def _seen(stage: Stage, name: str, index: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """What the quantized network feeds a layer, and what the float one makes there, at random positions."""
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
