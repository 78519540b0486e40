"""Remove the tiny number that files add to a quantized divisor, so that runtimes in float never divide by 0.

Integers need none: a quotient by the code of 0 is the end of the range, and 0 / 0 is 0.
"""

from __future__ import annotations

from intaglio.graph import Graph
from intaglio.graph.access import constant, single_consumer, where
from intaglio.graph.edit import remove_unread_before

TINY = 1e-20
"""Below every step of a quantized divisor."""


def bare_divisors(graph: Graph) -> list[str]:
    """Let each Div read its divisor without the number."""
    changes = []
    for node in graph.nodes:
        added = node.inputs[1].producer() if node.op_type == "Div" and node.inputs[1] is not None else None
        if added is None or added.op_type != "Add" or single_consumer(added.outputs[0]) is not node:
            continue
        number, source = constant(added.inputs[1]), added.inputs[0]
        if number is None or number.size != 1 or not 0 < float(number.reshape(-1)[0]) < TINY:
            continue
        node.replace_input_with(1, source)
        remove_unread_before(graph.model.graph, added)
        changes.append(f"{where(node)} reads its divisor without {float(number.reshape(-1)[0]):g} added to it")
    return changes
