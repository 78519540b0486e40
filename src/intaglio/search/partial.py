"""Partial quantization: give the most sensitive layers the widest format of the target, as few layers as needed.

The first k layers of the ranking are widened, k = 1, 2, 4, ... until the network is good enough. Bisection between the
last k that failed and the first that succeeded then reduces k. Each k is quantized and measured; the best network is
returned even if none is good enough.

No target has float operators, so no layer stays float.

Source: Wu et al. 2020, arXiv:2004.09602, section 6.1, where sensitive layers stay float instead.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from intaglio.errors import TargetError
from intaglio.graph import Graph
from intaglio.ops import Role, float_operator
from intaglio.plan import Plan, Step
from intaglio.plan.layer_patterns import FIRST, only_layer
from intaglio.search.layer_groups import INPUT, LayerGroup, layers_of
from intaglio.targets import Target, TensorFormat

Q = TypeVar("Q")


@dataclass(frozen=True)
class Tried:
    """One attempt: number of widened layers, and its score."""

    count: int
    score: float


@dataclass(frozen=True)
class Partial(Generic[Q]):
    """Result of `partial`.

    Args:
        result: the best network; among equal ones, the one with the fewest widened layers.
        layers: layer name -> wider format; empty if no attempt was better than the first network.
        score: score of `result`.
        held: whether the score reaches `enough`.
        tried: all attempts in order; the first has count 0.
        steps: history, one step for each attempt.
    """

    result: Q
    layers: dict[str, str]
    score: float
    held: bool
    tried: tuple[Tried, ...] = ()
    steps: list[Step] = field(default_factory=list)


def partial(
    first: Q,
    wider: Mapping[str, str],
    make: Callable[[Mapping[str, str]], Q],
    score: Callable[[Q], float],
    enough: float,
    *,
    metric: str = "score",
    samples: int = 0,
) -> Partial[Q]:
    """Widen the most sensitive layers until the network is good enough.

    Args:
        first: the network without widened layers.
        wider: layer -> wider format, most sensitive first, from `wider_formats`.
        make: quantizes the network with formats for some layers.
        score: measures a network; higher is better, NaN is never enough.
        enough: score to reach.
        metric, samples: name of the score and number of samples, for the history.
    Returns:
        The network with the fewest widened layers that is good enough, as far as bisection finds it; if none is, the
        one with the highest score. At most 2 * log2(len(wider)) + 2 networks are made, and two of them kept in memory.
    """
    names = list(wider)
    before = score(first)
    best = Partial(first, {}, before, before >= enough)
    tried, steps = [Tried(0, before)], []

    def attempt(count: int) -> bool:
        nonlocal best
        layers = {name: wider[name] for name in names[:count]}
        made = make(layers)
        reached = score(made)
        holds = reached >= enough
        tried.append(Tried(count, reached))
        higher = reached > best.score or (math.isnan(best.score) and not math.isnan(reached))
        if holds or (higher and not best.held):  # once one holds, only fewer layers are tried: what holds is better
            best = Partial(made, layers, reached, holds)
        text = f"the {count} most sensitive layers in wider formats: {metric} {before:.2f} -> {reached:.2f}"
        text += f"; {enough:.2f} is {'reached' if holds else 'not reached'}"
        steps.append(Step("partial quantization", text, metric, before, reached, samples))
        return holds

    if not best.held and names:
        failed, count = 0, 1
        while not attempt(count) and count < len(names):
            failed, count = count, min(2 * count, len(names))
        while best.held and count - failed > 1:
            middle = (failed + count) // 2
            failed, count = (failed, middle) if attempt(middle) else (middle, count)
    steps.append(_decision(best, metric, before, samples, tried))
    return Partial(best.result, best.layers, best.score, best.held, tuple(tried), steps)


def wider_formats(graph: Graph, plan: Plan, target: Target, ranking: Sequence[str]) -> dict[str, str]:
    """Find the widest format of the target for each layer of a ranking.

    Args:
        graph, plan: the quantized network.
        target: the hardware target.
        ranking: names of layers (see `layer_groups.layers_of`), most sensitive first.
    Returns:
        Layer -> format such as `a16`, `w8` or `w16a16`, as `quantize(layers=...)` takes them, in the ranking's order.
        A network input is widened through the pattern `first`. Layers with the widest format are left out.
    Raises:
        TargetError: no layer has a wider format, or a name is not a layer of the network.
    """
    known = {layer.name: layer for layer in layers_of(graph, plan)}
    names = [str(node.name) for node in graph.nodes]
    found: dict[str, str] = {}
    for name in ranking:
        if name not in known:
            raise TargetError(
                f"layer {name!r}: expected a layer of the network, which are {_few(list(known))}; got another name"
            )
        text = _wider(graph, plan, target, known[name])
        if text:
            found[FIRST if known[name].op_type == INPUT else only_layer(name, names)] = text
    if ranking and not found:
        kinds = ", ".join(sorted({str(f.type) for f in (*target.activations, *target.weights)}))
        raise TargetError(
            f"target {target.name}: expected a wider format for at least one layer, got only {kinds}; choose a "
            "target with wider formats, such as cpu-int8 (int16 activations) or w4a8 (int8 weights)"
        )
    return found


def wider_values(graph: Graph, plan: Plan, target: Target) -> set[str]:
    """Return the values that a target has a wider format for; rank layers to be widened by these values.

    If weights have only one format, widening a layer does not reduce their error. Widening the 3 and 12 most sensitive
    layers of a MobileNetV2 to 16-bit results raised its outputs from 31.7 to 33.5 and 33.9 dB in this ranking, but to
    31.9 and 32.7 dB in the ranking of whole layers.
    """
    found = set()
    for layer in layers_of(graph, plan):
        weight, result = _ends(graph, layer)
        text = _wider(graph, plan, target, layer)
        if "w" in text:
            found.add(weight)
        if "a" in text and weight and target.products is not None:
            found.add(_data(graph, layer))
        elif "a" in text:
            inside = [str(v.name) for i in layer.nodes for v in graph.nodes[i].outputs if v.name]
            found.update([result, *inside])
    return found


def _wider(graph: Graph, plan: Plan, target: Target, layer: LayerGroup) -> str:
    """Return the wider format for one layer as text; empty if it already has the widest."""
    if layer.op_type == INPUT:
        return _raised("a", plan, layer.value, target.activations)
    row = target.row(layer.op_type)
    weight, result = _ends(graph, layer)
    text = _raised("w", plan, weight, row.weights or target.weights) if weight else ""
    activations = row.activations or target.activations
    if target.products is None:
        return text + _raised("a", plan, result, activations)
    if weight:  # with a format of products, `a` is that of the data which a layer with weights reads
        return text + _raised("a", plan, _data(graph, layer), activations)
    own = plan.root(result).format
    written_for_products = own is not None and own.type == target.products.type
    return "" if written_for_products else _raised("a", plan, result, activations)


def _ends(graph: Graph, layer: LayerGroup) -> tuple[str, str]:
    """Return the names of a layer's weight (empty if it has none) and of its result."""
    if layer.op_type == INPUT:
        return "", layer.value
    nodes = graph.nodes
    node = nodes[layer.first]
    roles = zip(node.inputs, float_operator(node).contract(node).roles, strict=False)
    weight = next((str(v.name) for v, role in roles if role is Role.WEIGHT and v is not None), "")
    return weight, str(nodes[max(layer.nodes)].outputs[0].name)


def _data(graph: Graph, layer: LayerGroup) -> str:
    """Return the name of the data input of a layer with weights."""
    data = graph.nodes[layer.first].inputs[0]
    assert data is not None
    return str(data.name)


def _raised(letter: str, plan: Plan, value: str, formats: Sequence[TensorFormat]) -> str:
    own = plan.root(value).format
    bits = max(fmt.type.bits for fmt in formats)
    return f"{letter}{bits}" if own is not None and bits > own.type.bits else ""


def _few(names: Sequence[str]) -> str:
    return ", ".join(names[:8]) + (", ..." if len(names) > 8 else "")


def _decision(best: Partial[Q], metric: str, before: float, samples: int, tried: Sequence[Tried]) -> Step:
    if not best.layers:
        text = "partial quantization: " + ("not needed" if best.held else "no number of wider layers was better")
    else:
        raised = ", ".join(f"{name} {text}" for name, text in best.layers.items())
        text = f"partial quantization: {len(best.layers)} layers widened ({raised}): {metric} {before:.2f} -> "
        text += f"{best.score:.2f}, {len(tried) - 1} tried{'' if best.held else '; not enough'}"
    return Step("partial quantization", text, metric, before, best.score, samples, bool(best.layers))
