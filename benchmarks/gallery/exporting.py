"""Write a network of the gallery as an .onnx file, with the data that it is calibrated and tested on."""

from __future__ import annotations

import inspect
import warnings
from pathlib import Path

import numpy as np
import torch

from gallery.initialize import settle
from gallery.isolated import Tell
from gallery.network import Network, Wrapped
from gallery.stages import Case

SETTLING, CALIBRATION, TESTS = 16, 32, 8
"""Number of samples."""

PARTS = ("calibration", "test")
"""Of the data, in the file of samples."""

EXPORTERS = {"dynamo": True, "script": False}
"""PyTorch's exporters by name, and the value of the argument `dynamo`."""


def data_file(folder: Path, name: str) -> Path:
    """The .npz file with the samples of a network: arrays `calibration/<input>` and `test/<input>`."""
    return folder / f"{name}.npz"


def model_file(folder: Path, name: str, exporter: str) -> Path:
    """The .onnx file of a network."""
    return folder / f"{name}.{exporter}.onnx"


def export(network: Network, exporter: str, folder: Path, tell: Tell) -> None:
    """Build a network, give it sane weights, and write its files. Raises whatever the network or the exporter does."""
    tell({"stage": "build"})
    warnings.simplefilter("ignore")
    torch.manual_seed(0)
    module = settle(network.build(), network.samples(SETTLING, seed=1), seed=2)
    names = input_names(network, module)
    samples = {"calibration": network.samples(CALIBRATION, seed=3), "test": network.samples(TESTS, seed=4)}
    tell({"stage": "export"})
    example = tuple(x[:1] for x in samples["test"])
    path = model_file(folder, network.name, exporter)
    choices = {"external_data": False, "verbose": False} if EXPORTERS[exporter] else {}
    torch.onnx.export(module, example, str(path), input_names=names, dynamo=EXPORTERS[exporter], **choices)
    arrays = {f"{part}/{n}": x.numpy() for part, xs in samples.items() for n, x in zip(names, xs, strict=True)}
    np.savez(data_file(folder, network.name), **arrays)


def input_names(network: Network, module: torch.nn.Module) -> list[str]:
    """Names of the inputs: those of `forward`, or x, x2, ... where it takes any number of them."""
    count = len(network.inputs)
    forward = module.call if isinstance(module, Wrapped) else module.forward
    names = [p.name for p in inspect.signature(forward).parameters.values() if p.kind is not p.VAR_POSITIONAL]
    names = names[1:] if isinstance(module, Wrapped) else names
    return names[:count] if len(names) >= count else [f"x{i + 1}" if i else "x" for i in range(count)]


def case(network: Network, exporter: str, folder: Path) -> Case:
    """The files that `export` wrote."""
    with np.load(data_file(folder, network.name)) as arrays:
        parts = {part: {key.split("/")[1]: x for key, x in arrays.items() if key.startswith(part)} for part in PARTS}
    split = {part: [{n: x[i : i + 1] for n, x in xs.items()} for i in range(len(next(iter(xs.values()))))]
             for part, xs in parts.items()}  # fmt: skip
    return Case(model_file(folder, network.name, exporter), *(split[part] for part in PARTS))
