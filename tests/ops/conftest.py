"""Small networks, and the road from one to its Program."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest
import torch
from numpy.typing import NDArray

from intaglio.calibrate import calibrate
from intaglio.frontends.onnx import load_onnx
from intaglio.graph import Graph
from intaglio.graph.access import constant
from intaglio.lower import lower
from intaglio.lower.testing import assert_program_follows
from intaglio.number import QuantParams
from intaglio.ops import float_operator
from intaglio.plan import Plan, place
from intaglio.program import Program
from intaglio.program.operators.lut import Lut
from intaglio.targets import load_target

torch.set_num_threads(1)

Array = NDArray[Any]
Inputs = Mapping[str, tuple[int | str, ...]]


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


def model(
    nodes: Sequence[onnx.NodeProto],
    inputs: Inputs,
    constants: Mapping[str, Array] | None = None,
    outputs: Sequence[str] = ("y",),
    opset: int = 24,
) -> onnx.ModelProto:
    """An ONNX model with float inputs."""
    graph = onnx.helper.make_graph(
        list(nodes),
        "network",
        [onnx.helper.make_tensor_value_info(n, onnx.TensorProto.FLOAT, s) for n, s in inputs.items()],
        [onnx.helper.make_empty_tensor_value_info(name) for name in outputs],
        [onnx.numpy_helper.from_array(np.asarray(a), n) for n, a in (constants or {}).items()],
    )
    return onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", opset)], ir_version=10)
