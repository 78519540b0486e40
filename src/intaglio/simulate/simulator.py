"""Simulator: run a Graph as PyTorch calls, with values rounded according to a Plan."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from copy import copy
from typing import Any

import numpy as np
import onnx_ir as ir
import torch
from numpy.typing import NDArray
from torch import Tensor

from intaglio.errors import DataError
from intaglio.graph import Graph
from intaglio.graph.access import constant, shape
from intaglio.graph.integer_inputs import is_integer_input
from intaglio.number import INT32, QuantParams, Rule
from intaglio.ops import Same, float_operator
from intaglio.plan import Plan, Source
from intaglio.plan.sums import signed_sums
from intaglio.plan.unary_nodes import unaries
from intaglio.samples import Shape, count_samples, sample_shape
from intaglio.simulate.by_sample import by_sample
from intaglio.simulate.calls import NodeCall, calls
from intaglio.simulate.fake_quantize import FakeQuantize, Saturate
from intaglio.simulate.integer_loop import IntegerLoop, integer_loops
from intaglio.simulate.lookup import Computed, Lookup, finite_gradient, looked_up, results_of

Observe = Callable[[str, Tensor], None]


def default_device() -> torch.device:
    """Return the GPU if there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


class Simulator:
    """Runs a Graph in PyTorch.

    Args:
        graph: the prepared network.
        plan: every value with parameters is rounded; values without (not calibrated, fused, plain) stay real. None:
            nothing is rounded.
        device: default: the GPU if there is one.
        only: predicate on value names: round only these; default: all.
    """

    def __init__(
        self,
        graph: Graph,
        plan: Plan | None = None,
        device: torch.device | str | None = None,
        only: Callable[[str], bool] | None = None,
    ) -> None:
        self.graph, self.plan, self._only = graph, plan, only
        self.device = torch.device(device) if device is not None else default_device()
        self.batched = graph.batched
        self.input_names = [str(v.name) for v in graph.inputs]
        self.output_names = [str(v.name) for v in graph.outputs]
        self.input_shapes = {str(v.name): shape(v) for v in graph.inputs}
        self.output_shapes = {str(v.name): shape(v) for v in graph.outputs}
        self.integers = {str(v.name) for v in graph.inputs if is_integer_input(v)}
        self.calls = calls(graph)
        self.places = {call.node: index for index, call in enumerate(self.calls)}
        self.round: dict[str, FakeQuantize] = {}
        self.constants = {str(value.name): self._constant(value) for value in graph.initializers}
        self.lookups = {} if plan is None else self._lookups(plan)
        self.loops = {} if plan is None else integer_loops(graph, plan, only or (lambda _: True))
        if plan is None:
            return
        values = graph.values()
        for name, ties_up in rounded_values(graph, plan).items():
            params = self._params(name)
            if params is not None:
                self.round[name] = FakeQuantize(params, shape(values[name]), self.device, ties_up=ties_up)
        for name, params in signed_sums(graph, plan).items():
            if only is None or only(name):
                self.round[name] = FakeQuantize(params, shape(values[name]), self.device)

    @property
    def single_shapes(self) -> list[Shape] | None:
        """Shape of each input if the Graph takes one sample at a time; None if it is batched."""
        return None if self.batched else [self.input_shapes[name] for name in self.input_names]

    def samples_in(self, feed: Mapping[str, Tensor]) -> int:
        """Return the number of samples in the inputs of one call."""
        return len(feed[self.input_names[0]]) if self.batched else 1

    def by_sample(self, name: str, y: Any, samples: int) -> Any:
        """Reshape an output (array or tensor) so that axis 0 counts the samples."""
        return y.reshape(samples, *sample_shape(self.output_shapes[name], batched=self.batched))

    def _params(self, name: str) -> QuantParams | None:
        if self.plan is None or name not in self.plan.values or (self._only is not None and not self._only(name)):
            return None
        return self.plan.params(name)

    def _constant(self, value: ir.Value) -> Tensor:
        return rounded_constant(value, self._params(str(value.name)), self.device)

    def with_constants_of(self, nodes: Collection[ir.Node]) -> Simulator:
        """Return a simulator with updated constants of some nodes, after Graph and Plan have changed."""
        made = copy(self)
        made.constants, made.calls = dict(self.constants), list(self.calls)
        for node in nodes:
            values = [value for value in node.inputs if value is not None and value.is_initializer()]
            made.constants.update({str(value.name): self._constant(value) for value in values})
            index = self.places[node]
            made.calls[index] = self.calls[index].read_again()
        return made

    def _lookups(self, plan: Plan) -> dict[str, tuple[str, str, Lookup | Computed]]:
        """Build the lookups by node name: (input, output, lookup), for functions whose input and output are rounded."""
        found = {}
        for unary in unaries(self.graph, plan):
            x, y = plan.params(unary.source), plan.params(unary.result)
            chosen = self._only is None or (self._only(plan.root(unary.source).name) and self._only(unary.result))
            if chosen and x is not None and y is not None:
                operator = unary.operator(plan, x, y)
                if operator is not None:
                    found[str(unary.node.name)] = (
                        unary.source,
                        unary.result,
                        results_of(operator, x, y, self.device, unary.axis),
                    )
        return found

    def __call__(self, inputs: Mapping[str, Tensor], observe: Observe | None = None) -> dict[str, Tensor]:
        """Run one batch.

        Args:
            inputs: tensors by input name; any batch size if the Graph is batched, else the Graph's own shape.
            observe: called with name and tensor of every computed value (and input) after rounding; must not keep the
                tensor, whose memory may be reused.
        Returns:
            Outputs by name.
        """
        given = self.rounded_inputs(inputs, observe)
        return self.span(0, len(self.calls), given, self.output_names, observe)

    def rounded_inputs(self, inputs: Mapping[str, Tensor], observe: Observe | None = None) -> dict[str, Tensor]:
        """Return the rounded network inputs by name."""
        given = {name: as_integers(name, x) if name in self.integers else x for name, x in inputs.items()}
        return {name: self._observed(name, given[name], observe, self.round) for name in self.input_names}

    def span(
        self,
        start: int,
        stop: int,
        values: Mapping[str, Tensor],
        wanted: Collection[str],
        observe: Observe | None = None,
        *,
        constants: Mapping[str, Tensor] | None = None,
        rounding: Mapping[str, Callable[[Tensor], Tensor]] | None = None,
    ) -> dict[str, Tensor]:
        """Run nodes `start` to `stop - 1`.

        Args:
            start, stop: range of node positions.
            values: values computed before `start` that these nodes read, by name (network inputs rounded).
            wanted: names of the values to return.
            observe: see `__call__`.
            constants: rounded constants to use instead of the network's own, by name.
            rounding: functions to apply to computed values, by name, instead of `round`.
        Returns:
            The wanted values by name.
        """
        known: dict[str, Tensor] = dict(values)
        held = self.constants if constants is None else {**self.constants, **constants}
        rounding = self.round if rounding is None else rounding
        looked: dict[str, Tensor] = {}  # looked-up results, by result name after fused activations
        for call in self.calls[start:stop]:
            operands = call.operands(known, held)
            lookup = self.lookups.get(str(call.node.name)) if rounding is self.round else None
            if lookup is not None:
                source, after, find = lookup
                looked[after] = find(known[source])
                operands = [None if x is None else finite_gradient(x) for x in operands]
            loop = self.loops.get(str(call.node.name)) if rounding is self.round else None
            for name, result in call.named(_looped(call, loop, operands)):
                known[name] = self._observed(name, result, observe, rounding, looked.pop(name, None))
            for name in call.done:
                if name not in wanted:
                    known.pop(name, None)
        return {name: known[name] for name in wanted}

    @staticmethod
    def _observed(
        name: str,
        x: Tensor,
        observe: Observe | None,
        rounding: Mapping[str, Callable[[Tensor], Tensor]],
        looked: Tensor | None = None,
    ) -> Tensor:
        quantizer = rounding.get(name)
        if looked is not None and not x.requires_grad:
            x = looked
        elif quantizer is not None:
            x = quantizer(x)
            x = x if looked is None else looked_up(x, looked)
        if observe is not None:
            observe(name, x)
        return x

    def run(self, *x: NDArray[Any], observe: Observe | None = None, chunk: int = 64) -> tuple[NDArray[Any], ...]:
        """Run NumPy arrays in chunks of `chunk` samples, or one by one if the Graph is not batched.

        Args:
            x: one array of N samples for each input (see `intaglio.samples`).
        Returns:
            One array of N samples for each output.
        Raises:
            DataError: the number of inputs or a shape does not fit.
        """
        self._check(x)

        def run(*pieces: Any) -> tuple[Tensor, ...]:
            made = self(dict(zip(self.input_names, map(self._tensor, pieces), strict=True)), observe)
            return tuple(made[name] for name in self.output_names)

        with torch.no_grad():
            if not self.batched:
                shapes = [self.input_shapes[name] for name in self.input_names]
                return tuple(y.cpu().numpy() for y in by_sample(run, shapes, x))
            parts = [run(*(a[at : at + chunk] for a in x)) for at in range(0, len(x[0]), chunk)]
        return tuple(torch.cat(pieces).cpu().numpy() for pieces in zip(*parts, strict=True))

    def _tensor(self, x: NDArray[Any]) -> Tensor:
        return torch.as_tensor(np.asarray(x, np.float32, order="C"), device=self.device)

    def _check(self, x: Sequence[NDArray[Any]]) -> None:
        if len(x) != len(self.input_names):
            raise DataError(f"expected {len(self.input_names)} inputs ({', '.join(self.input_names)}), got {len(x)}")
        for name, array in zip(self.input_names, x, strict=True):
            want = self.input_shapes[name]
            if not count_samples(array.shape, want, batched=self.batched, side_by_side=True):
                expected = ", ".join(map(str, ("N", *sample_shape(want, batched=self.batched))))
                raise DataError(f"input {name!r}: expected shape ({expected}), got {array.shape}")


