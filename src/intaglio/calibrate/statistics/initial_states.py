"""Find the states that layers which loop over time begin with: the range of later states includes them."""

from __future__ import annotations

from intaglio.graph import Graph
from intaglio.graph.access import input_value
from intaglio.graph.time_loops import STATES, is_loop


def initial_states(graph: Graph) -> dict[str, str]:
    """Return the names of the initial states that are given, by the name of the loop's result."""
    found = {}
    for node in graph.nodes:
        if is_loop(node):
            for index, output in enumerate(node.outputs):
                value = input_value(node, 3 + min(index, STATES[node.op_type] - 1))
                if value is not None:
                    found[str(output.name)] = str(value.name)
    return found
