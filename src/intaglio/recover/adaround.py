"""AdaRound: weights rounded so that layers' outputs stay, layer after layer; no labels.

    codes of layer l = argmin over codes in {floor(W / s), ceil(W / s)} of || f(y) - f(x W~ + b) ||**2

x comes from the quantized network with the layers before already rounded this way, y from the float network. Layers are
taken in the order of the Graph. How one layer is learned stands in `rounding`; at most `POSITIONS` output positions of
all samples, and at most `FLOATS` numbers of input, are held for it at a time (64 MiB), and nothing of other layers.

Each layer's bias moves by what keeps the mean of its channels that of the float network, before the rounding is learned
(what the rounding before it has shifted) and after.

The result is exact: the float weight becomes `scale * (code - zero_point)`, which every later quantization with the
same parameters maps to that code.

Source: Nagel et al. 2020, arXiv:2004.10568, section 3 and equation (25) (asymmetric reconstruction).
"""

from __future__ import annotations

import hashlib
import math
import os
import zlib
from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import onnx_ir as ir
import torch
from numpy.typing import NDArray
from torch import Tensor

from intaglio.calibrate.derive import LARGEST_BIAS, derive
from intaglio.calibrate.observer import fingerprint
from intaglio.graph import Graph
from intaglio.graph.access import attribute, constant
from intaglio.graph.edit import set_constant
from intaglio.ops import Role, float_operator
from intaglio.plan import Plan
from intaglio.progress import progress
from intaglio.recover.bias_correction import CHANNEL_AXIS, Recovery, add_to_bias
from intaglio.recover.checkpoint import Checkpoint, Setting
from intaglio.recover.columns import LAYERS, outputs, positions, rows, samples_in, weight_index
from intaglio.recover.rounding import Problem, Settings, learn
from intaglio.recover.trial import Samples, Trial
from intaglio.simulate import Simulator

FLOATS = 1 << 24
POSITIONS = 1 << 15
_WIDEST = 16  # bits; wider codes are no weights
_SHIFT = "bias of "  # before a layer's name in a checkpoint: what its bias moved by


class _Reached(Exception):  # noqa: N818  (no error)
    """The value that was wanted is there: the rest of the network need not run."""

    def __init__(self, x: Tensor) -> None:
        self.x = x


def adaround(
    graph: Graph,
    plan: Plan,
    samples: Samples,
    held_back: Samples,
    *,
    settings: Settings | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
) -> Recovery:
    """Learn the rounding of every constant weight of a Conv, ConvTranspose, Gemm or MatMul.

    Args:
        graph: in normal form; it is left as it is.
        plan: calibrated; any type of up to 16 bits, any granularity, any zero point.
        samples: inputs to learn from; some hundreds. With very few the rounding fits these only, which the held-back
            ones show.
        held_back: other inputs, on which the outputs are compared with float before and after.
        settings: how to learn.
        checkpoint: a file that is written after each layer; started again with it and the same arguments, it goes on
            there and gives the same result as a run in one piece.
    Returns:
        The network with rounded weights, or the given one where its outputs became worse. The Plan is the given one but
        for the parameters of biases, and for scales of channels whose codes are all zero.
    Raises:
        UsageError: a checkpoint made under other settings, or one that cannot be read or written.
    """
    settings = settings or Settings()
    trial = Trial(graph, held_back)
    before = trial.sqnr(graph, plan)
    found = Checkpoint(checkpoint, _identity(graph, plan, samples, settings))
    rounding = _Rounding(graph, plan, samples, settings)
    changed = total = 0
    for node in progress(rounding.layers, len(rounding.layers), "AdaRound"):
        name = str(node.name)
        if name not in found.arrays:
            codes, shift = rounding.learned(node)
            found.arrays[f"{_SHIFT}{name}"] = shift
            found.add(name, codes)
        changed += rounding.take(node, found.arrays[name], found.arrays[f"{_SHIFT}{name}"])
        total += found.arrays[name].size
    for node in rounding.layers:  # biases that moved have left every scale with a code behind it as it was
        assert np.array_equal(rounding.rounded(node), found.arrays[str(node.name)]), node.name
    after = trial.sqnr(rounding.graph, rounding.plan)
    words = (
        f"AdaRound of {len(rounding.layers)} layers on {rounding.samples_seen} samples, "
        f"{settings.iterations} steps each: "
        f"{100 * changed / max(total, 1):.1f} % of the weights not to the nearest code; "
        f"output SQNR {before:.2f} -> {after:.2f} dB on {trial.samples} held-back samples"
    )
    if not after > before:
        return Recovery(graph, plan, [f"{words}; reverted"], after - before)
    return Recovery(rounding.graph, rounding.plan, [f"{words}; kept"], after - before)


