"""Kernels of `embedding_lookup`."""

from __future__ import annotations

import math
from collections.abc import Sequence

from intaglio.kernels.kernel import Call, Kernel, Tensor
from intaglio.kernels.kernel_layout import UNSIGNED, template
from intaglio.program.operators.embedding_lookup import EmbeddingLookup


def scalar(op: EmbeddingLookup, inputs: Sequence[Tensor], y: Tensor) -> Call:
    """Plain C; one unit per index."""
    table, ids = inputs
    nbytes = table.type.dtype.itemsize
    name = f"ig_embedding_lookup_{8 * nbytes}_{ids.short}__scalar"
    fields = {"rows": table.shape[0], "run": math.prod(table.shape[1:])}
    source = template("embedding_lookup/scalar.h", name, x=UNSIGNED[nbytes], ids=ids.c_type)
    return Call(name, (source,), "struct ig_embedding_lookup", fields, units=ids.size)


KERNELS = (Kernel("embedding_lookup", "scalar", scalar),)
