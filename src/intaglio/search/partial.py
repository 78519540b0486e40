"""Partial quantization: the worst layers get the widest format that the target has, as few as suffice.

k layers of a ranking are raised, k = 1, 2, 4, ... until the network is good enough, and then k is halved between the
last that failed and the first that held. Each k is quantized and measured anew; the best one found is returned whether
or not it holds.

No target of ours has an operator that runs on floats, so no layer is left in float.

Source: Wu et al. 2020, arXiv:2004.09602, section 6.1, there with floats instead of wide integers.
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
from intaglio.search.layer_groups import INPUT, Layer, layers_of
from intaglio.targets import Target, TensorFormat

Q = TypeVar("Q")


@dataclass(frozen=True)
class Tried:
    """One attempt: how many of the ranking were raised, and the score it reached."""

    count: int
    score: float


@dataclass(frozen=True)
class Partial(Generic[Q]):
    """What `partial` returns.

    Args:
        result: the best one found; of equals the one with the fewest layers raised.
        layers: name -> format of what is raised in it; empty where nothing was better.
        score: what it reached.
        held: whether that is enough.
        tried: every attempt in order, the first one with count 0.
        steps: one for each attempt.
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
    """Raise the worst layers until the network is good enough.

    Args:
        first: the network as it is, no layer raised.
        wider: layer -> wider format, worst first, as `wider_formats` gives it.
        make: quantizes the network anew with formats for some layers.
        score: measures it, more is better; NaN is never enough.
        enough: the score to reach.
        metric, samples: of `score`, for the steps.
    Returns:
        The network with the fewest layers raised that holds, as far as halving finds it; the one with the highest score
        where none does. At most 2 * log2(len(wider)) + 2 networks are made, and two of them kept.
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
        if holds:
            better = not best.held or count < len(best.layers)
        else:
            higher = reached > best.score or (math.isnan(best.score) and not math.isnan(reached))
            better = higher and not best.held
        if better:
            best = Partial(made, layers, reached, holds)
        text = f"the {count} worst layers in wider formats: {metric} {before:.2f} -> {reached:.2f}"
        text += f"; {enough:.2f} {'holds' if holds else 'does not hold'}"
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
    """The widest format that a target has for each layer of a ranking, in its order.

    Args:
        graph, plan: the network as it is.
        target: what the hardware has.
        ranking: names of layers (see `layers.layers_of`), worst first.
    Returns:
        Layer -> format such as `a16`, `w8` or `w16a16`, as `quantize(layers=...)` takes them; an input of the network
        is raised with the first layer (`first`). Layers that have the widest format already are left out.
    Raises:
        TargetError: there is no wider format for any of them; or a name is no layer of the network.
    """
    known = {layer.name: layer for layer in layers_of(graph, plan)}
    found: dict[str, str] = {}
    for name in ranking:
        if name not in known:
            raise TargetError(
                f"layer {name!r}: expected a layer of the network, got none of that name; it has {_few(list(known))}"
            )
        text = _wider(graph, plan, target, known[name])
        if text:
            found["first" if known[name].op_type == INPUT else _escaped(name)] = text
    if ranking and not found:
        kinds = ", ".join(sorted({str(f.type) for f in (*target.activations, *target.weights)}))
        raise TargetError(
            f"target {target.name}: expected layers that could have a wider format, got none: it has {kinds}; choose a "
            "target with wider ones, such as cpu-int8 (int16 activations) or w4a8 (int8 weights)"
        )
    return found


def wider_values(graph: Graph, plan: Plan, target: Target) -> set[str]:
    """The values that a target has a wider format for: by these, layers that are to be raised are ranked best.

    Where weights have one format only, their error stays whatever is done to a layer's result. Raising the worst 3 and
    12 layers of a MobileNetV2 to 16-bit results took its outputs from 31.7 to 33.5 and 33.9 dB in this order, to 31.9
    and 32.7 dB in the order of whole layers.
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


def _wider(graph: Graph, plan: Plan, target: Target, layer: Layer) -> str:
    """Format text for one layer; empty where it has the widest already."""
    if layer.op_type == INPUT:
        return _raised("a", plan, layer.value, target.activations)
    row = target.row(layer.op_type)
    weight, result = _ends(graph, layer)
    text = _raised("w", plan, weight, row.weights or target.weights) if weight else ""
    activations = row.activations or target.activations
    if target.products is None:
        return text + _raised("a", plan, result, activations)
    if weight:  # here `a` is how a layer with weights reads its data
        return text + _raised("a", plan, _data(graph, layer), activations)
    own = plan.root(result).format
    written_for_products = own is not None and own.type == target.products.type
    return "" if written_for_products else _raised("a", plan, result, activations)


def _ends(graph: Graph, layer: Layer) -> tuple[str, str]:
    """Names of a layer's weight (empty where it has none) and of its result."""
    if layer.op_type == INPUT:
        return "", layer.value
    nodes = graph.nodes
    node = nodes[layer.first]
    roles = zip(node.inputs, float_operator(node).contract(node).roles, strict=False)
    weight = next((str(v.name) for v, role in roles if role is Role.WEIGHT and v is not None), "")
    return weight, str(nodes[max(layer.nodes)].outputs[0].name)


def _data(graph: Graph, layer: Layer) -> str:
    """Name of what a layer with weights reads."""
    data = graph.nodes[layer.first].inputs[0]
    assert data is not None
    return str(data.name)


def _raised(letter: str, plan: Plan, value: str, formats: Sequence[TensorFormat]) -> str:
    own = plan.root(value).format
    bits = max(fmt.type.bits for fmt in formats)
    return f"{letter}{bits}" if own is not None and bits > own.type.bits else ""


def _escaped(name: str) -> str:
    """A layer's name as a pattern that names it alone."""
    return "".join(f"[{c}]" if c in "*?[" else c for c in name)


def _few(names: Sequence[str]) -> str:
    return ", ".join(names[:8]) + (", ..." if len(names) > 8 else "")


def _decision(best: Partial[Q], metric: str, before: float, samples: int, tried: Sequence[Tried]) -> Step:
    if not best.layers:
        text = "partial quantization: " + ("not needed" if best.held else "no number of raised layers was better")
    else:
        raised = ", ".join(f"{name} {text}" for name, text in best.layers.items())
        text = f"partial quantization: {len(best.layers)} layers raised ({raised}): {metric} {before:.2f} -> "
        text += f"{best.score:.2f}, {len(tried) - 1} tried{'' if best.held else '; not enough'}"
    return Step("partial quantization", text, metric, before, best.score, samples, bool(best.layers))
