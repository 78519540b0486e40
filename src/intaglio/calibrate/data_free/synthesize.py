"""Synthesize inputs from the network itself: optimise them until batch norm sees the moments that it recorded.

    minimise over x:   sum over recorded values of  mean over channels of
                       ((mean(x) - mean) / std)**2 + (std(x) / std - 1)**2

The mean and std of a channel are taken over the samples of a batch and over positions. Each batch starts as noise with
the expected mean and spread (see `noise`) and is optimised by Adam through the float network, within the bounds of the
input. It depends on the seed and on its number alone.

Without batch norm there are no moments to match: the inputs are the noise itself, within a stated range.

Source: Cai et al. 2020 (ZeroQ), arXiv:2001.00281, section 3.1, equation (3); normalised by std: ours.
"""

from __future__ import annotations

import tempfile
import weakref
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from intaglio.calibrate.data_free.channel_moments import channel_axis
from intaglio.calibrate.data_free.clipped_gaussian import ClippedGaussian
from intaglio.calibrate.data_free.input_moments import InputRange, input_normals
from intaglio.calibrate.data_free.noise import Noise
from intaglio.errors import UsageError
from intaglio.graph import Graph
from intaglio.plan import Step
from intaglio.progress import progress
from intaglio.samples import counts_samples
from intaglio.simulate import Simulator

Arrays = dict[str, NDArray[np.float32]]


@dataclass(frozen=True)
class SynthesisSettings:
    """Settings of the optimisation of inputs.

    Args:
        iterations: steps of Adam per batch.
        batch: number of samples optimised together, whose statistics are compared.
        rate: learning rate of Adam, in standard deviations of the input; it falls to 0 along a cosine.
        seed: of the noise that each batch begins with.
    Raises:
        UsageError: no iterations, or fewer than 2 samples in a batch.
    """

    iterations: int = 100
    batch: int = 32
    rate: float = 0.05
    seed: int = 0

    def __post_init__(self) -> None:
        if self.iterations < 1 or self.batch < 2:
            raise UsageError(
                f"synthesis: expected at least 1 iteration and 2 samples a batch, got {self.iterations} and "
                f"{self.batch}"
            )


