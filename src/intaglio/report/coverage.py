"""What became integers, what is fused, and what stayed float and why."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from intaglio.report import words

if TYPE_CHECKING:
    from intaglio.plan import Plan


@dataclass(frozen=True)
class Kind:
    """One float operator: how many there are, and how many of them are integers, fused into another one, or float."""

    operator: str
    count: int
    integer: int
    fused: int
    real: int


@dataclass(frozen=True)
class Coverage:
    """The whole network.

    Args:
        sentence: the result in one line.
        kinds: by operator, most frequent first.
        left: operators that are not integers, each with the reason.
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
    """Where the least exact table is, if there is one."""
    tables = [(o.table, o) for o in plan.operators.values() if o.table is not None]
    if not tables:
        return ""
    worst, operator = max(tables, key=lambda pair: pair[0].largest)
    return (
        f" {words.count(len(tables), 'table')}: results are at most {worst.largest:.2f} steps from the exact function "
        f"(RMS {worst.rms:.2f}; {worst.entries} entries; {words.clean(f'{operator.op_type} {operator.name}')})."
    )


def _sentence(integer: int, fused: int, real: int) -> str:
    parts = [f"{words.count(integer, 'operator')} on integers"]
    if fused:
        clamps = words.count(fused, "activation is", "activations are")
        parts.append(f"{clamps} the saturation of the operator before")
    parts.append(words.count(real, "operator") + " left in float" if real else "nothing is left in float")
    return "; ".join(parts) + "."
