"""Passes that rearrange a Graph, each in its file, and the order in which they run."""

from __future__ import annotations

from collections.abc import Callable

from intaglio.graph.edit import remove_unread
from intaglio.graph.graph import Graph
from intaglio.graph.moments import batch_norm_moments
from intaglio.graph.passes.absorb_transposes import absorb_transposes
from intaglio.graph.passes.canonicalize import canonicalize
from intaglio.graph.passes.canonicalize_moves import canonicalize_moves
from intaglio.graph.passes.fold_affine import fold_affine
from intaglio.graph.passes.fold_constants import fold_constants
from intaglio.graph.passes.fold_pads import fold_pads
from intaglio.graph.passes.fuse_activations import fuse_activations
from intaglio.graph.passes.fuse_normalization import fuse_normalization
from intaglio.graph.passes.hoist_clamps import hoist_clamps
from intaglio.graph.passes.make_batchnorm import make_batchnorm
from intaglio.graph.passes.make_gemm import make_gemm
from intaglio.graph.passes.make_global_pool import make_global_pool
from intaglio.graph.passes.make_masks import make_masks
from intaglio.graph.passes.merge_affine import merge_affine
from intaglio.graph.passes.merge_moves import merge_moves
from intaglio.graph.passes.move_factors import move_factors
from intaglio.graph.passes.move_transposes import move_transposes
from intaglio.graph.passes.one_layout import one_layout
from intaglio.graph.passes.remove_no_ops import remove_no_ops

Pass = Callable[[Graph], list[str]]

PASSES: tuple[Pass, ...] = (
    fold_constants,
    remove_no_ops,
    canonicalize,
    canonicalize_moves,
    # Whole expressions first: later passes would take their constants apart.
    fuse_normalization,
    fuse_activations,
    make_global_pool,
    make_masks,
    # One layout next: after a Transpose, channels are not on the axis where products have them.
    one_layout,
    merge_moves,
    move_transposes,
    absorb_transposes,
    make_gemm,
    merge_affine,
    fold_affine,
    fold_pads,
    # Last: steps that no other pass has folded become nodes of their own.
    move_factors,
    hoist_clamps,
    make_batchnorm,
)

_MOST_ROUNDS = 50


def prepare(graph: Graph) -> Graph:
    """Rearrange a graph so that it is easier to quantize, without changing its function: folded, fused, in one layout.

    Args:
        graph: in normal form; it is left as it is.
    Returns:
        A new graph, equal up to the rounding of float32. Its history lists every change; its moments are those that
        batch norms recorded.
    """
    result = graph.copy()
    result.moments = {**batch_norm_moments(graph.model.graph), **graph.moments}
    for _ in range(_MOST_ROUNDS):
        changes = [change for run in PASSES for change in _run(run, result)]
        if not changes:
            break
        result.history += changes
    else:
        result.history.append(f"the passes still found something to do after {_MOST_ROUNDS} rounds: left as it is")
    names = result.values()
    result.moments = {name: moments for name, moments in result.moments.items() if name in names}
    result.verify()
    return result


def _run(run: Pass, graph: Graph) -> list[str]:
    changes = run(graph)
    if changes:
        remove_unread(graph.model.graph)
        graph.model.graph.sort()
    return changes