class Synthesized:
    """Inputs synthesized from a network, as a data set that is read like any other.

    Each batch is made when it is first read, and kept in a temporary file: at most one is in memory.

    Args:
        graph: in normal form, from `intaglio.load`, which keeps what batch norm recorded.
        count: number of samples.
        input_range: (low, high) of the inputs after preprocessing, or by input name; None: from the first batch norms.
        settings: of the optimisation.
    Raises:
        CalibrationError: neither batch norm nor a range, or a range that is not two ascending finite numbers.
        UsageError: no samples.
    """

    once = False

    def __init__(
        self,
        graph: Graph,
        count: int = 128,
        *,
        input_range: InputRange = None,
        settings: SynthesisSettings | None = None,
    ) -> None:
        if count < 1:
            raise UsageError(f"synthesis: expected at least 1 sample, got {count}")
        self.settings = settings or SynthesisSettings()
        self.length = count
        self.inputs, self.known_from = input_normals(graph, input_range)
        self.graph = graph
        self.losses: list[tuple[float, float]] = []
        self._file: IO[bytes] = tempfile.TemporaryFile(prefix=".intaglio-")  # noqa: SIM115
        weakref.finalize(self, self._file.close)
        self._made = 0

    def batches(self, n: int) -> Iterator[tuple[Any, None]]:
        """Yield (x, None) in batches of n samples: x an array, or a dict by name of several inputs."""
        if n < 1:
            raise UsageError(f"synthesis: a batch must hold at least 1 sample, got {n}")
        for start in range(0, self.length, n):
            stop = min(start + n, self.length)
            self._make(stop)
            found = self._read(start, stop)
            yield next(iter(found.values())) if len(found) == 1 else found, None

    def step(self) -> Step:
        """Describe for the history how close the statistics came; makes every sample."""
        self._make(self.length)
        if not self.graph.moments:
            text = f"{self.length} inputs of noise ({self.known_from}): the network has no batch norm to match"
            return Step("synthesis", text)
        before, after = (sum(pair[k] for pair in self.losses) / len(self.losses) for k in (0, 1))
        text = (
            f"{self.length} inputs made from the network ({self.known_from}), {self.settings.iterations} steps for "
            f"each batch of {self.settings.batch}: channels are off by {after:.3g} of their standard deviations, noise "
            f"by {before:.3g}"
        )
        return Step("synthesis", text, "channel statistics", before, after, self.length)

    def _make(self, stop: int) -> None:
        size = self.settings.batch
        numbers = range(self._made // size, -(-stop // size))
        for number in progress(numbers, len(numbers), "synthesize"):
            x, losses = optimised(self.graph, self.inputs, number, self.settings)
            self._file.seek(0, 2)
            for i in range(size):
                for name in self.inputs:
                    self._file.write(np.ascontiguousarray(x[name][i]).data)
            self._made += size
            if self.graph.moments:
                self.losses.append(losses)

    def _read(self, start: int, stop: int) -> Arrays:
        shapes = {name: tuple(x.mean.shape) for name, x in self.inputs.items()}
        each = sum(int(np.prod(shape)) for shape in shapes.values())
        self._file.flush()
        self._file.seek(4 * each * start)
        flat = np.frombuffer(self._file.read(4 * each * (stop - start)), np.float32).reshape(stop - start, each)
        found, at = {}, 0
        for name, shape in shapes.items():
            width = int(np.prod(shape))
            part = flat[:, at : at + width].reshape(stop - start, *shape)
            own_axis = counts_samples(shape, batched=self.graph.batched)
            found[name] = (part.reshape(-1, *shape[1:]) if own_axis else part).copy()
            at += width
        return found


@torch.enable_grad()  # a batch may be asked for where gradients are off
def optimised(
    graph: Graph, inputs: dict[str, ClippedGaussian], number: int, settings: SynthesisSettings
) -> tuple[Arrays, tuple[float, float]]:
    """Make batch `number` of inputs.

    Returns:
        The inputs by name, (batch, *Graph's shape); the deviation of the statistics before and after, in standard
        deviations.
    """
    noise = Noise(inputs, (number + 1) * settings.batch, settings.seed)
    start = [noise.sample(number * settings.batch + i) for i in range(settings.batch)]
    drawn = {name: np.stack([s[name] for s in start]) for name in inputs}
    simulator = Simulator(graph)
    targets = _targets(graph, simulator.device)
    if not targets:
        return drawn, (0.0, 0.0)
    x = {name: torch.as_tensor(a, device=simulator.device).requires_grad_() for name, a in drawn.items()}
    units = {name: float(inputs[name].std.mean()) for name in inputs}
    adam = torch.optim.Adam([{"params": [x[name]], "lr": settings.rate * units[name]} for name in inputs])
    falling = torch.optim.lr_scheduler.CosineAnnealingLR(adam, settings.iterations)
    bounds = {name: [end.float().to(simulator.device) for end in (n.low, n.high)] for name, n in inputs.items()}
    first = last = 0.0
    for step in progress(range(settings.iterations), settings.iterations, "synthesize"):
        loss = _loss(simulator, x, targets)
        first, last = (float(loss.detach()) if step == 0 else first), float(loss.detach())
        adam.zero_grad()
        loss.backward()
        adam.step()
        falling.step()
        with torch.no_grad():
            for name, tensor in x.items():
                tensor.clamp_(*bounds[name])
    kept = {name: tensor.detach().cpu().numpy() for name, tensor in x.items()}
    return kept, (first**0.5, last**0.5)


def _targets(graph: Graph, device: torch.device) -> dict[str, tuple[Tensor, Tensor]]:
    """Collect recorded mean and std by value name; std is NaN where it was not recorded."""
    found = {}
    for name, moments in graph.moments.items():
        std = moments.std if not np.isnan(moments.std).all() else np.full(moments.mean.shape, np.nan)
        found[name] = tuple(torch.as_tensor(a, dtype=torch.float32, device=device) for a in (moments.mean, std))
    return found  # type: ignore[return-value]


def _loss(simulator: Simulator, x: dict[str, Tensor], targets: dict[str, tuple[Tensor, Tensor]]) -> Tensor:
    losses: list[Tensor] = []
    seen: dict[str, list[Tensor]] = {name: [] for name in targets}

    def observe(name: str, y: Tensor) -> None:
        if name in targets:
            seen[name].append(y)

    if simulator.batched:
        simulator({name: t.reshape(-1, *t.shape[2:]) for name, t in x.items()}, observe)
    else:
        for i in range(len(next(iter(x.values())))):
            simulator({name: t[i] for name, t in x.items()}, observe)
    for name, parts in seen.items():
        mean, std = targets[name]
        y = torch.cat(parts)
        axis = channel_axis(y, len(mean))
        if axis is None:
            continue
        rest = [k for k in range(y.ndim) if k != axis]
        got, spread = y.mean(rest), (y.var(rest, unbiased=False) + 1e-12).sqrt()
        unit = torch.where(std.isnan(), spread.detach(), std)
        unit = torch.maximum(unit, 1e-2 * unit.median()).clamp_min(1e-6)
        off = ((got - mean) / unit).square()
        if not bool(std.isnan().any()):
            off = off + ((spread - std) / unit).square()
        losses.append(off.mean())
    return torch.stack(losses).mean()
