"""Energy from a published table: its numbers, what is derived from them, and sums that can be done by hand."""

from __future__ import annotations

import pytest

from intaglio.report.energy import access, add, energy_words, estimated_energy, multiply
from intaglio.report.facts import OperatorCost


def cost(macs: int, bits: tuple[int, int] = (8, 8), accumulator: int = 32, **more: int) -> OperatorCost:
    return OperatorCost("n", "conv2d", (1,), "int8", macs, 0, "", accumulator=accumulator, operand_bits=bits, **more)


def test_widths_of_the_table_are_those_of_the_table() -> None:
    assert [multiply(8, 8), multiply(32, 32), add(8), add(32)] == [0.2, 3.1, 0.03, 0.1]
    assert [access(n) for n in (8192, 8193, 32768, 1 << 20, (1 << 20) + 1)] == [
        ("8 KB", 10.0),
        ("32 KB", 20.0),
        ("32 KB", 20.0),
        ("1 MB", 100.0),
        ("DRAM", 1300.0),
    ]


def test_other_widths_lie_between_their_neighbours() -> None:
    assert 0.2 < multiply(16, 8) < multiply(16, 16) < 3.1
    assert multiply(16, 8) == pytest.approx(0.4)
    assert multiply(32, 16) < 3.1
    assert add(64) == pytest.approx(0.2)


def test_a_run_is_the_sum_of_its_operators() -> None:
    found = estimated_energy(
        [
            cost(1000, moved=800, elements=800, parameters=80, parameter_elements=50),
            cost(0, (), 0, moved=80, elements=40),
        ]
    )
    assert found.arithmetic == pytest.approx(1000 * (0.2 + 0.1))
    assert found.float_arithmetic == pytest.approx(1000 * (3.7 + 0.9))
    assert found.ratio == pytest.approx(4.6 / 0.3)
    assert found.memory == pytest.approx(880 / 8 * 10 + 80 / 8 * 10)
    assert found.float_memory == pytest.approx(840 * 4 / 8 * 10 + 50 * 4 / 8 * 10)
    assert not found.derived
    assert "derived" not in " ".join(found.sentences())
    assert "arithmetic 300 pJ (float32 4.6 nJ, 15.3 times as much)" in found.sentences()[0]
    assert "Horowitz" in found.sentences()[1]
    assert found.sentences()[2].startswith("Left out: ")


def test_the_memory_is_that_which_holds_the_tensors() -> None:
    large = estimated_energy([cost(1, moved=8, elements=8, parameters=2 << 20, parameter_elements=2 << 20)], 30_000)
    assert large.memories == ("32 KB", "DRAM")
    assert large.float_memories == ("1 MB", "DRAM")
    assert large.memory == pytest.approx(20 + (2 << 20) / 8 * 1300)


def test_derived_widths_are_said() -> None:
    wide = estimated_energy([cost(10, (16, 8), 64)])
    assert wide.arithmetic == pytest.approx(10 * (0.4 + 0.2))
    assert wide.derived
    assert "Widths that the table lacks are derived" in wide.sentences()[1]
    assert estimated_energy([cost(0, (), 0)]).ratio == 0


@pytest.mark.parametrize(
    ("picojoules", "text"),
    [(0.3, "0.3 pJ"), (999.6, "1 nJ"), (94_500, "94.5 nJ"), (2.5e6, "2.5 µJ"), (7e12, "7,000 mJ")],
)
def test_energies_have_a_unit_that_fits(picojoules: float, text: str) -> None:
    assert energy_words(picojoules) == text
