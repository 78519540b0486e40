"""The float tail of a network: post-processing that integers cannot compute, such as non-maximum suppression.

A network is cut where its post-processing begins. The part before becomes the Graph; the part behind reads results of
it and stays an ONNX model in float, for ONNX Runtime.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
from numpy.typing import NDArray

from intaglio.errors import DataError, ExportError, UsageError
from intaglio.files import whole_file

TAIL = "tail.onnx"
"""Name of the file in a folder of results."""


@dataclass(frozen=True)
class Tail:
    """A float ONNX model that runs on the outputs of a network.

    Args:
        model: the ONNX model.
        begins: the operators with which it begins, as errors name them.
        given: names of the network's outputs, in order; the tail reads some of them.
    """

    model: onnx.ModelProto
    begins: tuple[str, ...]
    given: tuple[str, ...] = ()

    @property
    def inputs(self) -> list[str]:
        """The names of what it reads: outputs of the network, or inputs of the network that it reads itself."""
        return [value.name for value in self.model.graph.input]

    @property
    def outputs(self) -> list[str]:
        """The names of its results, which are outputs of the original network."""
        return [value.name for value in self.model.graph.output]

    def run(self, y: Any, **inputs: NDArray[Any]) -> dict[str, NDArray[Any]]:
        """Run the tail with ONNX Runtime on what `simulate`, `Program.run` or a compiled program returned.

        Args:
            y: the network's output, a sequence of its outputs in order, or a mapping of them by name.
            inputs: inputs of the network that the tail reads itself, by name.
        Returns:
            The tail's results by name.
        Raises:
            UsageError: ONNX Runtime is not installed.
            DataError: an output that the tail reads is missing.
        """
        try:
            import onnxruntime
        except ImportError as error:
            raise UsageError(
                "tail: expected onnxruntime, which runs it, got no such package; pip install 'intaglio[peers]'"
            ) from error
        named: dict[str, Any] = {**(y if isinstance(y, Mapping) else self._named(y)), **inputs}
        missing = [name for name in self.inputs if name not in named]
        if missing:
            raise DataError(f"tail: expected {', '.join(map(repr, self.inputs))}, got no {missing[0]!r}")
        session = onnxruntime.InferenceSession(self.model.SerializeToString(), providers=["CPUExecutionProvider"])
        arrays = {name: np.ascontiguousarray(named[name]) for name in self.inputs}
        feed = {name: a.astype(np.float32) if a.dtype.kind == "f" else a for name, a in arrays.items()}
        return dict(zip(self.outputs, session.run(self.outputs, feed), strict=True))

    def _named(self, y: Any) -> dict[str, Any]:
        outputs: Sequence[Any] = y if isinstance(y, tuple | list) else (y,)
        if len(outputs) != len(self.given):
            raise DataError(
                f"tail: expected the network's outputs {', '.join(self.given)} in this order, got {len(outputs)}"
            )
        return dict(zip(self.given, outputs, strict=True))

    def __str__(self) -> str:
        more = f" and {len(self.begins) - 1} more" if len(self.begins) > 1 else ""
        return (
            f"post-processing from {self.begins[0]}{more} on ({len(self.model.graph.node)} operators) stays in float: "
            f"the network ends at {', '.join(self.given)}, the tail computes {', '.join(self.outputs)} from "
            f"{', '.join(self.inputs)}"
        )

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the tail as an ONNX file.

        Raises:
            ExportError: the file cannot be written.
        """
        try:
            with whole_file(Path(path)) as written:
                written.write_bytes(self.model.SerializeToString())
        except OSError as error:
            raise ExportError(f"{path}: expected to write the tail here, got: {error.strerror or error}") from error


def detached(graph: ir.Graph, nodes: Sequence[ir.Node], inputs: Sequence[ir.Value], name: str) -> onnx.GraphProto:
    """Serialize some nodes of a graph as a graph of their own.

    Args:
        graph: the graph.
        nodes: in order.
        inputs: the values that they read of the rest, typed.
        name: of the new graph.
    Returns:
        A graph with the constants that the nodes read, and with those outputs of `graph` that they compute.
    """
    read = {value for node in nodes for value in read_by(node)}
    made = {output for node in nodes for output in node.outputs}
    return onnx.GraphProto(
        name=name,
        node=[ir.serde.serialize_node(node) for node in nodes],
        input=[ir.serde.serialize_value(value) for value in inputs],
        output=[ir.serde.serialize_value(value) for value in graph.outputs if value in made],
        initializer=[
            ir.serde.serialize_tensor(value.const_value)
            for value in graph.initializers.values()
            if value in read and value.const_value is not None
        ],
    )


def read_by(node: ir.Node) -> list[ir.Value]:
    """List the values that a node reads, in the graphs inside it too."""
    found = [value for value in node.inputs if value is not None]
    for body in bodies(node):
        found += [value for inner in body for value in read_by(inner)]
        found += body.outputs
    return found


def bodies(node: ir.Node) -> list[ir.Graph]:
    """List the graphs inside a node: branches of an If, the body of a Loop."""
    found: list[ir.Graph] = []
    for attribute in node.attributes.values():
        if attribute.type == ir.AttributeType.GRAPH:
            found.append(attribute.as_graph())
        elif attribute.type == ir.AttributeType.GRAPHS:
            found += attribute.as_graphs()
    return found


def disconnect(node: ir.Node) -> None:
    """Let the graphs inside a node, which is about to be removed, read nothing any more."""
    for body in bodies(node):
        for inner in body.all_nodes():
            for index in range(len(inner.inputs)):
                inner.replace_input_with(index, None)
