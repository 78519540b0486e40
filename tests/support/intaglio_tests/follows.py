"""A trained network computes what it was frozen to: node by node, each from the numbers that the network itself has.

A number next to a tie may be rounded the other way by another order of float32 sums (other threads, another processor).
Of few bits that changes everything behind it; here it changes nothing but the comparison of this one number.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

import intaglio as ig
from intaglio.graph import Graph
from intaglio.number import Rule
from intaglio.plan import Plan, Source
from intaglio.simulate import Simulator
from intaglio.train.freeze import freeze_graph
from intaglio.train.module import QuantizedModule

NEAR = 2.0**-18
"""Of the largest number of a tensor: what float32 sums may differ by. (They have some hundred terms: 2**-24 each.)"""

TWICE_ROUNDED = 0.5
"""Steps that the first of gemmlowp's two roundings moves a number by, at most: half a unit, below the step."""


def assert_freezes_to_itself(qat: QuantizedModule, x: Tensor) -> None:
    """The module in evaluation and the integer program that it is frozen to follow the frozen Graph and Plan."""
    qat.eval()
    graph, plan = freeze_graph(qat)
    program = ig.Quantized(graph, plan).lower()
    near = TWICE_ROUNDED if plan.rule is Rule.TFLITE else 0.0
    for samples in (x,) if graph.batched else x.split(1):
        assert_follows(graph, plan, trace(qat, samples))
        integers = {name: torch.as_tensor(value) for name, value in program.trace_real(samples.numpy()).items()}
        assert_follows(graph, plan, integers, near)


def trace(qat: QuantizedModule, x: Tensor) -> dict[str, Tensor]:
    """Every value that a module computes, by name."""
    values: dict[str, Tensor] = {}
    qat.observe = lambda name, y: values.update({name: y.clone()})
    try:
        with torch.no_grad():
            qat(x)
    finally:
        qat.observe = None
    return values


def assert_follows(graph: Graph, plan: Plan, traced: Mapping[str, Tensor], near: float = 0.0) -> None:
    """Every traced value is what its node makes of the traced values that it reads; beside a tie it may be a step off.

    Args:
        graph, plan: what is followed.
        traced: values by name, inputs among them.
        near: how far from a tie numbers may be rounded the other way, in steps, besides the noise of float32.
    Raises:
        AssertionError: it is not; or the outputs are constant, which agrees with everything.
    """
    simulator, compared = Simulator(graph, plan, "cpu"), 0
    known = {name: traced[name] for name in simulator.input_names}
    for place, call in enumerate(simulator.calls):
        names = [name for name in call.outputs if name]
        for name, real in simulator.span(place, place + 1, known, names, rounding={}).items():
            known[name] = real
            if name not in traced or plan[name].source is Source.FUSED:
                continue
            known[name] = got = traced[name]
            params, rounds = plan.params(name), simulator.round.get(name)
            if params is None or rounds is None:
                assert torch.equal(got, real), f"{name}: integers that are only moved"
                continue
            steps = real / rounds.scale
            noise = NEAR * float(steps.abs().max()) + 2.0**-20 + near
            low, high = (rounds(real + sign * noise * rounds.scale) for sign in (-1, 1))
            apart = (got < low - 0.01 * rounds.scale) | (got > high + 0.01 * rounds.scale)
            first = int(apart.flatten().int().argmax())
            assert not apart.any(), (
                f"{name}: {int(apart.sum())} of {apart.numel()} are not the rounded result; first: got "
                f"{float(got.flatten()[first]):.6g}, want {float(rounds(real.clone()).flatten()[first]):.6g} of "
                f"{float(real.flatten()[first]):.6g}"
            )
            compared += got.numel()
    assert compared > 0
    for name in simulator.output_names:
        assert np.ptp(traced[name].numpy()) > 0, f"{name}: a constant agrees with everything"
