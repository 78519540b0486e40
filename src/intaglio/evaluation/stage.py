"""Stages: run a network on real inputs to real outputs, and show every value on the way by its Graph name."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from numpy.typing import NDArray

from intaglio.data import Inputs
from intaglio.samples import nth_sample, sample_shape

if TYPE_CHECKING:
    from intaglio.codegen.native import NativeProgram
    from intaglio.graph import Graph
    from intaglio.plan import Plan
    from intaglio.program import Program

Array = NDArray[Any]
Show = Callable[[str, Array], None]


class Stage(Protocol):
    """A float Graph, a Graph under a Plan, or a Program."""

    engine: str
    input_names: tuple[str, ...]
    input_shapes: tuple[tuple[int, ...], ...]

    def run(self, *x: Array) -> tuple[Array, ...]:
        """Map real inputs to real outputs, in the model's order; axis 0 counts samples, as in the batches of `data`."""

    def trace(self, show: Show, *x: Array) -> None:
        """Call `show(name, real values)` for every value, in the Graph's order of axes.

        Where the model is not batched, once for each sample, without an axis that counts them.
        """


class SimulatedStage:
    """A Graph in PyTorch: quantized under a Plan, or real without one."""

    def __init__(self, graph: Graph, plan: Plan | None) -> None:
        from intaglio.simulate import Simulator  # PyTorch is loaded only where it is used

        self.engine = "float" if plan is None else "simulate"
        self._simulator = Simulator(graph, plan)
        self.input_names = tuple(self._simulator.input_names)
        self.input_shapes = tuple(self._simulator.input_shapes[name] for name in self.input_names)

    def run(self, *x: Array) -> tuple[Array, ...]:
        """See `Stage.run`."""
        outputs = zip(self._simulator.output_names, self._simulator.run(*x), strict=True)
        return tuple(self._simulator.by_sample(name, y, len(x[0])) for name, y in outputs)

    def trace(self, show: Show, *x: Array) -> None:
        """See `Stage.trace`."""
        self._simulator.run(*x, observe=lambda name, tensor: show(name, tensor.detach().cpu().numpy().copy()))


class FloatStage(SimulatedStage):
    """A Graph over real numbers."""

    def __init__(self, graph: Graph) -> None:
        super().__init__(graph, None)


class SaturatedStage(FloatStage):
    """A Graph over real numbers, each within the range that a Plan gives it: the Plan without rounding.

    For files that another tool quantized. ONNX Runtime leaves out a Relu if the range of its result begins at 0, so the
    Graph alone lacks it.
    """

    def __init__(self, graph: Graph, plan: Plan) -> None:
        from intaglio.simulate import saturated

        super().__init__(graph)
        self._simulator = saturated(graph, plan)


class ProgramStage:
    """A Program in the reference interpreter."""

    engine = "reference"

    def __init__(self, program: Program) -> None:
        self._program = program
        self.input_names = program.inputs
        self.input_shapes = tuple(program.tensors[name].shape for name in program.inputs)

    def run(self, *x: Array) -> tuple[Array, ...]:
        """See `Stage.run`."""
        return self._by_sample(self._program.run(*x), len(x[0]))

    def _by_sample(self, y: Any, samples: int) -> tuple[Array, ...]:
        """Reshape outputs so that axis 0 counts samples, also for a single one."""
        program = self._program
        shapes = [sample_shape(program.tensors[name].shape, batched=program.batched) for name in program.outputs]
        outputs = y if isinstance(y, tuple) else (y,)
        return tuple(out.reshape(samples, *shape) for out, shape in zip(outputs, shapes, strict=True))

    def trace(self, show: Show, *x: Array) -> None:
        """See `Stage.trace`; tensors in between that stand for no Graph value are left out."""
        from intaglio.program.interpreter import trace_real

        single = [[nth_sample(a, i, s) for a, s in zip(x, self.input_shapes, strict=True)] for i in range(len(x[0]))]
        for given in [x] if self._program.batched else single:
            for name, value in trace_real(self._program, *given).items():
                show(name, value)


class NativeStage(ProgramStage):
    """A Program compiled for this processor; `trace` runs in the interpreter."""

    engine = "native"

    def __init__(self, program: Program | NativeProgram) -> None:
        from intaglio.codegen.native import NativeProgram, compile

        native = program if isinstance(program, NativeProgram) else compile(program, directory=None)
        super().__init__(native.program)
        self.native = native

    def run(self, *x: Array) -> tuple[Array, ...]:
        """See `Stage.run`."""
        return self._by_sample(self.native.run(*x), len(x[0]))


def inputs_of(x: Inputs) -> tuple[Array, ...]:
    """Convert a batch to one array per input of the model, in its order."""
    if isinstance(x, dict):
        return tuple(x.values())
    return x if isinstance(x, tuple) else (x,)
