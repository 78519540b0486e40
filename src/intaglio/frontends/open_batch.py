"""Settle the batch: 1 where a network keeps samples apart; fixed, with a reason, where it computes with the size."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import onnx_ir as ir

from intaglio.errors import ModelError
from intaglio.frontends import static
from intaglio.graph.access import shape
from intaglio.graph.batch import first_batch_mixer, first_difference, fix_batch

Normalize = Callable[[ir.Model, static.Shapes, int], ir.Model]
"""(model, shapes, size of an open batch) -> the model in normal form."""

# Operators by which a network gets the size of its batch. At each of `_OTHER_SIZES` it must be the same network; at one
# sample it may have other shapes, as from a Squeeze of all axes of size 1.
_ASKS = {"Shape", "Size", "EyeLike", "RandomNormalLike", "RandomUniformLike", "Bernoulli"}
_OTHER_SIZES = (3, 61)


def with_static_batch(model: ir.Model, shapes: static.Shapes, normalize: Normalize) -> tuple[ir.Model, list[str]]:
    """Make shapes static with a batch of 1; where the model leaves it open, by way of a batch of 2.

    At a batch of 1 a Squeeze of all axes of size 1 would remove the batch too, and Expand by the batch would be a
    no-op; at 2 both act as at any larger size.

    Returns:
        The model in normal form, and sentences about its batch for the history.
    """
    if static.open_batch(model, shapes):
        return _open(model, shapes, normalize)
    free = _opened(model) if _asks_for_sizes(model) else None
    result = normalize(model, shapes, 1)
    sizes = {shape(value)[:1] for value in result.graph.inputs}
    if len(sizes) != 1 or sizes == {()} or first_batch_mixer(result.graph) is not None:
        return result, []
    if free is not None:
        why = _dependence_of_fixed(free, shapes, normalize)
        if why is not None:
            (size,) = sizes.pop()
            fix_batch(result.graph, why)
            return result, [f"the batch is fixed to {size}, as in the model: {why}"]
    if sizes != {(1,)}:
        static.set_batch(result, 1)
    return result, []


def _open(model: ir.Model, shapes: static.Shapes, normalize: Normalize) -> tuple[ir.Model, list[str]]:
    depends, notes = False, []
    try:
        pair = normalize(model.clone(), shapes, 2)
        why = first_batch_mixer(pair.graph)
        if why is None:
            static.set_batch(pair, 1)
            why = _dependence(model, shapes, normalize, pair) if _asks_for_sizes(model) else None
            depends = why is not None
    except ModelError as error:  # a batch of 1 may still work; if not, its own error is reported
        why = f"with two samples it cannot be loaded ({error})"
        notes = [f"loaded with 1 sample: {why}"]
    if why is None:
        return pair, []
    single = normalize(model, shapes, 1)
    if depends:
        fix_batch(single.graph, why)
    if first_batch_mixer(single.graph) is None:
        return single, notes
    fix_batch(single.graph, why)  # a pass may take out an operator that mixes samples, which does nothing to one
    return single, [f"the batch, which the model leaves open, is fixed to 1: {why}; give another size with its shape"]


def _dependence(model: ir.Model, shapes: static.Shapes, normalize: Normalize, pair: ir.Model) -> str | None:
    """Find out how a network, here with a batch of 1 by way of 2, differs from itself at other batch sizes."""
    for size in _OTHER_SIZES:
        try:
            other = normalize(model.clone(), shapes, size)
        except ModelError as error:
            return f"with {size} samples it cannot be loaded ({error})"
        if first_batch_mixer(other.graph) is None:
            static.set_batch(other, 1)
        node = first_difference(pair.graph, other.graph)
        if node is not None:
            return f"{node} depends on the size of the batch"
    try:
        single = normalize(model.clone(), shapes, 1)
    except ModelError:
        return None  # the model is made for several samples only: with any number of these it is the same network
    node = first_difference(pair.graph, single.graph, but_for_shapes=True)
    return None if node is None else f"{node} depends on whether the batch is 1"


def _dependence_of_fixed(free: ir.Model, shapes: static.Shapes, normalize: Normalize) -> str | None:
    """Do what `_dependence` does for a model that fixes its batch, after opening it."""
    loose = {name: (None, *sizes[1:]) for name, sizes in shapes.items()}
    try:
        pair = normalize(free.clone(), loose, 2)
    except ModelError:
        return None  # other sizes are refused by the model itself: it says nothing about them
    if first_batch_mixer(pair.graph) is not None:
        return None
    static.set_batch(pair, 1)
    return _dependence(free, loose, normalize, pair)


def _opened(model: ir.Model) -> ir.Model | None:
    """Open the batch of a model whose inputs all share one fixed size of axis 0."""
    sizes = {value.shape[0] if value.shape is not None and value.shape.rank() else None for value in model.graph.inputs}
    if len(sizes) != 1 or not isinstance(next(iter(sizes)), int):
        return None
    result = model.clone()
    for value in result.graph.inputs:
        assert value.shape is not None
        value.shape = ir.Shape([None, *value.shape.dims[1:]])
    return result


def _asks_for_sizes(model: ir.Model) -> bool:
    return any(node.op_type in _ASKS for graph in _graphs(model) for node in graph)


def _graphs(model: ir.Model) -> Iterator[ir.Graph]:
    yield model.graph
    yield from model.graph.subgraphs()
