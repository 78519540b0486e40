"""The contracts of all operators of a network, or what stands in the way."""

from __future__ import annotations

from intaglio.errors import UnsupportedOperatorError
from intaglio.graph import Graph
from intaglio.ops import Contract, contract_of
from intaglio.plan.target_rows import check_rows
from intaglio.targets import Target


def contracts_of(graph: Graph, target: Target) -> dict[str, Contract]:
    """The contract of each node by name.

    Raises:
        UnsupportedOperatorError: an operator that Intaglio or the target does not have; every one is listed.
        TargetError: a row of the target that has no effect.
    """
    check_rows(target)
    contracts, problems = {}, []
    for node in graph.nodes:
        try:
            contracts[str(node.name)] = contract_of(node)
        except UnsupportedOperatorError as error:
            problems.append(str(error))
        if not target.row(node.op_type).supported:
            problems.append(f"[{node.op_type} {node.name!r}] target {target.name} has no {node.op_type}")
    if problems:
        raise UnsupportedOperatorError("\n".join(problems))
    return contracts
