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
    b.begin(op)
    form(b, op)
