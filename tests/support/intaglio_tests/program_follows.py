"""Is a Program what its Graph and Plan say? Node by node, each from the integers that the Program itself computed.

Errors do not add up along the network that way, so the steps that one node may be off can be derived from its operator.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx_ir as ir
import torch
from numpy.typing import NDArray

from intaglio.graph import Graph
from intaglio.graph.access import constant
from intaglio.number import INT32, QuantParams
from intaglio.ops import float_operator
from intaglio.plan import Plan, Source
from intaglio.program import Program

Steps = Callable[[ir.Node, QuantParams], float]


def one_step(node: ir.Node, params: QuantParams) -> float:
    """What a single rounding may be off: both sides round the same number, one of them in float32."""
    return 1.0


def assert_program_follows(
    graph: Graph, plan: Plan, program: Program, x: dict[str, NDArray[Any]], steps: Steps = one_step
) -> dict[str, float]:
    """Compare every value of the Graph that the Program holds with the real operator on the Program's own inputs.

    Args:
        graph, plan: that the program was lowered from.
        program: what is checked.
        x: real inputs by name, in the Graph's own shapes (any batch where it is batched).
        steps: how many output steps a node may be off, from the node and its output's parameters.
    Returns:
        The largest difference in steps, by node name.
    Raises:
        AssertionError: a node is off by more; it is named, with the first place, got and want.
    """
    traced = program.trace_real(*(x[name] for name in program.inputs))
    real: dict[str, torch.Tensor] = {}
    for value in graph.initializers:
        array = constant(value)
        assert array is not None
        params = plan.params(str(value.name)) if str(value.name) in plan.values else None
        real[str(value.name)] = torch.as_tensor(np.array(array) if params is None else _on_grid(array, params))
    for value in graph.inputs:
        real[str(value.name)] = torch.as_tensor(traced[str(value.name)])
    worst: dict[str, float] = {}
    for node in graph.nodes:
        results = float_operator(node).real(node, *(None if v is None else real[str(v.name)] for v in node.inputs))
        for value, result in zip(node.outputs, results if isinstance(results, tuple) else (results,), strict=False):
            name = str(value.name)
            if name in traced and plan[name].source is not Source.FUSED:
                off = _distance(node, traced[name], result.numpy(), plan.params(name))
                worst[str(node.name)] = max(worst.get(str(node.name), 0.0), float(off.max(initial=0.0)))
                limit = 0.0 if plan.params(name) is None else steps(node, plan.params(name))  # type: ignore[arg-type]
                _report(node, off, limit, traced[name], result.numpy())
                result = torch.as_tensor(traced[name])
            if name:
                real[name] = result
    return worst


def _on_grid(array: NDArray[Any], params: QuantParams) -> NDArray[np.float32]:
    if params.type != INT32:
        return params.fake_quantize(array)
    scale = params.scale.astype(np.float64)
    return (np.rint(array.reshape(-1) / scale) * scale).astype(np.float32).reshape(array.shape)


def _distance(node: ir.Node, got: NDArray[Any], want: NDArray[Any], params: QuantParams | None) -> NDArray[np.float64]:
    """|got - want| in steps; numbers beyond the grid count as its ends."""
    if got.shape != want.shape:
        raise AssertionError(
            f"[{node.op_type} {node.name!r}] the program has shape {got.shape}, the operator {want.shape}"
        )
    if params is None:
        return np.asarray(np.abs(got.astype(np.float64) - want))
    return np.asarray(np.abs(params.quantize(got).astype(np.float64) - params.quantize(want)))


def _report(node: ir.Node, off: NDArray[np.float64], limit: float, got: NDArray[Any], want: NDArray[Any]) -> None:
    bad = off > limit
    if bad.any():
        at = tuple(int(i) for i in np.unravel_index(int(np.flatnonzero(bad)[0]), bad.shape))
        raise AssertionError(
            f"[{node.op_type} {node.name!r}] {int(bad.sum())} of {bad.size} numbers are more than {limit:g} steps off, "
            f"up to {off.max():g}; first at {at}: got {got[at]}, want {want[at]}"
        )
