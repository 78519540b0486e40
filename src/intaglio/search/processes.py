"""The processes that share a piece of work: one, or those that torchrun started."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

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


@contextmanager
def processes() -> Iterator[Processes]:
    """The processes of this run, connected by gloo where torchrun started several."""
    if dist.is_available() and dist.is_initialized():
        yield Processes(dist.get_rank(), dist.get_world_size())
    elif int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield Processes()
    else:
        dist.init_process_group("gloo")
        try:
            yield Processes(dist.get_rank(), dist.get_world_size())
        finally:
            dist.destroy_process_group()
