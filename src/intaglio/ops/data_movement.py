"""What operators that only move integers share: their contract, and constant inputs of integers."""

from __future__ import annotations

import onnx_ir as ir

from intaglio.graph.access import input_value
from intaglio.ops.contract import Contract, Role, Same
from intaglio.ops.operands import constant_operand

DATA_MOVEMENT = Contract((Role.ACTIVATION, Role.OFFLINE, Role.OFFLINE, Role.OFFLINE, Role.OFFLINE), Same(0))


def constant_ints(node: ir.Node, index: int) -> tuple[int, ...] | None:
    """A constant input of integers; None where it is left out."""
    if input_value(node, index) is None:
        return None
    return tuple(int(v) for v in constant_operand(node, index).reshape(-1))
