"""A user's own training loss: a function of (outputs, targets) that returns a scalar tensor."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor

from intaglio.data.chunk import Array
from intaglio.errors import UsageError
from intaglio.evaluation.user_metric import called, identity
from intaglio.files.import_name import import_name

LossLike: TypeAlias = "str | Callable[..., Any]"
"""A function, a `torch.nn.Module`, a class of these that is called without arguments, or `package.module:name`."""


class UserLoss:
    """Loss of a batch by a user's function.

        loss = f(outputs, targets)

    `outputs` is a float32 tensor (N, ...), or a tuple of them in the network's order where it has several outputs.
    `targets` are those of the data: a tensor, int64 for whole numbers and float32 for others, or what a loader gives.

    Args:
        given: see `LossLike`.
    Raises:
        UsageError: it cannot be imported or called.
    """

    def __init__(self, given: LossLike) -> None:
        found: Any = import_name(given, "loss") if isinstance(given, str) else given
        if isinstance(found, type):
            found = called(found.__name__, found, kind="loss")
        if not callable(found):
            raise UsageError(
                f"loss: expected a function of (outputs, targets), got {type(found).__name__} {found!r:.80}"
            )
        self.function = found
        self.name = str(getattr(found, "__name__", type(found).__name__))
        self.fingerprint = identity(found)

    def __call__(self, outputs: tuple[Tensor, ...], targets: Any) -> Tensor:
        """Return the loss of a batch.

        Raises:
            UsageError: the function raised an error, or returned something else than a scalar with a gradient.
        """
        y = tuple(out.float() for out in outputs)
        given = y[0] if len(y) == 1 else y
        loss = called(self.name, self.function, kind="loss", outputs=given, targets=targets)
        if not isinstance(loss, Tensor) or loss.numel() != 1:
            got = f"shape {tuple(loss.shape)}" if isinstance(loss, Tensor) else f"{type(loss).__name__} {loss!r:.60}"
            raise UsageError(f"loss {self.name}: expected a tensor with one number, got {got}; return its mean or sum")
        if torch.is_grad_enabled() and not loss.requires_grad:
            raise UsageError(
                f"loss {self.name}: expected a number that depends on the outputs, got one without gradient; compute "
                "it with PyTorch's functions, without detach(), item() or NumPy"
            )
        return loss.reshape(())


def target_tensors(targets: Any) -> Any:
    """Convert arrays within lists, tuples and dicts to tensors: whole numbers to int64, others to float32."""
    if isinstance(targets, Tensor):
        return targets.float() if targets.is_floating_point() else targets.long()
    if hasattr(targets, "__array__"):
        array: Array = np.asarray(targets)
        if array.dtype.kind in "biuf":
            return target_tensors(torch.from_numpy(np.ascontiguousarray(array)).reshape(array.shape))
        return target_tensors(array.tolist())
    if isinstance(targets, Mapping):
        return {key: target_tensors(value) for key, value in targets.items()}
    if isinstance(targets, list | tuple):
        return type(targets)(target_tensors(value) for value in targets)
    return targets


def placed_targets(targets: Any, device: torch.device) -> Any:
    """Move tensors within lists, tuples and dicts to a device."""
    if isinstance(targets, Tensor):
        return targets.to(device)
    if isinstance(targets, Mapping):
        return {key: placed_targets(value, device) for key, value in targets.items()}
    if isinstance(targets, list | tuple):
        return type(targets)(placed_targets(value, device) for value in targets)
    return targets
