"""The contract of a pass, and the check that it is kept.

A pass changes a Graph in place and returns a sentence for each change. It keeps the inputs and outputs of the network
(names, types, shapes), what every value holds that keeps its name, and the normal form: each node behind those that it
reads, names unique, types and static shapes known. (A node of constants only may be left: `fold_constants` takes it.)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import onnx_ir as ir

from intaglio.errors import IntaglioError, ModelError
from intaglio.graph.edit import remove_unread
from intaglio.graph.graph import Graph
from intaglio.graph.unique_names import names_kept
from intaglio.graph.verify_graph import verify_structure

Rewrite = Callable[[Graph], list[str]]


class PassError(AssertionError):
    """A pass that broke its contract: a fault of the pass, not of the model."""


@dataclass(frozen=True)
class Pass:
    """A pass and what it declares.

    Args:
        run: the pass.
        needs: passes whose forms it looks for, so that they come before it in every round.
        permutes: values inside the network may get another order of axes, or of their elements, under their names.
        quiet: it also makes changes that are not worth a sentence, such as the order of the operands of a sum.
    """

    run: Rewrite
    needs: tuple[Rewrite, ...] = ()
    permutes: bool = False
    quiet: bool = False

    @property
    def name(self) -> str:
        """Of its function."""
        return self.run.__name__


def check_order(passes: Sequence[Pass]) -> None:
    """Hold the order of passes against what they need.

    Raises:
        PassError: naming the pass.
    """
    before: set[Rewrite] = set()
    for one in passes:
        for need in one.needs:
            if need not in before:
                raise PassError(f"pass {one.name}: expected {need.__name__} before it, got it later or not at all")
        before.add(one.run)


class Checked:
    """A Graph on which passes run, each held against its contract.

    Args:
        graph: in normal form; changed in place.
    """

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self._ends = _ends(graph)
        self._take_state()

    def run(self, one: Pass) -> list[str]:
        """Run a pass and tidy up behind it: what nothing reads goes, and nodes are sorted.

        Returns:
            A sentence for each change.
        Raises:
            PassError: naming the pass, and what it broke.
            IntaglioError: what the pass has to say about the model.
        """
        inner = self.graph.model.graph
        try:
            with names_kept(inner):
                changes = one.run(self.graph)
            changed = _structure(inner) != self._structure
            if changed:
                remove_unread(inner)
                inner.sort()
        except IntaglioError:
            raise
        except Exception as error:
            raise PassError(f"pass {one.name}: {type(error).__name__}: {error}") from error
        if changed != bool(changes) and not (changed and one.quiet):
            said, did = ("that it changed something", "nothing") if changes else ("that it changed nothing", "a change")
            raise PassError(f"pass {one.name}: it said {said}, and {did} was found")
        if changed:
            self._check(one)
            self._take_state()
        return changes

    def _check(self, one: Pass) -> None:
        for kind, given, now in zip(("inputs", "outputs"), self._ends, _ends(self.graph), strict=True):
            if given != now:
                raise PassError(f"pass {one.name}: expected the {kind} {given} to stay, got {now}")
        try:
            verify_structure(self.graph.model.graph, folded=False)
        except ModelError as error:
            raise PassError(f"pass {one.name}: {error}") from error
        sizes = _sizes(self.graph)
        for name, before in self._sizes.items():
            size = sizes.get(name, before)
            if size != before and not (one.permutes and sorted(size) == sorted(before)):
                raise PassError(f"pass {one.name}: expected value '{name}' to keep its shape {before}, got {size}")

    def _take_state(self) -> None:
        self._structure, self._sizes = _structure(self.graph.model.graph), _sizes(self.graph)


def _structure(graph: ir.Graph) -> list[Any]:
    """All that a pass can change, for comparison: attributes and arrays by identity, as nobody writes into them."""
    nodes = [
        (node, node.op_type, node.inputs, node.outputs, *node.attributes.data.values(), [v.name for v in node.outputs])
        for node in graph
    ]
    constants = [(value, value.const_value) for value in graph.initializers.values()]
    return [nodes, constants, list(graph.inputs), list(graph.outputs)]


def _ends(graph: Graph) -> tuple[list[str], list[str]]:
    """Inputs and outputs in words."""
    inputs, outputs = (
        [f"{value.name}: {value.dtype} {value.shape}" for value in values] for values in (graph.inputs, graph.outputs)
    )
    return inputs, outputs


def _sizes(graph: Graph) -> dict[str, tuple[Any, ...]]:
    """The shape of every computed value by name."""
    return {
        str(value.name): () if value.shape is None else tuple(value.shape.dims)
        for node in graph.model.graph
        for value in node.outputs
    }
