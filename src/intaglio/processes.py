"""The processes that share a piece of work: one, or those that torchrun started."""

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
    """Who we are among them.

    Args:
        rank: our number, from 0.
        world: how many there are.
    """

    rank: int = 0
    world: int = 1

    def first(self, make: Callable[[], T]) -> T:
        """What a function returns on rank 0, on every rank. Where it fails, the others end without a word.

        Raises:
            IntaglioError: on rank 0, what the function raised.
            SystemExit: on the others.
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
        """What every rank has, in their order, on every rank."""
        if self.world == 1:
            return [value]
        found: list[Any] = [None] * self.world
        dist.all_gather_object(found, value)
        return found

    def every(self, make: Callable[[], T]) -> list[T]:
        """What a function returns on each rank, in their order, on every rank.

        Raises:
            IntaglioError: where it fails on any rank, what it raised on the first of them, on every rank.
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
        """This rank's part of so many samples, in one piece; None where they are too few to share.

        Args:
            count: of the samples.
            multiple: where parts begin: a batch is not cut.
        """
        batches = -(-count // multiple)
        if self.world == 1 or batches < self.world or count < 8 * self.world:
            return None
        begin, end = (multiple * (batches * rank // self.world) for rank in (self.rank, self.rank + 1))
        return range(begin, min(end, count))


@contextmanager
def processes(patience: float | None = None) -> Iterator[Processes]:
    """The processes of this run, connected where torchrun started several: by gloo, tensors on GPUs by nccl.

    Args:
        patience: seconds that one waits for another before it takes it for dead; None: PyTorch's own, half an hour.
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
            gc.collect()  # cycles hold the group too, such as those of DistributedDataParallel


def _bind_defaults() -> None:
    """Import now what would otherwise keep the group, and its threads, until the interpreter ends.

    These modules, which PyTorch's exporter imports, make the group there is at that time a default argument. A thread
    of gloo that lets go of a tensor while the interpreter ends aborts the process: "terminate called without an active
    exception". Before there is a group the default is None, which means the same.
    """
    import torch.distributed.fsdp
    import torch.distributed.nn  # noqa: F401
