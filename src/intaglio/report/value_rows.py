"""Build the report's table of values: one row for each value of the network, weights included."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from intaglio.evaluation import LayerDifference
from intaglio.evaluation.gates import SQNR_FLOOR
from intaglio.number import PerTensor, QuantParams
from intaglio.report import words
from intaglio.report.facts import Facts

if TYPE_CHECKING:  # PyTorch and ONNX are behind these; whoever calls has them loaded
    from intaglio.graph import Graph
    from intaglio.plan import Plan, ValuePlan

FULL_BAR = 60.0  # dB of a full bar; 8 bits reach little more than 50


@dataclass(frozen=True)
class ValueLink:
    """Name of a value and the number of its row; None if it has no row."""

    name: str
    row: int | None


@dataclass(frozen=True)
class ValueRow:
    """Table row of one value: texts to show, and numbers to sort by (None sorts last).

    Args:
        number: position in the network, from 1.
        name, role, shape: name, role and shape of the value.
        operator, node: the operator that computes it; of a constant, the one that reads it.
        format: type, scheme and granularity.
        bits: bits of the type, to sort by format.
        scale, zero_point, range: quantization parameters, and the range that the codes represent.
        step, zero, width: to sort by: largest scale, largest zero point, width of the range.
        source, of, calibrator: where the parameters come from.
        sqnr, ratio: SQNR against float, as text and in dB.
        bar: length of the SQNR bar in percent.
        weak: whether the SQNR is below the gate.
        difference: largest difference, as text.
        alone, sensitivity: output SQNR with only this layer quantized, as text and in dB.
        why: the Plan's reason.
    """

    number: int
    name: str
    role: str
    shape: str
    operator: str
    node: str
    format: str
    bits: int | None
    scale: str
    zero_point: str
    range: str
    step: float | None
    width: float | None
    zero: int | None
    source: str
    of: tuple[ValueLink, ...]
    calibrator: str
    sqnr: str
    ratio: float | None
    bar: float
    weak: bool
    difference: str
    alone: str
    sensitivity: float | None
    why: str


def value_rows(graph: Graph, plan: Plan, facts: Facts) -> list[ValueRow]:
    """Return a row for each value of the Plan, in the network's order."""
    places = {name: (operator, node, shape) for name, operator, node, shape in _walk(graph)}
    known = [name for name in places if name in plan.values]
    names = [*known, *(name for name in plan.values if name not in places)]
    numbers = {name: i for i, name in enumerate(names, start=1)}
    measured = {layer.name: layer for layer in facts.layers}
    rows = []
    for name, i in numbers.items():
        operator, node, shape = places.get(name, ("", "", ""))
        value = plan.values[name]
        alone = facts.sensitivities.get(name if value.role.value != "activation" else node or name)
        rows.append(_row(i, plan, value, (operator, node, shape), numbers, measured.get(name), alone))
    return rows


def _walk(graph: Graph) -> Iterator[tuple[str, str, str, str]]:
    """Yield (value, operator, node, shape) of every value; constants come before the node that reads them."""
    for value in graph.inputs:
        yield str(value.name), "input", "", _shape(value.shape)
    for node in graph.nodes:
        constants = [value for value in node.inputs if value is not None and value.const_value is not None]
        for value in (*constants, *node.outputs):
            if value.name:
                yield str(value.name), node.op_type, str(node.name), _shape(value.shape)


def _shape(shape: object) -> str:
    return "\N{MULTIPLICATION SIGN}".join(str(n) for n in getattr(shape, "dims", ()))


def _row(
    number: int,
    plan: Plan,
    value: ValuePlan,
    place: tuple[str, str, str],
    numbers: dict[str, int],
    layer: LayerDifference | None,
    alone: float | None,
) -> ValueRow:
    params = plan.params(value.name)
    low, high = grid_range(params) if params is not None and params.type.bits <= 16 else (None, None)
    operator, node, shape = place
    ratio = None if layer is None else layer.sqnr
    return ValueRow(
        number=number,
        name=words.clean(value.name),
        role=value.role.value,
        shape=words.clean(shape),
        operator=words.clean(operator),
        node=words.clean(node),
        format=_format(value, params),
        bits=value.format.type.bits if value.format else params.type.bits if params else None,
        scale=words.NONE if params is None else words.span(float(params.scale.min()), float(params.scale.max())),
        zero_point=words.NONE if params is None else _zero_point(params),
        range=words.NONE if low is None or high is None else f"{words.number(low)} to {words.number(high)}",
        step=None if params is None else float(params.scale.max()),
        zero=None if params is None else int(params.zero_point.max()),
        width=None if low is None or high is None else high - low,
        source=value.source.value,
        of=tuple(ValueLink(words.clean(name), numbers.get(name)) for name in value.of),
        calibrator=words.clean(value.calibrator or ""),
        sqnr=words.NONE if ratio is None else words.decibels(ratio),
        ratio=None if ratio is None or math.isnan(ratio) else max(-1e9, min(ratio, 1e9)),
        bar=0.0 if ratio is None or math.isnan(ratio) else 100 * max(0.0, min(ratio / FULL_BAR, 1.0)),
        weak=ratio is not None and not ratio >= SQNR_FLOOR,
        difference="" if layer is None else _difference(layer),
        alone=words.NONE if alone is None else words.decibels(alone),
        sensitivity=None if alone is None or math.isnan(alone) else max(-1e9, min(alone, 1e9)),
        why=words.clean(value.why),
    )


def _format(value: ValuePlan, params: QuantParams | None) -> str:
    if value.format is not None:
        return str(value.format).replace("_", " ")
    if params is None:
        return words.NONE
    per = "per tensor" if isinstance(params.granularity, PerTensor) or params.scale.ndim == 0 else "per channel"
    return f"{params.type} {per}"


def _zero_point(params: QuantParams) -> str:
    return words.span(int(params.zero_point.min()), int(params.zero_point.max()))


def grid_range(params: QuantParams) -> tuple[float, float]:
    """Return the smallest and the largest real number that a code represents, over all channels."""
    scale, zero_point = params.scale.astype(float), params.zero_point.astype(float)
    low, high = scale * (params.type.qmin - zero_point), scale * (params.type.qmax - zero_point)
    return float(low.min()), float(high.max())


def _difference(layer: LayerDifference) -> str:
    most = f"{layer.steps:.1f} steps" if layer.steps is not None else words.number(layer.largest)
    return f"\N{LESS-THAN OR EQUAL TO} {most}, {layer.equal:.0f} % equal"