class _Rounding:
    """The float network, and the quantized one whose weights become learned ones."""

    def __init__(self, graph: Graph, plan: Plan, samples: Samples, settings: Settings) -> None:
        self.graph, self.plan, self.samples, self.settings = graph.copy(), plan.copy(), samples, settings
        self.layers = [node for node in self.graph.nodes if self._has_codes(node)]
        self.real, self.quantized = Simulator(graph), Simulator(self.graph, plan)
        self.samples_seen = sum(len(next(iter(f.values()))) for f in samples.feeds(self.real))

    def _has_codes(self, node: ir.Node) -> bool:
        if node.op_type not in LAYERS or float_operator(node).contract(node).roles[1] is not Role.WEIGHT:
            return False
        array, params = constant(node.inputs[1]), self.plan.params(str(node.inputs[1].name))  # type: ignore[union-attr]
        return array is not None and array.size > 0 and params is not None and params.type.bits <= _WIDEST

    def learned(self, node: ir.Node) -> tuple[NDArray[Any], NDArray[Any]]:
        """Codes of one layer, and what its bias moves by, (O,); the layers before are as they became."""
        generator = torch.Generator().manual_seed(self.settings.seed * 2**32 + zlib.crc32(str(node.name).encode()))
        problem, index = self._problem(node, generator)
        has_bias = node.op_type in CHANNEL_AXIS
        begun = problem.centred(problem.limit(problem.steps)) if has_bias else problem
        steps = learn(begun, self.settings, generator)
        shift = self._fitting(node, begun.centred(steps), problem) if has_bias else torch.zeros_like(problem.bias)
        if not problem.error(steps) > replace(problem, bias=problem.bias + shift).error(steps):
            shift = torch.zeros_like(shift)
        value = node.inputs[1]
        array, params = constant(value), self.plan.params(str(value.name))  # type: ignore[union-attr]
        assert array is not None and params is not None
        flat = np.zeros(array.size, np.int64)
        flat[index.reshape(-1).numpy()] = steps.reshape(-1).cpu().numpy().astype(np.int64)
        zero_point = params.granularity.expand(params.zero_point, array.shape)
        codes = (flat.reshape(array.shape) + zero_point).astype(params.type.dtype)
        return codes, shift.reshape(-1).double().cpu().numpy()

    def _fitting(self, node: ir.Node, centred: Problem, problem: Problem) -> Tensor:
        """The bias's shift, (G, 1, O); none in channels whose bias would then not fit its integers."""
        data = self.plan.params(str(node.inputs[0].name))  # type: ignore[union-attr]
        assert data is not None
        gain = abs(float(attribute(node, "alpha", 1.0)))
        unit = problem.scale.amin(dim=1, keepdim=True) * float(data.scale) * gain
        fits = centred.bias.abs() < LARGEST_BIAS * unit
        return torch.where(fits, centred.bias - problem.bias, 0.0)

    def take(self, node: ir.Node, codes: NDArray[Any], shift: NDArray[Any]) -> int:
        """Let a layer have these codes, and move its bias; how many codes are not the nearest."""
        value = node.inputs[1]
        assert value is not None
        array, params = constant(value), self.plan.params(str(value.name))
        assert array is not None and params is not None
        changed = int((params.quantize(array) != codes).sum())
        set_constant(value, params.dequantize(codes))
        if shift.any():
            add_to_bias(self.graph, self.plan, node, shift / attribute(node, "beta", 1.0))
            derive(self.graph, self.plan)
        self.quantized = Simulator(self.graph, self.plan)
        return changed

    def rounded(self, node: ir.Node) -> NDArray[Any]:
        """The codes that lowering and export will find for a layer."""
        array, params = constant(node.inputs[1]), self.plan.params(str(node.inputs[1].name))  # type: ignore[union-attr]
        assert array is not None and params is not None
        return params.quantize(array)

    def _problem(self, node: ir.Node, generator: torch.Generator) -> tuple[Problem, Tensor]:
        data, weight = node.inputs[0], node.inputs[1]
        assert data is not None and weight is not None
        array, params = constant(weight), self.plan.params(str(weight.name))
        assert array is not None and params is not None
        device = self.quantized.device
        index = weight_index(node)

        def matrix(values: NDArray[Any]) -> Tensor:
            full = np.broadcast_to(values, array.shape).astype(np.float32).reshape(-1)
            return torch.as_tensor(full, device=device)[index.to(device)].contiguous()

        expand = params.granularity.expand
        scale, zero_point = expand(params.scale, array.shape), expand(params.zero_point, array.shape)
        x, y = self._seen(node, index, generator)
        problem = Problem(
            x,
            y,
            self._bias(node, index),
            matrix(array.astype(np.float32) / scale),
            matrix(scale),
            matrix(params.type.qmin - zero_point),
            matrix(params.type.qmax - zero_point),
            self._clamp(node),
        )
        return problem, index

    def _seen(self, node: ir.Node, index: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """What the quantized network feeds a layer, and what the float one makes there, at random positions."""
        groups, inner, outer = index.shape
        count = positions(node)
        most = min(POSITIONS, FLOATS // max(groups * inner, groups * outer)) // max(self.samples_seen, 1)
        each = max(1, min(count, most))
        data, result = str(node.inputs[0].name), str(node.outputs[0].name)  # type: ignore[union-attr]
        x, y = [], []
        with torch.no_grad():
            for feed in self.samples.feeds(self.real):
                fed = _value(self.quantized, feed, data)
                order = torch.rand((samples_in(node, fed), count), generator=generator).argsort(dim=1)
                pick = order[:, :each].to(fed.device)
                x.append(rows(node, fed, pick))
                y.append(outputs(node, _value(self.real, feed, result), pick))
        return torch.cat(x, dim=1).contiguous(), torch.cat(y, dim=1).contiguous()

    def _clamp(self, node: ir.Node) -> tuple[float, float]:
        """Bounds of the activations that are the layer's saturation."""
        by_name = {str(other.name): other for other in self.graph.nodes}
        fused = [by_name[name] for name in self.plan.operators[str(node.name)].fused]
        bounds = [float_operator(after).contract(after).clamp for after in fused]
        lows, highs = zip(*(b for b in bounds if b is not None), (-math.inf, math.inf), strict=True)
        return max(lows), min(highs)

    def _bias(self, node: ir.Node, index: Tensor) -> Tensor:
        """The rounded bias, (G, 1, O / G); zeros where there is none."""
        groups, _, outer = index.shape
        value = node.inputs[2] if len(node.inputs) > 2 else None
        if value is None:
            return torch.zeros((groups, 1, outer), device=self.quantized.device)
        bias = self.quantized.constants[str(value.name)].reshape(-1) * float(attribute(node, "beta", 1.0))
        return bias.expand(groups * outer).reshape(groups, 1, outer)


def _value(simulator: Simulator, feed: Mapping[str, Tensor], name: str) -> Tensor:
    """One value of a network; what comes behind it is not run."""

    def stop(seen: str, x: Tensor) -> None:
        if seen == name:
            raise _Reached(x)

    try:
        simulator(feed, stop)
    except _Reached as reached:
        return reached.x
    raise AssertionError(name)


def _identity(graph: Graph, plan: Plan, samples: Samples, settings: Settings) -> dict[str, Setting]:
    """All that the result depends on."""
    digest = hashlib.blake2b(digest_size=16)
    for feed in samples.feeds(Simulator(graph)):
        for name, x in feed.items():
            digest.update(f"{name} {tuple(x.shape)}".encode())
            digest.update(np.ascontiguousarray(x.cpu().numpy()).data.cast("B"))
    return {
        "graph": fingerprint(graph),
        "plan": hashlib.blake2b(plan.to_json().encode(), digest_size=16).hexdigest(),
        "samples": digest.hexdigest(),
        **{name: list(v) if isinstance(v, tuple) else v for name, v in asdict(settings).items()},
    }
