"""Prepare a trained network for quantization-aware training."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
import torch
from torch import nn

from intaglio.errors import UsageError
from intaglio.frontends import is_keras, is_keras_file, load_onnx, load_unprepared, named, prepare
from intaglio.frontends.torch import load_torch
from intaglio.graph import Graph
from intaglio.graph.access import constant, input_value
from intaglio.ops import Role, float_operator
from intaglio.plan import Format, Plan, Source, place, separate_operands
from intaglio.plan.layers import with_ignored
from intaglio.targets import Target, load_target
from intaglio.train.batch_norm import BatchNorm, batch_norms
from intaglio.train.estimators.estimator_registry import EstimatorMaker, estimator_makers
from intaglio.train.estimators.proxquant import ProxQuant
from intaglio.train.module import QuantizedModule
from intaglio.train.quantizers.quantizer import Quantizer
from intaglio.train.quantizers.quantizer_registry import METHODS, QuantizerMaker, Weights, quantizer_makers

__all__ = ["METHODS", "prepare_qat"]


def prepare_qat(
    model: nn.Module | Graph | str | Path,
    example_inputs: Any = None,
    target: str | Path | Target = "cpu-int8",
    *,
    method: str = "lsq",
    weight_method: str | None = None,
    estimator: str = "clipped",
    weight_estimator: str | None = None,
    seed: int = 0,
    plan: Plan | None = None,
    layers: Mapping[str, str] | None = None,
    ignored: str | Sequence[str] = (),
) -> QuantizedModule:
    """Return a trainable module that simulates the integer program.

    Args:
        model: a module, a Graph or an .onnx file; batch norms that can be recognised stay trainable.
        example_inputs: for a module: inputs that it can be called with.
        target: a built-in name, a TOML file, or a Target.
        method: quantizer that finds scales: a name of `METHODS`.
        weight_method: quantizer of weights; None: `method`.
        estimator: rounding in training and its gradient: a name of `ESTIMATORS`.
        weight_estimator: estimator of weights; None: `estimator`.
        seed: seed of the estimators `stochastic` and `gumbel`.
        plan: Plan from `quantize` of the same network with equalize=False, whose scales are the initial ones; None:
            scales are initialized by the first data.
        layers, ignored: other formats for some layers, as for `intaglio.quantize`.
    Raises:
        ModelError, UnsupportedOperatorError, TargetError: the network or the target cannot be used.
        UsageError: unknown method or estimator, or one that does not suit the target's weights; a plan of another
            network; names or formats of layers that are no text; a module without example inputs.
    """
    by_weights, by_activations = quantizer_makers(weight_method or method)[0], quantizer_makers(method)[1]
    rounds_weights, rounds_activations = (
        estimator_makers(weight_estimator or estimator)[0],
        estimator_makers(estimator)[1],
    )
    layers = with_ignored(layers, ignored)
    raw = _raw(model, example_inputs)
    described = load_target(target)
    graph = separate_operands(prepare(raw), described, layers)
    norms = batch_norms(raw, graph) if graph.batched else {}
    planned = place(graph, described, layers=layers)
    if plan is not None:
        _take_params(planned, plan)
    _check_formats(planned, by_weights, weight_method or method)
    parameters, buffers = _arrays(raw, graph, planned, norms)
    placed = partial(place, target=described, layers=layers)
    seeds = count(seed * _STREAMS)
    made = QuantizedModule(
        graph,
        planned,
        placed,
        parameters,
        buffers,
        norms,
        _with_estimator(by_weights, rounds_weights, seeds),
        _with_estimator(by_activations, rounds_activations, seeds),
    )
    _check_estimators(made)
    return made.train()


_STREAMS = 1 << 20  # distance between seeds: more than a network has quantizers


def _with_estimator(make: QuantizerMaker, rounds: EstimatorMaker, seeds: Iterator[int]) -> QuantizerMaker:
    """Return a maker of quantizers, each with its own estimator."""

    def made(format: Format, shape: tuple[int, ...], **options: Any) -> Quantizer:
        return make(format, shape, estimator=rounds(next(seeds)), **options)

    return made


def _check_formats(plan: Plan, weights: Weights, method: str) -> None:
    """Refuse a method that supports none of the weights' formats."""
    formats = [v.format for v in plan.values.values() if v.role is Role.WEIGHT and v.format is not None]
    if formats and not any(map(weights.wanted.takes, formats)):
        got = ", ".join(sorted({str(format) for format in formats}))
        raise UsageError(
            f"method {method!r}: expected {weights.wanted.needs}, got {got} of target {plan.target}; "
            "choose another method, or a target whose weights have such a format"
        )


def _check_estimators(module: QuantizedModule) -> None:
    for name, quantizer in module.quantizers.items():
        assert isinstance(quantizer, Quantizer)
        if isinstance(quantizer.estimator, ProxQuant) and quantizer.transforms:
            raise UsageError(
                f"[value {name!r}] estimator 'proxquant': expected a method that rounds weights directly (range, "
                f"lsq, tqt, pact), got {type(quantizer).__name__}, which transforms them; change one of the two"
            )


def _raw(model: nn.Module | Graph | str | Path, example_inputs: Any) -> Graph:
    if isinstance(model, Graph):
        return model
    if is_keras(model) or is_keras_file(model):
        return load_unprepared(model, example_inputs)
    if isinstance(model, nn.Module):
        if example_inputs is None:
            raise UsageError(
                f"{type(model).__name__}: expected example_inputs beside a torch.nn.Module, got none; give inputs that "
                "it can be called with"
            )
        return named(load_torch(model, example_inputs), type(model).__name__)
    return named(load_onnx(model), model)


def _arrays(
    raw: Graph, graph: Graph, plan: Plan, norms: Mapping[str, BatchNorm]
) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    """Return parameters and buffers by name; those of trainable batch norms come from the raw network."""
    parameters = {}
    values = graph.values()
    products = [values[name].producer() for name, norm in norms.items() if norm.weight]
    folded = {str(v.name) for node in products if node is not None for v in node.inputs[2:] if v is not None}
    learned = {str(v.name) for v in _offline_learned(graph)}
    for value in graph.initializers:
        planned, array = plan.values.get(str(value.name)), constant(value)
        trains = planned is not None and planned.role in (Role.WEIGHT, Role.BIAS, Role.SIDE)
        if (trains or value.name in learned) and array is not None and str(value.name) not in folded:
            parameters[str(value.name)] = torch.tensor(array)
    buffers = {}
    for norm in norms.values():
        source = raw if norm.weight else graph
        for name in (norm.weight, norm.bias, norm.gamma, norm.beta):
            if name:
                parameters[name] = torch.tensor(np.asarray(constant(source.value(name))))
        for name in (norm.mean, norm.variance):
            buffers[name] = torch.tensor(np.asarray(constant(source.value(name))))
    return parameters, buffers


def _offline_learned(graph: Graph) -> Iterator[ir.Value]:
    """Yield trainable constants that lowering turns into integer parameters: gains, slopes."""
    for node in graph.nodes:
        for index in float_operator(node).contract(node).learns:
            value = input_value(node, index)
            if value is not None:
                yield value


def _take_params(plan: Plan, known: Plan) -> None:
    strange = [name for name, value in plan.values.items() if value.source is Source.OWN and name not in known.values]
    if strange:
        raise UsageError(
            f"plan: expected parameters for every value of this network, got none for {strange[0]!r} and "
            f"{len(strange) - 1} others; use the plan of the unchanged network (quantize with equalize=False)"
        )
    for name, value in plan.values.items():
        if name in known.values and value.format == known[name].format:
            value.params = known[name].params