def as_integers(name: str, x: Tensor) -> Tensor:
    """Convert an input that holds integers, which data sets give as float32, to int64.

    Raises:
        DataError: a number has a fraction.
    """
    found = x.long()
    if x.is_floating_point() and bool((found != x).any()):
        value = x[found != x].reshape(-1)[0].item()
        raise DataError(
            f"input {name!r}: expected integers, got {value:g}; this input holds indices, masks or lengths, not real "
            "numbers"
        )
    return found


def saturated(graph: Graph, plan: Plan) -> Simulator:
    """Make a simulator that keeps each value within the range of its integers and rounds nothing."""
    made, values = Simulator(graph), graph.values()
    for name in rounded_values(graph, plan):
        params = plan.params(name)
        if params is not None and not params.type.bipolar:
            made.round[name] = Saturate(params, shape(values[name]), made.device)
    return made


def _looped(call: NodeCall, loop: IntegerLoop | None, operands: list[Tensor | None]) -> tuple[Tensor, ...]:
    """Compute a node; one that loops over time with its integers, where it has them."""
    if loop is None:
        return call.real(*operands)
    exact = loop(*operands)
    if not any(x is not None and x.requires_grad for x in operands):
        return exact
    return tuple(looked_up(y, found) for y, found in zip(call.real(*operands), exact, strict=True))


