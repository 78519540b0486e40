"""Convert a network of quantized layers to Graph and Plan."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import nn
from torch.utils._pytree import tree_map

from intaglio.calibrate.parameters.derive import derive
from intaglio.errors import UsageError
from intaglio.frontends import prepare
from intaglio.frontends.torch import load_torch
from intaglio.graph import Graph
from intaglio.plan import Plan
from intaglio.train.nn.exporting import exporting
from intaglio.train.nn.layer import Layer
from intaglio.train.nn.layer_plans import plan_of_layers
from intaglio.train.nn.strip_marks import strip_marks
from intaglio.train.quantizers.quantizer import Quantizer


def freeze_layers(module: nn.Module, example_inputs: Any) -> tuple[Graph, Plan]:
    """Convert a network of quantized layers to the Graph and Plan that it computes in evaluation mode.

    Args:
        module: consists of layers of `train.nn` and of torch layers that only move data; it is not changed.
        example_inputs: inputs with which the module can be called.
    Returns:
        (graph, plan), independent of the module.
    Raises:
        UsageError: the module has no layer of `train.nn`, a layer that was not trained, or a collapsed scale.
        ModelError: values without a format; all are listed.
        UnsupportedOperatorError: operators that Intaglio does not support.
        CalibrationError: a scale has to be adjusted but is fixed, or would leave float32; the text names the operator.
    """
    if not any(isinstance(part, Layer) for part in module.modules()):
        raise UsageError(
            f"{type(module).__name__}: expected layers of intaglio.train.nn, got none; quantize a float network with "
            "intaglio.quantize, or train it with intaglio.prepare_qat"
        )
    _check_trained(module)
    settled = copy.deepcopy(module).cpu().eval()
    example_inputs = tree_map(lambda x: torch.as_tensor(x).cpu(), example_inputs)
    _run(settled, example_inputs)
    parts = {name: part for name, part in settled.named_modules() if isinstance(part, Layer)}
    for part in parts.values():
        part.settle()
    with exporting() as marked:
        graph = prepare(load_torch(settled, example_inputs, keep_quantized=True))
    marks = strip_marks(graph)
    weights = {
        f"{name}.{inner}" if name else inner: (
            quantizer.format,
            quantizer.named_params(f"{name}.{inner}" if name else inner),
        )
        for name, part in parts.items()
        for inner, quantizer in part.weights()
    }
    owners = {part: name for name, part in settled.named_modules() if isinstance(part, Quantizer)}
    grids = [(quantizer.format, quantizer.named_params(owners[quantizer])) for quantizer in marked]
    plan = plan_of_layers(graph, marks, grids, weights)
    graph.verify()
    derive(graph, plan)
    return graph, plan


def _run(module: nn.Module, example_inputs: Any) -> None:
    """Call the module once before the export, so that a layer reports an input without a format itself."""
    with torch.no_grad():
        if isinstance(example_inputs, dict):
            module(**example_inputs)
        elif isinstance(example_inputs, (tuple, list)):
            module(*example_inputs)
        else:
            module(example_inputs)


def _check_trained(module: nn.Module) -> None:
    for name, part in module.named_modules():
        if isinstance(part, Quantizer) and not bool(part.begun):
            raise UsageError(
                f"{name}: expected a grid, got a quantizer that has seen no tensor in training; "
                "train the network before it is frozen"
            )
