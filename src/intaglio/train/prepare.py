"""From a trained network to one that trains on with quantization in its forward path."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from intaglio.errors import UsageError
from intaglio.frontends import load_onnx, prepare
from intaglio.frontends.torch import load_torch
from intaglio.graph import Graph
from intaglio.graph.access import constant
from intaglio.ops import Role
from intaglio.plan import Plan, place
from intaglio.targets import Target, load_target
from intaglio.train.batch_norm import BatchNorm, batch_norms, folds_to
from intaglio.train.module import QuantizedModule
from intaglio.train.quantizer import Lsq, MovingRange, Quantizer, Range

METHODS: dict[str, tuple[type[Quantizer], type[Quantizer]]] = {"range": (Range, MovingRange), "lsq": (Lsq, Lsq)}
"""Quantizers of weights and of activations by name."""


def prepare_qat(
    model: nn.Module | Graph | str | Path,
    example_inputs: Any = None,
    target: str | Path | Target = "cpu-int8",
    *,
    method: str = "lsq",
    plan: Plan | None = None,
    layers: Mapping[str, str] | None = None,
) -> QuantizedModule:
    """A module that computes what the integer program will, and learns.

    Args:
        model: a module, or a Graph or .onnx file, whose batch norms live where they can be told.
        example_inputs: for a module: what it can be called with.
        target: a built-in name, a TOML file, or a Target.
        method: of finding grids: a name of `METHODS`.
        plan: from `quantize` on the same network: begin with its grids; None: with what is seen first.
        layers: other formats for some layers (see `intaglio.quantize`).
    Raises:
        ModelError, UnsupportedOperatorError, TargetError: the network or the request cannot be met.
        UsageError: no such method, or a module without example inputs.
    """
    if method not in METHODS:
        raise UsageError(f"method: expected one of {', '.join(METHODS)}, got {method!r}")
    raw = _raw(model, example_inputs)
    graph = prepare(raw)
    norms = {name: norm for name, norm in batch_norms(raw).items() if folds_to(raw, norm, graph)}
    planned = place(graph, load_target(target), layers=layers)
    if plan is not None:
        _take_params(planned, plan)
    weights, activations = METHODS[method]
    parameters, buffers = _arrays(raw, graph, planned, norms)
    placed = partial(place, target=load_target(target), layers=layers)
    return QuantizedModule(graph, planned, placed, parameters, buffers, norms, weights, activations).train()


def _raw(model: nn.Module | Graph | str | Path, example_inputs: Any) -> Graph:
    if isinstance(model, Graph):
        return model
    if isinstance(model, nn.Module):
        if example_inputs is None:
            raise UsageError(f"{type(model).__name__}: expected example_inputs beside a torch.nn.Module, got none")
        return load_torch(model, example_inputs)
    return load_onnx(model)


def _arrays(
    raw: Graph, graph: Graph, plan: Plan, norms: Mapping[str, BatchNorm]
) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    """Parameters and buffers by name: those of live batch norms from the raw network, the rest as prepared."""
    parameters = {}
    folded = {str(v.name) for name in norms for v in graph.value(name).producer().inputs[2:] if v is not None}  # type: ignore[union-attr]
    for value in graph.initializers:
        planned, array = plan.values.get(str(value.name)), constant(value)
        trains = planned is not None and planned.role in (Role.WEIGHT, Role.BIAS, Role.SIDE)
        if trains and array is not None and str(value.name) not in folded:
            parameters[str(value.name)] = torch.tensor(array)
    buffers = {}
    for norm in norms.values():
        for name in (norm.weight, norm.bias, norm.gamma, norm.beta):
            if name:
                parameters[name] = torch.tensor(np.asarray(constant(raw.value(name))))
        for name in (norm.mean, norm.variance):
            buffers[name] = torch.tensor(np.asarray(constant(raw.value(name))))
    return parameters, buffers


def _take_params(plan: Plan, known: Plan) -> None:
    for name, value in plan.values.items():
        if name in known.values and value.format == known[name].format:
            value.params = known[name].params
