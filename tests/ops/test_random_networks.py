"""Random networks down the whole road: the passes keep what they compute, and the integers follow the simulation.

`INTAGLIO_RANDOM_NETWORKS=2000 pytest tests/ops/test_random_networks.py` searches longer; a seed names a network.
"""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import pytest
import torch
from intaglio_tests.grown_networks import Grower
from numpy.typing import NDArray

from intaglio.frontends.onnx import load_onnx
from intaglio.graph import Graph
from intaglio.graph.access import shape
from intaglio.graph.passes import prepare
from intaglio.ops import Plain, Same, contract_of
from intaglio.program.file import from_bytes, to_bytes
from intaglio.simulate import Simulator

TARGETS = ("cpu-int8", "int8-symmetric", "mcu-int8", "uint8-asymmetric", "power2-int8", "tflite-int8", "int16x8")
SEEDS = range(int(os.environ.get("INTAGLIO_RANDOM_NETWORKS", "70")))

MIXED = ("cpu-int8", "int8-symmetric")


@pytest.mark.parametrize("seed", SEEDS)
def test_random_network(seed: int, lowered: Any) -> None:
    grown = Grower(seed)
    graph = load_onnx(grown.model())
    assert graph.batched or not grown.lead
    rng = np.random.default_rng(seed)
    batch = (5,) if grown.lead else ()
    x = {str(v.name): rng.normal(size=(*batch, *shape(v)[grown.lead :])).astype(np.float32) for v in graph.inputs}
    prepared = prepare(graph)
    assert prepared.batched == graph.batched
    for got, want in zip(real(prepared, x), real(graph, x), strict=True):
        assert got.shape == want.shape
        np.testing.assert_allclose(got, want, rtol=1e-3, atol=1e-4 * max(1.0, float(np.abs(want).max())))
    for which in (graph, prepared):
        target = TARGETS[seed % len(TARGETS)]
        # Some networks mix 8 and 16 bits, where the target has both.
        chosen = [n for n in which.nodes if rng.random() < 0.2] if target in MIXED and seed % 2 else []
        names = [str(n.name) for n in chosen if not isinstance(contract_of(n).output, (Plain, Same))]
        result = lowered(which, target, x, layers=dict.fromkeys(names, "a16"))
        result.check()
        read_back = from_bytes(to_bytes(result.program)).run(*x.values())
        for got, want in zip(_tuple(read_back), _tuple(result.program.run(*x.values())), strict=True):
            assert np.array_equal(got, want)


def real(graph: Graph, x: dict[str, NDArray[Any]]) -> list[NDArray[Any]]:
    return [y.numpy() for y in Simulator(graph, device="cpu")({n: torch.as_tensor(a) for n, a in x.items()}).values()]


def _tuple(values: Any) -> tuple[Any, ...]:
    return values if isinstance(values, tuple) else (values,)
