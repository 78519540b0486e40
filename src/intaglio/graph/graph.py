"""The Graph: a float network, typed and with static shapes."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import onnx
import onnx_ir as ir

from intaglio.errors import ExportError, ModelError
from intaglio.files import whole_file
from intaglio.graph.batch import first_batch_mixer
from intaglio.graph.moments import Moments
from intaglio.graph.onnx_loops import write_loops_as_layers
from intaglio.graph.pickling import State, from_state, to_state
from intaglio.graph.tail import Tail
from intaglio.graph.verify_graph import verify
from intaglio.tables import clean, text_table

NORMAL_OPSET = 24
"""The one opset of ONNX's main domain that a Graph uses; what newer and older files write is brought to it."""

# Protobuf cannot hold 2 GiB; beyond this the weights go to a file beside the model.
_LARGEST_PROTOBUF = 2**31 - 2**24


class Graph:
    """An `onnx_ir` model in normal form, and the history of what was done to it.

    Normal form: opset `NORMAL_OPSET`, no functions or subgraphs, every shape static (the batch is 1 where the
    model left it open), every node with a unique name, constants as initializers with one consumer each, no node
    that computes on constants only, float32 throughout.

    Attributes:
        model: the `onnx_ir.Model`.
        history: one sentence per change that a pass made, in order.
        moments: mean and spread that batch norm recorded of values before it was folded, by value name.
        tail: post-processing in float that was cut off, and runs on the outputs; None where there is none.
    """

    def __init__(
        self,
        model: ir.Model,
        history: Iterable[str] = (),
        moments: Mapping[str, Moments] | None = None,
        tail: Tail | None = None,
    ) -> None:
        self.model = model
        self.history: list[str] = list(history)
        self.moments: dict[str, Moments] = dict(moments or {})
        self.tail = tail

    @property
    def name(self) -> str:
        """The model's own name."""
        return self.model.graph.name or "graph"

    @property
    def nodes(self) -> list[ir.Node]:
        """The nodes in topological order."""
        return list(self.model.graph)

    @property
    def inputs(self) -> list[ir.Value]:
        """The network's inputs, constants excluded."""
        return list(self.model.graph.inputs)

    @property
    def outputs(self) -> list[ir.Value]:
        """The network's outputs."""
        return list(self.model.graph.outputs)

    @property
    def initializers(self) -> list[ir.Value]:
        """The constants: weights, biases, shapes."""
        return list(self.model.graph.initializers.values())

    @property
    def batched(self) -> bool:
        """Whether axis 0 of every computed value is the batch and no operator mixes it.

        Such a graph may be run with any number of samples although its shapes say 1: a Reshape then carries its
        first size over (its shape constant starts with 0), everything else follows ONNX.
        """
        return first_batch_mixer(self.model.graph) is None

    def values(self) -> dict[str, ir.Value]:
        """Every value by name: inputs, initializers, and what nodes compute, in this order."""
        found = {str(value.name): value for value in (*self.inputs, *self.initializers)}
        for node in self.model.graph:
            found.update({str(output.name): output for output in node.outputs if output.name})
        return found

    def value(self, name: str) -> ir.Value:
        """The value of that name. It walks the graph: ask `values` once for many of them.

        Raises:
            ModelError: there is none.
        """
        found = self.model.graph.initializers.get(name) or self.values().get(name)
        if found is None:
            raise ModelError(f"graph '{self.name}': expected a value called '{name}', got none of that name")
        return found

    def node(self, name: str) -> ir.Node:
        """The node of that name.

        Raises:
            ModelError: there is none.
        """
        for node in self.model.graph:
            if node.name == name:
                return node
        raise ModelError(f"graph '{self.name}': expected a node called '{name}', got none of that name")

    def copy(self) -> Graph:
        """A graph of its own; only the arrays of its constants are shared, and nobody writes into those."""
        return Graph(self.model.clone(), self.history, self.moments, self.tail)

    def __deepcopy__(self, memo: dict[int, Any]) -> Graph:
        return self.copy()

    def __reduce__(self) -> tuple[Any, ...]:
        return _unpickled, (to_state(self.model), self.history, self.moments, self.tail)

    def verify(self) -> None:
        """Check the normal form.

        Raises:
            ModelError: naming the node or value at fault.
        """
        verify(self.model, NORMAL_OPSET)

    def proto(self) -> onnx.ModelProto:
        """The ONNX model; axis 0 of inputs and outputs is called 'batch' where the graph is `batched`."""
        return ir.to_proto(self._for_file())

    def _for_file(self) -> ir.Model:
        model = self.model.clone()
        write_loops_as_layers(model)
        if not self.batched:
            return model
        for node in model.graph:
            for output in node.outputs:
                # Intermediate shapes say 1; a reader infers them again from the open batch.
                output.shape = None if not output.is_graph_output() else output.shape
        for value in (*model.graph.inputs, *model.graph.outputs):
            assert value.shape is not None
            value.shape = ir.Shape(["batch", *value.shape.dims[1:]])
        return model

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the graph as an .onnx file that any runtime of its opset runs.

        The file appears whole or not at all. Weights beyond 2 GB go to `<path>.data`.

        Raises:
            ExportError: the file cannot be written.
        """
        target = Path(path)
        model = self._for_file()
        size = sum(value.const_value.nbytes for value in model.graph.initializers.values() if value.const_value)
        try:
            with whole_file(target) as written:
                ir.save(model, written, external_data=f"{target.name}.data" if size > _LARGEST_PROTOBUF else None)
        except OSError as error:
            reason = error.strerror or str(error)
            raise ExportError(f"{target}: expected to write the graph here, got: {reason}") from error

    def summary(self) -> str:
        """Table of the nodes: results, and the constants that each reads."""
        rows = []
        for node in self.model.graph:
            read = sum(v.const_value.size for v in node.inputs if v is not None and v.const_value is not None)
            shapes = ", ".join(_sizes(v) for v in node.outputs)
            rows.append((node.name, node.op_type, shapes, f"{read:,}"))
        return text_table(self._line(), ("node", "operator", "output", "constants"), rows)

    def _line(self) -> str:
        ends = (", ".join(f"{v.name} {_sizes(v)}" for v in values) for values in (self.inputs, self.outputs))
        return clean(f"{self.name!r}, {len(self.nodes)} nodes, {' -> '.join(ends)}")

    def __repr__(self) -> str:
        return f"Graph({self._line()})"


def _sizes(value: ir.Value) -> str:
    return "x".join(map(str, value.shape.dims)) if value.shape else "one number"


def _unpickled(state: State, history: list[str], moments: dict[str, Moments], tail: Tail | None) -> Graph:
    return Graph(from_state(state), history, moments, tail)
