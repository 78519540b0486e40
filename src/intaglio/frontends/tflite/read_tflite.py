"""Read a .tflite file as an ONNX model: float operators, with QDQ pairs where the file has codes."""

from __future__ import annotations

import os

import onnx_ir as ir

from intaglio.frontends.tflite.contents import read_contents
from intaglio.frontends.tflite.operator_forms import add_operator
from intaglio.frontends.tflite.tflite_builder import TfliteBuilder
from intaglio.graph import NORMAL_OPSET

SUFFIX = ".tflite"
NOTES = "intaglio.notes"
"""Metadata key of the model: sentences for the history, one a line."""


def is_tflite(path: object) -> bool:
    """Whether it is the path of a .tflite file, by its name."""
    return isinstance(path, str | os.PathLike) and os.fspath(path).lower().endswith(SUFFIX)


def read_tflite(content: bytes, name: str) -> ir.Model:
    """Read the content of a file.

    Args:
        content: of the file.
        name: of the file, for the graph and for errors.
    Returns:
        A model of the normal opset. Inputs and outputs have the file's order of axes and its names, those of the first
        signature where there is one; codes are read by DequantizeLinear and written by QuantizeLinear.
    Raises:
        ModelError: it cannot be read, or is damaged.
        UnsupportedOperatorError: an operator that Intaglio does not read.
    """
    contents = read_contents(content, name)
    builder = TfliteBuilder(contents)
    for operator in contents.operators:
        add_operator(builder, operator)
    outputs = builder.outputs()
    graph = ir.Graph(
        builder.inputs,
        outputs,
        nodes=builder.nodes,
        initializers=builder.initializers,
        opset_imports={"": NORMAL_OPSET},
        name=name,
    )
    return ir.Model(graph, ir_version=11, metadata_props={NOTES: "\n".join(builder.notes)} if builder.notes else {})
