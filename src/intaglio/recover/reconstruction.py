"""Block reconstruction (BRECQ, QDrop): learn the rounding of all weights of a block together, for the block's output.

    minimise  || f(x) - f~(x~; W~) ||**2 / e  +  lambda * mean(1 - |2 h(V) - 1|**beta)

f is the block in the float network, f~ in the quantized one, and e the error of f~ with weights rounded to nearest.
h(V) and its annealing are those of AdaRound (see `rounding`); gradients pass activation rounding straight through.
While learning, each element of x~ and of every activation in the block stays real with probability `drop` (see
`qdrop`).

Blocks are processed in the order of the Graph (see `blocks`), with earlier blocks already rounded. Biases are shifted
so that channel means equal those of the float network, once before the rounding is learned and once after.

Source: Li et al. 2021, arXiv:2102.05426, section 3 (with the squared error of the block's output instead of Fisher
information); Wei et al. 2022, arXiv:2203.05740, section 4 (QDrop).
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from intaglio.errors import UsageError
from intaglio.evaluation.held_back import Samples
from intaglio.graph import Graph
from intaglio.plan import Plan
from intaglio.recover.activation_cache import Values
from intaglio.recover.bias_shift import centre
from intaglio.recover.im2col import weight_index
from intaglio.recover.qdrop import dropped, mixed
from intaglio.recover.recovery import Recovery
from intaglio.recover.rounding import Undecided, annealed, undecided
from intaglio.recover.sequential_reconstruction import BlockStage, reconstruct_sequentially
from intaglio.recover.weight_codes import LearnedCodes, Rounded

VERSION = 1
_UNIT_SAMPLES = 64  # samples on which e is measured


@dataclass(frozen=True)
class BlockSettings:
    """Settings of block reconstruction.

    Args:
        iterations: Adam steps per layer of the block.
        batch: samples per step.
        rate: learning rate of Adam.
        weight: lambda, weight of the rounding regularizer.
        warm: fraction of the steps without the regularizer.
        beta: first and last exponent of the regularizer.
        drop: probability that an activation element stays real; 0 is BRECQ, 0.5 is QDrop.
        seed: seed of batches and drops.
    Raises:
        UsageError: no iterations, no samples in a batch, or a probability outside 0 to 1.
    """

    iterations: int = 200
    batch: int = 16
    rate: float = 3e-2
    weight: float = 10.0
    warm: float = 0.2
    beta: tuple[float, float] = (20.0, 2.0)
    drop: float = 0.5
    seed: int = 0

    def __post_init__(self) -> None:
        if self.iterations < 1 or self.batch < 1 or not 0 <= self.drop <= 1:
            raise UsageError(
                "block reconstruction: expected at least 1 iteration, 1 sample a batch and a probability of dropping "
                f"from 0 to 1, got {self.iterations}, {self.batch} and {self.drop:g}"
            )


def reconstruct_blocks(
    graph: Graph,
    plan: Plan,
    samples: Samples,
    held_back: Samples,
    *,
    reference: Graph | None = None,
    settings: BlockSettings | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
) -> Recovery:
    """Learn the rounding of every constant weight of a Conv, ConvTranspose, Gemm or MatMul, block by block.

    Args:
        graph, plan, samples, held_back, reference: see `adaround`.
        settings: learning settings.
        checkpoint: as for `adaround`, but written after each block.
    Returns, Raises:
        As `adaround`.
    """
    settings = settings or BlockSettings()
    return reconstruct_sequentially(
        "block reconstruction",
        f"{settings.iterations} steps for each layer, quantization dropped with probability {settings.drop:g}",
        partial(_learned, settings),
        graph,
        plan,
        samples,
        held_back,
        reference=reference,
        settings=settings,
        checkpoint=checkpoint,
        version=VERSION,
        whole_blocks=True,
    )


def _learned(settings: BlockSettings, stage: BlockStage, names: Sequence[str]) -> dict[str, LearnedCodes]:
    """Learn codes and bias shifts of a block's layers, with earlier blocks already rounded."""
    if not names:
        return {}
    generator = torch.Generator().manual_seed(zlib.crc32(names[0].encode(), settings.seed))
    weights = [_Weight(stage.network, name) for name in names]
    nearest = {weight.name: weight.codes(weight.nearest) for weight in weights}
    begun = stage.network.copy()
    centre(stage, begun, names, {weight.value: weight.shaped(weight.real) for weight in weights})
    found = _Block(stage, begun)
    error = found.error({weight.value: weight.shaped(weight.nearest) for weight in weights}, _UNIT_SAMPLES)
    decided = nearest
    if error > 0 and error != float("inf"):
        _learn(settings, found, weights, error, generator)
        learned = {weight.value: weight.shaped(weight.rounding.decided()) for weight in weights}
        if found.error(learned) < found.error({weight.value: weight.shaped(weight.nearest) for weight in weights}):
            decided = {weight.name: weight.codes(weight.rounding.decided()) for weight in weights}
    ended = stage.network.copy()
    ended.take({name: LearnedCodes(codes, torch.zeros(1).numpy()) for name, codes in decided.items()})
    shifts = centre(stage, ended, names, {})
    return {name: LearnedCodes(decided[name], shifts[name]) for name in names}


