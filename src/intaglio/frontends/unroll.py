"""Replace If, Loop and Scan by what they run, where constants and static shapes decide it.

An If whose condition is constant becomes the branch that is taken. A Loop or Scan becomes one copy of its body for each
step. Whether a Loop goes on is asked after each step, when the nodes of that step are folded: its condition may depend
on counters and sizes, but not on data.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx_ir as ir

from intaglio.errors import ModelError
from intaglio.frontends.static import bindable
from intaglio.frontends.upgrade_inputs import proper_axes
from intaglio.frontends.written_steps import Fold, WrittenSteps
from intaglio.graph.access import Array, attribute, constant, input_value, one_number, rank, shape, where

_MOST_OPERATORS = 10_000
_SCAN_OF_SAMPLES = 8
"""The opset whose Scan has the batch in front of the scanned axis, and a body for one sample."""


Results = list[ir.Value | None]
"""What stands for the outputs of a node; None for those that are not read."""


class Unroller:
    """Expands the nodes of a graph that have subgraphs.

    Args:
        graph: changed in place; every node in its own opset.
        fold: folds the nodes that are put into the graph.
    """

    def __init__(self, graph: ir.Graph, fold: Fold) -> None:
        self._graph = graph
        self._fold = fold
        self._operators = 0

    def expand(self, node: ir.Node) -> None:
        """Put what an If, Loop or Scan runs in its place.

        Raises:
            ModelError: what it runs depends on data, or is too much. The graph then computes what it did before.
        """
        unroll = {"If": self._if, "Loop": self._loop, "Scan": self._scan}.get(node.op_type)
        if unroll is None or node.domain:
            raise _refused(node, f"{node.op_type}, which is not written out")
        operators, steps = self._operators, WrittenSteps(self._graph, node, self._fold)
        try:
            results = unroll(node, steps)
        except Exception:
            self._operators = operators
            steps.undo()
            raise
        steps.finish(results)

    def _if(self, node: ir.Node, steps: WrittenSteps) -> Results:
        condition = constant(node.inputs[0])
        if condition is None:
            raise _refused(node, "If whose condition depends on data", "compute both branches, choose with Where")
        taken = "then_branch" if one_number(node, condition, "condition") else "else_branch"
        branch = _body(node, taken, 0, len(node.outputs))
        return [*steps.write(branch, [], "")]

    def _loop(self, node: ir.Node, steps: WrittenSteps) -> Results:
        states, step = [_present(value) for value in node.inputs[2:]], 0
        body = _body(node, "body", 2 + len(states), 1 + max(len(states), len(node.outputs)))
        most = _constant_or_absent(node, 0, "Loop whose trip count depends on data")
        first = _constant_or_absent(node, 1, "Loop whose condition depends on data")
        limit = None if most is None else int(one_number(node, most, "trip count"))
        goes_on = first is None or bool(one_number(node, first, "condition"))
        stacks: list[list[ir.Value]] = [[] for _ in body.outputs[1 + len(states) :]]
        while goes_on and (limit is None or step < limit):
            self._count(node, body, step + 1 if limit is None or not _is_endless(body) else limit)
            counters = [steps.constant(np.array(step)), steps.constant(np.array(True))]
            again, *results = steps.write(body, [*counters, *states], f".{step}")
            condition = constant(again)
            if condition is None:
                raise _refused(node, "Loop whose condition depends on data")
            goes_on, step = bool(one_number(node, condition, "condition of its body")), step + 1
            states = results[: len(states)]
            for stack, value in zip(stacks, results[len(states) :], strict=True):
                stack.append(value)
        return [*states, *_stacked(node, steps, stacks, [0] * len(stacks))]

    def _scan(self, node: ir.Node, steps: WrittenSteps) -> Results:
        if self._graph.opset_imports[""] <= _SCAN_OF_SAMPLES:
            return self._scan_samples(node, steps)
        inputs = [_present(value) for value in node.inputs]
        count = _scanned_inputs(node, len(inputs))
        states, scanned = inputs[: len(inputs) - count], inputs[len(inputs) - count :]
        axes = _each(node, "scan_input_axes", count)
        axes = [proper_axes(node, [axis], rank(value))[0] for axis, value in zip(axes, scanned, strict=True)]
        backward = _each(node, "scan_input_directions", count)
        return self._scanned(node, steps, states, scanned, axes, backward)

    def _scan_samples(self, node: ir.Node, steps: WrittenSteps) -> Results:
        """Write a Scan of opset 8, sample after sample."""
        given = [_present(value) for value in node.inputs[1:]]
        count = _scanned_inputs(node, len(given))
        if rank(given[-1]) < 2:
            raise ModelError(f"{where(node)} expected samples and steps as first axes, got shape {shape(given[-1])}")
        samples, length = shape(given[-1])[:2]
        lengths = _constant_or_absent(node, 0, "Scan whose sequence_lens depend on data")
        if lengths is not None and (lengths != length).any():
            raise _refused(node, f"Scan of sequences of different lengths, {lengths.tolist()}")
        backward = _each(node, "directions", count)
        results = []
        for sample in range(samples):
            own = [steps.element(value, sample, 0) for value in given]
            states, scanned = own[: len(own) - count], own[len(own) - count :]
            results.append(self._scanned(node, steps, states, scanned, [0] * count, backward))
        return _stacked(node, steps, list(zip(*results, strict=True)), [0] * len(results[0]))

    def _scanned(
        self,
        node: ir.Node,
        steps: WrittenSteps,
        states: Sequence[ir.Value],
        scanned: Sequence[ir.Value],
        axes: Sequence[int],
        backward: Sequence[int],
    ) -> Results:
        body = _body(node, "body", len(states) + len(scanned), max(len(states), len(node.outputs)))
        lengths = {shape(value)[axis] for value, axis in zip(scanned, axes, strict=True)}
        if len(lengths) != 1:
            raise ModelError(f"{where(node)} expected scanned inputs of one length, got {sorted(lengths)}")
        (length,) = lengths
        stacks: list[list[ir.Value]] = [[] for _ in body.outputs[len(states) :]]
        for step in range(length):
            self._count(node, body, length)
            parts = [
                steps.element(value, length - 1 - step if back else step, axis)
                for value, axis, back in zip(scanned, axes, backward, strict=True)
            ]
            results = steps.write(body, [*states, *parts], f".{step}")
            states = results[: len(states)]
            for stack, value in zip(stacks, results[len(states) :], strict=True):
                stack.append(value)
        turned = _each(node, "scan_output_directions", len(stacks))
        stacks = [stack[::-1] if back else stack for stack, back in zip(stacks, turned, strict=True)]
        return [*states, *_stacked(node, steps, stacks, _each(node, "scan_output_axes", len(stacks)))]

    def _count(self, node: ir.Node, body: ir.Graph, steps: int) -> None:
        """Count one step; refuse what becomes too large.

        Args:
            node: the Loop or Scan.
            body: what is written out once more.
            steps: how many steps it has, as far as is known.
        """
        size = max(1, len(body))
        self._operators += size
        if max(self._operators, steps * size) > _MOST_OPERATORS:
            raise ModelError(
                f"{where(node)} expected at most {_MOST_OPERATORS:,} operators where steps are written out, got "
                f"{steps:,} steps of {size} here; use an LSTM, GRU or RNN layer, which stays a loop, or make a network "
                "for fewer steps that has its states as inputs and outputs"
            )


def _stacked(
    node: ir.Node, steps: WrittenSteps, stacks: Sequence[Sequence[ir.Value | None]], axes: Sequence[int]
) -> Results:
    """Stack the results of the steps for those last outputs of a node that are read; None stands for the others."""
    results: list[ir.Value | None] = []
    outputs = list(node.outputs)[len(node.outputs) - len(stacks) :]
    for output, stack, axis in zip(outputs, stacks, axes, strict=True):
        if not (output.uses() or output.is_graph_output()):
            results.append(None)
            continue
        if not stack:
            raise ModelError(f"{where(node)} expected at least one step, got none: its stacked results are empty")
        results.append(steps.stack([value for value in stack if value is not None], axis))
    return results


def _is_endless(body: ir.Graph) -> bool:
    """Tell whether the condition at the end of a Loop's body is a constant or that of the step before."""
    value = body.outputs[0]
    producer = value.producer()
    while producer is not None and producer.op_type == "Identity" and producer.inputs[0] is not None:
        value = producer.inputs[0]
        producer = value.producer()
    return value is body.inputs[1] or constant(value) is not None


