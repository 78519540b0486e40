"""Convolutions for Cortex-M: with DSP instructions, and in plain C without tests in the inner loop."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

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
from intaglio.kernels.weighted_kernel import image_fields
from intaglio.program.operators.conv2d import Conv2d


def dsp(op: Conv2d, inputs: Sequence[Tensor], y: Tensor) -> Call | None:
    """SMLAD: windows as columns of 16-bit halves for ordinary convolutions, four channels at a time for depthwise."""
    x = inputs[0]
    if not serves_bytes(op, x) or x.shape[0] != 1:
        return None
    if op.groups == 1:
        weight, zero_point = int8_codes(op.weight, op.weight_zero_point.reshape(-1))
        o, kh, kw, channels = weight.shape
        rows = filled(weight.reshape(o, kh, kw * channels), 2, 4)
        fields = {
            "weight": pairs_of_rows(filled(rows.reshape(o, -1), 1, 8)),
            "weight_zero_point": zero_point if zero_point.any() else None,
            "weight_zero_point_step": int(zero_point.size > 1),
            "bias": op.bias,
        }
        return _call(op, x, y, "dsp", fields, 4 * (rows[0].size + rows[0].size % 8))
    if _depthwise(op, x) and x.shape[3] % 4 == 0:
        four = _depthwise_weights(op)[..., [0, 2, 1, 3]]
        return _call(op, x, y, "depthwise_dsp", {"weight": four, **_folded(op)}, op.weight.size)
    return None


def plain(op: Conv2d, inputs: Sequence[Tensor], y: Tensor) -> Call | None:
    """Any processor: zero points folded, windows copied where they leave the image, four output channels at a time."""
    x = inputs[0]
    if not serves_bytes(op, x) or x.shape[0] != 1:
        return None
    if op.groups == 1:
        weight, zero_point = int8_codes(op.weight, op.weight_zero_point.reshape(-1))
        fields = {
            "weight": fours_of_rows(weight.reshape(weight.shape[0], -1)),
            "bias": folded_bias(op, offset_of(x)),
            "weight_zero_point": zero_point + 128,
            "weight_zero_point_step": int(zero_point.size > 1),
        }
        return _call(op, x, y, "plain", fields, weight[0].size)
    if _depthwise(op, x):
        return _call(op, x, y, "depthwise_plain", {"weight": _depthwise_weights(op), **_folded(op)}, op.weight.size)
    return None


def _depthwise(op: Conv2d, x: Tensor) -> bool:
    return op.groups == x.shape[3] == op.weight.shape[0] and op.dilations == (1, 1)


def _depthwise_weights(op: Conv2d) -> NDArray[np.int16]:
    """`w - z_w`, [C / 4][kh][kw][4]."""
    centred = filled(op.centred()[..., 0].astype(np.int16), 0, 4)
    c, kh, kw = centred.shape
    return np.ascontiguousarray(centred.reshape(c // 4, 4, kh, kw).transpose(0, 2, 3, 1))


def _folded(op: Conv2d) -> dict[str, Any]:
    return {"bias": folded_bias(op), "weight_zero_point": None, "weight_zero_point_step": 0}


def _call(op: Conv2d, x: Tensor, y: Tensor, variant: str, fields: dict[str, Any], scratch: int) -> Call:
    name = f"ig_conv2d_{x.short}_{y.short}_{finish(op.requantize)}__{variant}"
    source = CSource(
        f"conv2d/{variant}.h",
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
            ("IG_WINDOW", f"{name}_window"),
            ("IG_SUM", f"{name}_sum"),
            ("IG_PATCH", f"{name}_patch"),
        ),
    )
    members = {
        **fields,
        **common_fields(op),
        **image_fields(op, x, y),
    }
    return Call(name, (source,), "struct ig_conv2d", members, units=y.shape[1], scratch=scratch, rows=1)
