"""Lookup tables of functions in evaluation: results equal those of the integer program's tables.

In training, functions are computed in float32 and rounded like all values, because scales change at each step and a
16-bit table takes a tenth of a second to build. Up to 8 bits both give the same results except for ties; at 16 bits a
table is within 1.5 of 65536 steps.
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
"""(input parameters, output parameters, current constants) -> integer operator; None if there is none."""

GridNow = tuple[Tensor, Tensor]
"""Current scale and zero point, one number each."""


class Table:
    """Lookup table of one function, rebuilt when a scale, zero point or constant has changed.

    Args:
        make: makes the integer operator, see `Made`.
        x, y: types of input and output.
        axis: channel axis, if each channel has its own function; None for one function.
    """

    def __init__(self, make: Made, x: IntType, y: IntType, axis: int | None = None) -> None:
        self.make, self.types, self.axis = make, (x, y), axis
        self.key = next(_keys)  # identifies the table in compiled code
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
        """Return the results of the integer operator.

        Args:
            x: input, rounded real numbers.
            rounded: rounded result of the real function, whose gradient is used.
            x_grid, y_grid: current scale and zero point of input and output.
            constants: current values of the trained constants.
        Returns:
            Results in shape and dtype of `rounded`; `rounded` itself if there is no table for these parameters.
        """
        numbers = [t.detach() for t in (*x_grid, *y_grid)]
        return looked_up(
            rounded, _look_up(x.detach(), rounded.detach(), numbers, [c.detach() for c in constants], self.key)
        )

    def found(self, x: Tensor, rounded: Tensor, numbers: Sequence[Tensor], constants: Sequence[Tensor]) -> Tensor:
        """Look up results, outside of compiled code (arguments: see `__call__`)."""
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
            return None  # collapsed scale, which `QuantizedModule.check_scales` reports
        x, y = (QuantParams(t, s, np.rint(z)) for t, s, z in zip(self.types, grids[::2], grids[1::2], strict=True))
        operator = self.make(x, y, arrays)
        return None if operator is None else results_of(operator, x, y, device, self.axis)


@dataclass(frozen=True, eq=False)
class TableFunction:
    """Node that computes a function of one value with a lookup table.

    Args:
        source: name of its input.
        result: name of its output, after fused activations.
        learned: names of its trained constants.
        table: its lookup table.
    """

    source: str
    result: str
    learned: tuple[str, ...]
    table: Table


def table_functions(
    graph: Graph, plan: Plan, learned: Collection[str], grids: Collection[str], grid_of: Mapping[str, str]
) -> dict[str, TableFunction]:
    """Find the functions of one value in a network, by node name.

    Args:
        graph, plan: the network.
        learned: names of the trained constants.
        grids: keys of the scales that exist in training.
        grid_of: key of each value's scale, by value name.
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
