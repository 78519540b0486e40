"""Estimate the energy of a run from a published table.

    E = sum over operators of macs * (E_multiply(a, b) + E_add(acc)) + bytes / 8 * E_access(memory)

Source: Horowitz 2014, Computing's energy problem (and what we can do about it), ISSCC, figure 1.1.9: 45 nm, 0.9 V.
The table has integers of 8 and 32 bits. Other widths are derived: a multiplication costs in proportion to the product
of its operands' widths (8 to 32 bits: 16 times the area, 15.5 times the energy), an addition to the width of its sum.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

ADD = {8: 0.03, 32: 0.1}
"""Integer addition, pJ, by bits."""
MULTIPLY = {8: 0.2, 32: 3.1}
"""Integer multiplication, pJ, by bits of both operands."""
FLOAT_ADD = {16: 0.4, 32: 0.9}
FLOAT_MULTIPLY = {16: 1.1, 32: 3.7}
ACCESS = ((8 << 10, "8 KB", 10.0), (32 << 10, "32 KB", 20.0), (1 << 20, "1 MB", 100.0))
"""(bytes, name, pJ for 64 bits) of caches."""
DRAM = ("DRAM", 1300.0)
"""The table's range is 1,300 to 2,600 pJ for 64 bits; the lower end is taken."""
SOURCE = "Horowitz, Computing's energy problem, ISSCC 2014, figure 1.1.9 (45 nm)"
LEFT_OUT = (
    "Left out: fetching and decoding instructions, which cost a processor many times more, requantization and "
    "activation functions, repeated reads, and any other technology than 45 nm."
)


class CountedOperator(Protocol):
    """What the estimate needs of an operator; see `facts.OperatorCost`."""

    @property
    def macs(self) -> int: ...
    @property
    def operand_bits(self) -> tuple[int, ...]: ...
    @property
    def accumulator(self) -> int: ...
    @property
    def moved(self) -> int: ...
    @property
    def elements(self) -> int: ...
    @property
    def parameters(self) -> int: ...
    @property
    def parameter_elements(self) -> int: ...


@dataclass(frozen=True)
class Energy:
    """Estimated energy of one run, in pJ.

    Args:
        arithmetic: multiplications and additions of the products.
        memory: reading and writing each tensor once for each operator.
        memories: smallest memories of the table that hold tensors and parameters.
        float_arithmetic, float_memory: the same for the network in float32.
        float_memories: memories of the float network.
        derived: whether widths occur that are not in the table.
    """

    arithmetic: float
    memory: float
    memories: tuple[str, str]
    float_arithmetic: float
    float_memory: float
    float_memories: tuple[str, str]
    derived: bool

    def to_json(self) -> dict[str, Any]:
        """Return plain data; energies in pJ."""
        return {
            "arithmetic_pj": round(self.arithmetic, 1),
            "memory_pj": round(self.memory, 1),
            "memories": list(self.memories),
            "float_arithmetic_pj": round(self.float_arithmetic, 1),
            "float_memory_pj": round(self.float_memory, 1),
            "float_memories": list(self.float_memories),
            "explanation": self.sentences(),
        }

    @property
    def ratio(self) -> float:
        """Arithmetic of the float32 network, as a multiple; 0 without products."""
        return self.float_arithmetic / self.arithmetic if self.arithmetic else 0.0

    def sentences(self) -> list[str]:
        """Say what was estimated, how, and what is left out."""
        times = f", {self.ratio:.1f} times as much" if self.ratio else ""
        widths = " Widths that the table lacks are derived from those that it has." if self.derived else ""
        return [
            f"Energy of one run, estimated: arithmetic {energy_words(self.arithmetic)} (float32 "
            f"{energy_words(self.float_arithmetic)}{times}), memory at least {energy_words(self.memory)} (float32 "
            f"{energy_words(self.float_memory)}).",
            f"Source: {SOURCE}. Products are multiplications and additions of their widths; each operator reads and "
            f"writes its tensors once in {_memories(self.memories)}.{widths}",
            LEFT_OUT,
        ]


def estimated_energy(costs: Sequence[CountedOperator], arena: int | None = None) -> Energy:
    """Estimate the energy of one run.

    Args:
        costs: costs of the Program's operators.
        arena: bytes of working memory, which decide in which memory tensors lie. None: those of the operator that moves
            most.
    """
    arithmetic, derived = 0.0, False
    for cost in costs:
        if cost.macs:
            a, b = cost.operand_bits
            arithmetic += cost.macs * (multiply(a, b) + add(cost.accumulator))
            derived |= a != b or a not in MULTIPLY or cost.accumulator not in ADD
    working = max((cost.moved for cost in costs), default=0) if arena is None else arena
    moved, elements = sum(cost.moved for cost in costs), sum(cost.elements for cost in costs)
    held, numbers = sum(cost.parameters for cost in costs), sum(cost.parameter_elements for cost in costs)
    wider = 4 * elements / moved if moved else 4.0
    data, parameters = access(working), access(held)
    float_data, float_parameters = access(round(working * wider)), access(4 * numbers)
    return Energy(
        arithmetic=arithmetic,
        memory=moved / 8 * data[1] + held / 8 * parameters[1],
        memories=(data[0], parameters[0]),
        float_arithmetic=sum(cost.macs for cost in costs) * (FLOAT_MULTIPLY[32] + FLOAT_ADD[32]),
        float_memory=elements / 2 * float_data[1] + numbers / 2 * float_parameters[1],
        float_memories=(float_data[0], float_parameters[0]),
        derived=derived,
    )


def multiply(a: int, b: int) -> float:
    """Energy of an integer multiplication in pJ; of widths outside the table in proportion to `a * b`."""
    return MULTIPLY[a] if a == b and a in MULTIPLY else MULTIPLY[8] * a * b / 64


def add(bits: int) -> float:
    """Energy of an integer addition in pJ; of widths outside the table in proportion to the width."""
    return ADD[bits] if bits in ADD else ADD[32] * bits / 32


def access(nbytes: int) -> tuple[str, float]:
    """Return name and energy in pJ for 64 bits of the smallest memory of the table that holds so many bytes."""
    for size, name, energy in ACCESS:
        if nbytes <= size:
            return name, energy
    return DRAM


def energy_words(picojoules: float) -> str:
    """Format an energy: `94.5 nJ`."""
    for unit in ("pJ", "nJ", "µJ", "mJ"):
        if picojoules < 999.5 or unit == "mJ":
            break
        picojoules /= 1000
    return f"{picojoules:.3g} {unit}" if picojoules < 999.5 else f"{picojoules:,.0f} {unit}"


def _memories(names: tuple[str, str]) -> str:
    data, parameters = (name if name == DRAM[0] else f"a cache of {name}" for name in names)
    return data if data == parameters else f"{data}, its parameters in {parameters}"
