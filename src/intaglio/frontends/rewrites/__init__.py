"""Write operators that need no integer operator of their own with others, when a model is loaded.

A row of `REWRITES` is `(operator, function)`. The function changes a node whose form it knows and leaves every other
one, which is refused by name where integers are wanted (`ops/refused.py` says what to do instead).
"""

from __future__ import annotations

from collections.abc import Callable

import onnx_ir as ir

from intaglio.frontends.rewrites.choices import top_one, where_all
from intaglio.frontends.rewrites.clips import clip
from intaglio.frontends.rewrites.einsum import einsum
from intaglio.frontends.rewrites.gathers import (
    gather_elements,
    gather_nd,
    hardmax,
    one_hot,
    reverse_sequence,
    tile,
)
from intaglio.frontends.rewrites.grid_samples import grid_sample
from intaglio.frontends.rewrites.local_response import local_response_norm, lrn
from intaglio.frontends.rewrites.powers import global_lp_pool, lp_pool
from intaglio.frontends.rewrites.reductions import (
    lp_normalization,
    reduce_l1,
    reduce_log_sum,
    reduce_log_sum_exp,
    reduce_prod,
)
from intaglio.frontends.rewrites.resizes import resize
from intaglio.frontends.rewrites.rewriting import Rewriting
from intaglio.frontends.rewrites.scatters import scatter_elements, scatter_nd
from intaglio.frontends.rewrites.spectra import dft, stft
from intaglio.frontends.rewrites.triangles import cum_sum, trilu
from intaglio.frontends.rewrites.unfolded import col2im, conv_of_computed

REWRITES: dict[str, Callable[[Rewriting], None]] = {
    "Clip": clip,
    "Col2Im": col2im,
    "Conv": conv_of_computed,
    "CumSum": cum_sum,
    "DFT": dft,
    "Div": local_response_norm,
    "Einsum": einsum,
    "GatherElements": gather_elements,
    "GatherND": gather_nd,
    "GlobalLpPool": global_lp_pool,
    "GridSample": grid_sample,
    "Hardmax": hardmax,
    "LRN": lrn,
    "LpNormalization": lp_normalization,
    "LpPool": lp_pool,
    "OneHot": one_hot,
    "ReduceL1": reduce_l1,
    "ReduceLogSum": reduce_log_sum,
    "ReduceLogSumExp": reduce_log_sum_exp,
    "ReduceProd": reduce_prod,
    "Resize": resize,
    "ReverseSequence": reverse_sequence,
    "STFT": stft,
    "ScatterElements": scatter_elements,
    "ScatterND": scatter_nd,
    "Tile": tile,
    "TopK": top_one,
    "Trilu": trilu,
    "Where": where_all,
}


def rewrite_operators(graph: ir.Graph) -> None:
    """Rewrite every node that has a row.

    Args:
        graph: static shapes, every node in the form of `opset_upgrade`.
    """
    for node in list(graph):
        rewrite = REWRITES.get(node.op_type)
        if rewrite is not None and not node.domain:
            rewrite(Rewriting(graph, node))
