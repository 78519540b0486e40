"""Formats of single layers: the target's own, or others that the user asks for by name."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Literal

import onnx_ir as ir

from intaglio.errors import TargetError, UsageError
from intaglio.graph import Graph
from intaglio.graph.access import consumers, is_output
from intaglio.graph.integer_inputs import is_integer_input
from intaglio.graph.operators import facts
from intaglio.ops import Contract, Plain, Role, Same
from intaglio.plan.layer_patterns import FIRST, layers_matching, names_input
from intaglio.targets import OperatorRow, Target, TensorFormat
from intaglio.targets.target import WIDEST

Kind = Literal["weights", "activations"]
_FORMAT = re.compile(r"(?:w(\d+))?(?:a(\d+))?")


def with_ignored(layers: Mapping[str, str] | None, ignored: str | Sequence[str] | None) -> dict[str, str]:
    """Return formats by layer name, with the widest for ignored layers; `layers` overrides `ignored`.

    Raises:
        UsageError: something else than names and formats as text.
    """
    names = (ignored,) if isinstance(ignored, str) else tuple(ignored or ())
    for name in names:
        if not isinstance(name, str):
            got = f"the class {name.__name__}" if isinstance(name, type) else f"a {type(name).__name__}"
            raise UsageError(
                f"ignored: expected names or patterns of layers such as 'features.1' or '*.conv', got {got}; "
                "`named_modules()` of a torch.nn.Module gives the names"
            )
    if not isinstance(layers or {}, Mapping):
        raise UsageError(f"layers: expected a dict such as {{'features.1': 'a16'}}, got {type(layers).__name__}")
    for name, text in (layers or {}).items():
        if not isinstance(name, str) or not isinstance(text, str):
            raise UsageError(
                f"layers: expected names with formats such as {{'features.1': 'a16'}} or 'w8a16', got "
                f"{name!r:.60}: {text!r:.60}"
            )
    return {**dict.fromkeys(names, WIDEST), **(layers or {})}


class LayerFormats:
    """Answers which format a layer's weights and its output have.

    Args:
        graph, contracts: the network.
        target: the formats of the hardware.
        layers: pattern -> format, e.g. `{"first": "a16", "features.1": "w8a16", "*.head": "widest"}`; the patterns are
            those of `layers_matching`, and the name of an input of the network means that input. `first` covers the
            network's input too. A later entry overrides an earlier one,
            and all of them override the target's own. `a16` sets the format of a layer's result. If the target has a
            format for the data of products, it sets the format of the data that a layer with weights reads instead.
            `widest` gives results and weights the most bits that the target has for them.
    Raises:
        TargetError: text that is no format, a format that the target does not have, a pattern that matches no layer, or
            a format without effect: of the weights of layers without weights, or of results that are not computed.
    """

    def __init__(
        self, graph: Graph, contracts: Mapping[ir.Node, Contract], target: Target, layers: Mapping[str, str]
    ) -> None:
        self.target = target
        self._contracts = contracts
        nodes = {str(node.name): node for node in graph.nodes}
        weighted = [name for name, node in nodes.items() if Role.WEIGHT in contracts[node].roles]
        products = {name for name in weighted if facts(nodes[name].op_type).product}
        self._reads = frozenset() if target.products is None else frozenset(products)
        self.bits: dict[tuple[str, Kind], int] = {}
        own = target.layers if weighted else {}
        layers = {**{pattern: text for pattern, text in own.items() if pattern not in layers}, **layers}
        self._inputs: dict[str, TensorFormat] = {}
        inputs = [str(value.name) for value in graph.inputs if not is_integer_input(value)]
        for pattern, text in layers.items():
            if names_input(pattern, inputs, graph.nodes):
                self._inputs[pattern] = self._asked_of_input(pattern, text)
                continue
            chosen = layers_matching(pattern, graph.nodes, weighted)
            self._ask(pattern, text, [nodes[name] for name in chosen])
        self.first = weighted[0] if FIRST in layers and weighted else None
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

    def _ask(self, pattern: str, text: str, chosen: list[ir.Node]) -> None:
        """Note the bits that are asked for the layers that a pattern selects."""
        match = _FORMAT.fullmatch(text)
        if text == WIDEST:
            self._ask_widest(pattern, chosen)
        elif match is None or not text:
            raise TargetError(f"layer {pattern!r}: expected a format such as w8a16, a16, w4 or {WIDEST}, got {text!r}")
        else:
            asked: tuple[tuple[Kind, str], ...] = (("weights", match[1]), ("activations", match[2]))
            for kind, bits in asked:
                if bits is None:
                    continue
                if not any(self._has(node, kind) for node in chosen):
                    what = "weights" if kind == "weights" else "a grid of its own, as data movement has none"
                    raise TargetError(
                        f"layer {pattern!r}: expected a layer with {what}, got {_few(chosen)}, for which {text} has no "
                        "effect; name another layer"
                    )
                self.bits.update(dict.fromkeys([(str(node.name), kind) for node in chosen], int(bits)))

    def _asked_of_input(self, name: str, text: str) -> TensorFormat:
        """Find the format that is asked for an input of the network."""
        formats = self.target.activations
        match = _FORMAT.fullmatch(text)
        if text == WIDEST:
            return max(formats, key=lambda fmt: fmt.type.bits)
        if match is None or match[1] is not None or match[2] is None:
            raise TargetError(f"input {name!r}: expected a format such as a16, or {WIDEST}, got {text!r}")
        return self._find(f"input {name!r}", formats, int(match[2]))

    def _ask_widest(self, pattern: str, chosen: list[ir.Node]) -> None:
        kinds: tuple[Kind, ...] = ("weights", "activations")
        having = [(node, kind) for node in chosen for kind in kinds if self._has(node, kind)]
        most = {(str(n.name), kind): max(fmt.type.bits for fmt in self._formats(n, kind)) for n, kind in having}
        if all(self._formats(n, kind)[0].type.bits == most[str(n.name), kind] for n, kind in having):
            have = ", ".join(sorted({str(fmt.type) for n, kind in having for fmt in self._formats(n, kind)}))
            raise TargetError(
                f"layer {pattern!r}: expected a wider format to ignore {_few(chosen)} with, as an integer program has "
                f"no float layers; target {self.target.name} has {have or 'none for data movement'}; choose one with "
                "16 bits, such as cpu-int8, or another layer"
            )
        self.bits.update(most)

    def _has(self, node: ir.Node, kind: Kind) -> bool:
        """Tell whether a node has weights, or a result (for products, data) with a format of its own."""
        contract = self._contracts[node]
        if kind == "weights":
            return Role.WEIGHT in contract.roles
        rule = contract.output
        keeps = isinstance(rule, Plain) or (isinstance(rule, Same) and not rule.rounds)
        return not keeps and self.target.row(node.op_type).output != "same"

    def _formats(self, node: ir.Node, kind: Kind) -> tuple[TensorFormat, ...]:
        """List the formats that the target has for a node's weights or results; the first is used unasked."""
        row, target = self.target.row(node.op_type), self.target
        if kind == "weights":
            return row.weights or target.weights
        formats = row.activations or target.activations
        return (target.products, *formats) if target.products and str(node.name) in self._reads else formats

    def input_format(self, value: ir.Value) -> TensorFormat:
        """Choose the format of an input of the network; products that read fewer bits read it through a Clip."""
        if str(value.name) in self._inputs:
            return self._inputs[str(value.name)]
        products = self.target.products
        if products is not None and self.bits.get((str(self.first), "activations")) == products.type.bits:
            return self.target.activations[0]
        if any(str(user.name) == self.first for user in consumers(value)) and (self.first, "activations") in self.bits:
            return self._find("the input", self.target.activations, self.bits[str(self.first), "activations"])
        return self.target.activations[0]

    def asked_input(self, value: ir.Value) -> bool:
        """Tell whether the user set the format of an input of the network."""
        return str(value.name) in self._inputs

    def row(self, node: ir.Node) -> OperatorRow:
        """Look up what the target says of a node's result; of a fused clamp's, also what it says of its operator."""
        before, own = self.saturated(node), self.target.row(node.op_type)
        if before is None:
            return own
        both = _both(self.row(before), own)
        assert both is not None
        return both

    def saturated(self, node: ir.Node) -> ir.Node | None:
        """Find the operator before a clamp that writes the clamped result at once; None where the clamp stays a step.

        A clamp that could be fused stays one where no result is what the target's rows of both operators say.
        """
        source = node.inputs[0] if node.inputs else None
        producer = None if source is None else source.producer()
        if producer is None or source is None or consumers(source) != [node] or is_output(source):
            return None
        contract, before = self._contracts[node], self._contracts[producer]
        if contract.clamp is None or contract.sign or before.sign or len(producer.outputs) != 1:
            return None
        fuses = before.fuses_clamp if before.clamp is None else self.saturated(producer) is not None
        return producer if fuses and _both(self.row(producer), self.target.row(node.op_type)) is not None else None

    def first_saturated(self, node: ir.Node) -> ir.Node:
        """Find the operator whose result a node clamps in one step with it; the node itself where there is none."""
        before = self.saturated(node)
        return node if before is None else self.first_saturated(before)

    def activation_format(self, node: ir.Node) -> TensorFormat:
        """Choose the format of a node's result."""
        formats = self.row(node).activations or self.target.activations
        if not self.asked(node):
            return formats[0]
        bits = self.bits[str(node.name), "activations"]
        return self._find(f"[{node.op_type} {node.name!r}] activations", formats, bits)

    def asked(self, node: ir.Node) -> bool:
        """Tell whether the user set the format of a node's result."""
        return (str(node.name), "activations") in self.bits and str(node.name) not in self._reads

    def operand_format(self, node: ir.Node) -> TensorFormat | None:
        """Choose the format in which a layer with weights reads its data; None where it takes any."""
        if str(node.name) not in self._reads:
            return None
        formats, bits = self._formats(node, "activations"), self.bits.get((str(node.name), "activations"))
        return formats[0] if bits is None else self._find(f"[{node.op_type} {node.name!r}] data", formats, bits)

    def weight_format(self, node: ir.Node) -> TensorFormat:
        """Choose the format of a node's weight."""
        formats, bits = self._formats(node, "weights"), self.bits.get((str(node.name), "weights"))
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


def _few(nodes: list[ir.Node]) -> str:
    text = ", ".join(f"[{node.op_type} {str(node.name)!r}]" for node in nodes[:3])
    return text + (f" and {len(nodes) - 3} more" if len(nodes) > 3 else "")


def _both(before: OperatorRow, clamp: OperatorRow) -> OperatorRow | None:
    """Find what two rows allow for the result of an operator with a fused clamp; None where that is nothing."""
    result = "activations", "scale", "zero_point", "output"
    plain = OperatorRow()
    given = [{key for key in result if getattr(row, key) != getattr(plain, key)} for row in (before, clamp)]
    if clamp.output == "same":
        return None  # a fused clamp has no input of its own whose grid it could keep
    if not given[0] or not given[1]:
        return before if given[0] else clamp
    if given[0] | given[1] != {"activations"}:
        return None
    common = tuple(fmt for fmt in clamp.activations or () if fmt in (before.activations or ()))
    return OperatorRow(activations=common) if common else None


def _has_caps(node: ir.Node) -> bool:
    """Tell whether a node is a clamp between constants, maybe per channel, which needs its input in its own format."""
    return facts(node.op_type).extremum
