"""Short names for Plans and data: equal names, equal contents. That of a network is `graph_fingerprint`."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping

import numpy as np

from intaglio.calibrate import Batches
from intaglio.calibrate.no_data import NoData
from intaglio.plan import Plan

_DIGITS = 16
_FIRST = 8  # samples that stand for a data set


def of_plan(plan: Plan) -> str:
    """Of all that the Plan says."""
    return hashlib.sha256(plan.to_json().encode()).hexdigest()[:_DIGITS]


def of_arrays(batches: Iterable[Mapping[str, np.ndarray]]) -> str:
    """Of arrays by name, batch after batch; how they are cut into batches counts."""
    digest = hashlib.sha256()
    for batch in batches:
        for name, array in batch.items():
            digest.update(f"{name}{array.dtype}{array.shape}".encode())
            digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()[:_DIGITS]


def of_data(dataset: Batches | NoData) -> str:
    """Name, number and first samples of a data set; not the whole of it, which may be long."""
    if isinstance(dataset, NoData):
        return repr(dataset)
    x, y = next(iter(dataset.batches(_FIRST)))
    arrays = x if isinstance(x, dict) else {str(i): a for i, a in enumerate(x if isinstance(x, tuple) else (x,))}
    labels = {} if y is None else {"y": np.asarray(y)}
    count = getattr(dataset, "length", None)
    return f"{getattr(dataset, 'name', 'data')}, {count} samples, {of_arrays([{**arrays, **labels}])}"


def of_text(text: str) -> str:
    """Of anything whose text says all of it."""
    return hashlib.sha256(text.encode()).hexdigest()[:_DIGITS]
