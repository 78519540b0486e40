"""Write a normalization of channels that a Reshape has put into groups as one GroupNormalization."""

from __future__ import annotations

import math

import numpy as np
import onnx_ir as ir

from intaglio.graph.access import Array, attribute, constant, input_value, shape, where
from intaglio.graph.edit import add_constant, insert, remove_unread_before, rename, replace
from intaglio.graph.graph import Graph
from intaglio.graph.pattern import Match, Op, Var, find

# (N, C, ...) as (N, G, ...), normalized, and back
_GROUPED = Op("Reshape", Op("InstanceNormalization|LayerNormalization", Op("Reshape", Var("x")), name="norm"))


def make_group_norm(graph: Graph) -> list[str]:
    """Replace each Reshape, InstanceNormalization (or LayerNormalization from axis 2 on) and Reshape back."""
    changes: list[str] = []
    inner = graph.model.graph
    for node in graph.nodes:
        match = find(_GROUPED, node) if node.graph is not None and node.op_type == "Reshape" else None
        parameters = None if match is None else _parameters(node, match)
        if match is None or parameters is None:
            continue
        norm = match.named["norm"]
        groups = shape(norm.inputs[0])[1]
        changes.append(f"{where(norm)} of {groups} groups and the Reshapes around it are one GroupNormalization")
        constants = [
            add_constant(inner, f"{norm.name}.{role}", array)
            for role, array in zip(("scale", "bias"), parameters, strict=True)
        ]
        made = insert(
            inner,
            node,
            "GroupNormalization",
            [match.value("x"), *constants],
            {"num_groups": groups, "epsilon": float(attribute(norm, "epsilon", 1e-5))},
            name=f"{norm.name}.groups",
        )
        name = str(norm.name)
        replace(node.outputs[0], made.outputs[0])
        remove_unread_before(inner, node)
        rename(made, name)
    return changes


def _parameters(node: ir.Node, match: Match) -> tuple[Array, Array] | None:
    """Find scale and bias of every channel; None where this is not a normalization of groups of channels."""
    norm, size, middle = match.named["norm"], shape(match.value("x")), shape(match.named["norm"].inputs[0])
    channels, groups = size[1] if len(size) > 2 else 0, middle[1] if len(middle) > 2 else 0
    if not groups or not channels or channels % groups or size[0] != middle[0] or shape(node.outputs[0]) != size:
        return None
    if math.prod(size[1:]) != math.prod(middle[1:]) or len(norm.outputs) != 1:
        return None
    found = []
    for index, default in ((1, 1.0), (2, 0.0)):
        array = constant(input_value(norm, index))
        if array is None and input_value(norm, index) is not None:
            return None
        if norm.op_type == "LayerNormalization":
            if int(attribute(norm, "axis")) != 2 or (array is not None and not (array == default).all()):
                return None
            array = None
        found.append(np.full(channels, default, np.float32) if array is None else np.repeat(array, channels // groups))
    return found[0], found[1]
