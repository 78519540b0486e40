from __future__ import annotations

import pytest

from intaglio.bench.peak import measure_peak
from intaglio.codegen.machine import MACHINES, host, machine, missing

HERE = [name for name, m in MACHINES.items() if m.isas and m.threads and not missing(m)]


def test_a_machine_without_vectors_has_no_peak() -> None:
    assert measure_peak(machine("portable")) is None


@pytest.mark.parametrize("name", HERE)
def test_the_peak_is_between_one_and_many_products_a_cycle(name: str) -> None:
    peak = measure_peak(MACHINES[name])
    assert peak is not None
    assert 2e9 < peak < 4e12, peak


@pytest.mark.skipif(not host().isas, reason="needs a processor with vectors")
def test_several_threads_are_summed() -> None:
    one, two = (measure_peak(host(), threads) for threads in (1, 2))
    assert one is not None and two is not None
    assert two > 0.3 * one, (one, two)  # a busy machine gives two threads less than one had, but not nothing
