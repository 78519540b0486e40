"""The one table of TFLite operators: how each becomes ONNX nodes."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from intaglio.errors import UnsupportedOperatorError
from intaglio.frontends.tflite import axis_forms, elementwise_forms, move_forms, product_forms, window_forms
from intaglio.frontends.tflite.contents import TfliteOperator
from intaglio.frontends.tflite.tflite_builder import TfliteBuilder

FORMS: Mapping[str, Callable[[TfliteBuilder, TfliteOperator], None]] = {
    **window_forms.FORMS,
    **product_forms.FORMS,
    **elementwise_forms.FORMS,
    **axis_forms.FORMS,
    **move_forms.FORMS,
}

NEAR: Mapping[str, str] = {
    "CONCATENATION": "by a step: inputs on other grids than the result are requantized by integers, TFLite uses floats",
    "DIV": "by many steps for small divisors (148 were seen): one reciprocal and one rounding",
    "HARD_SWISH": "by a step: the nearest code; TFLite rounds three times, to 16 bits between",
    "L2_NORMALIZATION": "by a step: an exact root; TFLite's has a table of seven steps",
    "PRELU": "by a step: slopes are factors; TFLite multiplies by their codes",
    "RESIZE_BILINEAR": "by a step, or more where they drift: exact positions; TFLite's are multiples of a 10-bit ratio",
    "SUM": "the sum, requantized once; the reference kernel of LiteRT 2.3.0 gives other numbers than the sum",
}
"""Operators on codes whose integers may differ from those of TFLite's kernel: in what they are computed differently."""

SIXTEEN_BITS = {
    "ADD", "AVERAGE_POOL_2D", "MAX_POOL_2D", "MEAN", "MIRROR_PAD", "PAD", "PADV2", "QUANTIZE",
    "REDUCE_MAX", "REDUCE_MIN", "RESHAPE", "RESIZE_NEAREST_NEIGHBOR", "SPLIT", "SPLIT_V",
    "STRIDED_SLICE", "SUB", "TRANSPOSE",
}  # fmt: skip
"""Operators whose integers are those of TFLite's kernel for codes of 16 bits too."""


def add_operator(b: TfliteBuilder, op: TfliteOperator) -> None:
    """Add an operator's nodes.

    Raises:
        UnsupportedOperatorError: Intaglio does not read it.
    """
    form = FORMS.get(op.kind)
    if form is None:
        raise UnsupportedOperatorError(
            f"{op.where} expected an operator that Intaglio reads, got {op.kind}; convert the model without it, or "
            "give the float network as ONNX"
        )
    if any(tensor.kind == "INT16" and not b.is_real(tensor) for tensor in op.outputs) and op.kind not in SIXTEEN_BITS:
        raise UnsupportedOperatorError(
            f"{op.where} expected codes of 8 bits, got 16: Intaglio has no integers that equal TFLite's here; give the "
            "float model, and quantize it with the target int16x8"
        )
    b.begin(op)
    form(b, op)
    if op.kind in NEAR and not b.is_real(op.outputs[0]) and not _same_grids(op):
        b.notes.append(f"{op.where} may differ from TFLite's kernel: {NEAR[op.kind]}")


def _same_grids(op: TfliteOperator) -> bool:
    """Whether a CONCATENATION has nothing to requantize."""
    grids = {
        (float(tensor.params.scale[0]), int(tensor.params.zero_point[0]))
        for tensor in (*op.inputs, *op.outputs)
        if tensor is not None and tensor.params is not None
    }
    return op.kind == "CONCATENATION" and len(grids) == 1
