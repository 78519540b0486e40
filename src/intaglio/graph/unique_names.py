"""Names of values and nodes in a graph: which are in use, and how a new one is made unique.

To look for a free name walks the whole graph. A pass that adds many nodes does so under `names_kept`, where one walk
serves all of them.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from itertools import chain

import onnx_ir as ir

Owner = ir.Value | ir.Node


def unique_name(wanted: str, taken: Collection[str]) -> str:
    """Make a name unique: append '__2', '__3', ... where it is taken."""
    return _first_free(wanted, taken.__contains__)


def value_names(graph: ir.Graph) -> set[str]:
    """Collect the names of all values of a graph."""
    return {str(value.name) for value in _values(graph)}


def new_value_name(graph: ir.Graph, wanted: str, besides: Collection[str] = ()) -> str:
    """Make a name unique among the values of a graph.

    Args:
        graph: the graph.
        wanted: the name to begin with.
        besides: names that are given away, but to values that are not in the graph yet.
    """
    taken = _KEPT[graph].values.taken if graph in _KEPT else value_names(graph).__contains__
    return _first_free(wanted, lambda name: name in besides or taken(name))


def new_node_name(graph: ir.Graph, wanted: str) -> str:
    """Make a name unique among the nodes of a graph."""
    taken = _KEPT[graph].nodes.taken if graph in _KEPT else {str(node.name) for node in graph}.__contains__
    return _first_free(wanted, taken)


def note_names(graph: ir.Graph, owners: Iterable[Owner]) -> None:
    """Note under which names values or nodes stand in the graph from now on."""
    if graph in _KEPT:
        for owner in owners:
            _KEPT[graph].note(owner)


@contextmanager
def names_kept(graph: ir.Graph) -> Iterator[None]:
    """Keep track of the names of a graph, for as long as every new name in it comes from this file or from `edit`.

    Names may be handed on from one value or node to another without notice, and given up with their owner.
    """
    _KEPT[graph] = _Names(graph)
    try:
        yield
    finally:
        del _KEPT[graph]


class _Owners:
    """Who has which name, as last noted: it may have been handed on or given up since.

    Args:
        graph: that of the values or nodes.
        members: lists all of them.
    """

    def __init__(self, graph: ir.Graph, members: Callable[[ir.Graph], Iterable[Owner]]) -> None:
        self._graph = weakref.ref(graph)
        self._members = members
        self._owners: dict[str, weakref.ref[Owner]] | None = None

    def note(self, owner: Owner) -> None:
        if self._owners is not None:
            self._owners[str(owner.name)] = weakref.ref(owner)

    def taken(self, name: str) -> bool:
        """Tell whether a value or node of the graph has this name now."""
        if self._owners is None:
            self._walk()
        assert self._owners is not None
        if name not in self._owners:
            return False
        owner = self._owners[name]()
        if owner is not None and str(owner.name) == name and owner.graph is self._graph():
            return True
        self._walk()  # the noted owner has lost it, perhaps to another
        return name in self._owners

    def _walk(self) -> None:
        graph = self._graph()
        assert graph is not None
        self._owners = {str(member.name): weakref.ref(member) for member in self._members(graph)}


class _Names:
    """The names of one graph."""

    def __init__(self, graph: ir.Graph) -> None:
        self.values, self.nodes = _Owners(graph, _values), _Owners(graph, iter)

    def note(self, owner: Owner) -> None:
        (self.nodes if isinstance(owner, ir.Node) else self.values).note(owner)


_KEPT: weakref.WeakKeyDictionary[ir.Graph, _Names] = weakref.WeakKeyDictionary()


def _values(graph: ir.Graph) -> Iterator[ir.Value]:
    outputs = (output for node in graph for output in node.outputs)
    return chain(graph.inputs, graph.initializers.values(), outputs)


def _first_free(wanted: str, taken: Callable[[str], bool]) -> str:
    if not taken(wanted):
        return wanted
    number = 2
    while taken(f"{wanted}__{number}"):
        number += 1
    return f"{wanted}__{number}"
