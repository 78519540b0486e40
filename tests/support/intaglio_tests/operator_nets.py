"""Small networks, and the road from one to its Program."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import torch
from numpy.typing import NDArray

from intaglio.calibrate import calibrate
from intaglio.graph import Graph
from intaglio.graph.access import constant
from intaglio.lower import lower
from intaglio.number import QuantParams
from intaglio.plan import Plan, Source, place
from intaglio.program import Program
from intaglio.program.operators.layer_norm import LayerNorm
from intaglio.program.operators.lut import Lut
from intaglio.targets import Target, load_target
from intaglio_tests.program_follows import assert_program_follows

torch.set_num_threads(1)


Array = NDArray[Any]
Inputs = Mapping[str, tuple[int | str, ...]]


class Integers(tuple[int | str, ...]):
    """The shape of an input that holds integers (int64)."""


class Booleans(tuple[int | str, ...]):
    """The shape of an input that holds booleans."""


@dataclass(frozen=True)
class Samples:
    """Calibration data in one batch."""

    x: tuple[Array, ...]

    def batches(self, n: int) -> Iterator[tuple[Any, Any]]:
        yield (self.x[0] if len(self.x) == 1 else self.x), None

    def __len__(self) -> int:
        return len(self.x[0])


@dataclass(frozen=True)
class Lowered:
    """A network with everything that was made of it, and the real inputs it was calibrated with."""

    graph: Graph
    plan: Plan
    program: Program
    x: dict[str, Array]

    def kinds(self) -> list[str]:
        """The integer operators in order."""
        return [node.operator.kind for node in self.program.nodes]

    def check(self, **options: Any) -> dict[str, float]:
        """Every node within the steps that its operator may be off."""
        return assert_program_follows(self.graph, self.plan, self.program, self.x, derived_steps(self), **options)


def _type_of(size: tuple[int | str, ...]) -> int:
    types = {Integers: onnx.TensorProto.INT64, Booleans: onnx.TensorProto.BOOL}
    return types.get(type(size), onnx.TensorProto.FLOAT)


def model(
    nodes: Sequence[onnx.NodeProto],
    inputs: Inputs,
    constants: Mapping[str, Array] | None = None,
    outputs: Sequence[str] = ("y",),
    opset: int = 24,
) -> onnx.ModelProto:
    """An ONNX model; inputs are float but for shapes that say otherwise."""
    graph = onnx.helper.make_graph(
        list(nodes),
        "network",
        [onnx.helper.make_tensor_value_info(n, _type_of(s), s) for n, s in inputs.items()],
        [onnx.helper.make_empty_tensor_value_info(name) for name in outputs],
        [onnx.numpy_helper.from_array(np.asarray(a), n) for n, a in (constants or {}).items()],
    )
    return onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", opset)], ir_version=10)


def lowered(graph: Graph, target: str | Target, data: Mapping[str, Array], **options: Any) -> Lowered:
    """Place, calibrate with min-max and lower."""
    plan = place(graph, load_target(target), **options)
    x = {str(v.name): np.asarray(data[str(v.name)], np.float32) for v in graph.inputs}
    plan = calibrate(graph, plan, Samples(tuple(x.values())), calibrator="max", weight_calibrator="max").plan
    return Lowered(graph, plan, lower(graph, plan), x)


def derived_steps(case: Lowered) -> Callable[[ir.Node, QuantParams], float]:
    """How many output steps a node may be off its real operator, as the integer operators state it."""

    def steps(node: ir.Node, y: QuantParams) -> float:
        if node.op_type in ("Softmax", "LogSoftmax"):
            return 2.0  # within one step before the rounding of both sides
        x = next(v for v in node.inputs if v is not None and constant(v) is None)
        if case.plan[str(x.name)].source is Source.FUSED:  # a clamp is the saturation of the operator before it
            producer = x.producer()
            assert producer is not None
            return steps(producer, y)
        params = case.plan.params(str(x.name))
        operators = [n.operator for n in case.program.nodes if f"{n.name}.".startswith(f"{node.name}.")]
        if norm := next((o for o in operators if isinstance(o, LayerNorm)), None):
            # The rounding of both sides; normalized values, gains and bias are each rounded by half a unit before.
            units = np.abs(norm.gain.astype(float)).max() + np.sqrt(norm.gain.size) * 2.0**norm.precision + 1
            return 2.0 + float(norm.requantize.real) * units / 2
        if node.op_type == "ReduceMean":  # a mean that is 0 but for the rounding of float32
            noise = 2.0**-22 * float(np.abs(params.range).max()) / float(y.scale) if params else 0.0
            return 2.0 + noise
        if params is None or params.type.bits <= 8:
            return 1.0
        if any(isinstance(o, Lut) for o in operators):
            return 2.0  # within 1.5 steps before the rounding of the other side
        if node.op_type == "Resize":
            return 5.0  # two weights exact to 2**-15 of 65535, and the rounding
        return 2.0  # wide accumulators have multipliers of 15 bits: 65535 * 2**-16, and the rounding

    return steps
