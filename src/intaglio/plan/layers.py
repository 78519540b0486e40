"""Formats of single layers: the target's own, or others asked for by a name pattern."""

from __future__ import annotations

import re
from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Literal

import onnx_ir as ir

from intaglio.errors import TargetError
from intaglio.graph import Graph
from intaglio.graph.access import consumers
from intaglio.graph.operators import facts
from intaglio.ops import Contract, Role
from intaglio.targets import Target, TensorFormat

Kind = Literal["weights", "activations"]
_FORMAT = re.compile(r"(?:w(\d+))?(?:a(\d+))?")


class LayerFormats:
    """Answers which format a layer's weights and its output have.

    Args:
        graph, contracts: the network.
        target: the formats of the hardware.
        layers: pattern -> format, e.g. `{"first": "a16", "features.1*": "w8a16"}`. `first` and `last` mean the first
            and last layer with weights; `first` covers the network's input too. A later entry overrides an earlier one,
            and all of them override the target's own. `a16` sets the format of a layer's result. If the target has a
            format for the data of products, it sets the format of the data that a layer with weights reads instead.
    Raises:
        TargetError: text that is no format, a format that the target does not have, or a pattern that matches no layer.
    """

    def __init__(
        self, graph: Graph, contracts: Mapping[ir.Node, Contract], target: Target, layers: Mapping[str, str]
    ) -> None:
        self.target = target
        names = [str(node.name) for node in graph.nodes]
        weighted = [str(node.name) for node in graph.nodes if Role.WEIGHT in contracts[node].roles]
        ends = {"first": weighted[:1], "last": weighted[-1:]}
        self.bits: dict[tuple[str, Kind], int] = {}
        own = target.layers if weighted else {}
        layers = {**{pattern: text for pattern, text in own.items() if pattern not in layers}, **layers}
        for pattern, text in layers.items():
            chosen = ends[pattern] if pattern in ends else [n for n in names if fnmatchcase(n, pattern)]
            if not chosen:
                known = ", ".join(weighted[:8]) + (", ..." if len(weighted) > 8 else "")
                raise TargetError(
                    f"layer {pattern!r}: expected first, last or a pattern that names a layer; with weights: {known}"
                )
            match = _FORMAT.fullmatch(text)
            if match is None or not text:
                raise TargetError(f"layer {pattern!r}: expected a format such as w8a16, a16 or w4, got {text!r}")
            for name in chosen:
                for kind, bits in (("weights", match[1]), ("activations", match[2])):
                    if bits is not None:
                        self.bits[name, kind] = int(bits)  # type: ignore[index]
        self.first = weighted[0] if "first" in layers and weighted else None
        self._reads = frozenset() if target.products is None else frozenset(weighted)
        for node in graph.nodes:  # unknown formats are refused before any work is done
            self.activation_format(node)
            self.operand_format(node)
            if Role.WEIGHT in contracts[node].roles:
                self.weight_format(node)
            # The result of a layer is written after its activation, so the activation gets the layer's format.
            if self.asked(node) and len(node.outputs) == 1:
                users = consumers(node.outputs[0])
                if len(users) == 1 and (contracts[users[0]].clamp is not None or _has_caps(users[0])):
                    self.bits.setdefault((str(users[0].name), "activations"), self.bits[str(node.name), "activations"])
        for node in reversed(graph.nodes):  # the input of a clamp has the format of its result
            source = next((v for v in node.inputs if v is not None and v.producer() is not None), None)
            if _has_caps(node) and self.asked(node) and source is not None and consumers(source) == [node]:
                producer = str(source.producer().name)  # type: ignore[union-attr]
                if producer in self._reads:
                    continue  # its entry is for the data that it reads
                self.bits.setdefault((producer, "activations"), self.bits[str(node.name), "activations"])

    def input_format(self, value: ir.Value) -> TensorFormat:
        """Choose the format of an input of the network; products that read fewer bits read it through a Clip."""
        products = self.target.products
        if products is not None and self.bits.get((str(self.first), "activations")) == products.type.bits:
            return self.target.activations[0]
        if any(str(user.name) == self.first for user in consumers(value)) and (self.first, "activations") in self.bits:
            return self._find("the input", self.target.activations, self.bits[str(self.first), "activations"])
        return self.target.activations[0]

    def activation_format(self, node: ir.Node) -> TensorFormat:
        """Choose the format of a node's result."""
        formats = self.target.row(node.op_type).activations or self.target.activations
        if not self.asked(node):
            return formats[0]
        bits = self.bits[str(node.name), "activations"]
        return self._find(f"[{node.op_type} {node.name!r}] activations", formats, bits)

    def asked(self, node: ir.Node) -> bool:
        """Tell whether the user set the format of a node's result."""
        return (str(node.name), "activations") in self.bits and str(node.name) not in self._reads

    def operand_format(self, node: ir.Node) -> TensorFormat | None:
        """Choose the format in which a layer with weights reads its data; None where it takes any."""
        products = self.target.products
        if products is None or str(node.name) not in self._reads:
            return None
        bits = self.bits.get((str(node.name), "activations"))
        formats = (products, *(self.target.row(node.op_type).activations or self.target.activations))
        return products if bits is None else self._find(f"[{node.op_type} {node.name!r}] data", formats, bits)

    def weight_format(self, node: ir.Node) -> TensorFormat:
        """Choose the format of a node's weight."""
        formats = self.target.row(node.op_type).weights or self.target.weights
        bits = self.bits.get((str(node.name), "weights"))
        return formats[0] if bits is None else self._find(f"[{node.op_type} {node.name!r}] weights", formats, bits)

    def _find(self, where: str, formats: tuple[TensorFormat, ...], bits: int) -> TensorFormat:
        for fmt in formats:
            if fmt.type.bits == bits:
                return fmt
        have = ", ".join(str(fmt.type) for fmt in formats)
        raise TargetError(
            f"{where}: target {self.target.name} has {have}, got a request for {bits} bits; "
            "choose one of these or another target"
        )


def _has_caps(node: ir.Node) -> bool:
    """Tell whether a node is a clamp between constants, maybe per channel, which needs its input in its own format."""
    return facts(node.op_type).extremum
