"""Separate the data operands of products: the data that a convolution or dense layer reads may have its own format.

Below eight bits, products gain speed, while sums, residual streams and scores lose accuracy. So a target may give its
products a narrow format (`[products]`) and everything else a wider one. A value that only such products read is
written in their format. Where others read it too, a Clip without bounds is put in front of the products: it computes
nothing, is standard ONNX, and has the narrow grid.

    x ─┬─────────────────▶ Add            x: uint8
       └─▶ Clip ─┬─▶ Conv                 the Clip's result: uint4
                 └─▶ Conv (shortcut)
"""

from __future__ import annotations

from collections.abc import Mapping

import onnx_ir as ir

from intaglio.graph import Graph
from intaglio.graph.access import consumers, is_output
from intaglio.graph.edit import insert
from intaglio.ops import Contract, Joined, Same
from intaglio.plan.contracts import contracts_of
from intaglio.plan.layers import LayerFormats
from intaglio.targets import Target, TensorFormat


def separate_operands(graph: Graph, target: Target, layers: Mapping[str, str] | None = None) -> Graph:
    """Insert Clips so that every product can read its data in the format that the target has for products.

    Run again on its own result it changes nothing.

    Args:
        graph: in normal form; it is left as it is.
        target: the hardware.
        layers: other formats for some layers, as `place` takes them.
    Returns:
        A new graph whose history tells what was inserted; `graph` itself where there is nothing to do.
    Raises:
        TargetError, UnsupportedOperatorError: as `place`.
    """
    if target.products is None:
        return graph
    result = graph.copy()
    contracts = contracts_of(result, target)
    operands = Operands(contracts, LayerFormats(result, contracts, target, layers or {}))
    groups: dict[tuple[str, TensorFormat], list[ir.Node]] = {}
    for node in result.nodes:
        wanted, data = operands.layers.operand_format(node), node.inputs[0]
        if wanted is None or data is None:
            continue
        written = operands.written(data)
        if written != wanted and not written.type.bipolar:
            groups.setdefault((str(data.name), wanted), []).append(node)
    for (name, wanted), products in groups.items():
        clip = insert(result.model.graph, products[0], "Clip", [products[0].inputs[0]], name=f"{name}.operand")
        for product in products:
            product.replace_input_with(0, clip.outputs[0])
        readers = ", ".join(str(product.name) for product in products)
        result.history.append(f"[Clip {str(clip.name)!r}] put in front of {readers}: {name} read as {wanted.type}")
    return result if groups else graph


class Operands:
    """Answers in which format a value is written, by who reads it. Signs in one bit stay as they are.

    Args:
        contracts: of the network's nodes.
        layers: formats of its layers.
    """

    def __init__(self, contracts: Mapping[ir.Node, Contract], layers: LayerFormats) -> None:
        self.contracts, self.layers = contracts, layers
        self._known: dict[ir.Value, frozenset[TensorFormat | None]] = {}

    def written(self, value: ir.Value) -> TensorFormat:
        """Choose the format of a value: that of its products where only they read it and the user set no other."""
        node = value.producer()
        if node is None:
            return self.layers.input_format(value)
        source = self._moved(node)
        if source is not None:
            return self.written(source)
        own = self.layers.activation_format(node)
        if self.layers.target.products is not None and not self.layers.asked(node) and not own.type.bipolar:
            wanted = self._wanted(value)
            only = next(iter(wanted), None)
            if len(wanted) == 1 and only is not None:
                return only
        return own

    def _wanted(self, value: ir.Value) -> frozenset[TensorFormat | None]:
        """Collect the formats that the readers of a value need; None for a reader that takes any."""
        if value in self._known:
            return self._known[value]
        found: set[TensorFormat | None] = {None} if is_output(value) else set()
        for user in consumers(value):
            joined = isinstance(self.contracts[user].output, Joined)
            if joined and self.layers.asked(user):
                found.add(self.layers.activation_format(user))
            elif joined or self._moved(user) is value:
                found.update(*(self._wanted(output) for output in user.outputs))
            else:
                found.add(self.layers.operand_format(user) if user.inputs[0] is value else None)
        self._known[value] = frozenset(found)
        return self._known[value]

    def _moved(self, node: ir.Node) -> ir.Value | None:
        """Find the input whose grid a node's results share."""
        if self.layers.row(node).output == "same":
            return self.layers.first_saturated(node).inputs[0]
        rule = self.contracts[node].output
        return node.inputs[rule.index] if isinstance(rule, Same) else None
