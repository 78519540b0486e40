"""Count operators that run on integers, that are fused, and that stay float."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from intaglio.report import words

if TYPE_CHECKING:
    from intaglio.plan import Plan


@dataclass(frozen=True)
class Kind:
    """Counts for one float operator type: all, on integers, fused into another operator, left in float."""

    operator: str
    count: int
    integer: int
    fused: int
    real: int


@dataclass(frozen=True)
class Coverage:
    """Operator coverage of a network.

    Args:
        sentence: summary in one line.
        kinds: counts by operator type, most frequent first.
        left: operators left in float, each with the reason.
    """

    sentence: str
    kinds: tuple[Kind, ...]
    left: tuple[str, ...]


def coverage(plan: Plan) -> Coverage:
    """Count the Plan's operators."""
    inside = {name for operator in plan.operators.values() for name in operator.fused}
    counts: Counter[str] = Counter()
    integer: Counter[str] = Counter()
    fused: Counter[str] = Counter()
    left = []
    for name, operator in plan.operators.items():
        kind = words.clean(operator.op_type)
        counts[kind] += 1
        if not operator.integer:
            left.append(words.clean(f"{operator.op_type} {name}: {operator.why or 'no reason given'}"))
        elif name in inside:
            fused[kind] += 1
        else:
            integer[kind] += 1
    kinds = tuple(
        Kind(kind, n, integer[kind], fused[kind], n - integer[kind] - fused[kind]) for kind, n in counts.most_common()
    )
    sentence = _sentence(sum(integer.values()), sum(fused.values()), len(left)) + _tables(plan)
    return Coverage(sentence, kinds, tuple(left))


def _tables(plan: Plan) -> str:
    """Describe the lookup table with the largest error; empty without tables."""
    tables = [(o.table, o) for o in plan.operators.values() if o.table is not None]
    if not tables:
        return ""
    worst, operator = max(tables, key=lambda pair: pair[0].largest)
    return (
        f" {words.count(len(tables), 'lookup table')}: results are at most {worst.largest:.2f} steps from the exact "
        "function "
        f"(RMS {worst.rms:.2f}; {worst.entries} entries; {words.clean(f'{operator.op_type} {operator.name}')})."
    )


def _sentence(integer: int, fused: int, real: int) -> str:
    parts = [f"{words.count(integer, 'operator runs', 'operators run')} on integers"]
    if fused:
        clamps = words.count(fused, "activation is", "activations are")
        parts.append(f"{clamps} fused into the saturation of the operator before")
    parts.append(
        words.count(real, "operator stays", "operators stay") + " float" if real else "no operator stays float"
    )
    return "; ".join(parts) + "."
