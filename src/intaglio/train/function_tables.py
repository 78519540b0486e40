"""Functions of one value in evaluation: results are those of the integer program's tables, as in a frozen network.

In training functions are computed in float32 and rounded like every other value: scales change at each step, and a
table of 16 bits takes a tenth of a second. Of up to 8 bits both give the same but for ties; of 16 bits a table is
within 1.5 steps of 65536.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any
from weakref import WeakValueDictionary

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from intaglio.graph import Graph
from intaglio.number import IntType, QuantParams
from intaglio.number.params import SMALLEST_SCALE
from intaglio.plan import Plan
from intaglio.plan.unary_nodes import Unary, unaries
from intaglio.program import Operator
from intaglio.simulate.lookup import Computed, Lookup, looked_up, results_of

Made = Callable[[QuantParams, QuantParams, Sequence[NDArray[Any]]], Operator | None]
"""Parameters of input and output, and constants as they are now, to the operator; None where there is none."""

GridNow = tuple[Tensor, Tensor]
"""Scale and zero point, one number each."""


class Table:
    """The table of one function; made again when a grid or a constant has changed.

    Args:
        make: see `Made`.
        x, y: types of input and output.
        axis: of channels that have a function each; None for one function.
    """

    def __init__(self, make: Made, x: IntType, y: IntType, axis: int | None = None) -> None:
        self.make, self.types, self.axis = make, (x, y), axis
        self.key = next(_keys)  # what compiled code knows it by
        self._made_for: tuple[object, ...] = ()
        self._lookup: Lookup | Computed | None = None
        _TABLES[self.key] = self

    def __deepcopy__(self, memo: dict[int, Any]) -> Table:
        return Table(self.make, *self.types, self.axis)

    def __reduce__(self) -> tuple[Any, ...]:
        return Table, (self.make, *self.types, self.axis)

    def __call__(
        self, x: Tensor, rounded: Tensor, x_grid: GridNow, y_grid: GridNow, constants: Sequence[Tensor] = ()
    ) -> Tensor:
        """Results of the integer operator.

        Args:
            x: real numbers on the input's grid.
            rounded: what the real function gives, rounded; its gradient is that of the result.
            x_grid, y_grid: as they are now.
            constants: which training changes, as they are now.
        Returns:
            Shape and type of `rounded`; that itself where these grids have no table.
        """
        numbers = [t.detach() for t in (*x_grid, *y_grid)]
        return looked_up(
            rounded, _look_up(x.detach(), rounded.detach(), numbers, [c.detach() for c in constants], self.key)
        )

    def found(self, x: Tensor, rounded: Tensor, numbers: Sequence[Tensor], constants: Sequence[Tensor]) -> Tensor:
        """See `__call__`; runs outside of compiled code."""
        grids = torch.stack([n.float().reshape(()) for n in numbers]).cpu().numpy()
        arrays = [c.cpu().numpy() for c in constants]
        key = grids.tobytes(), *(a.tobytes() for a in arrays), x.device
        if key != self._made_for:
            self._lookup, self._made_for = self._new(grids, arrays, x.device), key
        return rounded.clone() if self._lookup is None else self._lookup(x).to(rounded.dtype)

    def _new(
        self, grids: NDArray[np.float32], arrays: list[NDArray[Any]], device: torch.device
    ) -> Lookup | Computed | None:
        if not np.isfinite(grids).all() or min(grids[0], grids[2]) < SMALLEST_SCALE:
            return None  # a scale that has collapsed, which `QuantizedModule.check_scales` tells of
        x, y = (QuantParams(t, s, np.rint(z)) for t, s, z in zip(self.types, grids[::2], grids[1::2], strict=True))
        operator = self.make(x, y, arrays)
        return None if operator is None else results_of(operator, x, y, device, self.axis)


@dataclass(frozen=True, eq=False)
class TableFunction:
    """A node that is a function of one value with a table.

    Args:
        source: the value that it reads.
        result: the value that it writes, behind the activations fused into it.
        learned: its constants that training changes.
        table: of it.
    """

    source: str
    result: str
    learned: tuple[str, ...]
    table: Table


def table_functions(
    graph: Graph, plan: Plan, learned: Collection[str], grids: Collection[str], grid_of: Mapping[str, str]
) -> dict[str, TableFunction]:
    """The functions of one value in a network, by the names of their nodes.

    Args:
        graph, plan: of the network.
        learned: constants that training changes.
        grids: that values have in training, by their keys.
        grid_of: the keys of values.
    """
    found = {}
    for unary in unaries(graph, plan):
        formats = plan.root(unary.source).format, plan.root(unary.result).format
        if formats[0] is None or formats[1] is None or not {grid_of[unary.source], grid_of[unary.result]} <= set(grids):
            continue
        names = tuple(str(v.name) for v in unary.node.inputs if v is not None and v.name in learned)
        table = Table(partial(_operator, unary, plan, names), formats[0].type, formats[1].type, unary.axis)
        found[str(unary.node.name)] = TableFunction(unary.source, unary.result, names, table)
    return found


def _operator(
    unary: Unary, plan: Plan, names: Sequence[str], x: QuantParams, y: QuantParams, arrays: Sequence[NDArray[Any]]
) -> Operator | None:
    return unary.operator(plan, x, y, dict(zip(names, arrays, strict=True)))


_keys = itertools.count()
_TABLES: WeakValueDictionary[int, Table] = WeakValueDictionary()


@torch.library.custom_op("intaglio::look_up", mutates_args=())
def _look_up(x: Tensor, rounded: Tensor, numbers: Sequence[Tensor], constants: Sequence[Tensor], table: int) -> Tensor:
    return _TABLES[table].found(x, rounded, numbers, constants)


@_look_up.register_fake
def _(x: Tensor, rounded: Tensor, numbers: Sequence[Tensor], constants: Sequence[Tensor], table: int) -> Tensor:
    return torch.empty_like(rounded)
