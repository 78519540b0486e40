"""Layers that loop over time, in vectors: packed recurrent weights, factors, and the calls of their kernels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from intaglio.kernels.kernel import Call, CSource, Name, StructArray, Tensor, int8_codes
from intaglio.kernels.kernel_layout import template
from intaglio.kernels.recurrent_kernel import common_fields
from intaglio.kernels.vector.row_factors import LARGEST, Factors
from intaglio.kernels.vector.row_products import Products, to_int32
from intaglio.kernels.vector.vector_isas import Ints, Vector, pick
from intaglio.number import INT16, Rule
from intaglio.program.recurrence import Recurrence
from intaglio.program.weighted import bounds

BLOCKS = (8, 4, 2, 1)
LARGEST_GAIN = 16
"""Bits of a shift to the left that saturates every state but 0."""


def recurrent_call(
    op: Recurrence, inputs: Sequence[Tensor], y: Tensor, vector: Vector, *, largest: int, parts: int = 1, **macros: Any
) -> Call | None:
    """The call of `<kind>/<kind>.h`; None where the scalar kernel serves the operator.

    Args:
        op: the layer.
        inputs, y: its operands.
        vector: the instruction set.
        largest: magnitude of what is rounded to the hidden state.
        parts: into how many the gates are divided: the products of the last part come after the others.
        macros: further ones, which the name tells apart.
    """
    x = inputs[0]
    if x.type != INT16 or op.weight_type.bits > 8 or (op.hidden.bits > 8 and not op.hidden.signed):
        return None
    products, signs = _products(op, vector)
    padded = -(-op.size // vector.lanes) * vector.lanes
    depth = -(-op.size // products.step) * products.step
    room = -(-depth * products.item // (4 * vector.lanes)) * 4 * vector.lanes
    bound = bounds(op.weight, op.weight_zero_point, np.zeros(op.weight.shape[0], np.int64), op.hidden, op.h_zero_point)
    terms, left = _raised(Factors.plain(op.requantize, 0, bound).quieted())
    x_bound, hidden_bound = (np.array([b]) for b in (x.type.max_abs_offset(op.x_zero_point), largest))
    x_factor, x_left = _raised(Factors.plain(op.x_factor, 0, x_bound))
    hidden_factor, hidden_left = _raised(Factors.plain(op.to_hidden, op.h_zero_point, hidden_bound))
    forms = [factor.form(vector.forms) for factor in (x_factor, hidden_factor, terms)]
    if None in forms:
        return None
    x_form, hidden_form, _ = forms
    assert x_form is not None and hidden_form is not None
    units = np.arange(padded)
    rows = np.where(units < op.size, units + op.size * np.arange(op.gates)[:, None], -1)
    bias = -(op.h_zero_point + products.moved) * products.sums
    weight = np.pad(products.weight, ((0, 0), (0, depth - op.size)))[:, None]
    panels: list[dict[str, Any]] = []
    sources: dict[CSource, None] = {}
    first = 0
    for part, gates in enumerate((rows,) if parts == 1 else (rows[:-1], rows[-1:])):
        at = part * (op.gates - 1) * padded
        for channels in _divided(gates.reshape(-1, vector.lanes)):
            form = terms.form(vector.forms, channels)
            assert form is not None
            name = f"ig_recurrent_{len(channels)}_{form}{'_s16' if products.item == 2 else ''}"
            name += f"{'_flip' if products.flip else ''}{'_signs' if signs else ''}__{vector.isa}"
            source = template(
                "vector/recurrent_product.h",
                name,
                blocks_=len(channels),
                form_=form,
                flip_=int(products.flip),
                signs_=int(signs),
                input16_=int(products.item == 2),
            )
            sources[source] = None
            panels.append(
                {
                    "weight": products.pack(weight, channels, vector),
                    "bias": pick(to_int32(bias), channels).reshape(-1),
                    "left": pick(1 << left, channels).reshape(-1).astype(np.int32),
                    "factors": terms.records(form, channels).reshape(-1),
                    "product": Name(name),
                    "at": at,
                }
            )
            at += channels.size
        first = len(panels) if part == 0 else first
    layer = common_fields(op, x, given=len(inputs) > 1)
    layer.pop("product_bias")
    own_rows = np.concatenate([rows.reshape(-1), np.where(units < op.size, units + op.size * op.gates, -1)])
    layer["bias"] = pick(op.bias, own_rows[: padded * (op.bias.size // op.size)])
    layer["gain"] = min(layer["gain"], LARGEST_GAIN)
    same = np.zeros((1, vector.lanes), np.int64)
    fields = {
        "layer": layer,
        "panels": StructArray("struct ig_recurrent_panel", panels),
        "x_factor": x_factor.records(x_form, same).reshape(-1),
        "hidden_factor": hidden_factor.records(hidden_form, same).reshape(-1),
        "x_left": int(x_left[0]),
        "hidden_left": int(hidden_left[0]),
        "panel_count": len(panels),
        "first_panels": first,
        "padded": padded,
        "rows": op.gates * padded,
        "depth": depth * products.item,
        "room": room,
    }
    loop = _loop(op, y, vector, (x_form, hidden_form), products, macros)
    name = dict(loop.defines)["IG_NAME"]
    scratch = 4 * (op.gates + 2) * padded + 2 * products.item * padded + 2 * room
    return Call(
        name,
        (vector.source, *sources, loop),
        "struct ig_recurrent",
        fields,
        units=x.shape[0],
        scratch=scratch,
        variadic=True,
    )


def _raised(factors: Factors) -> tuple[Factors, Ints]:
    """Factors of 1 and more are 2**left times ones that the short forms of their rule take, where 32 bits allow it.

    Shifting the accumulators to the left first is exact under every rule; under `tflite`, which rounds twice, it is so
    because nothing is left to shift to the right.
    """
    least = {Rule.HALF_UP: 2, Rule.SHIFT: 1}.get(factors.rule, 0)
    left = np.clip(least - factors.shift, 0, 30)
    left = np.where(factors.bound << left < LARGEST, left, 0)
    return replace(factors, shift=factors.shift + left, bound=factors.bound << left), left


def _products(op: Recurrence, vector: Vector) -> tuple[Products, bool]:
    """The products with the hidden state, and whether they take its signs apart."""
    zero_point = np.broadcast_to(op.weight_zero_point.reshape(-1), op.weight.shape[:1]).astype(np.int32)
    centred = op.weight.astype(np.int32) - zero_point[:, None]
    sums = centred.sum(axis=1, dtype=np.int64)
    weight, left = int8_codes(op.weight, zero_point)
    if op.hidden.bits > 8 or left.any():
        return Products(centred.astype(np.int16), None, sums, flip=False, moved=0, item=2), False
    unsigned = vector.unsigned and not vector.signs
    flip = op.hidden.signed == unsigned
    return Products(weight, None, sums, flip, (128 if unsigned else -128) if flip else 0, 1), vector.signs


def _divided(vectors: Ints) -> list[Ints]:
    """Rows of vectors in panels, large ones first."""
    panels, at = [], 0
    for size in BLOCKS:
        while len(vectors) - at >= size:
            panels.append(vectors[at : at + size])
            at += size
    return panels


def _loop(
    op: Recurrence, y: Tensor, vector: Vector, forms: tuple[str, str], products: Products, macros: dict[str, Any]
) -> CSource:
    """The loop over time, and the functions of its gates."""
    hidden = Tensor((), op.hidden)
    types = np.iinfo(op.hidden.dtype)
    clamped = op.hidden.qmin > types.min or op.hidden.qmax < types.max
    wide = products.item == 2
    kept = Tensor((), INT16) if wide else hidden
    name = "_".join(
        [
            f"ig_{op.kind}",
            f"{hidden.short}_{y.short}",
            *(["clamped"] if clamped else []),
            *(["kept16"] if wide else []),
            *(key for key, value in macros.items() if value),
            *forms,
            f"_{vector.isa}",
        ]
    )
    return template(
        f"{op.kind}/{op.kind}.h",
        name,
        h=hidden.c_type,
        y=y.c_type,
        kept=kept.c_type,
        products=f"{name}_products",
        activate=f"{name}_activate",
        keep_hidden=f"{name}_keep_hidden",
        x_form_=forms[0],
        hidden_form_=forms[1],
        flip_=int(products.flip),
        signs_=int(vector.signs and not wide),
        input16_=int(wide),
        long_=int(y.type.bits > 8),
        pack=f"ig_pack_{'clamped_' if clamped else ''}{hidden.short if hidden.short in ('s8', 'u8') else 's8'}",
        **{key: int(value) for key, value in macros.items()},
    )
