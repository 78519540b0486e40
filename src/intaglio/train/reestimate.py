"""Re-estimate batch-norm statistics after training.

While weights oscillate between two codes, the running statistics of batch norm differ from those of the quantized
network. Computing them again over some batches, with weights and scales fixed, corrects that.

    mean <- 1/K sum over batches of mean_k        var <- 1/K sum over batches of var_k

Source: Nagel et al. 2022, arXiv:2203.11086, section 2.3.1.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from intaglio.errors import DataError
from intaglio.train.module import QuantizedModule


def reestimate_batch_norm(module: nn.Module, batches: Iterable[Any]) -> int:
    """Set the running statistics of every trainable batch norm to their mean over the given batches.

    Nothing else changes: no parameter, no observed range, no mode. Folded weights use the old statistics until the last
    batch is done. With several processes, the mean is over all of them.

    Args:
        module: module from `prepare_qat`, or any module with batch norms, such as layers of `train.nn`.
        batches: inputs x, or tuples or lists (x, ...) as from a data loader; x is a tensor, or a tuple of all inputs.
    Returns:
        The number of batch norms; 0 if there are none.
    Raises:
        DataError: there are no batches.
    """
    names = _statistics(module)
    if not names:
        return 0
    sums = {name: torch.zeros_like(module.get_buffer(name), dtype=torch.float64) for name in names}
    count = 0
    with torch.no_grad(), _only_statistics(module):
        before = {name: module.get_buffer(name).clone() for name in names}
        for batch in batches:
            x = batch[0] if isinstance(batch, (tuple, list)) else batch
            module(*x) if isinstance(x, (tuple, list)) else module(x)
            for name in names:
                sums[name] += module.get_buffer(name)
                module.get_buffer(name).copy_(before[name])
            count += 1
        total = _over_processes(sums, count)
        if not total:
            raise DataError("batch norm re-estimation: expected batches, got none; an iterator may be used up")
        for name in names:
            module.get_buffer(name).copy_(sums[name] / total)
    return len(names) // 2


def _statistics(module: nn.Module) -> list[str]:
    """Return the names of buffers with running means and variances."""
    found = []
    for prefix, part in module.named_modules():
        dot = f"{prefix}." if prefix else ""
        if isinstance(part, QuantizedModule):
            found += [dot + name for norm in part.norms.values() for name in (norm.mean, norm.variance)]
        elif _has_statistics(part):
            found += [f"{dot}running_mean", f"{dot}running_var"]
    return found


def _has_statistics(part: nn.Module) -> bool:
    return hasattr(part, "momentum") and isinstance(part._buffers.get("running_mean"), Tensor)


@contextmanager
def _only_statistics(module: nn.Module) -> Iterator[None]:
    """Let batch norms replace their statistics by those of each batch; everything else is in evaluation mode."""
    modes = {part: part.training for part in module.modules()}
    frozen = {part: part.batch_norm_frozen for part in modes if hasattr(part, "batch_norm_frozen")}
    momenta: dict[nn.Module, float | None] = {}
    try:
        module.eval()
        for part in frozen:
            part.batch_norm_frozen = False  # type: ignore[assignment]
        for part in modes:
            if isinstance(part, QuantizedModule):
                part.training = True
                momenta[part], part.momentum = part.momentum, 1.0
            elif _has_statistics(part):
                part.training = True
                momenta[part], part.momentum = part.momentum, 1.0  # type: ignore[assignment]
        yield
    finally:
        for part, mode in modes.items():
            part.training = mode
        for part, momentum in momenta.items():
            part.momentum = momentum  # type: ignore[assignment]
        for part, was in frozen.items():
            part.batch_norm_frozen = was


def _over_processes(sums: dict[str, Tensor], count: int) -> int:
    """Sum over all processes in place; return the total number of batches."""
    if not (dist.is_available() and dist.is_initialized()):
        return count
    for tensor in sums.values():
        dist.all_reduce(tensor)
    whole = torch.tensor(count, device=next(iter(sums.values())).device)
    dist.all_reduce(whole)
    return int(whole)
