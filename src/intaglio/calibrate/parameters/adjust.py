"""Look up parameters in a Plan, change a scale, and note the reason."""

from __future__ import annotations

import dataclasses

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from intaglio.errors import CalibrationError, UsageError
from intaglio.number import QuantParams
from intaglio.plan import Plan, ValuePlan
from intaglio.plan.results import fused_chain


def params_of(value: ValuePlan) -> QuantParams:
    """Get the parameters of a value that must have them."""
    assert value.params is not None, value.name
    return value.params


def result_of(node: ir.Node, plan: Plan) -> ValuePlan:
    """Find the value that owns the parameters of a node's result.

    Args:
        node: with weights, or a sum; the result is that of the last operator fused into it.
        plan: of this Graph.
    """
    return plan.root(str(fused_chain(plan, node)[-1].outputs[0].name))


def rescaled(params: QuantParams, scale: NDArray[np.float64], where: str, name: str) -> QuantParams:
    """Replace the scale of parameters, rounded to float32.

    Args:
        params: of the value.
        scale: the new one, of the same shape.
        where, name: the operator and the value, for errors.
    Raises:
        CalibrationError: float32 cannot hold the scale, or it is not positive and finite.
    """
    try:
        return dataclasses.replace(params, scale=np.asarray(scale, np.float64).astype(np.float32))
    except UsageError as error:
        raise CalibrationError(f"{where} value {name!r}: {error}") from None


def note(value: ValuePlan, text: str) -> None:
    """Append a reason to the `why` of a value, unless it is there already."""
    if text not in value.why:
        value.why += f"; {text}"


def channel_list(channels: NDArray[np.int64]) -> str:
    """List channels in words, at most the first five."""
    text = ", ".join(map(str, channels[:5].tolist()))
    more = f" and {len(channels) - 5} more" if len(channels) > 5 else ""
    return f"channel{'s' if len(channels) > 1 else ''} {text}{more}"
