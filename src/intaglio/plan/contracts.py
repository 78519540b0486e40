"""Collect the contracts of all operators of a network, or refuse it with every reason."""

from __future__ import annotations

import onnx_ir as ir

from intaglio.errors import UnsupportedOperatorError
from intaglio.graph import Graph
from intaglio.ops import Contract, contract_of
from intaglio.plan.target_rows import check_rows
from intaglio.targets import Target


def contracts_of(graph: Graph, target: Target | None = None) -> dict[ir.Node, Contract]:
    """Collect the contract of each node.

    Args:
        graph: the network.
        target: which has to have its operators too.
    Raises:
        UnsupportedOperatorError: an operator that Intaglio or the target does not have; every one is listed.
        TargetError: a row of the target that has no effect.
    """
    if target is not None:
        check_rows(target)
    contracts, problems = {}, []
    for node in graph.nodes:
        try:
            contracts[node] = contract_of(node)
        except UnsupportedOperatorError as error:
            problems.append(str(error))
        if target is not None and not target.row(node.op_type).supported:
            problems.append(f"[{node.op_type} {node.name!r}] target {target.name} has no {node.op_type}")
    if problems:
        raise UnsupportedOperatorError("\n".join(problems))
    return contracts
