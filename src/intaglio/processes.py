"""Processes that share work: a single one, or those started by torchrun."""

from __future__ import annotations

import gc
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist

from intaglio.errors import IntaglioError

T = TypeVar("T")


@dataclass(frozen=True)
class Processes:
    """Rank of this process and number of processes.

    Args:
        rank: number of this process, from 0.
        world: number of processes.
    """

    rank: int = 0
    world: int = 1

    def first(self, make: Callable[[], T]) -> T:
        """Call a function on rank 0 and return its result on every rank. If it fails, other ranks exit silently.

        Raises:
            IntaglioError: on rank 0, the error of the function.
            SystemExit: on other ranks, if it failed.
        """
        if self.world == 1:
            return make()
        box: list[Any] = [None, True]
        failed: IntaglioError | None = None
        if self.rank == 0:
            try:
                box = [make(), True]
            except IntaglioError as error:
                failed, box = error, [None, False]
        dist.broadcast_object_list(box, src=0)
        if failed is not None:
            raise failed
        if not box[1]:
            raise SystemExit(1)
        return box[0]  # type: ignore[no-any-return]

    def gather(self, value: T) -> list[T]:
        """Return the values of all ranks, in order, on every rank."""
        if self.world == 1:
            return [value]
        found: list[Any] = [None] * self.world
        dist.all_gather_object(found, value)
        return found

    def every(self, make: Callable[[], T]) -> list[T]:
        """Call a function on every rank and return all results, in order, on every rank.

        Raises:
            IntaglioError: on every rank, the error of the first rank on which it failed.
        """
        if self.world == 1:
            return [make()]
        mine: T | None = None
        failed: IntaglioError | None = None
        try:
            mine = make()
        except IntaglioError as error:
            failed = error
        found = self.gather((mine, failed))
        for _, raised in found:
            if raised is not None:
                raise raised
        return [value for value, _ in found]  # type: ignore[misc]

    def part(self, count: int, multiple: int) -> range | None:
        """Return this rank's contiguous part of the samples; None if there are too few to share.

        Args:
            count: number of samples.
            multiple: parts begin at multiples of this, so that batches are not divided.
        """
        batches = -(-count // multiple)
        if self.world == 1 or batches < self.world or count < 8 * self.world:
            return None
        begin, end = (multiple * (batches * rank // self.world) for rank in (self.rank, self.rank + 1))
        return range(begin, min(end, count))


@contextmanager
def processes(patience: float | None = None) -> Iterator[Processes]:
    """Connect the processes that torchrun started, with gloo, and nccl for tensors on GPUs; yield rank and number.

    Args:
        patience: seconds after which a silent process counts as dead; None: PyTorch's default, half an hour.
    """
    if dist.is_available() and dist.is_initialized():
        yield Processes(dist.get_rank(), dist.get_world_size())
    elif int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield Processes()
    else:
        timeout = None if patience is None else timedelta(seconds=patience)
        if torch.cuda.is_available():
            torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")) % torch.cuda.device_count())
        _bind_defaults()
        dist.init_process_group("cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo", timeout=timeout)
        try:
            yield Processes(dist.get_rank(), dist.get_world_size())
        finally:
            dist.destroy_process_group()
            gc.collect()  # reference cycles, such as DistributedDataParallel's, hold the group too


def _bind_defaults() -> None:
    """Import modules that would otherwise hold the process group and its threads until the interpreter ends.

    These modules, which PyTorch's exporter imports, store the current group as a default argument. A gloo thread that
    releases a tensor while the interpreter exits aborts the process: "terminate called without an active exception".
    Imported before there is a group, the default is None, which has the same meaning.
    """
    import torch.distributed.fsdp
    import torch.distributed.nn  # noqa: F401