def rounded_values(graph: Graph, plan: Plan) -> dict[str, bool]:
    """Return the values that are rounded, and whether ties go up.

    Values that are only moved are not rounded again.
    """
    found = {}
    for value in (*graph.inputs, *(v for node in graph.nodes for v in node.outputs if v.name)):
        planned, producer = plan.values.get(str(value.name)), value.producer()
        if planned is None or planned.source in (Source.FUSED, Source.PLAIN):
            continue
        if planned.source is not Source.SHARED or _computes(producer):
            found[str(value.name)] = producer is not None and plan.rule is not Rule.TFLITE
    return found


def _computes(node: ir.Node | None) -> bool:
    """Return whether a node with shared parameters computes new numbers, such as an average pool."""
    assert node is not None
    output = float_operator(node).contract(node).output
    return not isinstance(output, Same) or output.rounds


def rounded_constant(value: ir.Value, params: QuantParams | None, device: torch.device) -> Tensor:
    """Return a constant as the simulator sees it; where it is not rounded it shares the Graph's memory."""
    array = constant(value)
    assert array is not None, value.name
    tensor = torch.as_tensor(array if array.flags.writeable else np.array(array), device=device)
    return tensor if params is None else _rounded(tensor, params)


def _rounded(x: Tensor, params: QuantParams) -> Tensor:
    """Round a constant; biases in float64, because int32 codes need more than float32's 24 bits."""
    if params.type == INT32:
        scale = torch.as_tensor(params.scale.copy(), dtype=torch.float64, device=x.device)
        flat = (x.double().reshape(-1) / scale).round() * scale
        return flat.float().reshape(x.shape if flat.numel() == x.numel() else flat.shape)
    return FakeQuantize(params, tuple(x.shape), x.device)(x)
