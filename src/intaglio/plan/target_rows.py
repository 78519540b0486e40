"""Check that each operator row of a target description has an effect."""

from __future__ import annotations

import difflib

import onnx

from intaglio.errors import TargetError
from intaglio.graph.operators import facts, named
from intaglio.targets import Target

# Every form of these operators returns elements of its input, indices or booleans.
_KEEPERS = named("moves") | named("largest") | {"Dropout", "Where"}
_WITHOUT_OWN_RANGE = (_KEEPERS | named("position") | named("decides")) - {"Pad"}


def check_rows(target: Target) -> None:
    """Refuse a row that placement would ignore.

    Raises:
        TargetError: a name that is no ONNX operator; weights of an operator that has none; or a format of the result of
            an operator that keeps its input's parameters, as MaxPool does, or gives booleans.
    """
    for op_type, row in target.operators.items():
        where = f"target {target.name}: operators.{op_type}"
        if not onnx.defs.has(op_type):
            names = {schema.name for schema in onnx.defs.get_all_schemas() if not schema.domain}
            close = difflib.get_close_matches(op_type, names, n=1)
            hint = f"; did you mean {close[0]}?" if close else ""
            raise TargetError(f"{where}: expected the name of an ONNX operator, got {op_type!r}{hint}")
        if row.weights is not None and not facts(op_type).product:
            raise TargetError(
                f"{where}.weights: expected none, as only {', '.join(sorted(named('product')))} have weights"
            )
        key = "activations" if row.activations is not None else "scale" if row.scale is not None else None
        if key is not None and op_type in _WITHOUT_OWN_RANGE:
            raise TargetError(
                f"{where}.{key}: {op_type} keeps the parameters of its input, or gives indices or booleans, so "
                "this key has no effect; remove it"
            )
