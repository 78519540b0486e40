"""Draw random inputs with the expected mean, spread and bounds, smooth where they are images."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from intaglio.calibrate.data_free.clipped_gaussian import ClippedGaussian
from intaglio.calibrate.data_free.correlation import IMAGE, along
from intaglio.calibrate.data_free.input_moments import channel_axis_of_input
from intaglio.simulate import Simulator


class Noise:
    """Random inputs as a data set, the same ones whenever it is read.

    Args:
        inputs: distributions of the network's inputs by name (see `predict`, or `input_moments.input_normals`).
        count: number of samples.
        seed: sample i depends on the seed and on i alone.
    """

    def __init__(self, inputs: Mapping[str, ClippedGaussian], count: int, seed: int = 0) -> None:
        self.inputs, self.length, self.seed = dict(inputs), count, seed

    def batches(self, n: int) -> Iterator[tuple[dict[str, NDArray[Any]], None]]:
        """Yield (inputs by name, None) in batches of n samples, joined along the inputs' own axis 0."""
        for start in range(0, self.length, n):
            samples = [self.sample(i) for i in range(start, min(start + n, self.length))]
            yield {name: np.concatenate([s[name] for s in samples]) for name in self.inputs}, None

    def sample(self, index: int) -> dict[str, NDArray[np.float32]]:
        """Draw sample `index` of every input, in the Graph's shape."""
        # PyTorch's generator on the CPU takes 32 bits of a seed.
        mixed = int(np.random.SeedSequence([self.seed, index]).generate_state(1)[0])
        generator = torch.Generator().manual_seed(mixed)
        return {name: draw(x, generator).float().numpy() for name, x in self.inputs.items()}

    def feeds(self, simulator: Simulator) -> Iterator[Mapping[str, Tensor]]:
        """Yield batches as tensors (see `evaluation.held_back.Samples`)."""
        several = (x for x, _ in self.batches(8)) if simulator.batched else map(self.sample, range(self.length))
        for x in several:
            yield {name: torch.as_tensor(array, device=simulator.device) for name, array in x.items()}


def draw(x: ClippedGaussian, generator: torch.Generator) -> Tensor:
    """Draw an input once; positions and channels of an image are correlated as `correlation.IMAGE` says."""
    size = x.mean.shape
    own = torch.randn(size, generator=generator, dtype=torch.float64)
    if x.mean.ndim > 2:
        axis = channel_axis_of_input(tuple(size))
        common = own.narrow(axis, 0, 1)
        own = IMAGE.channels**0.5 * common + (1 - IMAGE.channels) ** 0.5 * torch.randn(
            size, generator=generator, dtype=torch.float64
        )
        for k in range(1, x.mean.ndim):
            if k != axis:
                smooth = torch.linalg.cholesky(along(size[k], IMAGE.neighbours))
                own = torch.tensordot(own, smooth, dims=([k], [1])).movedim(-1, k)
    return torch.minimum(torch.maximum(x.mean + x.std * own, x.low), x.high)
