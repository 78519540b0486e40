"""Train on several processes: share gradients, running statistics and sums.

Each process takes its part of every batch. DistributedDataParallel averages the gradients. Batch norm normalizes with
the statistics of the process's own part; running statistics and observed ranges are averaged over the processes after
each step, so that all of them always have the same network.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from inspect import signature
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from intaglio.errors import TrainingError, UsageError
from intaglio.processes import Processes
from intaglio.train.module import QuantizedModule

_Parallel = nn.parallel.DistributedDataParallel
_BUFFERS: dict[str, Any] = {  # the option was renamed in PyTorch 2.13
    next(n for n in ("forward_sync_buffers", "broadcast_buffers") if n in signature(_Parallel).parameters): False
}


class World:
    """Processes of a training and their communication.

    Args:
        processes: rank and number of processes.
        batch: batch size summed over all processes.
    Raises:
        UsageError: the batch cannot be divided evenly.
    """

    def __init__(self, processes: Processes, batch: int) -> None:
        self.rank, self.world = processes.rank, processes.world
        if batch % self.world:
            raise UsageError(f"batch: expected a multiple of the {self.world} processes, got {batch}")

    @property
    def share(self) -> tuple[int, int]:
        """(rank, world)."""
        return self.rank, self.world

    @property
    def leads(self) -> bool:
        """Whether this process writes files and prints."""
        return self.rank == 0

    def wrapped(self, module: QuantizedModule, device: torch.device) -> nn.Module:
        """Wrap the module with DistributedDataParallel if there are several processes."""
        if self.world == 1:
            return module
        ids = None if device.type != "cuda" else [torch.cuda.current_device() if device.index is None else device.index]
        # The module replaces its buffers, which DDP does not notice; `average_buffers` synchronizes them instead.
        return _Parallel(module, device_ids=ids, **_BUFFERS)

    def begin_alike(self, module: nn.Module) -> None:
        """Copy parameters and buffers of rank 0 to all processes."""
        if self.world > 1:
            for tensor in module.state_dict().values():
                dist.broadcast(tensor, src=0)

    def average_buffers(self, module: nn.Module) -> None:
        """Average running statistics and observed ranges over the processes."""
        if self.world == 1:
            return
        buffers = [b for b in module.buffers() if b.is_floating_point()]
        if not buffers:
            return
        flat = torch.cat([b.reshape(-1) for b in buffers])
        dist.all_reduce(flat)
        flat /= self.world
        for buffer, part in zip(buffers, flat.split([b.numel() for b in buffers]), strict=True):
            buffer.copy_(part.reshape(buffer.shape))

    def summed(self, *numbers: float | Tensor) -> list[float]:
        """Sum numbers over the processes."""
        if self.world == 1:
            return [float(x) for x in numbers]
        whole = torch.tensor([float(x) for x in numbers], dtype=torch.float64)
        dist.all_reduce(whole)
        return [float(x) for x in whole]


@contextmanager
def together(kept: object) -> Iterator[None]:
    """Report the death of another process of the training as a TrainingError.

    Args:
        kept: sentence about the last checkpoint, for the message.
    Raises:
        TrainingError: instead of the communication library's own error.
    """
    try:
        yield
    except RuntimeError as error:
        if not (dist.is_available() and dist.is_initialized()) or not _of_transport(error):
            raise
        raise TrainingError(
            f"rank {dist.get_rank()} of {dist.get_world_size()}: expected all processes to answer, "
            f"got none from one of them ({' '.join(str(error).split())[:120]}). {kept}"
        ) from None


def _of_transport(error: RuntimeError) -> bool:
    """Return whether gloo or nccl report a lost process; not every version has its own exception for that."""
    text = str(error).lower()
    words = ("connection", "gloo", "nccl", "timed out", "timeout", "socket", "peer", "processgroup")
    return isinstance(error, dist.DistBackendError) or any(word in text for word in words)
