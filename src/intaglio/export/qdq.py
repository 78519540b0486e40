"""Export Graph and Plan as a standard ONNX file with QuantizeLinear and DequantizeLinear pairs (QDQ).

Every value with parameters is followed by a pair. A value that stays in an accumulator until its fused activation has
none, so a runtime finds `DequantizeLinear -> Conv -> Relu -> QuantizeLinear` and can run it on integers. Weights are
integer constants followed by a DequantizeLinear; biases are int32 with the accumulator's scale.

Final 16-bit scores have no pairs, and their scales are kept in the model's metadata, unless the file needs an opset
with 16-bit integers anyway: every runtime can then read the file, and the difference is less than half a step.

Names: `x` is the operator's real result, `x_quantized` its codes, `x_dequantized` the rounded value that others read.
If `x` is a network output, `x` is the rounded value and `x_real` the real result. A constant `w` is computed from
`w_quantized`, `w_scale` and `w_zero_point`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from intaglio.errors import ExportError
from intaglio.export.build_qdq import Builder, share_constants
from intaglio.export.opset import leave_out_newer
from intaglio.export.pools import write_average_pool
from intaglio.export.storage import TWO_BITS, Storage, placement, storage
from intaglio.export.versions import Versions, check_versions
from intaglio.export.write import write_checked
from intaglio.graph import Graph, constant, consumers, shape
from intaglio.graph.access import where
from intaglio.graph.operators import facts
from intaglio.graph.time_loops import is_loop
from intaglio.number import INT32, PerTensor, QuantParams
from intaglio.ops import Role, float_operator
from intaglio.plan import Plan, Source
from intaglio.plan.sums import signed_sums

PARAMS_KEY = "intaglio.params"
"""Key of the model's metadata for parameters of values without a pair, as JSON by name."""


def export_qdq(
    graph: Graph,
    plan: Plan,
    path: str | os.PathLike[str],
    *,
    notes: Mapping[str, Mapping[str, str]] | None = None,
    opset: int | None = None,
    ir_version: int | None = None,
) -> None:
    """Write a QDQ ONNX file.

    The file is written atomically, after ONNX's checker has accepted it and ONNX Runtime, if installed, has loaded it.

    Args:
        graph: the prepared network.
        plan: the calibrated Plan.
        path: the ONNX file.
        notes: metadata by value name, for the value and its node, shown by viewers such as Netron.
        opset, ir_version: see `qdq_model`.
    Raises:
        ExportError: the Plan is not calibrated, ONNX or the opset lacks one of its formats or operators, or the file
            cannot be written.
    """
    model = qdq_model(graph, plan, opset=opset, ir_version=ir_version)
    _annotate(model, notes or {})
    write_checked(model, path)


def qdq_model(graph: Graph, plan: Plan, *, opset: int | None = None, ir_version: int | None = None) -> ir.Model:
    """Build the model that `export_qdq` writes; a dynamic batch axis is named `batch`.

    Args:
        graph: the prepared network.
        plan: the calibrated Plan.
        opset: of ONNX's operators; None: the lowest possible. From 25 on, integers of 2 bits are stored as such, before
            that as integers of 4 bits.
        ir_version: of the file; None: that of the opset.
    Raises:
        ExportError: the Plan is not calibrated, or ONNX or the opset lacks one of its formats or operators.
    """
    check_versions(opset, ir_version)
    return _Export(graph, plan, opset, ir_version).run()


def _annotate(model: ir.Model, notes: Mapping[str, Mapping[str, str]]) -> None:
    """Add metadata to values and to the nodes that compute them."""
    for value in model.graph.inputs:
        value.metadata_props.update(notes.get(str(value.name), {}))
    for node in model.graph:
        for value in node.outputs:
            note = notes.get(str(value.name), {})
            value.metadata_props.update(note)
            node.metadata_props.update(note)


LEAST = 1e-30  # turns 0 positive and does not change other numbers
_ENDS = ("Flatten", "LogSoftmax", "Reshape", "Softmax", "Squeeze")


