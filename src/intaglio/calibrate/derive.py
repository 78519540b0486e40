"""Biases follow from inputs and weights: int32 on the accumulator's own grid."""

from __future__ import annotations

import numpy as np

from intaglio.graph import Graph
from intaglio.graph.access import constant, shape
from intaglio.number import INT32, PerChannel, PerTensor, QuantParams
from intaglio.plan import Plan, Source


def derive_biases(graph: Graph, plan: Plan) -> None:
    """First version."""
    for value in plan.values.values():
        if value.source is not Source.DERIVED:
            continue
        x, w = (plan.params(n) for n in value.of)
        assert x is not None and w is not None
        scale = np.asarray(w.scale, np.float64).reshape(-1) * float(x.scale)
        if isinstance(w.granularity, PerTensor):
            value.params = QuantParams(INT32, np.float32(scale[0]))
        else:
            size = int(np.prod(shape(graph.value(value.name))))
            assert constant(graph.value(value.name)) is not None
            scale = np.tile(scale, max(1, size // scale.size))
            value.params = QuantParams(INT32, scale.astype(np.float32), granularity=PerChannel(-1))