def _constant_or_absent(node: ir.Node, index: int, kind: str) -> Array | None:
    value = input_value(node, index)
    array = constant(value)
    if value is not None and array is None:
        raise _refused(node, kind)
    return array


def _body(node: ir.Node, name: str, inputs: int, outputs: int) -> ir.Graph:
    """Return a subgraph of a node, once its numbers of inputs and outputs are right; outputs left out may be fewer."""
    found = node.attributes.get(name)
    if found is None or found.type != ir.AttributeType.GRAPH:
        raise ModelError(f"{where(node)} expected a subgraph '{name}', got none; check the model with onnx.checker")
    body = found.as_graph()
    if len(body.inputs) != inputs or len(body.outputs) < outputs:
        raise ModelError(
            f"{where(node)} expected a subgraph '{name}' with {inputs} inputs and at least {outputs} outputs, as the "
            f"node has them, got {len(body.inputs)} inputs and {len(body.outputs)} outputs; export the model again"
        )
    return body


def _scanned_inputs(node: ir.Node, given: int) -> int:
    count = int(attribute(node, "num_scan_inputs", 0))
    if not 1 <= count <= given:
        raise ModelError(
            f"{where(node)} expected num_scan_inputs from 1 to {given}, its number of inputs, got {count}; export the "
            "model again"
        )
    return count


def _present(value: ir.Value | None) -> ir.Value:
    assert value is not None  # ONNX has no optional inputs among states
    return value


def _each(node: ir.Node, name: str, count: int) -> list[int]:
    numbers = [int(item) for item in attribute(node, name, (0,) * count)]
    if len(numbers) != count:
        raise ModelError(f"{where(node)} expected {count} numbers in {name}, got {numbers}; export the model again")
    return numbers


def _refused(node: ir.Node, kind: str, instead: str = "write its steps out") -> ModelError:
    graph = node.graph
    assert isinstance(graph, ir.Graph)
    article = "an" if kind[0] in "AEIOU" else "a"
    return ModelError(
        f"{where(node)} expected a network without control flow, got {article} {kind}; export the model with fixed "
        f"branches and unrolled loops, or {instead}{bindable(graph)}"
    )
