"""Load quantized files as Graph and Plan: ONNX in QDQ, QOperator or QONNX form, and .tflite."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Mapping
from typing import Any

import onnx_ir as ir

from intaglio.errors import ModelError, UsageError
from intaglio.frontends.onnx import load_onnx
from intaglio.frontends.quantized.divisors import bare_divisors
from intaglio.frontends.quantized.file_plan import plan_of_file
from intaglio.frontends.quantized.float_weights import has_float_activations
from intaglio.frontends.quantized.fold_batchnorm import fold_batchnorm_into_weights
from intaglio.frontends.quantized.pairs import merge_twins, note_saturation, settle_weights
from intaglio.frontends.quantized.per_channel_activations import merge_channel_scales
from intaglio.frontends.quantized.qonnx import expand_qonnx
from intaglio.frontends.quantized.qoperators import expand_qoperators
from intaglio.frontends.quantized.quantized_operators import is_quantized, standardize_pairs
from intaglio.frontends.quantized.strip import Stripped, strip
from intaglio.frontends.read import OpenedFile, one_error, read_model
from intaglio.frontends.tflite.read_tflite import is_tflite
from intaglio.graph import Graph
from intaglio.graph.edit import remove_unread
from intaglio.graph.passes.canonicalize import canonicalize
from intaglio.graph.passes.fold_constants import fold_constants
from intaglio.graph.passes.fuse_activations import fuse_activations
from intaglio.graph.passes.fuse_normalization import fuse_normalization
from intaglio.graph.passes.hoist_clamps import hoist_clamps
from intaglio.graph.passes.remove_no_ops import remove_no_ops
from intaglio.number import QuantParams, Rule
from intaglio.plan import Plan, Source

PARAMS_KEY = "intaglio.params"
"""Metadata key under which `intaglio.export` stores the parameters of values without a QuantizeLinear."""

_REAL = (ir.DataType.FLOAT, ir.DataType.FLOAT16, ir.DataType.BFLOAT16, ir.DataType.DOUBLE)

# These passes run before the QuantizeLinear nodes are removed, so none can fuse operators across a value that the file
# rounds. Passes that would change a weight or rewrite a product are left out, so that the file's integers stay.
_BEFORE = (
    expand_qoperators,
    merge_twins,
    settle_weights,
    fold_constants,
    remove_no_ops,
    canonicalize,
    bare_divisors,
    fuse_normalization,
    fuse_activations,
    hoist_clamps,
)


def is_quantized_file(path: str | os.PathLike[str]) -> bool:
    """Whether an ONNX or .tflite file has quantized operators, including those that `load_quantized_graph` refuses.

    Files with integer weights and float activations, or with dynamic quantization, are read as float networks.

    Args:
        path: of the file; an `OpenedFile` keeps what was read for the one that loads it.
    Raises:
        ModelError: the file cannot be read.
    """
    with one_error(os.fspath(path)):
        model = read_model(path)
    if isinstance(path, OpenedFile):
        path.model = model
    graphs = (model.graph, *(function.graph for function in model.functions.values()))
    nodes = [node for graph in graphs for node in graph]
    return any(map(is_quantized, nodes)) and not has_float_activations(nodes)


def load_quantized_graph(
    path: str | os.PathLike[str],
    shapes: Mapping[str, tuple[int | None, ...]] | None = None,
    constants: Mapping[str, Any] | None = None,
) -> tuple[Graph, Plan, list[str]]:
    """Read a file that another tool quantized: ONNX in QDQ, QOperator or QONNX form, or .tflite.

    Args:
        path: the file.
        shapes, constants: sizes and inputs to fix, as in `frontends.load`.
    Returns:
        The float Graph with dequantized weights, the Plan with the file's parameters, and the history: one sentence for
        each change.
    Raises:
        ModelError: the file cannot be read, it has real numbers and none of them is quantized, it is quantized
            dynamically, or it leaves values float; the text lists them.
        UnsupportedOperatorError: an operator that Intaglio does not support.
    """
    with one_error(os.fspath(path)):
        return _load(path, shapes, constants)


def _load(
    path: str | os.PathLike[str],
    shapes: Mapping[str, tuple[int | None, ...]] | None,
    constants: Mapping[str, Any] | None,
) -> tuple[Graph, Plan, list[str]]:
    model = read_model(path)
    standardize_pairs(model)
    notes = expand_qonnx(model)
    note_saturation(model)
    graph = load_onnx(model, shapes, constants=constants, keep_quantized=True)
    kinds = Counter(node.op_type for node in graph.nodes if is_quantized(node))
    if not kinds and any(value.dtype in _REAL for value in graph.values().values()):
        raise ModelError(
            f"{os.fspath(path)}: expected a network that another tool quantized, got one without QuantizeLinear or "
            "QLinear operators; load it with intaglio.load and quantize it with intaglio.quantize"
        )
    held = ", ".join(f"{n} {kind}" for kind, n in sorted(kinds.items())) or "only integers and booleans"
    history = [*notes, *graph.history, f"the file holds {held}"]
    for run in _BEFORE:
        changes = run(graph)
        if changes:
            remove_unread(graph.model.graph)
            graph.model.graph.sort()
        history += changes
    stripped = strip(graph)
    _add_noted(stripped)
    stripped.notes += fold_batchnorm_into_weights(stripped)
    stripped.notes += merge_channel_scales(stripped)
    plan = plan_of_file(stripped, Rule.TFLITE if is_tflite(path) else Rule.HALF_EVEN)
    graph.model.graph.sort()
    graph.verify()
    own = sum(value.source is Source.OWN for value in plan.values.values())
    return graph, plan, [*history, *stripped.notes, f"{own} values and weights have the parameters of the file"]


def _add_noted(stripped: Stripped) -> None:
    """Add the parameters that Intaglio's own export stored in the metadata for values without a QuantizeLinear."""
    text = stripped.graph.model.metadata_props.get(PARAMS_KEY)
    if text is None:
        return
    try:
        noted = {name: QuantParams.from_json(data) for name, data in json.loads(text).items()}
    except (ValueError, KeyError, TypeError, AttributeError, UsageError) as error:
        raise ModelError(f"metadata '{PARAMS_KEY}': expected quantization parameters as JSON, got: {error}") from None
    for name, value in stripped.graph.values().items():
        if name in noted and value not in stripped.params and not value.is_initializer():
            stripped.params[value] = noted[name]