class _Weight:
    """Weight of a layer while it is learned, as a matrix (see `im2col`)."""

    def __init__(self, network: Rounded, name: str) -> None:
        self.network, self.name, self.node = network, name, network.layers[name]
        self.value = str(self.node.inputs[1].name)  # type: ignore[union-attr]
        self.index = weight_index(self.node)
        steps, self.scale, low, high = network.grid(name, self.index)
        self.nearest, self.real = steps.round().clamp(low, high), steps.clamp(low, high)
        self.rounding = Undecided(steps, low, high)
        self.back = torch.empty(self.index.numel(), dtype=torch.int64)
        self.back[self.index.reshape(-1)] = torch.arange(self.index.numel())
        self.back = self.back.to(steps.device)

    def shaped(self, steps: Tensor) -> Tensor:
        """Convert steps to the real weight in the operator's shape."""
        size = self.network.real_weights[self.name].shape
        return (steps * self.scale).reshape(-1)[self.back].reshape(size)

    def codes(self, steps: Tensor) -> Any:
        return self.network.codes(self.name, steps, self.index)


class _Block:
    """Block that can be run with other weights, and its wanted outputs."""

    def __init__(self, stage: BlockStage, network: Rounded) -> None:
        self.stage, self.simulator = stage, network.quantized
        names = {name for call in self.simulator.calls[stage.block.start : stage.block.stop] for name in call.outputs}
        self.round = {name: f for name, f in self.simulator.round.items() if name in names}

    def run(
        self, values: Values, weights: Mapping[str, Tensor], rounding: Mapping[str, Callable[[Tensor], Tensor]]
    ) -> Values:
        block = self.stage.block
        return self.simulator.span(block.start, block.stop, values, block.outputs, constants=weights, rounding=rounding)

    def loss(self, got: Values, want: Values) -> Tensor:
        """Return the squared error, summed over outputs and elements."""
        return torch.stack([(got[name] - want[name]).square().sum() for name in self.stage.block.outputs]).sum()

    def error(self, weights: Mapping[str, Tensor], count: int | None = None) -> float:
        """Return the mean squared error over the first `count` samples (None: all), without dropping."""
        total, seen, device = 0.0, 0, self.simulator.device
        with torch.no_grad():
            pairs = zip(self.stage.given.batches(device), self.stage.wanted.batches(device), strict=True)
            for (start, values), (_, want) in pairs:
                if count is not None and start >= count:
                    break
                total += float(self.loss(self.run(values, weights, self.round), want))
                seen = start + (len(next(iter(values.values()))) if self.stage.given.batched else 1)
        return total / max(seen, 1)


def _learn(
    settings: BlockSettings, block: _Block, weights: Sequence[_Weight], error: float, generator: torch.Generator
) -> None:
    stage, device = block.stage, block.simulator.device
    adam = torch.optim.Adam([weight.rounding.v for weight in weights], lr=settings.rate)
    total = sum(weight.index.numel() for weight in weights)
    steps = settings.iterations * len(weights)
    batch = min(settings.batch, stage.given.count)
    rounding: dict[str, Callable[[Tensor], Tensor]] = {
        name: partial(dropped, quantizer, settings.drop, generator) for name, quantizer in block.round.items()
    }
    for step in range(steps):
        index = torch.randint(stage.given.count, (batch,), generator=generator).tolist()
        soft = [weight.rounding.soft() for weight in weights]
        shaped = {weight.value: weight.shaped(s) for weight, (s, _) in zip(weights, soft, strict=True)}
        loss = torch.zeros((), device=device)
        feeds = (f.take(index, device) for f in (stage.given, stage.real_given, stage.wanted))
        for given, real, want in zip(*feeds, strict=True):
            fed = {name: mixed(x, real[name], settings.drop, generator) for name, x in given.items()}
            loss = loss + block.loss(block.run(fed, shaped, rounding), want)
        loss = loss / (batch * error)
        beta = annealed(step * settings.iterations // steps, settings)
        if beta is not None:
            cost = torch.stack([undecided(h, beta).sum() for _, h in soft]).sum() / total
            loss = loss + settings.weight * cost
        adam.zero_grad()
        loss.backward()
        adam.step()