class _Export:
    """Inserts QDQ pairs into a copy of the Graph."""

    def __init__(self, graph: Graph, plan: Plan, opset: int | None, ir_version: int | None) -> None:
        self.versions = Versions(opset, ir_version)
        self.least_bits = 2 if opset is not None and opset >= TWO_BITS else 4
        self.batched = graph.batched
        self.plan = plan
        self.build = Builder(graph.copy())
        self.model, self.graph = self.build.model, self.build.graph
        self.sums = signed_sums(graph, plan)

    def run(self) -> ir.Model:
        nodes = list(self.graph)
        _refuse_loops(nodes)
        contracts = {node: float_operator(node).contract(node) for node in nodes}
        values = [*self.graph.inputs, *(value for node in nodes for value in node.outputs if value.name)]
        for node in nodes:
            for index, role in enumerate(contracts[node].roles[: len(node.inputs)]):
                value = node.inputs[index]
                if value is not None and value.is_initializer() and role is not Role.OFFLINE:
                    self._constant(node, index, value)
        for node in nodes:
            if node.op_type == "Swish":
                self.build.sigmoid_and_product(node)
            elif node.op_type == "AveragePool":
                write_average_pool(self.build, node)
            elif node.op_type == "Div" and constant(node.inputs[1]) is None:
                self._add_before(node, 1, np.asarray(LEAST, np.float32), "nonzero")
        quantized = {value: params for value in values if (params := self._params(str(value.name))) is not None}
        for node in nodes:
            if contracts[node].sign and (params := quantized.get(node.outputs[0])) is not None and params.type.bipolar:
                self._sign_of_zero(node)
        scores = self._scores(values, quantized)
        for value, params in quantized.items():
            if value not in scores:
                self._pair(value, params)
        chosen = self.versions.choose_opset(self.model)
        if any(chosen < storage(params.type).opset for params in scores.values()):
            note = {str(value.name): params.to_json() for value, params in scores.items()}
            self.model.metadata_props[PARAMS_KEY] = json.dumps(note)
        else:
            for value, params in scores.items():
                self._pair(value, params)
        self._finish()
        return self.model

    @staticmethod
    def _scores(values: list[ir.Value], quantized: dict[ir.Value, QuantParams]) -> dict[ir.Value, QuantParams]:
        """Return the final 16-bit values, which only a softmax or a change of shape follows."""
        found: dict[ir.Value, QuantParams] = {}
        for value in reversed(values):
            params = quantized.get(value)
            if params is None or params.type.bits != 16 or value.producer() is None:
                continue
            if all(user.op_type in _ENDS and user.outputs[0] in found for user in consumers(value)):
                found[value] = params
        return found

    def _params(self, name: str) -> QuantParams | None:
        """Return the parameters of a value; None if it is fused or plain."""
        root = self.plan.root(name)
        if root.source in (Source.FUSED, Source.PLAIN):
            return None
        if root.params is None:
            raise ExportError(f"[value {name!r}] expected parameters, got a Plan without them: calibrate first")
        return root.params

    # Values

    def _pair(self, value: ir.Value, params: QuantParams) -> None:
        name, size = str(value.name), shape(value)
        kind = self._storage(value, params)
        scale, zero_point = self._parameters(name, params, kind)
        attributes, since = placement(params, size)
        self.versions.need(name, kind, since)
        users = list(value.uses())
        producer = value.producer()
        inputs: list[ir.Value | None] = [value, scale, zero_point]
        codes = self.build.node("QuantizeLinear", inputs, attributes, f"{name}_quantized", kind.dtype, size)
        chain = [codes]
        if not kind.exact:
            chain.append(self._saturation(name, codes.outputs[0], kind, size))
        inputs = [chain[-1].outputs[0], scale, zero_point]
        real = self.build.node("DequantizeLinear", inputs, attributes, f"{name}_dequantized", ir.DataType.FLOAT, size)
        chain.append(real)
        for use in users:
            use.node.replace_input_with(use.idx, real.outputs[0])
        if producer is None:
            first = next(iter(self.graph))
            self.graph.insert_before(first, chain)
        else:
            self.graph.insert_after(producer, chain)
        if value.is_graph_output() and producer is not None:
            self._become_output(value, real.outputs[0])

    def _become_output(self, value: ir.Value, rounded: ir.Value) -> None:
        name = str(value.name)
        for index, output in enumerate(self.graph.outputs):
            if output is value:
                self.graph.outputs[index] = rounded
        value.name, rounded.name = self.build.fresh(f"{name}_real"), name

    def _saturation(self, name: str, codes: ir.Value, kind: Storage, size: tuple[int, ...]) -> ir.Node:
        """Create a Clip of codes, if ONNX's type has a wider range than the Plan's."""
        bounds = [
            self.build.initializer(f"{name}_{which}_code", kind.tensor(np.array(code), ""))
            for which, code in (("lowest", kind.type.qmin), ("highest", kind.type.qmax))
        ]
        return self.build.node("Clip", [codes, *bounds], {}, f"{name}_saturated", kind.dtype, size)

    def _storage(self, value: ir.Value, params: QuantParams) -> Storage:
        """Return the ONNX type for codes of a computed value; if they need a Clip, a type that Clip supports."""
        name, producer = value.name, value.producer()
        kind = storage(params.type, least_bits=self.least_bits)
        # ONNX Runtime cannot load a clamp before 4-bit integers.
        if kind.exact and not (kind.bits < 8 and producer is not None and facts(producer.op_type).clamps):
            return kind
        kind = storage(params.type, least_bits=8)  # ONNX's Clip does not support 4-bit integers
        if kind.bits > 8:  # and ONNX Runtime's Clip no 16-bit integers
            raise ExportError(
                f"[value {name!r}] expected activations of 1 to 8 bits, int16 or uint16, got {params.type}: ONNX has "
                "no such type and ONNX Runtime cannot clamp a wider one; use 8 or 16 bits for it"
            )
        return kind

    def _sign_of_zero(self, node: ir.Node) -> None:
        """Make the sign of 0 be +1, although ONNX's Sign gives 0.

        Half a step is added before it. That changes no other sign, because values are whole numbers of steps up to
        float rounding errors.
        """
        value = node.inputs[0]
        assert value is not None
        name, sums = str(value.name), self.sums.get(str(value.name))
        if sums is not None:
            half = np.asarray(sums.granularity.expand(sums.scale, shape(value)) / 2, np.float32)
        else:
            own = self._params(name) if self.plan.root(name).source is not Source.FUSED else None
            half = np.asarray(LEAST if own is None else own.scale / 2, np.float32)
        self._add_before(node, 0, half, "shifted")

    def _add_before(self, node: ir.Node, index: int, number: NDArray[np.float32], role: str) -> None:
        """Add a constant to an input of a node, behind the pair of the value that it reads."""
        value = node.inputs[index]
        assert value is not None
        added = self.build.initializer(f"{value.name}_{role}_by", ir.Tensor(number))
        result = self.build.node("Add", [value, added], {}, f"{value.name}_{role}", ir.DataType.FLOAT, shape(value))
        self.graph.insert_before(node, result)
        node.replace_input_with(index, result.outputs[0])

    # Constants

    def _constant(self, node: ir.Node, index: int, value: ir.Value) -> None:
        name = str(value.name)
        if name not in self.plan.values:
            raise ExportError(f"[value {name!r}] the Plan has no such value; it was made for another Graph")
        params, array = self._params(name), constant(value)
        if params is None:
            return
        assert array is not None
        if params.type == INT32:
            array, params = _spread(array, params)
            codes = _bias_codes(where(node), array, params)
        else:
            codes = params.quantize(array)
        kind = storage(params.type, least_bits=self.least_bits)
        attributes, since = placement(params, codes.shape)
        self.versions.need(name, kind, since)
        self.graph.initializers.pop(name)
        self.build.names.discard(name)
        content = self.build.initializer(f"{name}_quantized", kind.tensor(codes, ""))
        scale, zero_point = self._parameters(name, params, kind)
        inputs: list[ir.Value | None] = [content, scale, *([] if zero_point is None else [zero_point])]
        real = self.build.node("DequantizeLinear", inputs, attributes, name, ir.DataType.FLOAT, codes.shape)
        self.graph.insert_before(node, real)
        node.replace_input_with(index, real.outputs[0])

    def _parameters(self, name: str, params: QuantParams, kind: Storage) -> tuple[ir.Value, ir.Value | None]:
        scale = self.build.initializer(f"{name}_scale", ir.Tensor(np.array(params.scale, order="C")))
        if params.type == INT32:
            return scale, None
        return scale, self.build.initializer(f"{name}_zero_point", kind.tensor(params.zero_point, ""))

    def _finish(self) -> None:
        opset = self.versions.opset
        share_constants(self.graph)
        leave_out_newer(self.model, opset)
        self.model.graph.opset_imports[""] = opset
        self.model.ir_version = self.versions.ir_version()
        self.model.producer_name = "intaglio"
        if not self.batched:
            return
        for node in self.graph:
            for output in node.outputs:
                output.shape = output.shape if output.is_graph_output() else None  # readers infer it from the inputs
        for value in (*self.graph.inputs, *self.graph.outputs):
            value.shape = ir.Shape(["batch", *shape(value)[1:]])


def _refuse_loops(nodes: list[ir.Node]) -> None:
    for node in nodes:
        if is_loop(node):
            raise ExportError(
                f"{where(node)} expected operators whose results can be rounded between them, got a loop over time, "
                "inside which QDQ has no place for rounding; save the program as .intaglio, or compile it to C"
            )


def _spread(array: NDArray[np.generic], params: QuantParams) -> tuple[NDArray[np.generic], QuantParams]:
    """Broadcast a bias of one number to channels with a scale each."""
    if isinstance(params.granularity, PerTensor) or array.size == params.scale.size:
        return array, params
    return np.broadcast_to(array.reshape(-1), params.scale.shape), params


def _bias_codes(where: str, array: NDArray[np.generic], params: QuantParams) -> NDArray[np.int64]:
    """Compute the int32 codes of a bias in float64, because they need more than float32's 24 bits."""
    codes = np.rint(array.astype(np.float64) / params.scale)
    worst = np.abs(codes).max(initial=0)
    if worst > INT32.qmax:
        raise ExportError(
            f"{where} its bias needs {worst:.0f}, which does not fit int32; calibrate again (it raises weight scales "
            "until biases fit) or give the layer 16-bit activations"
        )
    return codes.astype(np.int64)
