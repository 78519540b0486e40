"""The lowering driver: lets each operator of the Graph emit integer nodes, and tracks names and axis orders."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from intaglio.errors import LoweringError, UsageError
from intaglio.graph import Graph
from intaglio.graph.access import constant, rank, shape
from intaglio.graph.operators import facts
from intaglio.lower.proofs import blockers
from intaglio.number import BOOLEAN, INT8, INT16, INT32, UINT8, IntType, QuantParams, Rule
from intaglio.ops import Placed, Result, float_operator
from intaglio.plan import Plan
from intaglio.plan.results import fused_chain, planned_result
from intaglio.program import Node, Operator, Program, TensorInfo
from intaglio.program.operators.reshape import Reshape
from intaglio.program.operators.transpose import Transpose
from intaglio.program.weighted import quantize_bias

Axes = tuple[int, ...]
_PLAIN_TYPES = {ir.DataType.BOOL: BOOLEAN, ir.DataType.UINT8: UINT8, ir.DataType.INT8: INT8, ir.DataType.INT16: INT16}
"""Types of inputs that are no quantized numbers; all others are int32."""


def lower(graph: Graph, plan: Plan, metadata: dict[str, str] | None = None) -> Program:
    """Lower a Graph with a calibrated Plan to an integer-only Program.

    Args:
        graph: in normal form.
        plan: calibrated: all parameters are known.
        metadata: strings for the program's header.
    Raises:
        LoweringError: some operators cannot be lowered; `blockers` lists all of them (operator, node, reason).
    """
    found = blockers(graph, plan)
    if found:
        raise LoweringError("this network cannot be lowered to integers only:", found)
    driver = _Driver(graph, plan)
    problems = []
    for node in graph.nodes:
        if any(v is not None and v.name in driver.failed for v in node.inputs):
            driver.failed.update(str(v.name) for v in node.outputs)
            continue
        try:
            if driver.is_fused(node):
                continue
            float_operator(node).lower(node, driver)
        except (LoweringError, UsageError) as error:
            problems.append(f"[{node.op_type} {node.name!r}] {error}")
            driver.failed.update(str(v.name) for v in (*node.outputs, driver.last(node)))
    if problems:
        raise LoweringError("this network cannot be lowered to integers only:", problems)
    program = driver.finish(metadata or {})
    program.verify()
    return program


class _Driver:
    """Implements `ops.Lowering`."""

    def __init__(self, graph: Graph, plan: Plan) -> None:
        self.graph, self.plan = graph, plan
        self.rule: Rule = plan.rule
        self.accumulator = plan.accumulator
        self.batched = graph.batched
        self.nodes: list[Node] = []
        self.tensors: dict[str, TensorInfo] = {}
        self.constants: dict[str, NDArray[Any]] = {}
        self.placed: dict[str, Placed] = {}
        self.moved: dict[tuple[str, Axes], Placed] = {}
        self.failed: set[str] = set()
        self.tensor_names = set(graph.values())
        self.node_names: set[str] = set()
        self.fused = {name for op in plan.operators.values() for name in op.fused}
        self.inputs = tuple(self._input(value) for value in graph.inputs)

    def leading(self, size: int) -> int:
        return -1 if self.batched else size

    def is_fused(self, node: ir.Node) -> bool:
        """Whether the node is an activation fused into the one before it."""
        return str(node.name) in self.fused

    def last(self, node: ir.Node) -> ir.Value:
        """Return the value that a node writes, after the activations fused into it."""
        return fused_chain(self.plan, node)[-1].outputs[0]

    def _input(self, value: ir.Value) -> str:
        params = self.plan.params(str(value.name))
        kind = _plain_type(value) if params is None else params.type
        self._place(value, str(value.name), tuple(range(rank(value))), shape(value), kind, params)
        return str(value.name)

    def _place(
        self,
        value: ir.Value | None,
        name: str,
        axes: Axes,
        size: tuple[int, ...],
        kind: IntType,
        params: QuantParams | None,
    ) -> Placed:
        placed = Placed(name, axes, size, kind, params)
        self.tensors[name] = TensorInfo(name, size, kind, params, None if value is None else str(value.name), axes)
        if value is not None:
            self.placed[str(value.name)] = placed
        return placed

    # Called by the operators' `lower`

    def operand(self, value: ir.Value | None, axes: Axes | None = None, rank: int | None = None) -> Placed:
        assert value is not None
        found = self.placed.get(str(value.name))
        if found is None:
            found = self._constant(value)
        if rank is not None and len(found.axes) < rank:
            if constant(value) is None:
                found = self._ordered(value, found, tuple(range(len(found.axes))))
            found = self._leading_ones(value, found, rank)
        return found if axes is None else self._ordered(value, found, axes)

    def _constant(self, value: ir.Value) -> Placed:
        codes, params = self.weight(value)
        name = str(value.name)
        self.constants[name] = codes
        return self._place(value, name, tuple(range(codes.ndim)), codes.shape, params.type, params)

    def _leading_ones(self, value: ir.Value, found: Placed, rank: int) -> Placed:
        size = (1,) * (rank - len(found.axes)) + found.shape
        axes = tuple(range(rank))
        if found.name in self.constants:
            name = self._fresh(f"{value.name}.rank{rank}")
            self.constants[name] = self.constants[found.name].reshape(size)
            return self._place(None, name, axes, size, found.type, found.params)
        return self._append(value.name or "", Reshape(to=size), [found], found.params, axes)

    def _ordered(self, value: ir.Value, found: Placed, axes: Axes) -> Placed:
        if found.axes == axes:
            return found
        perm = tuple(found.axes.index(axis) for axis in axes)
        key = (found.name, perm)  # several values may share a tensor and number its axes differently
        if key not in self.moved:
            size = tuple(found.shape[p] for p in perm)
            if found.name in self.constants:
                name = self._fresh(f"{found.name}.{'_'.join(map(str, perm))}")
                self.constants[name] = np.ascontiguousarray(self.constants[found.name].transpose(perm))
                self.moved[key] = self._place(None, name, axes, size, found.type, found.params)
            elif _same_memory(found.shape, perm):
                to = (self.leading(size[0]), *size[1:])
                self.moved[key] = self._append(f"{value.name}", Reshape(to=to), [found], found.params, axes)
            else:
                self.moved[key] = self._append(f"{value.name}", Transpose(axes=perm), [found], found.params, axes)
        return replace(self.moved[key], axes=axes)

    def integers(self, name: str, array: NDArray[Any], axes: Axes, type: IntType) -> Placed:
        codes = np.ascontiguousarray(array, dtype=type.dtype)
        name = self._fresh(name)
        self.constants[name] = codes
        return self._place(None, name, axes, codes.shape, type, None)

    def matrix_operand(self, value: ir.Value | None, size: int) -> tuple[Placed, NDArray[np.int64] | None]:
        assert value is not None
        reshape = value.producer()
        image = reshape.inputs[0] if reshape is not None and facts(reshape.op_type).reshapes else None
        found = self.placed.get(str(image.name)) if image is not None else None
        flattens = found is not None and rank(value) == 2 and found.axes[0] == 0 and shape(value)[0] == found.shape[0]
        if found is None or image is None or not flattens or found.axes == tuple(range(len(found.axes))):
            return self.operand(value, axes=tuple(range(rank(value)))), None
        # Every product that reads the flattened image permutes its weights instead of transposing the image. The
        # transpose that the Reshape emitted for other readers is dropped in `finish` if nothing reads it.
        order = np.arange(size).reshape(shape(image)[1:]).transpose([a - 1 for a in found.axes[1:]]).reshape(-1)
        key = (found.name, (-1,))
        if key not in self.moved:
            to = (self.leading(found.shape[0]), size)
            self.moved[key] = self._append(f"{value.name}.flat", Reshape(to=to), [found], found.params, (0, 1))
        return self.moved[key], order

    def weight(self, value: ir.Value | None) -> tuple[NDArray[Any], QuantParams]:
        assert value is not None
        array = constant(value)
        params = self.plan.params(str(value.name))
        assert array is not None and params is not None, value.name
        return params.quantize(array), params

    def bias(self, value: ir.Value | None, channels: int) -> NDArray[np.int64]:
        if value is None:
            return np.zeros(channels, np.int64)
        array = constant(value)
        params = self.plan.params(str(value.name))
        assert array is not None and params is not None, value.name
        real, grid = (np.broadcast_to(a.reshape(-1).astype(np.float64), (channels,)) for a in (array, params.scale))
        codes = quantize_bias(real, grid)
        worst = int(np.abs(codes).argmax())
        if abs(codes[worst]) > INT32.qmax:
            raise LoweringError(
                f"bias of channel {worst} needs {codes[worst]}, which does not fit int32; "
                "calibrate again (it raises weight scales until biases fit) or give the layer 16-bit activations"
            )
        return codes

    def result(self, node: ir.Node, index: int = 0) -> Result:
        return planned_result(self.plan, node, index)

    def emit(self, node: ir.Node, operator: Operator, inputs: Sequence[Placed], value: ir.Value, axes: Axes) -> None:
        params = self.plan.params(str(value.name))
        self._append(str(node.name), operator, inputs, params, axes, value)

    def step(
        self,
        node: ir.Node,
        operator: Operator,
        inputs: Sequence[Placed],
        params: QuantParams | None,
        axes: Axes | None = None,
    ) -> Placed:
        return self._append(str(node.name), operator, inputs, params, axes)

    def alias(self, value: ir.Value, placed: Placed, axes: Axes) -> None:
        self.placed[str(value.name)] = replace(placed, axes=axes)

    def _append(
        self,
        node: str,
        operator: Operator,
        inputs: Sequence[Placed],
        params: QuantParams | None,
        axes: Axes | None,
        value: ir.Value | None = None,
    ) -> Placed:
        size = operator.shape(*(x.shape for x in inputs))
        kind = operator.out_type(*(x.type for x in inputs))
        name = str(value.name) if value is not None else self._fresh(f"{node}.{operator.kind}")
        axes = tuple(range(len(size))) if axes is None else axes
        self.nodes.append(Node(_unused(node, self.node_names), operator, tuple(x.name for x in inputs), name))
        return self._place(value, name, axes, size, kind, params)

    def _fresh(self, name: str) -> str:
        return _unused(name, self.tensor_names)

    # Finishing

    def finish(self, metadata: dict[str, str]) -> Program:
        """Make the Program: outputs in the Graph's axis order, without nodes and tensors that nothing reads."""
        outputs: list[str] = []
        for value in self.graph.outputs:
            found = self.operand(value, axes=tuple(range(rank(value))))
            named = self.tensors[found.name].graph_name
            if found.name in outputs or named not in (None, str(value.name)):
                # The tensor already has another name: copy it, so that every output is a tensor with its own name.
                to = (self.leading(found.shape[0]), *found.shape[1:]) if found.shape else ()
                found = self._append(f"{value.name}", Reshape(to=to), [found], found.params, found.axes)
            info = self.tensors[found.name]
            if info.graph_name is None:
                self.tensors[found.name] = replace(info, graph_name=str(value.name), axes=found.axes)
            outputs.append(found.name)
        live = set(outputs)
        nodes = []
        for node in reversed(self.nodes):
            if node.output in live:
                live.update(node.inputs)
                nodes.append(node)
        live.update(self.inputs)
        return Program(
            nodes=nodes[::-1],
            tensors={name: info for name, info in self.tensors.items() if name in live},
            constants={name: array for name, array in self.constants.items() if name in live},
            inputs=self.inputs,
            outputs=tuple(outputs),
            rule=self.rule,
            target=self.plan.target,
            batched=self.batched,
            metadata=metadata,
        )


def _unused(name: str, taken: set[str]) -> str:
    """Return the name, with a number appended if it is taken; add the result to `taken`."""
    number, unused = 1, name
    while unused in taken:
        unused, number = f"{name}.{number}", number + 1
    taken.add(unused)
    return unused


def _plain_type(value: ir.Value) -> IntType:
    """Choose the type of an input that is no quantized number."""
    return INT32 if value.dtype is None else _PLAIN_TYPES.get(value.dtype, INT32)


def _same_memory(size: tuple[int, ...], perm: Axes) -> bool:
    """Whether a transpose leaves the elements in place: it moves only axes of size 1."""
    moving = [p for p in perm if size[p] != 1]
    return moving == sorted(moving)
