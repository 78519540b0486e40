"""Passes that rearrange a Graph, each in its file, and the order in which they run."""

from __future__ import annotations

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
from intaglio.graph.passes.make_dynamic_masks import make_dynamic_masks
from intaglio.graph.passes.make_extrema import make_extrema
from intaglio.graph.passes.make_gemm import make_gemm
from intaglio.graph.passes.make_global_pool import make_global_pool
from intaglio.graph.passes.make_group_norm import make_group_norm
from intaglio.graph.passes.make_magnitudes import make_magnitudes
from intaglio.graph.passes.make_masks import make_masks
from intaglio.graph.passes.make_squares import make_squares
from intaglio.graph.passes.merge_affine import merge_affine
from intaglio.graph.passes.merge_moves import merge_moves
from intaglio.graph.passes.move_factors import move_factors
from intaglio.graph.passes.move_transposes import move_transposes
from intaglio.graph.passes.one_layout import one_layout
from intaglio.graph.passes.pass_contract import Checked, Pass, check_order
from intaglio.graph.passes.remove_no_ops import remove_no_ops

PASSES: tuple[Pass, ...] = (
    Pass(fold_constants),
    Pass(remove_no_ops),
    Pass(canonicalize, quiet=True),
    Pass(canonicalize_moves),
    # Whole expressions first: later passes would take their constants apart.
    Pass(make_group_norm),
    Pass(fuse_normalization, needs=(canonicalize,)),
    Pass(fuse_activations, needs=(canonicalize,)),
    Pass(make_extrema, needs=(canonicalize, fuse_activations)),
    Pass(make_squares, needs=(canonicalize, fuse_normalization)),
    Pass(make_magnitudes, needs=(canonicalize, fuse_normalization)),
    Pass(make_global_pool),
    Pass(make_dynamic_masks, needs=(canonicalize, fuse_normalization)),
    Pass(make_masks, needs=(canonicalize, fuse_normalization)),
    # One layout next: after a Transpose, channels are not on the axis where products have them.
    Pass(one_layout, needs=(canonicalize_moves,), permutes=True),
    Pass(merge_moves, needs=(canonicalize_moves,)),
    Pass(move_transposes, needs=(canonicalize_moves,), permutes=True),
    Pass(absorb_transposes, needs=(canonicalize_moves,), permutes=True),
    Pass(make_gemm, needs=(canonicalize,)),
    Pass(merge_affine, needs=(canonicalize,)),
    Pass(fold_affine, needs=(canonicalize, make_gemm, one_layout)),
    Pass(fold_pads, needs=(canonicalize_moves,)),
    # Last: steps that no other pass has folded become nodes of their own.
    Pass(move_factors, needs=(fold_affine,)),
    Pass(hoist_clamps, needs=(canonicalize,)),
    Pass(make_batchnorm, needs=(merge_affine, fold_affine)),
)

_MOST_ROUNDS = 50


def prepare(graph: Graph) -> Graph:
    """Rearrange a graph so that it is easier to quantize, without changing its function: folded, fused, in one layout.

    Args:
        graph: in normal form; it is left as it is.
    Returns:
        A new graph, equal up to the rounding of float32. Its history lists every change; its moments are those that
        batch norms recorded.
    Raises:
        PassError: naming the pass that broke its contract.
        ModelError: a node that cannot be computed beforehand.
    """
    result = graph.copy()
    result.moments = {**batch_norm_moments(graph.model.graph), **graph.moments}
    check_order(PASSES)
    checked = Checked(result)
    for _ in range(_MOST_ROUNDS):
        changes = [change for one in PASSES for change in checked.run(one)]
        if not changes:
            break
        result.history += changes
    else:
        result.history.append(f"the passes still found something to do after {_MOST_ROUNDS} rounds: left as it is")
    names = result.values()
    result.moments = {name: moments for name, moments in result.moments.items() if name in names}
    result.verify()
    return result
