"""What an algorithm made of a network is kept only where it measures better."""

from __future__ import annotations

from typing import cast

import pytest

from intaglio.evaluation.trial import Trial
from intaglio.graph import Graph
from intaglio.plan import Plan
from intaglio.recover.recovery import better_of


class Measured:
    """A trial whose SQNR is the network itself."""

    samples = 4

    def sqnr(self, graph: float, plan: float) -> float:
        return graph + plan


@pytest.mark.parametrize(("after", "kept"), [(19.9, False), (20.0, False), (20.1, True)])
@pytest.mark.parametrize("known", [False, True])
def test_equal_results_keep_the_given_network(after: float, kept: bool, known: bool) -> None:
    networks = [cast(tuple[Graph, Plan], (sqnr, 0.0)) for sqnr in (20.0, after)]
    found = better_of(cast(Trial, Measured()), "an algorithm", "done", *networks, after if known else None)
    assert (found.graph, found.plan) == networks[kept]
    assert found.gain == after - 20.0
    (step,) = found.steps
    assert (step.before, step.after, step.kept, step.samples) == (20.0, after, kept, 4)
