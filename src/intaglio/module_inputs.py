"""Inputs with which a torch.nn.Module can be called, from its data."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader

from intaglio.calibrate.no_data import NONE, SYNTHESIZE
from intaglio.data import DataLike, Dataset, open_data
from intaglio.data.items import IterableSource
from intaglio.data.preprocessing_note import preprocessing_of
from intaglio.errors import UsageError
from intaglio.frontends import is_keras
from intaglio.frontends.torch import takes
from intaglio.train.loop.loader_feed import Loader
from intaglio.train.module import QuantizedModule


def refuse_in_training(model: object) -> None:
    """Refuse a module of `prepare_qat` where a network is wanted: it is frozen first.

    Raises:
        UsageError: it is one.
    """
    if isinstance(model, QuantizedModule):
        raise UsageError(
            "expected a network, got a QuantizedModule, as prepare_qat returns it for training; "
            "intaglio.freeze(module) returns it quantized"
        )


def knows_its_inputs(module: nn.Module) -> bool:
    """Tell whether a module is a Keras model that holds the shapes of its inputs."""
    return is_keras(module) and bool(getattr(module, "inputs", None))


def first_sample(
    module: nn.Module,
    data: DataLike | Loader,
    way: str = "give example_inputs, such as torch.randn(1, 3, 224, 224)",
    *,
    name: str | None = None,
    labels: bool = False,
) -> tuple[Dataset, Any]:
    """Return the data, to be read again, and their first sample, with a batch axis of 1, as inputs of a module.

    The sample is float32; integers, such as token ids, where the data hold them and the module takes no float32.

    Args:
        module: a network without example inputs.
        data: its data, as for `quantize`.
        way: what to do where they do not say, for error messages.
        name: of the module, for error messages; None: that of its class.
        labels: whether a pair of arrays is always inputs and labels.
    Raises:
        UsageError: there are no data, or an iterable does not say whether it gives samples or batches.
    """
    name = type(module).__name__ if name is None else name
    if isinstance(data, str) and data in (NONE, SYNTHESIZE):
        raise UsageError(f"{name}: expected example_inputs beside a torch.nn.Module and data {data!r}, got none; {way}")
    dataset = open_data(data, pair=labels)
    x, y = replace(dataset, targets="given").peek()
    source = dataset.source
    if isinstance(source, IterableSource) and y is None and not isinstance(source.items, DataLoader):
        raise UsageError(
            f"{name}: expected example_inputs beside a torch.nn.Module, as an iterable without labels may give samples "
            f"or batches, got none; {way}"
        )
    preprocess = preprocessing_of(dataset)
    if preprocess is not None and preprocess.of_any_channels and isinstance(x, np.ndarray) and x.shape[1] == 1:
        # one mean is that of grey pictures or of each color: the network decides
        x = x.repeat(_first_channels(module), axis=1)
    arrays = x if isinstance(x, dict) else dict(enumerate(x if isinstance(x, tuple) else (x,)))
    tensors = {key: torch.from_numpy(array[:1]) for key, array in arrays.items()}
    kinds = dict(zip(tensors, dataset.integer_types(), strict=True))
    if any(kinds.values()) and not takes(module, _as_arguments(tensors)):
        types: dict[type | None, torch.dtype] = {None: torch.float32, bool: torch.bool, int: torch.int64}
        integers = {key: tensor.to(types[kinds[key]]) for key, tensor in tensors.items()}
        tensors = integers if takes(module, _as_arguments(integers)) else tensors
    return dataset, _as_arguments(tensors)


def _as_arguments(tensors: dict[Any, torch.Tensor]) -> Any:
    """Make keyword arguments of tensors by name, a tuple of those by position."""
    return tensors if all(isinstance(key, str) for key in tensors) else tuple(tensors.values())


def _first_channels(module: nn.Module) -> int:
    """Return how many channels the first convolution takes; 1 if there is none."""
    return next((m.in_channels for m in module.modules() if isinstance(m, nn.Conv2d)), 1)
