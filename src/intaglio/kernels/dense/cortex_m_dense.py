"""Dense layers for Cortex-M: with DSP instructions, and in plain C with zero points folded."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from intaglio.kernels.cortex_m import (
    common_fields,
    filled,
    finish,
    folded_bias,
    fours_of_rows,
    offset_of,
    pairs_of_rows,
    serves_bytes,
)
from intaglio.kernels.kernel import Call, CSource, Tensor, int8_codes
from intaglio.program.operators.dense import Dense


def dsp(op: Dense, inputs: Sequence[Tensor], y: Tensor) -> Call | None:
    """SMLAD, two output channels at a time."""
    x = inputs[0]
    if not serves_bytes(op, x):
        return None
    weight, zero_point = int8_codes(op.weight, op.weight_zero_point.reshape(-1))
    fields = {
        "weight": pairs_of_rows(filled(weight, 1, 8)),
        "weight_zero_point": zero_point if zero_point.any() else None,
        "bias": op.bias,
    }
    return _call(op, x, y, "dsp", fields, units=-(-y.shape[-1] // 2), scratch=-(-x.shape[-1] // 8) * 16)


def plain(op: Dense, inputs: Sequence[Tensor], y: Tensor) -> Call | None:
    """Any processor, four output channels at a time."""
    x = inputs[0]
    if not serves_bytes(op, x):
        return None
    weight, zero_point = int8_codes(op.weight, op.weight_zero_point.reshape(-1))
    fields = {
        "weight": fours_of_rows(weight),
        "weight_zero_point": zero_point + 128,
        "bias": folded_bias(op, offset_of(x)),
    }
    scratch = x.shape[-1] if x.short == "s8" else 0
    return _call(op, x, y, "plain", fields, units=-(-y.shape[-1] // 4), scratch=scratch)


def _call(op: Dense, x: Tensor, y: Tensor, variant: str, fields: dict[str, Any], units: int, scratch: int) -> Call:
    name = f"ig_dense_{x.short}_{y.short}_{finish(op.requantize)}__{variant}"
    source = CSource(
        f"dense/{variant}.h",
        (
            ("IG_NAME", name),
            ("IG_X", x.c_type),
            ("IG_Y", y.c_type),
            ("IG_FINISH", f"ig_finish_{finish(op.requantize)}"),
            ("IG_EVEN", f"ig_even_{x.short}"),
            ("IG_ODD", f"ig_odd_{x.short}"),
            ("IG_OFFSET", str(offset_of(x))),
            ("IG_COLUMN", f"{name}_column"),
            ("IG_CODE", f"{name}_code"),
        ),
    )
    members = {
        **fields,
        **common_fields(op),
        "weight_zero_point_step": int(op.weight_zero_point.size > 1),
        "rows": x.size // x.shape[-1],
        "depth": x.shape[-1],
        "out_channels": y.shape[-1],
    }
    return Call(name, (source,), "struct ig_dense", members, units=units, scratch=scratch)
