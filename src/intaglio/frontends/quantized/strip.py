"""Remove QuantizeLinear and DequantizeLinear nodes from the graph and keep their parameters in a separate table.

Each value of codes has a real counterpart. For the result of a QuantizeLinear, it is that node's input. For the result
of an operator that only moves codes (Reshape, MaxPool, ...), it is the result of the same operator on real values,
which has the same parameters.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import onnx_ir as ir

from intaglio.errors import ModelError, UnsupportedOperatorError
from intaglio.frontends.quantized.grids import (
    common_grid,
    real_numbers,
    requantization,
    same_grid,
    saturated,
    text_of,
    tight,
)
from intaglio.frontends.quantized.names import plain_name
from intaglio.frontends.quantized.pairs import DEQUANTIZE, QUANTIZE
from intaglio.frontends.quantized.parameters import TYPES, narrowed, read_params
from intaglio.graph import Graph, attribute, constant, consumers
from intaglio.graph.access import input_value, where
from intaglio.graph.edit import add_constant, insert, remove_unread, replace, split_shared_constants
from intaglio.graph.integer_inputs import is_integer_input
from intaglio.graph.unique_names import new_value_name
from intaglio.number import PerGroup, QuantParams
from intaglio.ops import Joined, Plain, Same, contract_of


@dataclass
class Stripped:
    """A float graph and the parameters that its file gives.

    Args:
        graph: in normal form; its weights are dequantized.
        params: parameters of inputs and computed values.
        constants: parameters of constants.
        notes: sentences for the history.
    """

    graph: Graph
    params: dict[ir.Value, QuantParams] = field(default_factory=dict)
    constants: dict[ir.Value, QuantParams] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def strip(graph: Graph) -> Stripped:
    """Remove the pairs from a graph, in place.

    Raises:
        ModelError: an operator computes with codes, or codes are read with other parameters than they were written.
    """
    return _Strip(graph).run()


def _holds_codes(value: ir.Value) -> bool:
    """Tell whether integers stand for real numbers: a DequantizeLinear reads them, also behind a move."""
    reached, open_ = {value}, [value]
    while open_:
        for node in consumers(open_.pop()):
            if node.op_type == DEQUANTIZE:
                return True
            found = [output for output in node.outputs if output.dtype == value.dtype and output not in reached]
            reached.update(found)
            open_ += found
    return False


class _Strip:
    def __init__(self, graph: Graph) -> None:
        self.inner = graph.model.graph
        self.result = Stripped(graph)
        self.real: dict[ir.Value, ir.Value] = {}  # value of codes -> its real counterpart
        self.codes: dict[ir.Value, QuantParams] = {}  # value of codes -> the parameters with which it was written
        self.asked: dict[ir.Value, list[QuantParams]] = {}  # real value -> the grids on which it is written
        self.renamed: list[tuple[ir.Node, str]] = []

    def run(self) -> Stripped:
        for node in self.result.graph.nodes:
            source = node.inputs[0] if node.op_type == QUANTIZE else None
            maker = source.producer() if source is not None else None
            if source is not None and (maker is None or maker.op_type != DEQUANTIZE):
                self.asked.setdefault(source, []).append(read_params(node))
        for value in list(self.inner.inputs):
            if _holds_codes(value) if is_integer_input(value) else value.dtype != ir.DataType.FLOAT:
                self._integer_input(value)
        for node in self.result.graph.nodes:
            if node.op_type == QUANTIZE:
                self._quantize(node)
            elif node.op_type == DEQUANTIZE:
                self._dequantize(node)
            elif any(value in self.real for value in node.inputs if value is not None):
                self._on_codes(node)
        self._outputs()
        remove_unread(self.inner)
        split_shared_constants(self.inner)
        for node, name in self.renamed:
            node.name = name
        for value in list(self.result.params):
            producer = value.producer()
            if producer is not None and producer.graph is None:
                del self.result.params[value]  # it has no reader
        return self.result

    def _integer_input(self, value: ir.Value) -> None:
        if value.dtype not in TYPES:
            raise ModelError(f"input '{value.name}': expected real numbers or codes of 4 to 16 bits, got {value.dtype}")
        real = ir.Value(name=value.name, shape=value.shape, type=ir.TensorType(ir.DataType.FLOAT))
        value.name = new_value_name(self.inner, f"{value.name}.codes")
        self.inner.inputs[list(self.inner.inputs).index(value)] = real
        self.real[value] = real
        self.result.notes.append(f"input '{real.name}' takes codes in the file ({value.dtype}), real numbers here")

    # Pairs

    def _quantize(self, node: ir.Node) -> None:
        source, output, params = node.inputs[0], node.outputs[0], read_params(node)
        assert source is not None
        if isinstance(params.granularity, PerGroup):
            raise ModelError(
                f"{where(node)} expected one scale for the computed value '{source.name}', got {params.scale.size} for "
                f"blocks of {params.granularity.size}; quantize activations per tensor"
            )
        if source in self.real:
            raise ModelError(f"{where(node)} expected real numbers, got the codes '{source.name}'")
        known = self.result.params.get(source)
        if known is None:
            known = self.result.params[source] = common_grid(self.asked.get(source) or [params])
        if known != params:
            source = self._requantized(node, source, params)
        self.real[output], self.codes[output] = source, params

    def _requantized(self, node: ir.Node, source: ir.Value, params: QuantParams) -> ir.Value:
        """Insert a Clip to the range of the codes: it changes no value, but its result has its own parameters."""
        copy = requantization(self.inner, node, source, params, f"{source.name}.requantized")
        self.result.params[copy] = params
        self.result.notes.append(f"'{source.name}' is read on several grids: '{copy.name}' is one")
        return copy

    def _dequantize(self, node: ir.Node) -> None:
        source, output, params = node.inputs[0], node.outputs[0], read_params(node)
        assert source is not None
        if source.is_initializer():
            self._constant(node, source, params)
            return
        real = self.real.get(source)
        if real is None:
            raise ModelError(
                f"{where(node)} expected codes that a QuantizeLinear wrote, got '{source.name}', which is computed "
                "with integers"
            )
        written = self.codes.get(source)
        if written is None:  # an input of codes has the parameters of its first reader
            self.codes[source] = self.result.params[real] = params
        elif not same_grid(written, params):
            raise ModelError(
                f"{where(node)} expected to read '{source.name}' as it was written ({text_of(written)}), got "
                f"{text_of(params)}; a factor hidden in the scales is not supported: write it as a Mul"
            )
        self._replace(output, real)

    def _replace(self, output: ir.Value, real: ir.Value) -> None:
        """Let readers of a rounded value read the real one; the real one takes the name of an output."""
        if not output.is_graph_output():
            output.replace_all_uses_with(real)
        elif real.is_graph_input() or real.is_graph_output():
            copy = requantization(self.inner, output.producer(), real, self.result.params[real], f"{output.name}.copy")  # type: ignore[arg-type]
            self.result.params[copy] = self.result.params[real]
            replace(output, copy)
        else:
            replace(output, real)

    def _constant(self, node: ir.Node, codes: ir.Value, params: QuantParams) -> None:
        """Replace a constant of codes by its dequantized values, one constant per reader."""
        array = constant(codes)
        assert array is not None
        integers = array.astype(np.int32)
        params = saturated(node, params) or tight(params, integers)
        output = node.outputs[0]
        name = plain_name(str(codes.name))
        name = plain_name(str(output.name)) if name == codes.name else name
        output.name = new_value_name(self.inner, f"{output.name}.read")  # free the name for the constant
        for use in list(output.uses()):
            value = add_constant(self.inner, name, real_numbers(params, integers))
            use.node.replace_input_with(use.idx, value)
            self.result.constants[value] = params

    # Operators between codes

    def _on_codes(self, node: ir.Node) -> None:
        """Rewrite an operator that reads codes as one on real values; it may only move or compare them."""
        if node.op_type == "Clip":
            self._clip(node)
            return
        try:
            contract = contract_of(self._on_reals(node))
            why = ""
        except UnsupportedOperatorError as error:
            contract, why = None, f" ({error})"
        moves = contract is not None and isinstance(contract.output, (Same, Joined))
        sources = [value for value in node.inputs if value in self.real]
        grids = [self.codes.get(value) for value in sources if value is not None]
        finds = contract is not None and isinstance(contract.output, Plain)
        moves = moves or finds or node.op_type == "Pad"
        if not moves or any(grid is None or grid != grids[0] for grid in grids):
            names = ", ".join(repr(str(v.name)) for v in sources if v is not None)
            raise ModelError(
                f"{where(node)} expected real inputs, or an operator that only moves codes of one grid, got codes of "
                f"{names}; put a DequantizeLinear before and a QuantizeLinear after it{why}"
            )
        params = grids[0]
        assert params is not None
        twin = self._real_twin(node)
        if node.op_type == "Pad":
            self._pad_value(node, twin, params)
        for output, real in zip(node.outputs, twin.outputs, strict=True):
            if finds:
                replace(output, real)
                continue
            self.real[output], self.codes[output] = real, params
            self.result.params[real] = params

    def _real_twin(self, node: ir.Node) -> ir.Node:
        """Insert the same operator on the real values; the one on codes is removed later, when it has no readers."""
        inputs = [self.real.get(value, value) if value is not None else None for value in node.inputs]
        attributes = {name: attribute(node, name) for name in node.attributes}
        if node.op_type == "Pad":
            inputs = inputs[:2]  # `_pad_value` sets the padding value
        name = plain_name(str(node.outputs[0].name))
        twin = insert(self.inner, node, node.op_type, inputs, attributes, name=name, outputs=len(node.outputs))
        self.renamed.append((twin, str(node.name)))
        return twin

    def _on_reals(self, node: ir.Node) -> ir.Node:
        """Copy a node, outside the graph, with real values in the place of codes: its contract is that of reals."""
        inputs = [self.real.get(value, value) if value is not None else None for value in node.inputs]
        outputs = [ir.Value(name=v.name, shape=v.shape, type=ir.TensorType(ir.DataType.FLOAT)) for v in node.outputs]
        copies = [
            None if v is None else ir.Value(name=v.name, shape=v.shape, type=v.type, const_value=v.const_value)
            for v in inputs
        ]
        return ir.Node("", node.op_type, copies, list(node.attributes.values()), outputs=outputs, name=node.name)

    def _pad_value(self, node: ir.Node, twin: ir.Node, params: QuantParams) -> None:
        """Pad with the dequantized value of the padding code."""
        if attribute(node, "mode", "constant") != "constant":
            return
        value = constant(input_value(node, 2))
        code = 0 if value is None else int(value.reshape(-1)[0])
        real = params.dequantize(np.array(code))
        if real != 0.0:
            twin.resize_inputs(3)
            twin.replace_input_with(2, add_constant(self.inner, f"{node.name}.value", real))

    def _clip(self, node: ir.Node) -> None:
        """Read a Clip of codes: as a narrower integer type right after a QuantizeLinear, otherwise as an activation."""
        source, output = node.inputs[0], node.outputs[0]
        assert source is not None
        params = self.codes.get(source)
        if params is None:
            raise ModelError(f"{where(node)} expected codes that a QuantizeLinear wrote, got '{source.name}'")
        bounds = [constant(input_value(node, index)) for index in (1, 2)]
        low, high = (
            default if bound is None else int(bound.reshape(-1)[0])
            for bound, default in zip(bounds, (params.type.qmin, params.type.qmax), strict=True)
        )
        real = self.real[source]
        fewer = narrowed(params, low, high)
        maker = source.producer()
        if fewer is not None and maker is not None and maker.op_type == QUANTIZE and len(source.uses()) == 1:
            self.result.params[real] = fewer
            self.real[output], self.codes[output] = real, fewer
            return
        ends = params.dequantize(np.array([low, high]))
        limits = [add_constant(self.inner, f"{node.name}.{w}", e) for w, e in zip(("low", "high"), ends, strict=True)]
        clip = insert(self.inner, node, "Clip", [real, *limits], name=plain_name(str(output.name)))
        self.real[output], self.codes[output] = clip.outputs[0], params
        self.result.params[clip.outputs[0]] = params

    def _outputs(self) -> None:
        """Replace outputs of codes by real outputs."""
        for value in list(self.inner.outputs):
            if value in self.real:
                name, real = str(value.name), self.real[value]
                if real is not value:
                    self._replace(value, real)
                self.result.notes.append(f"output '{name}' is given as codes in the file, as real numbers here")
