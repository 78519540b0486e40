"""Compute a node on constants by ONNX's reference implementation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
from onnx.reference import ReferenceEvaluator

from intaglio.errors import ModelError
from intaglio.graph.access import Array, attribute, where

_RANDOM = {
    "Bernoulli", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike",
}  # fmt: skip


def compute_node(node: ir.Node, arguments: Sequence[Array | None], opset_imports: Mapping[str, int]) -> list[Array]:
    """Compute the outputs of a node whose inputs are known.

    Args:
        node: of ONNX's own domain, without subgraphs.
        arguments: an array for each input, None for one that is left out.
        opset_imports: version by domain.
    Returns:
        One result for each output, in the types that ONNX gives them.
    Raises:
        ModelError: naming the node and the reason.
    """
    if node.op_type in _RANDOM or (node.op_type == "Dropout" and _drops(node, arguments)):
        raise ModelError(_refusal(node, "it draws random numbers; export the model for inference"))
    given = {str(value.name): item for value, item in zip(node.inputs, arguments, strict=True) if value is not None}
    imports = [onnx.helper.make_opsetid(domain, version) for domain, version in opset_imports.items()]
    results = [onnx.helper.make_empty_tensor_value_info(str(output.name)) for output in node.outputs if output.name]
    try:
        described = [_described(name, item) for name, item in given.items()]
        graph = onnx.helper.make_graph([ir.serde.serialize_node(node)], "node", described, results)
        with np.errstate(all="ignore"):
            found = iter(ReferenceEvaluator(onnx.helper.make_model(graph, opset_imports=imports)).run(None, given))
            return [_as_result(next(found), output) if output.name else np.zeros(0) for output in node.outputs]
    except Exception as error:  # the reference raises what its NumPy code happens to raise
        text = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        raise ModelError(_refusal(node, text)) from error


def _drops(node: ir.Node, arguments: Sequence[Array | None]) -> bool:
    """Tell whether a Dropout is in training mode, by an attribute up to opset 6 and an input from 12 on."""
    _, ratio, training, *_ = *arguments, None, None
    some = ratio is None or bool(ratio.any())  # left out, it is 0.5
    return attribute(node, "is_test", 1) == 0 or (some and training is not None and bool(training.any()))


def _refusal(node: ir.Node, reason: str) -> str:
    return f"{where(node)} reads constants only, expected that it can be computed beforehand, got: {reason}"


def _described(name: str, item: Array | None) -> onnx.ValueInfoProto:
    """Describe the type of an argument, by which ONNX's function operators choose their body."""
    if item is None:
        return onnx.helper.make_empty_tensor_value_info(name)
    return onnx.helper.make_tensor_value_info(name, onnx.helper.np_dtype_to_tensor_dtype(item.dtype), item.shape)


def _as_result(item: Any, output: ir.Value) -> Array:
    if item is None or isinstance(item, list) or np.asarray(item).dtype.kind in "OUS":
        raise TypeError(f"'{output.name}' is no tensor of numbers")
    array = np.asarray(item)
    # The reference computes some operators in a wider type than its result has.
    return array if output.dtype is None else array.astype(output.dtype.numpy(), copy=False)
