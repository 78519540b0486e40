"""Parameters of a Plan once they are found: whose they are, how a scale is changed, and a word on why."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from intaglio.errors import CalibrationError, UsageError
from intaglio.number import QuantParams
from intaglio.plan import Plan, ValuePlan


def params_of(value: ValuePlan) -> QuantParams:
    """The parameters of a value that has them."""
    assert value.params is not None, value.name
    return value.params


def result_of(node: ir.Node, nodes: Mapping[str, ir.Node], plan: Plan) -> ValuePlan:
    """Whose parameters a node's result has, behind what is fused into it; `nodes` are those of the Graph by name."""
    fused = plan.operators[str(node.name)].fused
    return plan.root(str((nodes[fused[-1]] if fused else node).outputs[0].name))


def rescaled(params: QuantParams, scale: NDArray[np.float64], where: str, name: str) -> QuantParams:
    """The parameters with another scale, rounded to float32.

    Raises:
        CalibrationError: no such scale exists; naming the operator and the value.
    """
    try:
        return dataclasses.replace(params, scale=np.asarray(scale, np.float64).astype(np.float32))
    except UsageError as error:
        raise CalibrationError(f"{where} value {name!r}: {error}") from None


def note(value: ValuePlan, text: str) -> None:
    """Add to why a value is represented as it is, once."""
    if text not in value.why:
        value.why += f"; {text}"


def channels_of(channels: NDArray[np.int64]) -> str:
    """Channels in words, the first few of many."""
    text = ", ".join(map(str, channels[:5].tolist()))
    more = f" and {len(channels) - 5} more" if len(channels) > 5 else ""
    return f"channel{'s' if len(channels) > 1 else ''} {text}{more}"
